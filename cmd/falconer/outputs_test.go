package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/broker/brokertest"
	"falconer/processor/stream"
)

// live is a worker at work on a server inside the test, and what is said to it.
type live struct {
	t    *testing.T
	url  string
	js   jetstream.JetStream
	sent uint64
}

func startLive(t *testing.T) *live {
	t.Helper()
	b := brokertest.Start(t)
	l := &live{t: t, url: b.URL(), js: brokertest.JetStream(t, b)}
	background(t, "run", "--nats", l.url, "--id", "worker-1")
	until(t, "a worker", func() bool {
		o := l.run("status", "--json")
		return o.code == exitOK && len(parse[stream.Status](t, o.out)[0].Members) == 1
	})
	return l
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, 20*time.Second, 50*time.Millisecond, "waited in vain for %s", what)
}

func (l *live) run(args ...string) outcome {
	return falconer(l.t, append([]string{"--nats", l.url}, args...)...)
}

func (l *live) must(args ...string) string {
	l.t.Helper()
	return must(l.t, append([]string{"--nats", l.url}, args...)...)
}

// publish stores alerts and waits until they are folded.
func (l *live) publish(alerts ...string) {
	l.t.Helper()
	for _, a := range alerts {
		_, err := l.js.Publish(l.t.Context(), "falco.warning.any", []byte(a))
		require.NoError(l.t, err)
		l.sent++
	}
	until(l.t, "the alerts to be folded", func() bool {
		return parse[stream.Status](l.t, l.must("status", "--json"))[0].Totals.In == l.sent
	})
}

// attack is the /dev/shm alert without the marks of a test, of a pod.
func attack(t testing.TB, pod string) string {
	t.Helper()
	return strings.NewReplacer("falco-event-generator-syscall-ExecutionFromDevShm-", "", "falcosecurity/event-generator", "registry.example/shop",
		"event-generator", "nginx", "eventgen", "web", `"k8s.ns.name":null`, `"k8s.ns.name":"shop"`, `"k8s.pod.name":null`, `"k8s.pod.name":"`+pod+`"`,
	).Replace(devShmAlert(t))
}

// rows splits a table, without its header.
func rows(t testing.TB, table string) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(table, "\n"), "\n")
	require.Regexp(t, `^[A-Z]+( +[A-Z]+)+$`, lines[0])
	return lines[1:]
}

func TestReadingWhatWasPublished(t *testing.T) {
	l := startLive(t)
	for _, noun := range []string{"reports", "tasks", "incidents", "dead"} {
		o := l.run(noun, "list")
		require.Equal(t, outcome{exitOK, o.out, "No " + noun + " yet.\n"}, o)
		require.Empty(t, rows(t, o.out))
	}
	l.publish(attack(t, "shop-0"), attack(t, "till-0"), devShmAlert(t), hostileAlert(t), "not an alert\x1b[31m", hostile)
	totals := parse[stream.Status](t, l.must("status", "--json"))[0].Totals
	require.EqualValues(t, 4, totals.Opened)

	t.Run("lists have a row for each output and nothing hostile", func(t *testing.T) {
		for noun, want := range map[string]uint64{
			"reports": totals.Reports, "tasks": totals.Tasks, "incidents": totals.Opened, "dead": totals.Dead,
		} {
			list := l.must(noun, "list")
			require.Len(t, rows(t, list), int(want), list)
			requireHarmless(t, list)
			require.Equal(t, list, l.must(noun, "list"))
		}
		requireHarmless(t, l.must("status"))
	})
	t.Run("each can be shown by its id, and by its beginning", func(t *testing.T) { l.showEach(t) })
	t.Run("an id that may mean several names them", func(t *testing.T) {
		report := parse[processor.Report](t, l.must("reports", "list", "--json"))[0]
		task := parse[processor.Task](t, strings.SplitAfter(l.must("tasks", "list", "--json"), "\n")[0])[0]
		o := l.run("tasks", "show", task.Incident)
		require.Equal(t, exitFailed, o.code)
		require.Contains(t, o.err, task.ID)
		require.Contains(t, o.err, "give more of the id")
		require.Equal(t, report.Markdown, l.must("reports", "show", report.Incident), "one report is all there is of it")
	})
	t.Run("an id that means nothing says where ids are", func(t *testing.T) {
		for _, noun := range []string{"reports", "tasks", "incidents", "dead"} {
			o := l.run(noun, "show", "999")
			require.Equal(t, exitFailed, o.code)
			require.Contains(t, o.err, `"falconer `+noun+` list"`)
		}
	})
	t.Run("one severity only", func(t *testing.T) {
		n := 0
		for _, severity := range processor.Severities() {
			for _, r := range parse[processor.Report](t, l.must("reports", "list", "--json", "--severity", severity)) {
				require.Equal(t, severity, r.Severity.String())
				n++
			}
		}
		require.EqualValues(t, totals.Reports, n)
	})
	t.Run("what is printed as JSON keeps the contract", func(t *testing.T) {
		for noun, schema := range map[string]string{"reports": "report", "tasks": "task", "incidents": "incident", "dead": "dead"} {
			for line := range strings.Lines(l.must(noun, "list", "--json")) {
				requireSchema(t, schema, line)
			}
		}
	})
	t.Run("a replay makes the same again", func(t *testing.T) {
		o := l.run("replay", "--diff")
		require.Equal(t, exitOK, o.code, o.err)
		require.Empty(t, o.out)
		require.Contains(t, o.err, fmt.Sprintf("\nReports    %d same, 0 changed, 0 new, 0 gone\nTasks      %d same, 0 changed, 0 new, 0 gone\nIncidents  4 same, 0 changed, 0 new, 0 gone\n", totals.Reports, totals.Tasks))
		requireHarmless(t, l.must("replay"))
		requireHarmless(t, o.err)
	})
	t.Run("setup finds everything as it must be", func(t *testing.T) {
		require.Equal(t, "verified  FALCO\nverified  FALCONER\nverified  FALCONER_MEMBERS\nverified  FALCONER_TASKS\n", l.run("setup").err)
	})
	t.Run("status adds up", func(t *testing.T) {
		status := l.must("status")
		require.Contains(t, status, "6 taken = 4 reported + 0 merged + 0 resent + 0 silenced + 0 internal + 2 dead; 0 wait")
		require.Contains(t, status, "Incidents  4 open, 4 opened, 0 closed;")
		require.Regexp(t, `(?m)^15 +worker-1 +1 `, status)
	})
}

