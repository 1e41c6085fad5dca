package processor

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update to write it")
	require.Equal(t, string(want), got)
}

// fullAlert has something to say under every heading.
func fullAlert() []byte {
	return alertJSON(shellRule, epoch, fields{
		"user.name": "root", "user.uid": 0, "user.loginuid": -1, "group.gid": 0, "proc.tty": 34816, "evt.arg.flags": "EXE_WRITABLE|EXE_UPPER_LAYER",
		"fd.name": "10.0.0.1:41000->10.0.0.2:443", "fd.type": "ipv4", "fd.rport": 443, "evt.arg.path": "/tmp/x", "ka.user.name": "eve",
		"proc.pcmdline": "runc init", "proc.aname[2]": "containerd-shim", "custom.field": "[...]", "proc.cwd": strings.Repeat("a", 50) + "[...]",
		"priority": "Critical", "proc.cmdline": "sh -c mysql -phunter2", "user.loginname": "<NA>",
	})
}

func TestReportGolden(t *testing.T) {
	f := newFeed(t)
	f.send(0, fullAlert())
	f.send(time.Second, append(fullAlert(), ' '))
	for i := range 9 {
		f.send(time.Minute, alertJSON(shellRule, epoch.Add(time.Duration(i)), fields{
			"user.name": "root", "hostname": fmt.Sprintf("node-%d", i), "k8s.pod.name": fmt.Sprintf("web-7c5ddbdf54-x2v%ck", "bcdfghjkl"[i]),
		}))
	}
	require.Equal(t, "x10", f.last().Kind)
	requireGolden(t, "report.md", f.last().Markdown)
	requireGolden(t, "task.md", f.got.Tasks[1].Body)
}

var reportSections = []string{
	"Summary", "Detailed Analysis", "Potential Mitigation Strategies", "Is This a False Positive?", "Conclusion",
}

