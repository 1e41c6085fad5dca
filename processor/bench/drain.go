package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// patience is how long the bench waits for something to happen before it gives up.
const patience = time.Minute

// Drain reads the raw stream once from its first message to its last, by the
// client's own ordered consumer, and does nothing with it: what any consumer of the
// alerts has to spend at least. It returns how long that took.
func Drain(ctx context.Context, js jetstream.JetStream, progress func(n int)) (time.Duration, error) {
	began := time.Now()
	n := 0
	err := each(ctx, js, subjects.RawStream, jetstream.OrderedConsumerConfig{}, func(jetstream.Msg, *jetstream.MsgMetadata) error {
		if n++; progress != nil && n%1000 == 0 {
			progress(1000)
		}
		return nil
	})
	return time.Since(began), err
}

// each reads what a stream holds and what else the consumer is configured for. It
// removes the consumer, which would stay for five minutes: a stream has room for a
// thousand.
func each(ctx context.Context, js jetstream.JetStream, name string, cfg jetstream.OrderedConsumerConfig, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	c, err := js.OrderedConsumer(ctx, name, cfg)
	if err != nil {
		return fmt.Errorf("reading stream %s: %w", name, err)
	}
	defer func() { _ = js.DeleteConsumer(ctx, name, c.CachedInfo().Name) }()
	info, err := c.Info(ctx)
	if err != nil || info.NumPending == 0 {
		return err
	}
	msgs, err := c.Messages(jetstream.PullMaxMessages(1000), jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return fmt.Errorf("reading stream %s: %w", name, err)
	}
	defer msgs.Stop()
	defer context.AfterFunc(ctx, msgs.Stop)()
	watchdog := time.AfterFunc(patience, msgs.Stop)
	defer watchdog.Stop()
	for n := 1; ; n++ {
		msg, err := msgs.Next()
		switch {
		case err != nil && ctx.Err() == nil && errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return fmt.Errorf("reading stream %s: nothing came for %s; was it removed meanwhile?", name, patience)
		case err != nil:
			return fmt.Errorf("reading stream %s: %w", name, err)
		case n%1000 == 0:
			watchdog.Reset(patience)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if err := fn(msg, meta); err != nil || meta.NumPending == 0 {
			return err
		}
	}
}
