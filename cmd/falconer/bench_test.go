package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor/bench"
	"falconer/processor/broker/brokertest"
	"falconer/subjects"
)

// benched runs a small bench, which must leave nothing behind on this machine.
func benched(t *testing.T, args ...string) outcome {
	t.Helper()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	o := falconer(t, append([]string{"bench", "--alerts", "1000", "--for", "1s"}, args...)...)
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left)
	return o
}

func TestBenchPrintsATableForEachMix(t *testing.T) {
	o := benched(t, "--mix", "storm,unique", "--workers", "1", "--rate", "100")
	require.Equal(t, exitOK, o.code, o.err)
	tables := strings.Split(strings.TrimSpace(o.out), "\n\n")
	require.Len(t, tables, 2)
	require.Contains(t, tables[0], "storm: 1000 alerts (at most 1,000 distinct, in no order)\npublished")
	require.Contains(t, tables[1], "unique: 100 alerts (all distinct)\npublished")
	for _, table := range tables {
		requireRows(t, table, "workers", "1")
		require.NotRegexp(t, `\n1 .* -( |\n|$)`, withoutUsage(table), "all was measured")
	}
}

// requireRows holds the labels of a table's rows between its head of five lines and
// what is held, and that each row is whole and fits a terminal.
func requireRows(t *testing.T, table string, labels ...string) {
	t.Helper()
	rows := strings.Split(table, "\n")
	for _, row := range rows {
		require.LessOrEqual(t, utf8.RuneCountInString(row), 80, row)
	}
	require.Regexp(t, `^held: \d+\.\d KB a state, \d+\.\d KB a report, \d+\.\d KB a task$`, rows[len(rows)-1])
	var found []string
	for _, row := range rows[5 : len(rows)-1] {
		words := strings.Fields(strings.ReplaceAll(row, "of raw", "of-raw"))
		require.Len(t, words, 11, row)
		found = append(found, words[0])
	}
	require.Equal(t, labels, found)
}

// withoutUsage is a table with figures where this system has none of processes.
func withoutUsage(table string) string {
	if _, err := bench.UsageOf(os.Getpid()); err != nil {
		return strings.ReplaceAll(table, " -", " 1")
	}
	return table
}

func TestBenchOfManyRunsPrintsMedianLeastAndMost(t *testing.T) {
	var taken []measurement
	for run, speed := range []float64{100_000, 300_000, 200_000} {
		for _, what := range []string{"publish", "drain"} {
			taken = append(taken, measurement{Measure: what, Run: run, PerSecond: speed})
		}
		taken = append(
			taken,
			measurement{Measure: "fold", Workers: 16, Run: run, PerSecond: speed, Ratio: 0.999, WorkerCPU: 99999.9, ServerCPU: 999999.9, WorkerPeak: 9999 << 20, SentBytes: 99999, Stored: 999.99},
			measurement{Measure: "fold", Workers: 8, Run: run, Held: map[bench.Kind]bench.Holding{
				bench.OpenStates: {Messages: 1000, Bytes: uint64(20 * speed)}, bench.Reports: {Messages: 1, Bytes: 999_949}, bench.Tasks: {Messages: 2, Bytes: 200},
			}},
			measurement{Measure: "latency", Workers: 16, Run: run, P50: 99999, P99: 99999, P999: 99999},
		)
	}
	var out strings.Builder
	a := &app{out: &out}
	a.printBench(benchOptions{alerts: 10, workers: []int{16}, rate: 100, lasts: time.Second, repeat: 3}, bench.Mixes()[0], taken)
	table := strings.TrimSpace(out.String())
	require.Contains(t, table, "published  200000 alerts/s (min 100000, max 300000)\nread, raw  200000 alerts/s (min")
	requireRows(t, table, "workers", "16", "min", "max")
	require.Regexp(t, `(?m)^16 +200000 .*\n  min +100000 .*\n  max +300000 `, table)
	require.Contains(t, table, "\nheld: 4.0 KB a state, 999.9 KB a report, 0.1 KB a task")
	require.Empty(t, heldText(taken[:2]), "nothing was folded")
}

