package stream_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

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

func TestTwoWorkersOfOneIDAreNamed(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 1})
	var mu sync.Mutex
	var log bytes.Buffer
	w, err := stream.New(t.Context(), stream.Config{JS: connect(), Book: book{}, ID: "worker-1", Log: zerolog.New(locked{&mu, &log})})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	require.Eventually(t, func() bool { by, _ := ownership(t, js); return by["worker-1"] == 1 }, 10*time.Second, 50*time.Millisecond)
	start(t, stream.Config{JS: connect(), Book: book{}, ID: "worker-1", Now: func() time.Time { return time.Now().Add(time.Second) }})
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(log.String(), "another worker runs under this worker's id")
	}, 20*time.Second, 50*time.Millisecond)
	stop()
	require.NoError(t, <-done)
}

// locked is a log that the test may read while others write.
type locked struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