// showEach shows every output by its full id and checks what matters.
func (l *live) showEach(t *testing.T) {
	t.Helper()
	for _, r := range parse[processor.Report](t, l.must("reports", "list", "--json")) {
		shown := l.must("reports", "show", r.ID)
		require.Equal(t, r.Markdown, shown)
		requireHarmless(t, shown)
	}
	tasks := parse[processor.Task](t, l.must("tasks", "list", "--json"))
	for _, task := range tasks[max(0, len(tasks)-10):] {
		shown := l.must("tasks", "show", task.ID)
		require.Contains(t, shown, task.Body)
		requireHarmless(t, shown)
		require.Equal(t, task, parse[processor.Task](t, l.must("tasks", "show", "--json", task.ID))[0])
	}
	for _, in := range parse[processor.Incident](t, l.must("incidents", "list", "--json")) {
		shown := l.must("incidents", "show", in.ID)
		require.True(t, json.Valid([]byte(shown)))
		requireHarmless(t, shown)
	}
	for _, d := range parse[processor.DeadLetter](t, l.must("dead", "list", "--json")) {
		shown := l.must("dead", "show", fmt.Sprint(d.Seq))
		require.Contains(t, shown, d.SHA256)
		requireHarmless(t, shown)
	}
}

func TestFollowingPrintsWhatComes(t *testing.T) {
	l := startLive(t)
	l.publish(attack(t, "shop-0"))
	follow := func(args ...string) *capture {
		out, errOut := background(t, append([]string{"--nats", l.url}, args...)...)
		until(t, "the follower", func() bool { return strings.Contains(errOut.String(), "Waiting for") })
		return out
	}
	reports, incidents := follow("reports", "follow"), follow("incidents", "follow")
	tasks, dead := follow("tasks", "follow", "--json"), follow("dead", "follow")
	// A follower says that it waits just before it does.
	until(t, "what was published after the followers came", func() bool {
		l.publish(strings.Replace(hostileAlert(t), "Rule ", fmt.Sprintf("Rule %d ", l.sent), 1), hostile)
		return strings.Contains(reports.String(), "\n") && strings.Contains(incidents.String(), "\n") &&
			strings.Contains(tasks.String(), "\n") && strings.Contains(dead.String(), "\n")
	})
	for _, out := range []*capture{reports, incidents, dead} {
		requireHarmless(t, out.String())
		require.NotContains(t, out.String(), "shop-0", "what was there before is not new")
	}
	requireSchema(t, "task", strings.SplitAfter(tasks.String(), "\n")[0])
}

func TestReadingBeforeAnythingWasSetUp(t *testing.T) {
	url := brokertest.Start(t).URL()
	for _, command := range []string{"reports list", "tasks list", "incidents list", "dead list", "reports show x", "status", "replay"} {
		o := falconer(t, append([]string{"--nats", url}, strings.Fields(command)...)...)
		require.Equal(t, exitFailed, o.code, command)
		require.Contains(t, o.err, "falconer setup", command)
	}
	o := falconer(t, "--nats", url, "setup")
	require.Equal(t, exitOK, o.code)
	require.True(t, strings.HasPrefix(o.err, "made      FALCO\nmade      FALCONER\nmade      FALCONER_MEMBERS\nmade      FALCONER_TASKS\nverified  FALCO\n"), o.err)
}

func TestStatusWithoutAWorkerSaysSo(t *testing.T) {
	url := brokertest.Start(t).URL()
	must(t, "--nats", url, "setup")
	o := falconer(t, "--nats", url, "status")
	require.Equal(t, exitOK, o.code)
	require.Contains(t, o.out, "Workers    0")
	require.Contains(t, o.out, "none yet")
	require.Contains(t, o.err, `No worker is running: new alerts wait in FALCO. Start one with "falconer run".`)
}
