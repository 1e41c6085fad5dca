//go:build unix

package test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

// poison is what somebody may publish under falco.> and is no alert, with a part
// of the reason that is to be given.
var poison = []struct{ name, subject, data, reason string }{
	{"text", "falco.warning.text", "Falco version 0.44.1", `not a JSON object: it begins with "Falco version 0.44.1"`},
	{"nothing", "falco.warning.empty", "", "empty message"},
	{"half an alert", "falco.warning.cut", `{"rule":"A rule","output_fields":{"proc.name":"sh`, "invalid JSON at byte"},
	{"an object without a rule", "falco.warning.none", `{"a":{"b":"c"}}`, `no rule: the key "rule" is missing or empty; found: a`},
	{"a rule that is an object", "falco.warning.deep", `{"rule":{"name":"A rule"}}`, `"rule" must be a string, found`},
	{"output fields that are a list", "falco.warning.list", `{"rule":"A rule","output_fields":[{"a":1}]}`, `"output_fields" must be an object`},
	{"nesting without end", "falco.warning.nest", `{"rule":"A rule","output_fields":{"a":` + strings.Repeat(`[`, 20_000) + strings.Repeat(`]`, 20_000) + `}}`, "exceeded max depth"},
	{"900 KB of noise", "falco.warning.noise", strings.Repeat("noise\x00\xff\x1b[31m", 80_000), "not a JSON object"},
	{"control characters", "falco.warning.control", "\x1b]0;owned\a{}", `not a JSON object: it begins with "\x1b]0;owned\a{}"`},
	{"a subject of another depth", "falco.odd", "odd", "not a JSON object"},
	{"a longer subject", "falco.warning.a.b.c", "odd", "not a JSON object"},
}

// dead is what the tests look at in a dead letter.
type dead struct {
	Seq       uint64 `json:"seq"`
	Subject   string `json:"subject"`
	Reason    string `json:"reason"`
	Size      int    `json:"size"`
	SHA256    string `json:"sha256"`
	Raw       []byte `json:"raw"`
	Truncated bool   `json:"truncated"`
}

func TestPoisonBecomesDeadLettersAndStopsNothing(t *testing.T) {
	t.Parallel()
	s, l := overServerInside(t), load{fingerprints: 20}
	at := map[uint64]int{}
	for i, p := range poison {
		s.publisher(l).publish(10*i, 10*i+10)
		ack, err := s.js.Publish(t.Context(), p.subject, []byte(p.data))
		require.NoError(t, err)
		at[ack.Sequence] = i
	}
	big := s.publishBig()
	s.drained(s.storedAlerts(), time.Minute)

	st := s.status().Totals
	require.Equal(t, len(poison), st.Dead)
	require.Equal(t, st.In, st.Reported+st.Merged+st.Resent+st.Internal+st.Dead)
	require.Equal(t, 20+1, st.Opened, "alerts between and after the poison are folded")
	for _, o := range s.watch.outputs(st.Reports + st.Tasks + st.Dead) {
		if strings.HasPrefix(o.subject, "falconer.dead.") {
			s.requireDead(o, at)
		}
	}
	s.watch.requireValid()
	require.Empty(t, at, "poison without a dead letter")
	s.requireDeadLetterShown(big)
}

// publishBig stores an alert of nearly the size that NATS allows, and returns
// its sequence.
func (s *system) publishBig() uint64 {
	s.t.Helper()
	data := fmt.Sprintf(`{"rule":"A big one","priority":"Error","output_fields":{"proc.cmdline":%q}}`, strings.Repeat("x ", 450_000))
	ack, err := s.js.Publish(s.t.Context(), "falco.error.a_big_one", []byte(data))
	require.NoError(s.t, err)
	return ack.Sequence
}

// requireDead holds a dead letter against the poison at its sequence, and takes
// that off the list.
func (s *system) requireDead(o output, at map[uint64]int) {
	s.t.Helper()
	var d dead
	require.NoError(s.t, json.Unmarshal(o.data, &d))
	require.True(s.t, strings.HasPrefix(o.subject, subjects.DeadLetter(d.Seq, "")), o.subject)
	require.Contains(s.t, at, d.Seq, "%s", d.Reason)
	p := poison[at[d.Seq]]
	delete(at, d.Seq)
	require.Contains(s.t, d.Reason, p.reason, p.name)
	require.Equal(s.t, p.subject, d.Subject, p.name)
	require.Equal(s.t, len(p.data), d.Size, p.name)
	sum := sha256.Sum256([]byte(p.data))
	require.Equal(s.t, hex.EncodeToString(sum[:]), d.SHA256, p.name)
	require.True(s.t, strings.HasPrefix(p.data, string(d.Raw)), p.name)
	require.Equal(s.t, len(d.Raw) < len(p.data), d.Truncated, p.name)
	require.True(s.t, len(d.Raw) == len(p.data) || len(d.Raw) >= 256<<10, p.name)
}

