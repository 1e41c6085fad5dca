package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// unanswered bounds how many alerts wait for their acknowledgement at once.
const unanswered = 4000

// Feed stores alerts of a load.
type Feed struct {
	Conn *nats.Conn
	Load Load
	// Progress, if any, is told how many alerts more were published.
	Progress func(n int)
}

// All publishes every alert as fast as the server takes them, and returns how long
// it took until the last acknowledgement. Any alert that is not acknowledged is an
// error: what is measured afterwards would be of fewer.
func (f Feed) All(ctx context.Context) (time.Duration, error) {
	return f.publish(ctx, func(int) error { return ctx.Err() })
}

// Paced publishes so many alerts a second, until all are published. When the server
// does not keep up, it takes longer.
func (f Feed) Paced(ctx context.Context, perSecond int) (time.Duration, error) {
	began := time.Now()
	return f.publish(ctx, func(i int) error {
		due := began.Add(time.Duration(float64(i) / float64(perSecond) * float64(time.Second)))
		early := time.Until(due)
		if early < time.Millisecond { // a timer would be late by more
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(early):
			return nil
		}
	})
}

// publish publishes each alert when before, which gets its number, returns.
func (f Feed) publish(ctx context.Context, before func(i int) error) (time.Duration, error) {
	refused := &firstError{}
	js, err := jetstream.New(f.Conn, jetstream.WithPublishAsyncMaxPending(unanswered),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { refused.set(err) }))
	if err != nil {
		return 0, err
	}
	defer js.CleanupPublisher()
	began := time.Now()
	for i := range f.Load.Alerts {
		if err := before(i); err != nil {
			return 0, err
		}
		subject, data := f.Load.Alert(i)
		if _, err := js.PublishAsync(subject, data, jetstream.WithStallWait(30*time.Second)); err != nil {
			return 0, fmt.Errorf("publishing alert %d of %d: %w", i+1, f.Load.Alerts, err)
		}
		if step := 1000; f.Progress != nil && i%step == step-1 {
			f.Progress(step)
		}
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		return 0, fmt.Errorf("publishing %d alerts: %d were not acknowledged within a minute", f.Load.Alerts, js.PublishAsyncPending())
	}
	if err := refused.get(); err != nil {
		return 0, fmt.Errorf("publishing %d alerts: the server did not take all of them: %w", f.Load.Alerts, err)
	}
	return time.Since(began), nil
}

// firstError keeps the first error that any goroutine has.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
