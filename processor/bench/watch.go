package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor/stream"
	"falconer/subjects"
)

// Watch knows how far the workers have come: it reads the cursors as they are
// committed, which costs the server a few small messages a commit.
type Watch struct {
	mu sync.Mutex
	in map[int]uint64
	// moved is signalled after each cursor.
	moved chan struct{}
	stop  context.CancelFunc
	// ended is closed when nothing is watched any more; err then says why.
	ended chan struct{}
	err   error
}

// NewWatch begins to watch. Close ends it.
func NewWatch(ctx context.Context, js jetstream.JetStream) *Watch {
	ctx, stop := context.WithCancel(ctx)
	w := &Watch{in: map[int]uint64{}, moved: make(chan struct{}, 1), ended: make(chan struct{}), stop: stop}
	go func() {
		defer close(w.ended)
		w.err = stream.Follow(ctx, js, []string{subjects.Cursors}, true, w.note)
	}()
	return w
}

// Close ends the watch and waits for it.
func (w *Watch) Close() {
	w.stop()
	<-w.ended
}

func (w *Watch) note(o stream.Output) error {
	var c stream.Cursor
	if err := json.Unmarshal(o.Data, &c); err != nil {
		return fmt.Errorf("reading a cursor: %w", err)
	}
	w.mu.Lock()
	w.in[c.Partition] = c.Totals.In
	w.mu.Unlock()
	select {
	case w.moved <- struct{}{}:
	default:
	}
	return nil
}

// In is how many alerts the workers have counted.
func (w *Watch) In() (sum uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.in {
		sum += n
	}
	return sum
}

// Counted waits until the workers have counted so many alerts, and tells progress
// about each step. It fails when for a minute nothing was counted.
func (w *Watch) Counted(ctx context.Context, want uint64, progress func(n int)) error {
	for last := w.In(); last < want; {
		if err := w.wait(ctx); err != nil {
			return fmt.Errorf("%w; %d of %d alerts are counted", err, last, want)
		}
		now := w.In()
		if progress != nil {
			progress(int(now - last))
		}
		last = now
	}
	return nil
}

func (w *Watch) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.ended:
		return errors.Join(w.err, errors.New("the watch over the cursors has ended"))
	case <-w.moved:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("nothing came from the workers for %s", patience)
	}
}
