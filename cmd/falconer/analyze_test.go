package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/test/corpus"
)

const devShm = "testdata/dev-shm.json"

func devShmAlert(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(devShm)
	require.NoError(t, err)
	return string(data)
}

// at is the /dev/shm alert as it comes from another second and host.
func at(t testing.TB, when, host string) string {
	t.Helper()
	return strings.NewReplacer("2026-01-15T12:34:56", when, `"node-a"`, `"`+host+`"`, "1768480496", "1768480"+when[17:19]+"0").Replace(devShmAlert(t))
}

func indented(t testing.TB, alert string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Indent(&b, []byte(alert), "", "  "))
	return b.String() + "\n"
}

// The sample's alert in a plain container, and in a pod.
func TestAnalyzeOneAlertGolden(t *testing.T) {
	for _, name := range []string{"dev-shm", "dev-shm-pod"} {
		t.Run(name, func(t *testing.T) {
			got := must(t, "analyze", filepath.Join("testdata", name+".json"))
			golden := filepath.Join("testdata", name+".golden.md")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got, "if the change is wanted, run go test ./cmd/falconer -run Golden -update and read the difference")
			for _, advice := range []string{"Unix Shell", "noexec", "sha256sum", "fstab", "seccomp", "exceptions:", "event generator"} {
				require.Contains(t, got, advice)
			}
			for _, bad := range []string{"find /dev/shm", "logrotate", "filesystem_rule", "-exec rm"} {
				require.NotContains(t, got, bad)
			}
		})
	}
}

// With playbooks that are loaded anew as well.
func TestAnalyzeSaysTheSameEachTime(t *testing.T) {
	args := []string{"analyze", "--all", "--json", "-"}
	in := devShmAlert(t) + hostileAlert(t)
	first := feeding(t, in, args...)
	require.Equal(t, first, feeding(t, in, args...))
	var out, errOut bytes.Buffer
	require.Equal(t, first.code, execute(t.Context(), args, strings.NewReader(in), &out, &errOut))
	require.Equal(t, outcome{first.code, out.String(), errOut.String()}, first)
}

func TestAnalyzeTakesAlertsInAnyArrangement(t *testing.T) {
	one, two, three := at(t, "2026-01-15T12:34:56", "node-a"), at(t, "2026-01-15T12:34:57", "node-b"), at(t, "2026-01-15T12:34:58", "node-c")
	broken := `{"rule":"A rule","output_fields":{"proc.name":` + "\n"
	for name, row := range map[string]struct {
		in     string
		counts uint64
		dead   []string // lines
	}{
		"one on one line":                         {one, 1, nil},
		"one without an end of line":              {strings.TrimSpace(one), 1, nil},
		"one over many lines":                     {indented(t, one), 1, nil},
		"JSON lines":                              {one + two + three, 3, nil},
		"JSON lines with blank ones between":      {"\n" + one + "\n\n" + two + " \n", 2, nil},
		"JSON lines from Windows":                 {"\ufeff" + strings.ReplaceAll(one+two, "\n", "\r\n"), 2, nil},
		"many lines, one line, many lines":        {indented(t, one) + two + indented(t, three), 3, nil},
		"two on one line are one that is not":     {strings.TrimSpace(one) + two, 0, []string{"1"}},
		"log lines of Falco between":              {"Falco version 0.44.1\n" + one + "Loading rules\n" + two, 2, []string{"1", "3"}},
		"one that was cut, before one that is":    {`{"rule":"A rule",` + "\n" + one, 1, []string{"1"}},
		"one cut before a value, before one":      {broken + one + two, 2, []string{"1"}},
		"one cut at the end":                      {one + two[:100], 1, []string{"2"}},
		"two cut ones with one between and after": {broken + one + broken + two, 2, []string{"1", "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := feeding(t, row.in, "analyze", "--json", "-")
			counts := uint64(0)
			for _, r := range parse[processor.Report](t, o.out) {
				counts += r.Occurrences.Count
			}
			require.Equal(t, row.counts, counts, o.err)
			var dead []string
			for line := range strings.Lines(o.err) {
				if at, _, ok := strings.Cut(line, ": not understood: "); ok {
					dead = append(dead, strings.TrimPrefix(at, "line "))
				}
			}
			require.Equal(t, row.dead, dead, o.err)
			require.Equal(t, min(len(dead), 1), o.code)
		})
	}
}

func TestAnalyzeFoldsRepeats(t *testing.T) {
	in := at(t, "2026-01-15T12:34:56", "node-a") + at(t, "2026-01-15T12:34:57", "node-b") + at(t, "2026-01-15T12:34:57", "node-b")
	o := feeding(t, in, "analyze", "-")
	require.Equal(t, exitOK, o.code)
	require.Equal(t, 1, strings.Count(o.out, "## Summary"))
	require.Contains(t, o.out, "fired twice")
	require.Contains(t, o.err, "3 alerts: 1 incidents, 1 copies of events counted before, 0 about Falco itself, 0 not understood.")
}

func TestAnalyzePrintsReportsBehindEachOther(t *testing.T) {
	other := strings.Replace(devShmAlert(t), "Execution from /dev/shm", "Terminal shell in container", 1)
	o := feeding(t, devShmAlert(t)+other, "analyze", "-")
	require.Equal(t, exitOK, o.code)
	require.Equal(t, 2, strings.Count(o.out, "\n## Summary\n"))
	require.Regexp(t, `(?s)\n\n# .*\n\n# `, "\n\n"+o.out)
}

func TestAnalyzeJSONKeepsTheContract(t *testing.T) {
	reports := must(t, "analyze", "--json", devShm)
	requireSchema(t, "report.v1", reports)
	report := parse[processor.Report](t, reports)[0]
	require.Equal(t, must(t, "analyze", devShm), report.Markdown)
	require.Equal(t, processor.KindOpen, report.Kind)
}

