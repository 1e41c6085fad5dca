package stream_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

// ownership counts each worker's partitions, and the owners that all of them have had.
func ownership(t *testing.T, js jetstream.JetStream) (by map[string]int, epochs uint64) {
	t.Helper()
	st, err := stream.Inspect(t.Context(), js)
	require.NoError(t, err)
	by = map[string]int{}
	for _, p := range st.Partitions {
		by[p.Owner]++
		epochs += p.Epoch
	}
	return by, epochs
}

func TestAWorkerThatJoinsTakesItsShareOnly(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	start(t, stream.Config{JS: connect(), Book: book{}, ID: "worker-1"})
	require.Eventually(t, func() bool { by, _ := ownership(t, js); return by["worker-1"] == 16 }, 10*time.Second, 50*time.Millisecond)
	start(t, stream.Config{JS: connect(), Book: book{}, ID: "worker-2"})
	require.Eventually(t, func() bool { by, _ := ownership(t, js); return by["worker-2"] == 11 }, 10*time.Second, 50*time.Millisecond)
	by, epochs := ownership(t, js)
	require.Equal(t, map[string]int{"worker-1": 5, "worker-2": 11}, by)
	require.EqualValues(t, 16+11, epochs, "what stays with its owner is not taken from it")
}

// Both of one name, each believes that all is its own: the one who lost a quiet
// partition has to find out without an alert.
func TestAQuietPartitionThatWasTakenIsNoticed(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 4})
	start(t, stream.Config{JS: connect(), Book: book{}, ID: "worker-1"})
	require.Eventually(t, func() bool { by, _ := ownership(t, js); return by["worker-1"] == 4 }, 10*time.Second, 50*time.Millisecond)
	_, before := ownership(t, js)
	stop := start(t, stream.Config{JS: connect(), Book: book{}, ID: "worker-1"})
	require.Eventually(t, func() bool { _, epochs := ownership(t, js); return epochs >= before+8 }, 15*time.Second, 50*time.Millisecond)
	stop()
}

// hookedBook does something before it explains the first alert, which holds up
// the worker's loop.
type hookedBook struct {
	book
	first func()
}

func (b hookedBook) Identity(a *processor.Alert) processor.Identity {
	b.first()
	return b.book.Identity(a)
}

// undelivered counts the alerts that the readers of the raw stream have not been
// sent, and says how many readers there are.
func undelivered(js jetstream.JetStream) (waiting uint64, readers int) {
	ctx := context.Background()
	raw, err := js.Stream(ctx, subjects.RawStream)
	if err != nil {
		return 0, 0
	}
	for c := range raw.ListConsumers(ctx).Info() {
		waiting += c.NumPending
		readers++
	}
	return waiting, readers
}

// What a reader delivers must not come before the loop knows that the partition
// is its own: it passes over the deliveries of those that are not.
func TestAlertsOfAPartitionThatIsBeingTakenAreFolded(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	publish(t, js, 70, 70)
	hold := sync.OnceFunc(func() {
		for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
			if waiting, readers := undelivered(js); waiting == 0 && readers == 16 {
				return
			}
		}
	})
	start(t, stream.Config{JS: connect(), Book: hookedBook{first: hold}})
	drained(t, js, 70)
	requireExact(t, js, book{})
}
