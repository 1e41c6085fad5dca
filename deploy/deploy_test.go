// Package deploy_test holds the files of this folder to what they promise: it
// runs a server with nats/nats-server.conf as it is, but for its ports and its
// folder, and reads the others for what no tool here can run.
package deploy_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/processor/stream/doctor"
	"falconer/rules"
	"falconer/subjects"
)

// users are those of the configuration; the password of each is "n" and its name.
var users = map[string]string{
	"falcosidekick": "NATS_PASSWORD_FALCOSIDEKICK",
	"falconer":      "NATS_PASSWORD_FALCONER",
	"ticketing":     "NATS_PASSWORD_TICKETING",
}

// taskConsumer is the consumer that the configuration names for ticketing.
const taskConsumer = "ticketing"

// serve runs a server with the configuration until the test ends.
func serve(t *testing.T) *server.Server {
	t.Helper()
	for user, variable := range users {
		t.Setenv(variable, "n"+user)
	}
	opts, err := server.ProcessConfigFile("nats/nats-server.conf")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", opts.Host)
	require.Equal(t, "127.0.0.1", opts.HTTPHost)
	opts.Port, opts.HTTPPort = server.RANDOM_PORT, server.RANDOM_PORT
	opts.StoreDir, opts.NoLog, opts.NoSigs = t.TempDir(), true, true
	s, err := server.NewServer(opts)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(10*time.Second))
	return s
}

// client is a user's connection and what the server refused it.
type client struct {
	*nats.Conn
	js jetstream.JetStream

	mu      sync.Mutex
	refused []string
}

func (c *client) refusals() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.refused...)
}

func connect(t *testing.T, s *server.Server, user string) *client {
	t.Helper()
	c := &client{}
	conn, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, "n"+user), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refused = append(c.refused, err.Error())
	}))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	c.Conn = conn
	c.js, err = jetstream.New(conn)
	if user == "ticketing" {
		c.js, err = jetstream.NewWithAPIPrefix(conn, "falconer.api")
	}
	require.NoError(t, err)
	return c
}

// quick is a book whose incidents end after a moment without alerts, so that the
// rights to close them are needed too.
type quick struct{ processor.Book }

func (b quick) Identity(a *processor.Alert) processor.Identity {
	id := b.Book.Identity(a)
	id.Idle = 300 * time.Millisecond
	return id
}

// working is a server with streams, a worker and the consumer for ticketing, all
// made by the user falconer.
func working(t *testing.T) (*server.Server, *client) {
	t.Helper()
	s := serve(t)
	falconer := connect(t, s, "falconer")
	made, err := stream.Setup(t.Context(), falconer.js, subjects.Layout{})
	require.NoError(t, err)
	require.Equal(t, []string{"FALCO", "FALCONER", "FALCONER_MEMBERS", "FALCONER_TASKS"}, made)
	book, err := rules.Builtin()
	require.NoError(t, err)
	w, err := stream.New(t.Context(), stream.Config{JS: falconer.js, Book: quick{book}, Log: zerolog.Nop()})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-done) })
	_, err = falconer.js.CreateConsumer(t.Context(), subjects.OutputStream, jetstream.ConsumerConfig{
		Durable: taskConsumer, FilterSubject: subjects.Tasks, AckPolicy: jetstream.AckExplicitPolicy,
	})
	require.NoError(t, err)
	return s, falconer
}

const alert = `{"rule":"Terminal shell in container","priority":"Notice","source":"syscall","hostname":"node-a",
"time":"2026-01-02T03:04:05Z","output_fields":{"proc.name":"bash","container.id":"3f1d2c5b7a90"}}`

// raise publishes an alert as falcosidekick does: one connection, no answer.
func raise(t *testing.T, s *server.Server, reply string) {
	t.Helper()
	conn, err := nats.Connect(s.ClientURL(), nats.UserInfo("falcosidekick", "nfalcosidekick"))
	require.NoError(t, err)
	require.NoError(t, conn.PublishMsg(&nats.Msg{Subject: "falco.notice.terminal_shell_in_container", Reply: reply, Data: []byte(alert)}))
	conn.Close()
}

// folded waits until the workers have taken n alerts and none is left.
func folded(t *testing.T, c *client, n uint64) stream.Status {
	t.Helper()
	var st stream.Status
	require.Eventually(t, func() bool {
		var err error
		st, err = stream.Inspect(t.Context(), c.js)
		require.NoError(t, err)
		return st.Totals.In == n && st.Lag == 0
	}, 20*time.Second, 50*time.Millisecond)
	return st
}

// denied requires that the server refuses what the client publishes to a subject.
func denied(t *testing.T, c *client, subject string) {
	t.Helper()
	before := len(c.refusals())
	require.NoError(t, c.Publish(subject, nil))
	require.NoError(t, c.Flush())
	require.Eventually(t, func() bool { return len(c.refusals()) > before }, 5*time.Second, 5*time.Millisecond,
		"%s may be published to", subject)
}

