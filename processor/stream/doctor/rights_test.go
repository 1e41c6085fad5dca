package doctor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor/stream"
	"falconer/processor/stream/doctor"
	"falconer/subjects"
)

// natsServer runs a server with options of its own until the test ends.
func natsServer(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir()}
	change(opts)
	s, err := server.NewServer(opts)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(10*time.Second))
	return s
}

// as connects a user whose password is its name.
func as(t *testing.T, s *server.Server, user string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, user), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

func TestTheDoctorNamesEachRightThatIsLacking(t *testing.T) {
	type lack struct{ publish, subscribe, check, found, next string }
	rows := map[string]lack{
		"cursors":   {publish: "falconer.cursor.*", check: "permissions", found: "may not publish to falconer.cursor.*", next: "deploy/nats/nats-server.conf"},
		"incidents": {publish: "falconer.incident.>", check: "permissions", found: "may not publish to falconer.incident.*.*"},
		"reports":   {publish: "falconer.report.>", check: "permissions", found: "may not publish to falconer.report.>"},
		"tasks":     {publish: "falconer.task.>", check: "permissions", found: "may not publish to falconer.task.>"},
		"dead":      {publish: "falconer.dead.>", check: "permissions", found: "may not publish to falconer.dead.>"},
		"ticks":     {publish: "falconer.tick.*", check: "permissions", found: "may not publish to falconer.tick.*"},
		"presence":  {publish: "$KV.>", check: "permissions", found: "may not publish to $KV.FALCONER_MEMBERS.*"},
		"consumers": {publish: "$JS.API.CONSUMER.CREATE.FALCO.>", check: "permissions", found: "may not publish to $JS.API.CONSUMER.CREATE.FALCO.>"},
		"next":      {publish: "$JS.API.CONSUMER.MSG.NEXT.>", check: "permissions", found: "$JS.API.CONSUMER.MSG.NEXT.FALCO.*, $JS.API.CONSUMER.MSG.NEXT.FALCONER.*"},
		"flow":      {publish: "$JS.FC.>", check: "permissions", found: "$JS.FC.KV_FALCONER_MEMBERS.>"},
		"get":       {publish: "$JS.API.STREAM.MSG.GET.FALCONER", check: "not checked", found: "may not publish to $JS.API.STREAM.MSG.GET.FALCONER", next: "allow this user to publish to"},
		"info":      {publish: "$JS.API.STREAM.INFO.FALCO", check: "streams", found: "stream FALCO: this user may not publish to $JS.API.STREAM.INFO.FALCO"},
		"list":      {publish: "$JS.API.STREAM.LIST", check: "not checked", found: "loops: this user may not publish to $JS.API.STREAM.LIST", next: "allow this user to publish to $JS.API.STREAM.LIST"},
		"account":   {publish: "$JS.API.INFO", check: "not checked", found: "account: this user may not publish to $JS.API.INFO"},
		"alerts":    {subscribe: "falco.>", check: "alerts", found: "this user may not subscribe to falco.>", next: "allow this user to subscribe to falco.>"},
		"answers":   {subscribe: "_INBOX.>", check: "jetstream", found: "may not subscribe to _INBOX.>", next: "allow the user to subscribe to _INBOX.>"},
	}
	s := natsServer(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "admin", Password: "admin"}}
		for name, row := range rows {
			p := &server.Permissions{Publish: &server.SubjectPermission{}, Subscribe: &server.SubjectPermission{}}
			if row.publish != "" {
				p.Publish.Deny = []string{row.publish}
			}
			if row.subscribe != "" {
				p.Subscribe.Deny = []string{row.subscribe}
			}
			o.Users = append(o.Users, &server.User{Username: name, Password: name, Permissions: p})
		}
	})
	js := as(t, s, "admin")
	_, err := stream.Setup(t.Context(), js, subjects.Layout{Partitions: 2, RawMaxBytes: 1 << 20, OutputMaxBytes: 1 << 20})
	require.NoError(t, err)
	before := states(t, js)
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			findings := diagnose(t, as(t, s, name))
			level := doctor.Wrong
			if row.check != "permissions" && row.check != "jetstream" {
				level = doctor.Note
			}
			requireFinding(t, findings, level, row.check, row.found, row.next)
			for _, f := range of(findings, "permissions") {
				require.NotContains(t, f.Found, "neither answered", "a refusal is no silence")
			}
			require.Less(t, time.Since(began), 2*time.Second, "a refusal costs no wait")
		})
	}
	require.Equal(t, before, states(t, js))
}

func TestTheDoctorAsksForTheRightsOfSetupWhereItIsStillToBeDone(t *testing.T) {
	s := natsServer(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "worker", Password: "worker", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.CREATE.>"}},
		}}}
	})
	findings := diagnose(t, as(t, s, "worker"))
	requireFinding(t, findings, doctor.Wrong, "permissions", "$JS.API.STREAM.CREATE.FALCO, $JS.API.STREAM.CREATE.FALCONER", "")
	requireFinding(t, findings, doctor.Wrong, "streams", "nothing was set up here yet", "falconer setup")
}

func TestTheDoctorWithoutJetStream(t *testing.T) {
	s := natsServer(t, func(o *server.Options) { o.JetStream = false })
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	findings := diagnose(t, js)
	requireFinding(t, findings, doctor.Wrong, "jetstream", "JetStream does not answer", "jetstream {}")
	requireFinding(t, findings, doctor.Note, "not checked", "JetStream does not answer", "see jetstream")
	require.Len(t, findings, 4, readable(findings))
}

func TestTheDoctorInAnAccountWithoutJetStream(t *testing.T) {
	s := natsServer(t, func(o *server.Options) {
		mine := server.NewAccount("MINE")
		o.Accounts = []*server.Account{mine}
		o.Users = []*server.User{{Username: "u", Password: "u", Account: mine}}
	})
	requireFinding(t, diagnose(t, as(t, s, "u")), doctor.Wrong, "jetstream", "JetStream", "account")
}

// A domain is reached by a prefix, with which the API and buckets are spelled.
func TestTheDoctorInADomain(t *testing.T) {
	s := natsServer(t, func(o *server.Options) { o.JetStreamDomain = "hub" })
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.NewWithDomain(nc, "hub")
	require.NoError(t, err)
	_, err = stream.Setup(t.Context(), js, subjects.Layout{RawMaxBytes: 1 << 20, OutputMaxBytes: 1 << 20})
	require.NoError(t, err)
	findings := diagnose(t, js)
	requireFinding(t, findings, doctor.OK, "jetstream", "JetStream is on, domain hub", "")
	requireFinding(t, findings, doctor.OK, "permissions", "subjects tried, nothing stored", "")
	requireFinding(t, findings, doctor.OK, "streams", "FALCO, FALCONER and the buckets are there", "")
}

// Somebody who subscribes to everything is a reason why the server does not say
// that nobody answers.
func TestTheDoctorIsNotMisledByWhoeverListensToEverything(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 1})
	sub, err := js.Conn().SubscribeSync(">")
	require.NoError(t, err)
	defer func() { _ = sub.Unsubscribe() }()
	findings := of(diagnose(t, connect()), "permissions")
	require.Len(t, findings, 1)
	require.True(t, strings.HasPrefix(findings[0].Found, "this user may do all"), findings[0].Found)
}
