package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
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
	return explain(err)
}

// each reads what a new consumer finds stored, and stops at its end.
func each(ctx context.Context, c jetstream.Consumer, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	info, err := c.Info(ctx)
	if err != nil {
		return fmt.Errorf("reading a stream: %w", explain(err))
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

// Raw is a part of the raw stream to read again.
type Raw struct {
	// From and To bound the broker's time; zero means no bound.
	From, To time.Time
	// Committed stops each partition where its workers have come, by sequence and
	// by clock, so that what comes out is what they have published.
	Committed bool
	// Progress, if any, is told after each message how many are left of its partition.
	Progress func(left uint64)
}

// Refold folds a part of the raw stream again, in memory, each partition with a
// ledger of its own, and hands what comes out to fn in one piece a partition. It
// publishes nothing. A part that does not begin at the stream's start opens
// incidents anew that were open before it.
func Refold(ctx context.Context, js jetstream.JetStream, opts processor.Options, part Raw, fn func(partition int, ch processor.Changes) error) error {
	raw, err := js.Stream(ctx, subjects.RawStream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", subjects.RawStream, missingStream(err))
	}
	n, err := subjects.PartitionsOf(raw.CachedInfo().Config)
	if err != nil {
		return err
	}
	opts.Era = Era(raw.CachedInfo().Created)
	for p := range n {
		l := processor.NewLedger(opts)
		end, err := part.end(ctx, js, p)
		if err == nil {
			err = refold(ctx, raw, p, l, part, end)
		}
		if err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
		if err := fn(p, l.Take()); err != nil {
			return err
		}
	}
	return nil
}

// unlimited is room for whatever comes out of a stream.
const unlimited = 1 << 30

// limit is where a partition's part ends: after a sequence, if it is bounded by
// one, and after a time, of which zero means no limit. The ledger's clock is then set to the time, as ticks do
// for workers; the ticks themselves have expired.
type limit struct {
	bounded bool
	seq     uint64
	time    time.Time
}

func (part Raw) end(ctx context.Context, js jetstream.JetStream, p int) (limit, error) {
	if !part.Committed {
		return limit{time: part.To}, nil
	}
	cur, _, err := readCursor(ctx, js, p)
	return limit{bounded: true, seq: cur.Seq, time: cur.Time}, err
}

func (l limit) passed(meta *jetstream.MsgMetadata) bool {
	return l.bounded && meta.Sequence.Stream > l.seq || !l.time.IsZero() && meta.Timestamp.After(l.time)
}

// errEnd ends the reading of a part.
var errEnd = errors.New("end of the part")

func refold(ctx context.Context, raw jetstream.Stream, p int, l *processor.Ledger, part Raw, end limit) error {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: subjects.Raw(p)}
	if !part.From.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &part.From
	}
	c, err := raw.OrderedConsumer(ctx, cfg)
	if err != nil {
		return err
	}
	err = each(ctx, c, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if end.passed(meta) {
			return errEnd
		}
		l.Fold(message(m, meta), unlimited)
		if part.Progress != nil {
			part.Progress(meta.NumPending)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnd) {
		return err
	}
	l.Settle(end.time, unlimited)
	return nil
}