func TestBenchMeasuresWhatHappened(t *testing.T) {
	o := benched(t, "--mix", "mixed", "--workers", "2", "--rate", "200", "--memory", "--json")
	require.Equal(t, exitOK, o.code, o.err)
	list := parse[measurement](t, o.out)
	var measures []string
	for _, m := range list {
		measures = append(measures, m.Measure)
		require.Equal(t, "mixed", m.Mix)
		require.Equal(t, "memory", m.Storage)
		require.Positive(t, m.PerSecond)
		require.InDelta(t, float64(m.Alerts), m.PerSecond*m.Seconds, 0.01)
	}
	require.Equal(t, []string{"publish", "drain", "fold", "latency"}, measures)
	require.Equal(t, 1000, list[0].Alerts)
	require.Equal(t, 100, list[0].Distinct)
	requireFold(t, list[2], list[1].PerSecond)
	latency := list[3]
	require.True(t, *latency.Exact)
	require.Equal(t, 200, latency.Rate)
	require.EqualValues(t, 20, latency.Incidents)
	require.Positive(t, latency.P50)
	require.True(t, latency.P50 <= latency.P99 && latency.P99 <= latency.P999 && latency.P999 <= latency.Max)
}

// requireFold holds what folding 1,000 mixed alerts must have brought.
func requireFold(t *testing.T, m measurement, raw float64) {
	t.Helper()
	require.True(t, *m.Exact)
	require.InDelta(t, m.PerSecond/raw, m.Ratio, 1e-9)
	require.EqualValues(t, 100, m.Incidents)
	require.Greater(t, m.Reports, m.Incidents, "some come ten times")
	require.GreaterOrEqual(t, m.Tasks, m.Incidents)
	require.GreaterOrEqual(t, m.Share, 8)
	stored := m.Stored * float64(m.Alerts)
	require.Greater(t, stored, float64(m.Reports+m.Tasks+m.Incidents), "states and cursors are written, too")
	require.Greater(t, m.SentBytes*float64(m.Alerts), float64(m.OutBytes)/2)
	requireHeld(t, m)
	if _, err := bench.UsageOf(os.Getpid()); err == nil {
		require.Positive(t, m.WorkerCPU)
		require.Positive(t, m.ServerCPU)
		require.Greater(t, m.WorkerPeak, uint64(10<<20))
	}
}

// requireHeld holds what is kept of a fold, by kind, against what was counted.
func requireHeld(t *testing.T, m measurement) {
	t.Helper()
	messages, bytes := map[bench.Kind]uint64{}, uint64(0)
	for kind, h := range m.Held {
		messages[kind] = h.Messages
		bytes += h.Bytes
	}
	require.Equal(t, map[bench.Kind]uint64{
		bench.OpenStates: m.Incidents, bench.Reports: m.Reports, bench.Tasks: m.Tasks, bench.Cursors: subjects.DefaultPartitions,
	}, messages)
	require.InEpsilon(t, m.OutBytes, bytes, 0.01, "but for cursors that were written when the workers ended")
}

func TestBenchRemovesItsStreamsFromYourNATS(t *testing.T) {
	b := brokertest.Start(t)
	js := brokertest.JetStream(t, b)
	// What a bench has left that was killed is no reason to refuse.
	require.NoError(t, bench.Bed{JS: js}.Make(t.Context()))
	o := benched(t, "--nats", b.URL(), "--mix", "mixed", "--workers", "1", "--rate", "0")
	require.Equal(t, exitOK, o.code, o.err)
	require.Contains(t, o.err, "Measuring on "+b.URL())
	require.NotContains(t, o.out, "p99")
	require.Regexp(t, `(?m)^1( +\S+){3} +- `, o.out, "nobody knows what somebody else's server uses")
	for name := range js.StreamNames(t.Context()).Name() {
		require.Fail(t, "a stream is left", name)
	}
}

