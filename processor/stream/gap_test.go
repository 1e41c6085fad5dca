package stream_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

// keepOnly has FALCO keep so many messages.
func keepOnly(t *testing.T, js jetstream.JetStream, n int64) {
	t.Helper()
	s, err := js.Stream(t.Context(), subjects.RawStream)
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	cfg.MaxMsgs = n
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
}

// gaps returns the ranges that reports say were lost, by partition.
func gaps(t *testing.T, js jetstream.JetStream) map[string][][3]uint64 {
	t.Helper()
	out := map[string][][3]uint64{}
	for _, data := range outputs(t, js, subjects.States) {
		var in processor.Incident
		require.NoError(t, json.Unmarshal(data, &in))
		if in.Rule != processor.RuleLost {
			continue
		}
		require.WithinDuration(t, time.Now(), in.Opened, time.Minute)
		number := func(name string) uint64 {
			n, err := strconv.ParseUint(in.Alert().Fields[name], 10, 64)
			require.NoError(t, err)
			return n
		}
		p := in.Identity["falconer.partition"]
		out[p] = append(out[p], [3]uint64{number("falconer.first_seq"), number("falconer.last_seq"), number("falconer.at_most")})
	}
	return out
}

func caughtUp(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	require.Eventually(t, func() bool {
		st, err := stream.Inspect(t.Context(), js)
		require.NoError(t, err)
		for _, p := range st.Partitions {
			if p.Gap || p.Lag > 0 {
				return false
			}
		}
		return true
	}, 20*time.Second, 50*time.Millisecond)
}

func TestAlertsDroppedBeforeTheyWereReadAreReported(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 2})
	publish(t, js, 500, 50)
	keepOnly(t, js, 100)
	st, err := stream.Inspect(t.Context(), js)
	require.NoError(t, err)
	require.True(t, st.Partitions[0].Gap, "status says so before anyone works")

	stop := start(t, stream.Config{JS: connect(), Book: book{}})
	drained(t, js, 100)
	caughtUp(t, js)
	sum := totals(t, js)
	require.EqualValues(t, 2, sum.Gaps)
	require.GreaterOrEqual(t, sum.Lost, uint64(400), "no lost alert goes unsaid")
	require.True(t, sum.Balanced(), "%+v", sum)
	found := gaps(t, js)
	require.Len(t, found, 2)
	for _, ranges := range found {
		require.Len(t, ranges, 1)
		require.Equal(t, [3]uint64{1, 400, 400}, ranges[0])
	}

	// The next owner finds it said.
	stop()
	start(t, stream.Config{JS: connect(), Book: book{}})
	publish(t, js, 50, 50)
	drained(t, js, 150)
	require.EqualValues(t, 2, totals(t, js).Gaps)
}

func TestAlertsThatArePurgedBeforeAnyoneWorksAreReported(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 4})
	publish(t, js, 100, 10)
	s, err := js.Stream(t.Context(), subjects.RawStream)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context()))
	start(t, stream.Config{JS: connect(), Book: book{}})
	require.Eventually(t, func() bool { return totals(t, js).Gaps == 4 }, 20*time.Second, 50*time.Millisecond)
	caughtUp(t, js)
	for _, ranges := range gaps(t, js) {
		require.Equal(t, [][3]uint64{{1, 100, 100}}, ranges)
	}
	require.Zero(t, totals(t, js).Closed)
}