func TestReportSectionsStandInTheContractsOrder(t *testing.T) {
	for name, data := range map[string][]byte{
		"an alert with everything": fullAlert(),
		"an alert with nothing":    []byte(`{"rule":"` + wordless + `"}`),
		"an audit log's":           alertJSON(shellRule, epoch, fields{"source": "k8s_audit", "output_fields": map[string]string{"ka.verb": "get"}}),
		"a playbook that fails":    alertJSON(mute, epoch, nil),
		"Falco about itself":       []byte(`{"rule":"` + RuleDrops + `","output_fields":{"n_drops":"1"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			page := reportOf(t, data).Markdown
			require.Equal(t, reportSections, headings(page, "## "))
			require.Len(t, headings(page, "# "), 1)
			require.True(t, strings.HasPrefix(page, "# "), "the title comes first")
			requireNoEmptySection(t, page)
		})
	}
}

func TestReportDetailsStandInTheContractsOrder(t *testing.T) {
	page := reportOf(t, fullAlert()).Markdown
	require.Equal(t, []string{
		"Event Details", "What This Means", "File", "Network", "User and Group", "Container and Kubernetes", "Kubernetes Request",
		"Other Fields", "MITRE ATT&CK", "Score", "Occurrences", "What the Alert Does Not Show", "Questions to Answer",
		"1. Look at the process", "2. Isolate the pod",
	}, headings(page, "### "))

	page = reportOf(t, alertJSON(shellRule, epoch, fields{"container.id": "host"})).Markdown
	require.NotContains(t, headings(page, "### "), "Network", "what does not apply is left out")
}

func headings(page, mark string) []string {
	var out []string
	for line := range strings.SplitSeq(page, "\n") {
		if h, ok := strings.CutPrefix(line, mark); ok {
			out = append(out, h)
		}
	}
	return out
}

// requireNoEmptySection: behind every heading comes text, or a heading below it.
func requireNoEmptySection(t *testing.T, page string) {
	t.Helper()
	lines := slices.DeleteFunc(strings.Split(page, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	level := func(l string) int { return len(l) - len(strings.TrimLeft(l, "#")) }
	for i, l := range lines {
		if level(l) == 0 {
			continue
		}
		require.Less(t, i+1, len(lines), "nothing behind %q", l)
		next := level(lines[i+1])
		require.True(t, next == 0 || next > level(l), "%q is empty", l)
	}
}

func TestReportIsByteStable(t *testing.T) {
	first := encode(t, reportOf(t, fullAlert()))
	for range 20 {
		require.Equal(t, string(first), string(encode(t, reportOf(t, fullAlert()))))
	}
}

func TestReportSaysWhatTheAlertDoesNotShow(t *testing.T) {
	page := reportOf(t, fullAlert()).Markdown
	require.Contains(t, page, "Fields that Falco could not fill: `user.loginname`.")
	require.Contains(t, page, "Cut on the way, so the end is not known: `proc.cwd`.")
	require.Contains(t, page, "What looked like a secret was replaced by")
	require.NotContains(t, page, "hunter2")

	page = reportOf(t, alertJSON(shellRule, epoch, fields{"source": "okta"})).Markdown
	require.NotContains(t, page, "dropped system calls", "an audit log has none")
}

func TestReportShowsEveryField(t *testing.T) {
	a := mustDecode(t, fullAlert())
	a.redact(RedactStandard)
	r := reportOf(t, fullAlert())
	shown := map[string]string{}
	for _, s := range r.Sections {
		require.NotEmpty(t, s.Facts)
		for _, f := range s.Facts {
			require.NotContains(t, shown, f.Field, "a field is shown once")
			shown[f.Field] = f.Value
		}
	}
	for name, v := range a.Fields {
		if !slices.Contains(clockFields, name) {
			require.Equal(t, v, shown[name], name)
		}
	}
}

func TestReportSummary(t *testing.T) {
	for _, row := range []struct {
		name string
		over fields
		want string
	}{
		{"a pod", nil, "Falco's rule Terminal shell in container (priority **Notice**, source syscall) fired once in pod web-7c5ddbdf54-x2v9k of namespace shop on host node-1, for the executable /bin/busybox as user daemon. Falconer grades the incident **low** (score 35 of 100, confidence high)."},
		{"a container", fields{"k8s.pod.name": nil}, "fired once in container web of image docker.io/library/alpine on host node-1,"},
		{"a host", fields{"k8s.pod.name": nil, "container.id": "host", "container.name": nil, "container.image.repository": nil}, "fired once on host node-1,"},
		{"an audit log", fields{"source": "k8s_audit", "ka.target.namespace": "shop", "k8s.ns.name": nil}, "source k8s_audit) fired once in namespace shop"},
		{"a test", fields{"rule": RuleTest}, "It bears the marks of a known test, not of an attack."},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Contains(t, reportOf(t, alertJSON(shellRule, epoch, row.over)).Summary.Plain(), row.want)
		})
	}
	for n, want := range []string{"", "", " and one other", " and 2 others"} {
		require.Equal(t, want, others([]Distinct{{Kind: "user", Values: []string{"x", "y"}}, {Kind: "pod", Values: make([]string, n)}}, "pod"))
	}
	require.Equal(t, " and at least 10 others", others([]Distinct{{Kind: "pod", Values: make([]string, 10), More: true}}, "pod"))
	require.Empty(t, others(nil, ""))
	require.Equal(t, []string{"once", "twice", "3 times"}, []string{times(1), times(2), times(3)})
}

func TestReportOfAClosedIncidentSaysSo(t *testing.T) {
	f := newFeed(t)
	f.shell(0, nil)
	require.Contains(t, f.last().Markdown, "opened 2026-03-01 12:00:00.000 UTC, closes 2026-03-01 13:00:00.000 UTC unless more comes")
	f.tick(2 * time.Hour)
	require.Contains(t, f.last().Markdown, "opened 2026-03-01 12:00:00.000 UTC, closed 2026-03-01 13:00:00.000 UTC\n")
	require.Contains(t, f.last().Markdown, "The incident is over: a further alert opens a new one.")
}

func TestReportConclusion(t *testing.T) {
	for _, row := range []struct {
		name string
		over fields
		want string
	}{
		{"a test is called one", fields{"rule": RuleTest}, "most likely a **test**"},
		{"a likely harmless cause is named before the grade", fields{"priority": "Emergency"}, "looks like one of the harmless causes above"},
		{"what is grave is treated as an intrusion", fields{"priority": "Error", "user.name": "root"}, "graded **high**. Treat it as real"},
		{"medium wants an explanation", fields{"priority": "Warning", "user.name": "eve"}, "graded **medium**. It needs an explanation"},
		{"the rest is worth knowing", fields{"priority": "Debug", "user.name": "eve"}, "graded **info**. It is worth knowing about"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := reportOf(t, alertJSON(shellRule, epoch, row.over))
			require.Contains(t, r.Conclusion[0].Plain(), row.want)
			require.Contains(t, r.Conclusion[1].Plain(), "Look at the process tree.")
		})
	}
}

// maximalAlert is as large and as hostile as Decode lets one be. NUL takes six
// bytes in JSON.
func maximalAlert() []byte {
	over := fields{"hostname": strings.Repeat("\x00", MaxNameBytes), "output": strings.Repeat("\x00", MaxOutputBytes), "rule": strings.Repeat("\x01", MaxRuleBytes)}
	var tags []string
	for i := range MaxTagCount {
		tags = append(tags, fmt.Sprintf("%02d%s", i, strings.Repeat("\x00", MaxNameBytes-2)))
	}
	over["tags"] = tags
	for i := range 60 {
		over[fmt.Sprintf("ka.%02d%s", i, strings.Repeat("\x00", MaxNameBytes-5))] = strings.Repeat("\x00", MaxValueBytes)
	}
	for _, name := range []string{"proc.cmdline", "user.name", "k8s.ns.name", "k8s.pod.name", "proc.exepath", "container.name", "container.image.repository"} {
		over[name] = strings.Repeat("\x00", MaxValueBytes)
	}
	return alertJSON(shellRule, epoch, over)
}

func TestShrinkMakesAMaximalReportFit(t *testing.T) {
	f := newFeed(t)
	f.send(0, maximalAlert())
	for i := range 2 * maxDistinct {
		over := fields{"rule": strings.Repeat("\x01", MaxRuleBytes)}
		for _, name := range []string{"user.name", "k8s.ns.name", "proc.exepath"} {
			over[name] = strings.Repeat("\x00", MaxValueBytes)
		}
		over["k8s.pod.name"] = strings.Repeat("\x00", MaxValueBytes)
		over["container.image.repository"] = fmt.Sprintf("%d%s", i, strings.Repeat("\x00", MaxValueBytes))
		f.send(time.Second, alertJSON(shellRule, epoch.Add(time.Duration(i)), over))
	}
	f.tick(48 * time.Hour)
	for _, r := range f.got.Reports {
		long := len(encode(t, r))
		r.Shrink()
		require.Less(t, len(encode(t, r)), 900<<10, "it was %d bytes before", long)
		require.Equal(t, reportSections, headings(r.Markdown, "## "))
		requireNoEmptySection(t, r.Markdown)
		require.Contains(t, r.Markdown, "too long to publish whole")
		requireTerminalSafe(t, r.Markdown)
	}
	for _, task := range f.got.Tasks {
		task.Shrink()
		require.Less(t, len(encode(t, task)), 900<<10)
		require.Empty(t, parse(task.Body).foreign)
		require.Contains(t, task.Body, "too long to publish whole")
	}
}

func TestTaskShrinkLeavesNoSpanOpen(t *testing.T) {
	f := newFeed(t)
	f.shell(0, fields{"user.name": strings.Repeat("<img src=x onerror=alert(1)>", 30)})
	task := f.got.Tasks[0]
	task.Shrink()
	doc := parse(task.Body)
	require.Empty(t, doc.foreign)
	require.Contains(t, doc.text, "too long to publish whole")
}

func TestTask(t *testing.T) {
	f := newFeed(t)
	f.shell(0, fields{"priority": "Critical", "cluster": "prod"})
	require.Equal(t, []string{"look", "isolate"}, mitigations(f.got.Tasks))
	look, isolate := f.got.Tasks[0], f.got.Tasks[1]
	require.Equal(t, look.Incident+"/task/look", look.ID)
	require.Equal(t, look.Fingerprint+"/look", look.Key)
	require.Equal(t, "Look at the process (web)", look.Title)
	require.Equal(t, "owner of namespace shop", look.Assignee)
	require.Equal(t, 2, look.Priority)
	require.Equal(t, 3, isolate.Priority, "what is not for now can wait")
	require.Equal(t, epoch.Add(24*time.Hour), look.Due)
	require.Equal(t, epoch.Add(7*24*time.Hour), isolate.Due)
	require.Equal(t, "terminal_shell_in_container", look.Labels["rule"])
	require.Equal(t, "T1059", look.Labels["technique"])
	require.Equal(t, []string{"command", "command"}, []string{look.Steps[0].Type, look.Steps[1].Type})
	require.Equal(t, "config", isolate.Steps[0].Type)
	require.False(t, look.Steps[1].Ready)
	require.Contains(t, look.Body, "fill in `k8s.pod.name`")
}

func TestTaskAssignee(t *testing.T) {
	host := fields{"k8s.ns.name": nil, "k8s.pod.name": nil}
	require.Equal(t, "owner of host node-1", assignee(mustDecode(t, alertJSON(shellRule, epoch, host))))
	require.Empty(t, assignee(mustDecode(t, alertJSON(shellRule, epoch, merge(host, fields{"hostname": nil})))))
	require.Empty(t, assignee(mustDecode(t, alertJSON(shellRule, epoch, merge(host, fields{"source": "okta"})))))
}

func TestTextInJSONIsPlain(t *testing.T) {
	text := Text{{Text: "ran "}, {"a`b\x1b", true}, {Text: "."}}
	body, err := json.Marshal(text)
	require.NoError(t, err)
	require.JSONEq(t, `"ran a`+"`"+`b\\x1b."`, string(body))
	require.Equal(t, "ran ``a`b\\x1b``.", text.Markdown())

	var back Text
	require.NoError(t, json.Unmarshal(body, &back))
	require.Equal(t, text.Plain(), back.Plain())
	require.True(t, back[0].Value, "what was prose is no longer known, so nothing is taken for markup")
	require.NoError(t, json.Unmarshal([]byte(`""`), &back))
	require.Empty(t, back)
}

func TestScore(t *testing.T) {
	for _, row := range []struct {
		points   []int
		score    int
		severity Severity
	}{
		{nil, 0, Info},
		{[]int{19}, 19, Info},
		{[]int{20}, 20, Low},
		{[]int{50, -10}, 40, Medium},
		{[]int{60}, 60, High},
		{[]int{80}, 80, CriticalSeverity},
		{[]int{90, 50}, 100, CriticalSeverity},
		{[]int{10, -50}, 0, Info},
	} {
		var why []Contribution
		for _, p := range row.points {
			why = append(why, Contribution{Points: p})
		}
		score, severity := Score(why)
		require.Equal(t, row.score, score)
		require.Equal(t, row.severity, severity, row.points)
	}
	require.Equal(t, Contribution{90, "Falco priority Emergency"}, BasePoints(Emergency))
	require.Equal(t, Contribution{40, "Falco priority Unknown"}, BasePoints(PriorityUnknown))
	require.Equal(t, 40, BasePoints(99).Points)
}