func TestBenchTouchesNoStreamsButItsOwn(t *testing.T) {
	for _, foreign := range []string{subjects.RawStream, subjects.OutputStream, subjects.BucketStream(subjects.MembersBucket)} {
		t.Run(foreign, func(t *testing.T) {
			b := brokertest.Start(t)
			js := brokertest.JetStream(t, b)
			must(t, "--nats", b.URL(), "setup")
			for _, name := range []string{subjects.RawStream, subjects.OutputStream, subjects.BucketStream(subjects.MembersBucket), subjects.BucketStream(subjects.TasksBucket)} {
				if name != foreign {
					require.NoError(t, js.DeleteStream(t.Context(), name))
				}
			}
			before := stateOf(t, js, foreign)
			o := benched(t, "--nats", b.URL())
			require.Equal(t, exitFailed, o.code)
			require.Contains(t, o.err, "stream "+foreign+" exists and is not the bench's: nothing was touched")
			require.Empty(t, o.out)
			require.Equal(t, before, stateOf(t, js, foreign))
			names := 0
			for range js.StreamNames(t.Context()).Name() {
				names++
			}
			require.Equal(t, 1, names)
		})
	}
}

func stateOf(t *testing.T, js jetstream.JetStream, name string) *jetstream.StreamInfo {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	require.NoError(t, err)
	info := s.CachedInfo()
	info.TimeStamp = info.Created // the time of the question
	return info
}

// Someone else publishes alerts while a bench measures: what is counted is then not
// what was published.
func TestBenchThatIsNotExactSaysSo(t *testing.T) {
	b := brokertest.Start(t)
	nc := brokertest.Connect(t, b)
	_, err := nc.Subscribe(subjects.Reports, func(*nats.Msg) {
		_ = nc.Publish("falco.notice.late", []byte(`{"rule":"Late","priority":"Notice","output_fields":{"a":"b"},"time":"2026-01-02T03:04:05Z"}`))
	})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	o := benched(t, "--nats", b.URL(), "--mix", "unique", "--workers", "1", "--rate", "0", "--json")
	require.Equal(t, exitFailed, o.code)
	require.Regexp(t, `NOT EXACT: unique, fold, 1 worker, run 1: alerts (counted|that wait): \d+, not`, o.err)
	require.Contains(t, o.err, "not exact, as said above")
	list := parse[measurement](t, o.out)
	require.False(t, *list[2].Exact)
	require.NotEmpty(t, list[2].Wrong)
}

func TestBenchSaysWhatIsWrongBeforeItStarts(t *testing.T) {
	o := benched(t, "--profile", file(t, "taken", ""))
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, "making the folder for profiles")
	o = benched(t, "--rules", filepath.Dir(file(t, "faulty.yaml", "playbooks: 1\n")))
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, "in the playbooks, named above; nothing was started")
	require.Empty(t, o.out)
}

func TestAChildThatFailsIsHeard(t *testing.T) {
	c, err := startChild("worker-1", t.TempDir(), map[string]string{"LOG_LEVEL": "loud"}, "bench-worker")
	require.NoError(t, err)
	t.Cleanup(c.stop)
	_, err = c.line(t.Context())
	require.ErrorContains(t, err, "worker-1 has ended (exit status 2); its last line: ")
}

func TestAChildEndsWithItsStandardInput(t *testing.T) {
	c, err := startChild("server", t.TempDir(), map[string]string{"DATA": t.TempDir()}, "bench-server")
	require.NoError(t, err)
	t.Cleanup(c.stop)
	url, err := c.line(t.Context())
	require.NoError(t, err)
	require.Regexp(t, `^nats://127\.0\.0\.1:\d+$`, url)
	c.close()
	<-c.ended
	require.Zero(t, c.state.ExitCode())
}