func TestFalconerDoesItsWorkWithinItsRights(t *testing.T) {
	s, falconer := working(t)
	raise(t, s, "")
	raise(t, s, "")
	require.NoError(t, connect(t, s, "falcosidekick").Publish("falco.notice.not_an_alert", []byte("Falco version 0.44.1")))
	require.Len(t, folded(t, falconer, 3).Members, 1)
	require.Eventually(t, func() bool {
		st, err := stream.Inspect(t.Context(), falconer.js)
		require.NoError(t, err)
		return st.Totals.Opened == st.Totals.Closed
	}, 20*time.Second, 100*time.Millisecond, "a quiet partition asks for the time")

	seen := 0
	for _, filter := range []string{subjects.Reports, subjects.Tasks, subjects.States, subjects.Dead} {
		require.NoError(t, stream.List(t.Context(), falconer.js, []string{filter}, func(stream.Output) error { seen++; return nil }))
	}
	require.Greater(t, seen, 3)
	refold := 0
	book, err := rules.Builtin()
	require.NoError(t, err)
	require.NoError(t, stream.Refold(t.Context(), falconer.js, processor.Options{Book: book}, stream.Raw{}, func(_ int, ch processor.Changes) error {
		refold += len(ch.Reports)
		return nil
	}))
	require.Positive(t, refold)
	_, err = stream.Setup(t.Context(), falconer.js, subjects.Layout{})
	require.NoError(t, err)
	require.NoError(t, stream.List(t.Context(), falconer.js, []string{subjects.DeadLetters}, func(o stream.Output) error {
		var d processor.DeadLetter
		require.NoError(t, json.Unmarshal(o.Data, &d))
		_, _, err := (&stream.Again{JS: falconer.js, By: "test"}).Replay(t.Context(), d.Seq, "")
		return err
	}))
	require.Empty(t, falconer.refusals())
}

func TestTheDoctorLooksAtAllWithinTheRightsOfFalconer(t *testing.T) {
	s, falconer := working(t)
	raise(t, s, "")
	folded(t, falconer, 1)
	findings := doctor.Diagnose(t.Context(), doctor.Config{JS: connect(t, s, "falconer").js, Observe: 300 * time.Millisecond})
	require.Equal(t, doctor.OK, doctor.Worst(findings), "%v", findings)
}

func TestTheDoctorSaysWhatOthersMayNot(t *testing.T) {
	s, falconer := working(t)
	before, err := stream.Inspect(t.Context(), falconer.js)
	require.NoError(t, err)
	for _, user := range []string{"falcosidekick", "ticketing"} {
		findings := doctor.Diagnose(t.Context(), doctor.Config{JS: connect(t, s, user).js, Observe: 300 * time.Millisecond})
		require.Equal(t, doctor.Wrong, doctor.Worst(findings), "%v", findings)
	}
	after, err := stream.Inspect(t.Context(), falconer.js)
	require.NoError(t, err)
	require.Equal(t, before.Raw.LastSeq, after.Raw.LastSeq)
}

func TestFalconerMayNotEndOrForgeWhatIsStored(t *testing.T) {
	s, _ := working(t)
	falconer := connect(t, s, "falconer")
	for _, name := range []string{"FALCO", "FALCONER", "KV_FALCONER_MEMBERS", "KV_FALCONER_TASKS"} {
		for _, verb := range []string{"DELETE", "PURGE", "UPDATE", "MSG.DELETE", "SNAPSHOT"} {
			denied(t, falconer, "$JS.API.STREAM."+verb+"."+name)
		}
	}
	for _, subject := range []string{"falconer.raw.0.critical.forged", "$JS.API.STREAM.CREATE.OTHER", "$SYS.REQ.SERVER.PING"} {
		denied(t, falconer, subject)
	}
}

func TestFalcosidekickMayPublishAlertsAndNothingElse(t *testing.T) {
	s, falconer := working(t)
	sidekick := connect(t, s, "falcosidekick")
	for _, subject := range []string{
		"falconer.report.high.x.y.opened", "falconer.cursor.0", "falconer.tick.0", "falconer.raw.0.a.b", "$KV.FALCONER_MEMBERS.x",
		"$JS.API.INFO", "$JS.API.STREAM.INFO.FALCO", "$JS.API.STREAM.PURGE.FALCO", "$JS.API.CONSUMER.CREATE.FALCO", "$SYS.REQ.SERVER.PING",
	} {
		denied(t, sidekick, subject)
	}
	for _, subject := range []string{">", "falco.>", "falconer.>", "_INBOX.>", "$SYS.>"} {
		before := len(sidekick.refusals())
		_, err := sidekick.SubscribeSync(subject)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return len(sidekick.refusals()) > before }, 5*time.Second, 5*time.Millisecond, subject)
	}
	raise(t, s, "")
	folded(t, falconer, 1)
}

