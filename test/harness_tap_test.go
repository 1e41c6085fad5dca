//go:build unix

package test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// tapped is a message as a tap has received it.
type tapped struct {
	jetstream.Msg
	seq uint64
	at  time.Time
}

// tap reads a stream from its beginning and goes on whatever happens to servers
// and connections: each message once, in order, none left out that the stream
// still held when it was asked.
type tap struct {
	js      jetstream.JetStream
	stream  string
	filters []string
	note    func(tapped)
	last    atomic.Uint64 // sequence of the newest message received
	left    atomic.Int64  // how many wait behind it; -1 is not known yet
	resets  atomic.Int64
	stop    func()
}

// openTap starts to read. The caller stops it.
func openTap(js jetstream.JetStream, stream string, filters []string, note func(tapped)) *tap {
	t := &tap{js: js, stream: stream, filters: filters, note: note}
	t.left.Store(-1)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			_ = t.read(ctx) // the next attempt goes on where this one ended
			t.resets.Add(1)
			pause(ctx, 100*time.Millisecond)
		}
	})
	t.stop = func() { cancel(); running.Wait() }
	return t
}

// pause waits for so long, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// read reads until something is in doubt.
func (t *tap) read(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, err := t.js.CreateConsumer(asking, t.stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: t.last.Load() + 1, FilterSubjects: t.filters,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return err
	}
	t.left.Store(int64(c.CachedInfo().NumPending))
	msgs, err := c.Messages(jetstream.PullMaxMessages(1000), jetstream.PullExpiry(2*time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer msgs.Stop()
	defer context.AfterFunc(ctx, msgs.Stop)()
	for next := uint64(1); ; next++ {
		m, err := msgs.Next()
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != next {
			return fmt.Errorf("delivery %d came where %d was due", meta.Sequence.Consumer, next)
		}
		t.note(tapped{m, meta.Sequence.Stream, meta.Timestamp.UTC()})
		t.last.Store(meta.Sequence.Stream)
		t.left.Store(int64(meta.NumPending))
	}
}

// readAll reads what a stream holds now.
func readAll(js jetstream.JetStream, stream string, filters ...string) (out []tapped, err error) {
	t := openTap(js, stream, filters, func(m tapped) { out = append(out, m) })
	deadline := time.Now().Add(2 * time.Minute)
	for t.left.Load() != 0 && time.Now().Before(deadline) {
		pause(context.Background(), 20*time.Millisecond)
	}
	t.stop()
	if left := t.left.Load(); left != 0 {
		return nil, fmt.Errorf("reading %s: %d messages are still left", stream, left)
	}
	return out, nil
}