// The raw stream is made anew, and has dropped alerts before anyone looks.
func TestAGapInARawStreamThatWasMadeAnewIsReported(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 2})
	stop := start(t, stream.Config{JS: connect(), Book: book{}})
	publish(t, js, 50, 10)
	drained(t, js, 50)
	stop()
	require.Eventually(t, func() bool { // see remake in again_test.go
		require.NoError(t, js.DeleteStream(t.Context(), subjects.RawStream))
		_, err := stream.Setup(t.Context(), js, subjects.Layout{Partitions: 2})
		require.NoError(t, err)
		s, err := js.Stream(t.Context(), subjects.RawStream)
		require.NoError(t, err)
		return s.CachedInfo().State.LastSeq == 0
	}, 10*time.Second, 10*time.Millisecond)
	publishFrom(t, js, 50, 100, 10)
	keepOnly(t, js, 30)
	start(t, stream.Config{JS: connect(), Book: book{}})
	drained(t, js, 50+30)
	caughtUp(t, js)
	require.Equal(t, map[string][][3]uint64{"0": {{1, 70, 70}}, "1": {{1, 70, 70}}}, gaps(t, js))
}

// slowBook holds every judgement up until it is let go.
type slowBook struct {
	book
	gate chan struct{}
}

func (b slowBook) Grade(a *processor.Alert) processor.Severity { return b.Judge(a).Severity }

func (b slowBook) Judge(a *processor.Alert) processor.Verdict {
	if a.Rule != processor.RuleLost {
		<-b.gate
	}
	return b.book.Judge(a)
}

func TestAReaderThatIsOvertakenSaysWhatItMissed(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 2})
	gate := make(chan struct{})
	start(t, stream.Config{JS: connect(), Book: slowBook{gate: gate}, Prefetch: 20})
	const n = 6000 // more than the worker takes in ahead of the fold
	publish(t, js, n, 50)
	keepOnly(t, js, 50)
	publish(t, js, 1, 1)
	close(gate)
	last := func() uint64 {
		s, err := js.Stream(t.Context(), subjects.RawStream)
		require.NoError(t, err)
		return s.CachedInfo().State.LastSeq
	}
	require.Eventually(t, func() bool {
		sum := totals(t, js)
		return sum.Gaps > 0 && sum.In+sum.Lost >= last()
	}, 20*time.Second, 50*time.Millisecond)
	caughtUp(t, js)
	sum := totals(t, js)
	require.Less(t, sum.In, uint64(n+1))
	require.Less(t, sum.In+sum.Lost, uint64(2*n), "what was read is not said to be lost")
}

// The window passes over quiet partitions again and again; they have lost nothing
// and must not say so.
func TestAQuietPartitionHasNoGap(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 4})
	keepOnly(t, js, 200)
	start(t, stream.Config{JS: connect(), Book: book{}})
	for i := range 10 {
		for range 90 {
			_, err := js.Publish(t.Context(), "falco.warning.one_rule", []byte(`{"rule":"One rule","priority":"Error","output_fields":{"proc.name":"a"}}`))
			require.NoError(t, err)
		}
		drained(t, js, uint64(90*(i+1)))
		require.Eventually(t, func() bool {
			st, err := stream.Inspect(t.Context(), js)
			require.NoError(t, err)
			for _, p := range st.Partitions {
				if max(p.Seq, p.Read) < st.Raw.FirstSeq+(st.Raw.LastSeq-st.Raw.FirstSeq)/2 {
					return false
				}
			}
			return true
		}, 20*time.Second, 20*time.Millisecond)
	}
	require.Zero(t, totals(t, js).Gaps)
	require.Empty(t, gaps(t, js))
}

// A whole burst grows old in one moment, long after it was read.
func TestAlertsThatAreReadMayExpireAllAtOnce(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 4})
	start(t, stream.Config{JS: connect(), Book: book{}})
	publish(t, js, 90, 3)
	drained(t, js, 90)
	require.Eventually(t, func() bool {
		st, err := stream.Inspect(t.Context(), js)
		require.NoError(t, err)
		for _, p := range st.Partitions {
			if max(p.Seq, p.Read) < 90 {
				return false
			}
		}
		return true
	}, 20*time.Second, 20*time.Millisecond)
	s, err := js.Stream(t.Context(), subjects.RawStream)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context()))
	publishFrom(t, js, 90, 30, 3)
	drained(t, js, 120)
	caughtUp(t, js)
	require.Zero(t, totals(t, js).Gaps)
}
