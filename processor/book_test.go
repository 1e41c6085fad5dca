package processor

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Rules to which testBook gives an identity, windows or manners of their own.
const (
	shellRule  = "Terminal shell in container" // the default identity and windows
	burstRule  = "Packet socket created"       // by user: idle 10m, cap 25m
	nothing    = "Rule of no identity"         // names fields that no alert has
	bomb       = "Rule that breaks Judge"
	mute       = "Rule that breaks Advise"
	wordless   = "Rule without a word" // Judge and Advise return next to nothing
	testReopen = 2 * time.Hour
)

// testBook explains alerts by their priority. It stands for package rules,
// which cannot be imported here.
type testBook struct{}

func (testBook) Identity(a *Alert) Identity {
	switch a.Rule {
	case burstRule:
		return Identity{Version: 2, Fields: []string{"user"}, Idle: 10 * time.Minute, Cap: 25 * time.Minute}
	case nothing:
		return Identity{Version: 1, Fields: []string{"no.such.field"}}
	}
	return Identity{Version: 1}
}

func (b testBook) Grade(a *Alert) Severity { return b.Judge(a).Severity }

func (testBook) Judge(a *Alert) Verdict {
	switch a.Rule {
	case bomb:
		panic("judge: no mercy")
	case wordless:
		return Verdict{Severity: Medium}
	}
	why := []Contribution{BasePoints(a.Priority)}
	if a.Fields["user.name"] == "root" {
		why = append(why, Contribution{15, "root user"})
	}
	score, severity := Score(why)
	return Verdict{
		Category: "execution", Severity: severity, Score: score, Why: why, Stage: "execution", Confidence: "high",
		Techniques: []Technique{{
			ID: "T1059", Name: "Command and Scripting Interpreter", URL: "https://attack.mitre.org/techniques/T1059/",
			Tactics: []string{"execution"}, Origin: "playbook",
		}},
		Playbook: "shell@1", Match: "rule", Test: a.Rule == RuleTest,
	}
}

func (testBook) Advise(a *Alert) Advice {
	switch a.Rule {
	case mute:
		panic("advise: lost for words")
	case wordless:
		return Advice{}
	}
	cmd := a.Fields["proc.cmdline"]
	advice := Advice{
		Title:   "Interactive shell",
		Meaning: []Text{{{Text: "Someone ran "}, {cmd, true}, {Text: " by hand."}}},
		Questions: []Question{
			{Ask: Say("Who was it?"), Answer: Text{{Text: "The login user is "}, {a.Fields["user.loginname"], true}, {Text: "."}}},
			{Ask: Say("Was it announced?")},
		},
		Benign:      []Benign{{Cause: Say("An operator debugs."), Tell: Say("Ask on call."), Likely: a.Fields["user.name"] == "daemon"}},
		Mitigations: []Mitigation{lookMitigation(cmd)},
		Exception:   &Config{Tool: "falco", Format: "yaml", Body: "- rule: shell\n  exceptions: []\n", Explain: Say("Appends an exception."), Ready: true},
		Next:        Say("Look at the process tree."),
	}
	if a.Priority <= Critical {
		advice.Mitigations = append(advice.Mitigations, isolateMitigation())
	}
	return advice
}

func lookMitigation(cmd string) Mitigation {
	return Mitigation{
		ID: "look", Title: "Look at the process", Kind: Investigate, Horizon: Now, Risk: ReadOnly,
		Description: Text{{Text: "See what "}, {cmd, true}, {Text: " did."}},
		Commands: []Command{
			{Where: Host, Line: "ps -ef", Explain: Say("Lists processes."), Risk: ReadOnly, Ready: true},
			{Where: Kubernetes, Line: "kubectl get pod <pod>", Explain: Say("Shows the pod."), Risk: ReadOnly, Missing: []string{"k8s.pod.name"}},
		},
		Needs: Say("A shell."), Blast: Say("Nobody."),
		Attack: []Reference{{ID: "M1038", Name: "Execution Prevention", URL: "https://attack.mitre.org/mitigations/M1038/"}},
	}
}

func isolateMitigation() Mitigation {
	return Mitigation{
		ID: "isolate", Title: "Isolate the pod", Kind: Contain, Horizon: ThisWeek, Risk: Reversible,
		Description: Say("Deny its traffic."), Undo: Say("Delete the policy."),
		Configs: []Config{{Tool: "kubernetes", Format: "yaml", Body: "kind: NetworkPolicy\n", Explain: Say("Denies all."), Ready: true}},
	}
}

