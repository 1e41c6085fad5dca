package bench_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/bench"
	"falconer/processor/broker/brokertest"
	"falconer/processor/stream"
	"falconer/rules"
	"falconer/subjects"
)

func heldSum(held map[bench.Kind]bench.Holding) (sum bench.Holding) {
	for _, h := range held {
		sum.Messages += h.Messages
		sum.Bytes += h.Bytes
	}
	return sum
}

// requireAllHeld holds the sums against what the server counts for the stream.
func requireAllHeld(t *testing.T, js jetstream.JetStream, held map[bench.Kind]bench.Holding) {
	t.Helper()
	s, err := js.Stream(t.Context(), subjects.OutputStream)
	require.NoError(t, err)
	state := s.CachedInfo().State
	require.Equal(t, bench.Holding{Messages: state.Msgs, Bytes: state.Bytes}, heldSum(held))
	require.Equal(t, state.Msgs, state.NumSubjects)
	require.Zero(t, state.Consumers, "what has read is gone")
}

func TestHeldTellsKindsApart(t *testing.T) {
	const incident = "00112233445566ff-1z-era"
	for name, memory := range map[string]bool{"file": false, "memory": true} {
		t.Run(name, func(t *testing.T) {
			b := bench.Bed{JS: brokertest.JetStream(t, brokertest.Start(t)), Layout: subjects.Layout{Small: true, Memory: memory}}
			require.NoError(t, b.Make(t.Context()))
			held, err := bench.Held(t.Context(), b.JS)
			require.NoError(t, err)
			require.Empty(t, held)
			put := func(subject string, body int, header ...string) {
				m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: []byte(strings.Repeat("x", body))}
				for i := 0; i < len(header); i += 2 {
					m.Header.Add(header[i], header[i+1])
				}
				_, err := b.JS.PublishMsg(t.Context(), m)
				require.NoError(t, err)
			}
			put(subjects.State(1, "a"), 1000)
			put(subjects.State(1, "b"), 1000, "Nats-Expected-Last-Subject-Sequence", "0")
			put(subjects.State(2, "c"), 900, "Nats-TTL", "73h0m0s")
			put(subjects.State(2, "d"), 0, "Nats-TTL", "1m")
			put(subjects.Report("low", "rule", incident, "opened"), 3000, "Nats-TTL", "168h", "Falconer-Id", "a", "Content-Type", "application/json")
			put(subjects.Task("low", "tune", incident, "look"), 2000, "A", "1", "A", "2", "B", "")
			put(subjects.DeadLetter(7, "era"), 500)
			put(subjects.Replay(7, "era"), 50)
			put(subjects.Cursor(3), 200)
			put(subjects.SilencedIn(3), 100)
			held, err = bench.Held(t.Context(), b.JS)
			require.NoError(t, err)
			found := map[bench.Kind]uint64{}
			for kind, h := range held {
				found[kind] = h.Messages
			}
			require.Equal(t, map[bench.Kind]uint64{
				bench.OpenStates: 2, bench.ClosedStates: 1, bench.Forgotten: 1, bench.Reports: 1, bench.Tasks: 1, bench.DeadLetters: 2, bench.Cursors: 1, bench.Others: 1,
			}, found)
			requireAllHeld(t, b.JS, held)
		})
	}
}

// One worker's incidents are open, then closed, then forgotten: the kinds follow.
func TestHeldFollowsWhatAWorkerStores(t *testing.T) {
	b := bed(t)
	require.NoError(t, b.Make(t.Context()))
	book, err := rules.Load()
	require.NoError(t, err)
	w, err := stream.New(t.Context(), stream.Config{JS: b.JS, Book: hasty{book}, Reopen: 2 * time.Second})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	_, err = bench.Feed{Conn: b.JS.Conn(), Load: load(t, "unique", 20)}.All(t.Context())
	require.NoError(t, err)
	seen := map[bench.Kind]bool{}
	forgotten := func() bool {
		held, err := bench.Held(ctx, b.JS)
		for kind := range held {
			seen[kind] = true
		}
		return err == nil && held[bench.Forgotten].Messages == 20
	}
	require.Eventually(t, forgotten, 30*time.Second, 100*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	for _, kind := range []bench.Kind{bench.OpenStates, bench.ClosedStates, bench.Forgotten, bench.Reports, bench.Tasks, bench.Cursors} {
		require.True(t, seen[kind], kind)
	}
	held, err := bench.Held(t.Context(), b.JS)
	require.NoError(t, err)
	require.Zero(t, held[bench.OpenStates].Messages+held[bench.ClosedStates].Messages)
	require.EqualValues(t, subjects.DefaultPartitions, held[bench.Cursors].Messages)
	requireAllHeld(t, b.JS, held)
}

// hasty lets incidents end after two seconds without an alert.
type hasty struct{ processor.Book }

func (h hasty) Identity(a *processor.Alert) processor.Identity {
	id := h.Book.Identity(a)
	id.Idle, id.Cap = 2*time.Second, time.Minute
	return id
}

func TestHeldOfNothing(t *testing.T) {
	_, err := bench.Held(t.Context(), brokertest.JetStream(t, brokertest.Start(t)))
	require.ErrorContains(t, err, "looking at stream FALCONER: ")
}