// requireDeadLetterShown looks at dead letters as an operator does.
func (s *system) requireDeadLetterShown(notDead uint64) {
	s.t.Helper()
	list := s.must("dead", "list")
	require.Equal(s.t, len(poison)+1, strings.Count(list, "\n"), list)
	requireHarmless(s.t, list)
	for line := range strings.Lines(list) {
		if seq := strings.Fields(line)[2]; seq != "SIZE" {
			requireHarmless(s.t, s.must("dead", "show", seq))
		}
	}
	r := s.falconer("dead", "show", fmt.Sprint(notDead))
	require.Equal(s.t, 1, r.code)
	require.Contains(s.t, r.stderr, "falconer dead list")
}

// requireHarmless makes sure that a terminal does nothing but show the text.
func requireHarmless(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		require.True(t, r == '\n' || r >= ' ' && r != 0x7f && (r < 0x80 || r >= 0xa0), "%q", text[:min(len(text), 400)])
	}
}

func TestWorkersRefuseWhatIsNotSound(t *testing.T) {
	t.Parallel()
	falconer := program(t, falconerBinary)
	broken := writeFile(t, "mine.yaml", "playbooks:\n  - id: mine\n    version: 1\n    titel: Mine\n")
	config := filepath.Join(writeFile(t, "falconer.yaml", "log_level: debug\nretentoin: 1h\n"), "falconer.yaml")
	data := t.TempDir()
	for name, row := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"a broken playbook": {
			[]string{"--rules", broken},
			1,
			[]string{filepath.Join(broken, "mine.yaml") + `:4: unknown key "titel"`, `did you mean "title"?`, "nothing was started"},
		},
		"a folder of playbooks that is not there": {
			[]string{"--rules", filepath.Join(broken, "none")},
			1,
			[]string{filepath.Join(broken, "none") + ": no such file or directory"},
		},
		"a broken configuration": {
			[]string{"--config", config},
			1,
			[]string{config + `:2: unknown key "retentoin"`, `did you mean "retention"?`},
		},
		"a NATS that is not there": {
			[]string{"--nats", "nats://127.0.0.1:1"},
			1,
			[]string{"no NATS at nats://127.0.0.1:1", "is it running, and reachable from here?", "--nats"},
		},
		"an address that everyone can reach, without a password": {
			[]string{"--listen", "0.0.0.0:0"},
			1,
			[]string{"FALCONER_BROKER_PASSWORD", "127.0.0.1"},
		},
		"a name that is no worker's": {
			[]string{"--id", "a.b", "--listen", "127.0.0.1:0"},
			1,
			[]string{`worker id "a.b": only letters, digits, - and _ are allowed`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, falconer, append([]string{"run", "--data", data, "--log-format", "json"}, row.args...)...)
			require.Equal(t, row.code, r.code, r.stderr)
			require.Empty(t, r.stdout)
			for _, want := range row.want {
				require.Contains(t, r.stderr, want)
			}
		})
	}
}

func TestWorkersLeaveAForeignStreamAsItIs(t *testing.T) {
	t.Parallel()
	s := &system{t: t, server: natsServer(t)}
	s.connect("nats://" + s.server.says(`Listening for client connections on (\S+)`))
	cfg := subjects.Layout{}.WithDefaults().Output()
	cfg.MaxMsgsPerSubject, cfg.MaxAge = 5, time.Hour
	made, err := s.js.CreateStream(t.Context(), cfg)
	require.NoError(t, err)

	for _, command := range []string{"run", "setup"} {
		r := s.falconer(command)
		require.Equal(t, 1, r.code, r.stderr)
		require.Contains(t, r.stderr, "stream FALCONER exists with other settings and was left as it is")
		require.Contains(t, r.stderr, "max_msgs_per_subject is 5, want 1")
		require.Contains(t, r.stderr, "max_age is 1h0m0s, want 0s")
	}
	found, err := s.js.Stream(t.Context(), subjects.OutputStream)
	require.NoError(t, err)
	require.Equal(t, made.CachedInfo().Config, found.CachedInfo().Config)
}

func TestTwoServersInsideDoNotShareAFolder(t *testing.T) {
	t.Parallel()
	s := overServerInside(t)
	r := run(t, program(t, falconerBinary), "run", "--listen", "127.0.0.1:0", "--data", s.data)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, fmt.Sprintf("the data directory %s is in use by process %d", s.data, s.server.cmd.Process.Pid))
	r = run(t, program(t, falconerBinary), "run", "--listen", strings.TrimPrefix(s.url, "nats://"), "--data", t.TempDir())
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "use --nats to join it, or --listen to choose another port")
}

func TestANATSWithoutJetStreamIsNamed(t *testing.T) {
	t.Parallel()
	server := start(t, "nats-server", program(t, serverBinary), "-a", "127.0.0.1", "-p", "-1")
	url := "nats://" + server.says(`Listening for client connections on (\S+)`)
	r := run(t, program(t, falconerBinary), "run", "--nats", url)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "JetStream does not answer; enable it on the server")
}
