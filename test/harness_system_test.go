//go:build unix

package test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// system is NATS with Falconer on it.
type system struct {
	t      *testing.T
	url    string
	rules  string   // folder with the tests' playbook
	data   string   // folder of the server inside
	server *process // what NATS runs in
	count  int      // of workers that were started
	began  time.Time
	js     jetstream.JetStream
	watch  *watch
}

// reached logs how long it took from the start to here.
func (s *system) reached(what string) {
	s.t.Helper()
	s.t.Logf("%5.1f s: %s", time.Since(s.began).Seconds(), what)
}

// overServerInside starts one falconer that has NATS inside.
func overServerInside(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, rules: writePlaybook(t), data: t.TempDir(), began: time.Now(), count: 1}
	s.connect(s.startInside())
	s.watch = watchOutputs(t, s.js)
	return s
}

// startInside starts the falconer that has NATS inside, where it was if it was
// there before, and returns its URL.
func (s *system) startInside() string {
	s.t.Helper()
	listen := cmp.Or(strings.TrimPrefix(s.url, "nats://"), "127.0.0.1:0")
	s.server = start(s.t, "falconer with NATS inside", program(s.t, falconerBinary),
		"run", "--id", "inside", "--listen", listen, "--data", s.data, "--rules", s.rules)
	s.server.says(`"message":"(working)"`)
	return s.server.says(`"url":"(nats://[^"]+)"`)
}

// overServerOutside starts a nats-server and sets up Falconer's streams there.
func overServerOutside(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, rules: writePlaybook(t), began: time.Now()}
	s.server = natsServer(t)
	s.connect("nats://" + s.server.says(`Listening for client connections on (\S+)`))
	s.must("setup")
	s.watch = watchOutputs(t, s.js)
	return s
}

// natsServer starts a nats-server with JetStream on a free port.
func natsServer(t *testing.T) *process {
	t.Helper()
	p := start(t, "nats-server", program(t, serverBinary), "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", t.TempDir())
	p.says(`(Server is ready)`)
	return p
}

func (s *system) connect(url string) {
	s.t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("status when the test failed:\n%s", s.falconer("status").stdout)
		}
		nc.Close()
	})
	s.url = url
	s.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2*inFlight), jetstream.WithPublishAsyncTimeout(10*time.Second))
	require.NoError(s.t, err)
}

// worker starts a worker that joins.
func (s *system) worker(id string) *process {
	s.t.Helper()
	s.count++
	w := start(s.t, "worker "+id, program(s.t, falconerBinary), "run", "--nats", s.url, "--id", id, "--rules", s.rules)
	w.says(`"message":"(working)"`)
	return w
}

// falconer runs a command to its end.
func (s *system) falconer(args ...string) result {
	s.t.Helper()
	return run(s.t, program(s.t, falconerBinary), append([]string{"--nats", s.url}, args...)...)
}

// must runs a command that must succeed, and returns its output.
func (s *system) must(args ...string) string {
	s.t.Helper()
	r := s.falconer(args...)
	require.Zero(s.t, r.code, "falconer %s:\n%s", strings.Join(args, " "), r.stderr)
	return r.stdout
}

func (s *system) publisher(l load) publisher { return publisher{s.t, s.js, l} }

// status is what "falconer status --json" prints, as far as tests need it.
type status struct {
	Partitions []struct {
		Owner string `json:"owner"`
	} `json:"partitions"`
	Totals totals `json:"totals"`
	Open   int    `json:"open"`
	Lag    int    `json:"lag"`
}

type totals struct {
	In       int `json:"in"`
	Reported int `json:"reported"`
	Merged   int `json:"merged"`
	Resent   int `json:"resent"`
	Internal int `json:"internal"`
	Dead     int `json:"dead"`
	Silenced int `json:"silenced"`
	Opened   int `json:"opened"`
	Closed   int `json:"closed"`
	Reports  int `json:"reports"`
	Tasks    int `json:"tasks"`
	Gaps     int `json:"gaps"`
	Lost     int `json:"lost"`
}

// addUp reports whether every alert has become of one kind.
func (t totals) addUp() bool {
	return t.In == t.Reported+t.Merged+t.Resent+t.Silenced+t.Internal+t.Dead
}

func (t totals) add(o totals) totals {
	return totals{
		t.In + o.In, t.Reported + o.Reported, t.Merged + o.Merged, t.Resent + o.Resent, t.Internal + o.Internal,
		t.Dead + o.Dead, t.Silenced + o.Silenced, t.Opened + o.Opened, t.Closed + o.Closed, t.Reports + o.Reports, t.Tasks + o.Tasks,
		t.Gaps + o.Gaps, t.Lost + o.Lost,
	}
}

// status is what falconer status says. It asks again when the server does not
// answer in time: after a kill, and on a
// machine that has more to do than it can.
func (s *system) status() (st status) {
	s.t.Helper()
	var r result
	until(s.t, time.Minute, "falconer status to be answered", func() bool {
		r = s.falconer("status", "--json")
		return r.code == 0
	})
	require.NoError(s.t, json.Unmarshal([]byte(r.stdout), &st))
	return st
}

// owners counts the partitions of each worker.
func (st status) owners() map[string]int {
	out := map[string]int{}
	for _, p := range st.Partitions {
		if p.Owner != "" {
			out[p.Owner]++
		}
	}
	return out
}

// fill starts workers until there are so many, and waits until each owns a part.
func (s *system) fill(workers int) (started []*process) {
	s.t.Helper()
	for s.count < workers {
		started = append(started, s.worker(fmt.Sprintf("worker-%d", s.count+1)))
	}
	until(s.t, 30*time.Second, "workers to share the partitions", func() bool { return len(s.status().owners()) == workers })
	return started
}

// drained waits until every stored alert is taken.
func (s *system) drained(stored int, limit time.Duration) {
	s.t.Helper()
	require.Equal(s.t, stored, s.storedAlerts(), "what the publisher believes to be stored")
	until(s.t, limit, "the alerts to be taken", func() bool {
		st := s.status()
		return st.Totals.In >= stored && st.Lag == 0
	})
}

// quiet waits until every incident has closed, and returns the status.
func (s *system) quiet() status {
	s.t.Helper()
	var st status
	until(s.t, time.Minute, "the incidents to close", func() bool {
		st = s.status()
		return st.Open == 0
	})
	return st
}