// fields are output fields of an alert to make; they are laid over a shell's.
type fields map[string]any

// alertJSON makes an alert in Falco's own form. Fields whose names have no dot
// are top-level keys; a nil value takes a key away.
func alertJSON(rule string, event time.Time, over fields) []byte {
	out := map[string]any{
		"evt.time": event.UnixNano(), "evt.type": "execve", "user.name": "daemon", "user.uid": 2, "user.loginname": "<NA>",
		"proc.name": "sh", "proc.exepath": "/bin/busybox", "proc.cmdline": "sh -c uptime", "proc.pname": "runc",
		"container.id": "ac7c5359a04b", "container.name": "web", "container.image.repository": "docker.io/library/alpine",
		"k8s.ns.name": "shop", "k8s.pod.name": "web-7c5ddbdf54-x2v9k",
	}
	top := map[string]any{
		"rule": rule, "priority": "Notice", "source": "syscall", "hostname": "node-1", "time": event.UTC().Format(time.RFC3339Nano),
		"output": "a shell was spawned", "tags": []string{"T1059", "container"}, "output_fields": out,
	}
	for k, v := range over {
		into := out
		if !strings.Contains(k, ".") && k != "n_drops" {
			into = top
		}
		if into[k] = v; v == nil {
			delete(into, k)
		}
	}
	data, err := json.Marshal(top)
	if err != nil {
		panic(err)
	}
	return data
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// feed is a ledger under test, with all that it has given out so far.
type feed struct {
	*Ledger
	t   *testing.T
	seq uint64
	got Changes
}

func newFeed(t *testing.T) *feed {
	return &feed{t: t, Ledger: NewLedger(Options{Book: testBook{}, Era: "era", Reopen: testReopen})}
}

// send folds one message that the broker stores at epoch+after, and returns the
// ids' last parts of the reports that follow.
func (f *feed) send(after time.Duration, data []byte) []string {
	f.seq++
	return f.fold(Message{Seq: f.seq, Time: epoch.Add(after), Subject: "falco.notice.shell", Data: data})
}

// shell sends one shell alert; what is not in over is the same each time, but for the event's time.
func (f *feed) shell(after time.Duration, over fields) []string {
	return f.send(after, alertJSON(shellRule, epoch.Add(after), over))
}

func (f *feed) tick(after time.Duration) []string {
	f.seq++
	return f.fold(Message{Seq: f.seq, Time: epoch.Add(after), Subject: "falconer.tick.0", Kind: TickMessage})
}

func (f *feed) fold(m Message) []string {
	f.t.Helper()
	require.True(f.t, f.Fold(m, 900))
	return f.take()
}

func (f *feed) take() []string {
	f.t.Helper()
	ch := f.Take()
	require.True(f.t, ch.Cursor.Totals.Balanced(), "%+v", ch.Cursor.Totals)
	var kinds []string
	for _, r := range ch.Reports {
		kinds = append(kinds, r.Kind)
	}
	f.got.Cursor, f.got.Incidents, f.got.Silences = ch.Cursor, ch.Incidents, ch.Silences
	f.got.Reports = append(f.got.Reports, ch.Reports...)
	f.got.Tasks = append(f.got.Tasks, ch.Tasks...)
	f.got.Dead = append(f.got.Dead, ch.Dead...)
	f.got.Forgotten = append(f.got.Forgotten, ch.Forgotten...)
	return kinds
}

// last returns the newest report.
func (f *feed) last() Report {
	f.t.Helper()
	require.NotEmpty(f.t, f.got.Reports)
	return f.got.Reports[len(f.got.Reports)-1]
}

// mustDecode decodes what a test knows to be an alert.
func mustDecode(t testing.TB, data []byte) *Alert {
	t.Helper()
	a, err := Decode(data)
	require.NoError(t, err)
	return a
}

// reportOf is the opened report of one alert.
func reportOf(t testing.TB, data []byte) Report {
	t.Helper()
	l := NewLedger(Options{Book: testBook{}, Era: "era"})
	require.True(t, l.Fold(Message{Seq: 1, Time: epoch, Subject: "falco.notice.shell", Data: data}, MinRoom))
	ch := l.Take()
	require.Len(t, ch.Reports, 1)
	return ch.Reports[0]
}

func merge(base, over fields) fields {
	out := maps.Clone(base)
	maps.Copy(out, over)
	return out
}
