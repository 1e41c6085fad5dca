package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// Output is a message of the output stream, as a consumer sees it.
type Output struct {
	Subject string
	// ID is the Falconer-Id header; empty for states and cursors.
	ID   string
	Seq  uint64
	Time time.Time
	Data []byte
}

// List calls fn for every stored output whose subject matches one of the
// filters, in the order of their sequences, until fn fails.
func List(ctx context.Context, js jetstream.JetStream, filters []string, fn func(Output) error) error {
	c, err := outputConsumer(ctx, js, filters, jetstream.DeliverAllPolicy)
	if err != nil {
		return err
	}
	return each(ctx, c, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error { return fn(output(m, meta)) })
}

// Follow calls fn for every output that is published from now on, after those
// that are stored if stored is true, until ctx ends or fn fails. An end of ctx
// is no error.
func Follow(ctx context.Context, js jetstream.JetStream, filters []string, stored bool, fn func(Output) error) error {
	from := jetstream.DeliverNewPolicy
	if stored {
		from = jetstream.DeliverAllPolicy
	}
	c, err := outputConsumer(ctx, js, filters, from)
	if err != nil {
		return err
	}
	msgs, err := c.Messages(jetstream.PullExpiry(pullExpiry))
	if err != nil {
		return fmt.Errorf("following %s: %w", subjects.OutputStream, err)
	}
	defer msgs.Stop()
	defer context.AfterFunc(ctx, msgs.Stop)()
	for {
		m, err := msgs.Next()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("following %s: %w", subjects.OutputStream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if err := fn(output(m, meta)); err != nil {
			return err
		}
	}
}

func outputConsumer(ctx context.Context, js jetstream.JetStream, filters []string, from jetstream.DeliverPolicy) (jetstream.Consumer, error) {
	c, err := js.OrderedConsumer(ctx, subjects.OutputStream, jetstream.OrderedConsumerConfig{FilterSubjects: filters, DeliverPolicy: from})
	if err != nil {
		return nil, fmt.Errorf("reading stream %s: %w", subjects.OutputStream, missingStream(err))
	}
	return c, nil
}

func missingStream(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: nothing was set up here yet; start a worker (falconer run) or run falconer setup", err)
	}
	return Explain(err)
}

// each reads what a new consumer finds stored, and stops at its end.
func each(ctx context.Context, c jetstream.Consumer, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	info, err := c.Info(ctx)
	if err != nil {
		return fmt.Errorf("reading a stream: %w", Explain(err))
	}
	if info.NumPending == 0 {
		return nil
	}
	msgs, err := c.Messages(jetstream.PullMaxMessages(1000), jetstream.PullExpiry(pullExpiry))
	if err != nil {
		return fmt.Errorf("reading a stream: %w", err)
	}
	defer msgs.Stop()
	defer context.AfterFunc(ctx, msgs.Stop)()
	for {
		m, err := msgs.Next()
		if err != nil {
			return errors.Join(err, ctx.Err())
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if err := fn(m, meta); err != nil || meta.NumPending == 0 {
			return err
		}
	}
}

func output(m jetstream.Msg, meta *jetstream.MsgMetadata) Output {
	return Output{
		Subject: m.Subject(), ID: m.Headers().Get(subjects.HeaderID),
		Seq: meta.Sequence.Stream, Time: meta.Timestamp.UTC(), Data: m.Data(),
	}
}

// Body returns the body of the output at a sequence of the output stream.
func Body(ctx context.Context, js jetstream.JetStream, seq uint64) ([]byte, error) {
	m, err := at(ctx, js, subjects.OutputStream, seq)
	if errors.Is(err, errNotFound) {
		return nil, fmt.Errorf("the output at sequence %d has expired", seq)
	}
	return m.Data, err
}