// With --all the output is what a worker would publish: what closes included.
func TestAnalyzeAllPrintsEveryReportAndTask(t *testing.T) {
	genuine := strings.NewReplacer("event-generator", "nginx", "eventgen", "web").Replace(at(t, "2026-01-15T12:34:56", "node-a"))
	later := strings.ReplaceAll(genuine, "2026-01-15T12", "2026-01-15T14")
	o := feeding(t, genuine+later, "analyze", "--all", "--json", "-")
	require.Equal(t, exitOK, o.code, o.err)
	var kinds []string
	tasks := 0
	for line := range strings.Lines(o.out) {
		if strings.HasPrefix(line, `{"schema":"task.v1"`) {
			requireSchema(t, "task.v1", line)
			tasks++
			continue
		}
		requireSchema(t, "report.v1", line)
		kinds = append(kinds, parse[processor.Report](t, line)[0].Kind)
	}
	require.Equal(t, []string{processor.KindOpened, processor.KindClosed, processor.KindOpened}, kinds)
	require.Positive(t, tasks)
}

func TestAnalyzeFollowsAGrowingFile(t *testing.T) {
	path := file(t, "events.jsonl", at(t, "2026-01-15T12:34:56", "node-a"))
	out, _ := background(t, "analyze", "--follow", path)
	opened := func(n int) func() bool {
		return func() bool { return strings.Count(out.String(), "\n## Summary\n") == n }
	}
	require.Eventually(t, opened(1), 10*time.Second, 20*time.Millisecond)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	other := strings.Replace(devShmAlert(t), "Execution from /dev/shm", "Terminal shell in container", 1)
	for _, piece := range []string{other[:300], other[300:]} {
		_, err = f.WriteString(piece)
		require.NoError(t, err)
	}
	require.Eventually(t, opened(2), 10*time.Second, 20*time.Millisecond)
}

func TestAnalyzeSaysWhatItCannotRead(t *testing.T) {
	for name, row := range map[string]struct {
		in   string
		args []string
		want string
	}{
		"no such file":      {"", []string{"no-such-file.json"}, "no-such-file.json: no such file"},
		"a folder":          {"", []string{"."}, `. is a folder: give a file with alerts as JSON lines, or "-"`},
		"nothing":           {"", []string{"-"}, "no alert in the input"},
		"blank lines only":  {"\n \n", []string{"-"}, "no alert in the input"},
		"a list of alerts":  {"[" + devShmAlert(t) + "]", []string{"-"}, "line 1: not understood: not a JSON object"},
		"a line that is no": {devShmAlert(t) + "no\n", []string{"-"}, `line 2: not understood: not a JSON object: it begins with "no"`},
	} {
		t.Run(name, func(t *testing.T) {
			o := feeding(t, row.in, append([]string{"analyze"}, row.args...)...)
			require.Equal(t, exitFailed, o.code)
			require.Contains(t, o.err, row.want)
		})
	}
}

// hostile is what an attacker may write where he chooses a name.
const hostile = "x\x1b[31m\x1b]0;owned\a\x00\u009b2J\u202e\u2066\r\n\t\x7f| # `$(id)` [a](javascript:b) <script>"

// hostileAlert is an alert with hostile text wherever an attacker has a say, and
// where only the author of a rule has.
func hostileAlert(t testing.TB) string {
	t.Helper()
	fields := map[string]any{"evt.time": 1768480496789012345, "evt.type": "execve", "proc.tty": 0, "user.uid": 0}
	for _, name := range []string{
		"proc.name", "proc.exepath", "proc.cmdline", "proc.pname", "proc.cwd", "fd.name", "user.name", "container.id", "container.name",
		"container.image.repository", "container.image.tag", "k8s.ns.name", "k8s.pod.name", hostile,
	} {
		fields[name] = hostile
	}
	data, err := json.Marshal(map[string]any{
		"rule": "Rule " + hostile, "priority": "Critical", "source": "syscall", "hostname": hostile, "output": hostile,
		"tags": []string{hostile, "T1059"}, "time": "2026-01-15T12:34:56Z", "output_fields": fields,
	})
	require.NoError(t, err)
	return string(data) + "\n"
}

func TestAnalyzeShowsHostileTextAsText(t *testing.T) {
	for _, args := range [][]string{{"analyze", "-"}, {"analyze", "--all", "-"}, {"rules", "explain", "-"}} {
		o := feeding(t, hostileAlert(t), args...)
		require.Equal(t, exitOK, o.code, o.err)
		requireHarmless(t, o.out)
		requireHarmless(t, o.err)
	}
	o := feeding(t, hostile, "analyze", "-")
	require.Equal(t, exitFailed, o.code)
	requireHarmless(t, o.err)
}

// The corpus is real alerts that people posted; see CONTRIBUTING.
func TestAnalyzeRealAlerts(t *testing.T) {
	lines := corpus.Lines(t, "alerts-dev.jsonl")
	var in strings.Builder
	for _, l := range lines {
		in.Write(l.Alert)
		in.WriteByte('\n')
	}
	o := feeding(t, in.String(), "analyze", "-")
	require.Equal(t, exitFailed, o.code, "one of them is a document without a rule")
	require.Contains(t, o.err, "no rule")
	require.Contains(t, o.err, " 1 not understood.")
	requireHarmless(t, o.out)
	require.Greater(t, len(lines), 100)
	o = feeding(t, in.String(), "analyze", "--json", "-")
	for _, line := range strings.SplitAfter(strings.TrimSpace(o.out), "\n") {
		requireSchema(t, "report.v1", line)
	}
}