// The server answers a stored alert on the subject that its publisher names,
// which permissions do not cover. It must not reach what the others hold.
func TestTheAnswerToAnAlertStaysWithItsPublisher(t *testing.T) {
	s, falconer := working(t)
	replies := []string{"falco.notice.again", "falconer.cursor.3", "falconer.report.high.x.y.opened", "$KV.FALCONER_MEMBERS.x", "$JS.API.STREAM.PURGE.FALCO"}
	for _, reply := range replies {
		raise(t, s, reply)
	}
	st := folded(t, falconer, uint64(len(replies)))
	require.Len(t, st.Members, 1)
	require.NoError(t, stream.List(t.Context(), falconer.js, []string{subjects.Cursors}, func(o stream.Output) error {
		require.Contains(t, string(o.Data), `"schema":"cursor.v1"`, o.Subject)
		return nil
	}))
	require.NoError(t, stream.List(t.Context(), falconer.js, []string{subjects.Reports}, func(o stream.Output) error {
		require.NotEmpty(t, o.ID, o.Subject)
		return nil
	}))
}

func TestTicketingTakesTasksAndWritesTheirStatus(t *testing.T) {
	s, _ := working(t)
	raise(t, s, "")
	ticketing := connect(t, s, "ticketing")
	consumer, err := ticketing.js.Consumer(t.Context(), subjects.OutputStream, taskConsumer)
	require.NoError(t, err)
	m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
	require.NoError(t, err)
	var task processor.Task
	require.NoError(t, json.Unmarshal(m.Data(), &task))
	require.NoError(t, m.DoubleAck(t.Context()))

	status, err := ticketing.js.KeyValue(t.Context(), subjects.TasksBucket)
	require.NoError(t, err)
	rev, err := status.Create(t.Context(), task.ID, []byte(`{"status":"acknowledged"}`))
	require.NoError(t, err)
	_, err = status.Update(t.Context(), task.ID, []byte(`{"status":"done"}`), rev)
	require.NoError(t, err)
	_, err = status.Update(t.Context(), task.ID, []byte(`{"status":"dismissed"}`), rev)
	require.Error(t, err, "compared and set")
	entry, err := status.Get(t.Context(), task.ID)
	require.NoError(t, err)
	require.JSONEq(t, `{"status":"done"}`, string(entry.Value()))
	require.Empty(t, ticketing.refusals())
}

func TestTicketingReachesNothingElse(t *testing.T) {
	s, falconer := working(t)
	ticketing := connect(t, s, "ticketing")
	all, err := ticketing.SubscribeSync(">")
	require.NoError(t, err)
	status, err := ticketing.js.KeyValue(t.Context(), subjects.TasksBucket)
	require.NoError(t, err)
	_, err = status.Put(t.Context(), "forged", []byte(alert))
	require.NoError(t, err)
	// Answers that it asks for go to its own account only.
	for _, reply := range []string{"falco.notice.forged", "falconer.cursor.3"} {
		require.NoError(t, ticketing.PublishRequest("falconer.api.DIRECT.GET.KV_FALCONER_TASKS.$KV.FALCONER_TASKS.forged", reply, nil))
		require.NoError(t, ticketing.PublishRequest("falconer.api.CONSUMER.MSG.NEXT.FALCONER.ticketing", reply, []byte(`{"batch":100,"expires":1000000000}`)))
		require.NoError(t, ticketing.Publish(reply, []byte(alert)))
	}
	for _, request := range []string{
		"$JS.API.STREAM.NAMES", "falconer.api.STREAM.INFO.FALCO", "falconer.api.STREAM.INFO.FALCONER", "falconer.api.STREAM.DELETE.FALCONER",
		"falconer.api.CONSUMER.INFO.FALCONER.other", "falconer.api.CONSUMER.CREATE.FALCONER.other", "falconer.api.DIRECT.GET.KV_FALCONER_MEMBERS.x",
	} {
		answer, err := ticketing.Request(request, nil, 300*time.Millisecond)
		if err == nil {
			require.Contains(t, string(answer.Data), "JetStream not enabled for account", request)
		}
	}
	raise(t, s, "")
	folded(t, falconer, 1)
	for {
		m, err := all.NextMsg(100 * time.Millisecond)
		if err != nil {
			break
		}
		require.NotContains(t, m.Subject, "report")
		require.NotContains(t, m.Subject, "incident")
	}
}

func TestNobodyComesInWithoutAPassword(t *testing.T) {
	s := serve(t)
	for _, opt := range []nats.Option{nats.UserInfo("", ""), nats.UserInfo("falconer", ""), nats.UserInfo("falconer", "nticketing"), nats.UserInfo("sys", "sys")} {
		_, err := nats.Connect(s.ClientURL(), opt)
		require.ErrorIs(t, err, nats.ErrAuthorization)
	}
}

func TestAMissingPasswordIsAnError(t *testing.T) {
	for _, variable := range users {
		t.Setenv(variable, "n")
	}
	_, err := server.ProcessConfigFile("nats/nats-server.conf")
	require.NoError(t, err)
	for _, variable := range users {
		t.Run(variable, func(t *testing.T) {
			unset(t, variable)
			_, err := server.ProcessConfigFile("nats/nats-server.conf")
			require.ErrorContains(t, err, variable)
		})
	}
}
