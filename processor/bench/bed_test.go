package bench_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor/bench"
	"falconer/processor/broker/brokertest"
	"falconer/processor/stream"
	"falconer/subjects"
)

func bed(t *testing.T) bench.Bed {
	t.Helper()
	return bench.Bed{JS: brokertest.JetStream(t, brokertest.Start(t)), Layout: subjects.Layout{Small: true, Bench: true}}
}

func names(t *testing.T, js jetstream.JetStream) (out []string) {
	t.Helper()
	for name := range js.StreamNames(t.Context()).Name() {
		out = append(out, name)
	}
	return out
}

func load(t *testing.T, mix string, n int) bench.Load {
	t.Helper()
	m, err := bench.MixNamed(mix)
	require.NoError(t, err)
	return bench.Load{Mix: m, Alerts: n, Seed: 7}
}

func TestStreamsAreWhatSetupWouldMake(t *testing.T) {
	b := bed(t)
	require.NoError(t, b.Make(t.Context()))
	made, err := stream.Setup(t.Context(), b.JS, b.Layout)
	require.NoError(t, err)
	require.Empty(t, made, "all are there")
	_, err = stream.Setup(t.Context(), b.JS, subjects.Layout{Small: true})
	require.ErrorContains(t, err, "it was left by falconer bench", "nobody's alerts may come to be there")
	require.NoError(t, b.Remove(t.Context()))
	require.Empty(t, names(t, b.JS))
	require.NoError(t, b.Remove(t.Context()), "nothing to remove is no error")
}

func TestRenewKeepsTheAlerts(t *testing.T) {
	b := bed(t)
	require.NoError(t, b.Make(t.Context()))
	_, err := bench.Feed{Conn: b.JS.Conn(), Load: load(t, "storm", 100)}.All(t.Context())
	require.NoError(t, err)
	_, err = b.JS.Publish(t.Context(), subjects.Cursor(0), []byte("{}"))
	require.NoError(t, err)
	require.NoError(t, b.Renew(t.Context()))
	for name, want := range map[string]uint64{subjects.RawStream: 100, subjects.OutputStream: 0} {
		s, err := b.JS.Stream(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, want, s.CachedInfo().State.Msgs, name)
	}
	require.NoError(t, b.Make(t.Context()))
	s, err := b.JS.Stream(t.Context(), subjects.RawStream)
	require.NoError(t, err)
	require.Zero(t, s.CachedInfo().State.Msgs)
}

// Somebody sets Falconer up while a bench has its streams there.
func TestOneForeignStreamKeepsAllFromBeingTouched(t *testing.T) {
	b := bed(t)
	require.NoError(t, b.Make(t.Context()))
	require.NoError(t, b.JS.DeleteStream(t.Context(), subjects.OutputStream))
	_, err := b.JS.CreateStream(t.Context(), b.Layout.WithDefaults().Output())
	require.NoError(t, err)
	before := names(t, b.JS)
	for what, do := range map[string]func(context.Context) error{"make": b.Make, "renew": b.Renew, "remove": b.Remove} {
		require.ErrorContains(t, do(t.Context()), "stream FALCONER exists and is not the bench's", what)
		require.ElementsMatch(t, before, names(t, b.JS), what)
	}
}

func TestAlertsThatAnotherStreamTakesAreRefused(t *testing.T) {
	b := bed(t)
	_, err := b.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "MINE", Subjects: []string{subjects.Alerts}})
	require.NoError(t, err)
	require.ErrorContains(t, b.Make(t.Context()), "making stream FALCO: ")
	require.Equal(t, []string{"MINE"}, names(t, b.JS))
}

func TestAllAlertsAreStoredAndReadBack(t *testing.T) {
	b := bed(t)
	require.NoError(t, b.Make(t.Context()))
	published, read := 0, 0
	f := bench.Feed{Conn: b.JS.Conn(), Load: load(t, "mixed", 2000), Progress: func(n int) { published += n }}
	took, err := f.Paced(t.Context(), 20_000)
	require.NoError(t, err)
	require.GreaterOrEqual(t, took.Milliseconds(), int64(95), "2,000 at 20,000 a second")
	took, err = bench.Drain(t.Context(), b.JS, func(n int) { read += n })
	require.NoError(t, err)
	require.Positive(t, took)
	require.Equal(t, []int{2000, 2000}, []int{published, read})
}

func TestWhatIsNotCountedIsNotExact(t *testing.T) {
	b := bed(t)
	require.NoError(t, b.Make(t.Context()))
	_, err := bench.Feed{Conn: b.JS.Conn(), Load: load(t, "unique", 10)}.All(t.Context())
	require.NoError(t, err)
	_, err = b.JS.Publish(t.Context(), subjects.Report("low", "rule", "incident", "opened"), []byte("{}"))
	require.NoError(t, err)
	_, wrong, err := bench.Exact(t.Context(), b.JS, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"alerts counted: 0, not 10", "alerts that wait: 10, not 0", "stored under falconer.report.>: 1, not 0"}, wrong)
}

func TestABenchIsAlone(t *testing.T) {
	server := brokertest.Start(t)
	one := bench.Bed{JS: brokertest.JetStream(t, server), Layout: subjects.Layout{Small: true, Bench: true}}
	two := bench.Bed{JS: brokertest.JetStream(t, server), Layout: one.Layout}
	leave, err := one.Alone(t.Context(), "the first")
	require.NoError(t, err)
	_, err = two.Alone(t.Context(), "the second")
	require.ErrorContains(t, err, "another bench is at work there (the first)")
	leave()
	require.NoError(t, one.JS.Conn().Flush())
	leave, err = two.Alone(t.Context(), "the second")
	require.NoError(t, err)
	leave()

	require.NoError(t, one.Make(t.Context()))
	kv, err := one.JS.KeyValue(t.Context(), subjects.MembersBucket)
	require.NoError(t, err)
	_, err = kv.PutString(t.Context(), "w", `{"id":"w","host":"node-1"}`)
	require.NoError(t, err)
	_, err = one.Alone(t.Context(), "the first")
	require.ErrorContains(t, err, "workers are at work there (w on node-1)")
}
