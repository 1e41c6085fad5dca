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

// Raw is a part of the raw stream to read again.
type Raw struct {
	// From and To bound the broker's time; zero means no bound.
	From, To time.Time
	// Upto, if any, stops each partition at its cursor, by sequence and by clock,
	// so that what comes out is what workers have published up to there. To is
	// then ignored.
	Upto []Cursor
	// Progress, if any, is told after each message how many are left of its partition.
	Progress func(left uint64)
}

// Refold folds a part of the raw stream again, in memory, each partition with a
// ledger of its own, and hands what comes out to fn, piece by piece; a partition's
// last piece has its totals. It publishes nothing. A part that does not begin at
// the stream's start opens incidents anew that were open before it.
func Refold(ctx context.Context, js jetstream.JetStream, opts processor.Options, part Raw, fn func(partition int, ch processor.Changes) error) error {
	raw, n, err := rawStream(ctx, js)
	if err != nil {
		return err
	}
	opts.Era = Era(raw.CachedInfo().Created)
	for p := range n {
		l := processor.NewLedger(opts)
		silences, err := silencesBefore(ctx, js, p, raw.CachedInfo().State.FirstSeq)
		if err != nil {
			return err
		}
		l.Restore(processor.Cursor{}, nil, silences)
		take := func() error { return fn(p, l.Take()) }
		if err := refold(ctx, raw, p, n, l, part, take); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

// piece is how many outputs are gathered before they are handed on; unlimited is
// room for whatever one message causes.
const (
	piece     = 1000
	unlimited = 1 << 30
)

// limit is where a partition's part ends: after a sequence, if it is bounded by
// one, and after a time, of which zero means no limit. The ledger's clock is then
// set to the time, as ticks do for workers.
type limit struct {
	bounded bool
	seq     uint64
	time    time.Time
}

// end is where partition p's part ends, of a raw stream made at that time.
func (part Raw) end(p int, created time.Time) limit {
	if part.Upto == nil {
		return limit{time: part.To}
	}
	end := limit{bounded: true}
	if p < len(part.Upto) && part.Upto[p].Created.Equal(created) { // else it is of another life of the stream
		end.seq, end.time = part.Upto[p].Seq, part.Upto[p].Time
	}
	return end
}

func (l limit) passed(meta *jetstream.MsgMetadata) bool {
	return l.bounded && meta.Sequence.Stream > l.seq || !l.time.IsZero() && meta.Timestamp.After(l.time)
}

// errEnd ends the reading of a part.
var errEnd = errors.New("end of the part")

func refold(ctx context.Context, raw jetstream.Stream, p, of int, l *processor.Ledger, part Raw, take func() error) error {
	end := part.end(p, raw.CachedInfo().Created)
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: subjects.Raw(p, of)}
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
		l.Fold(message(m, meta, p), unlimited)
		if part.Progress != nil {
			part.Progress(meta.NumPending)
		}
		if l.Pending() < piece {
			return nil
		}
		return take()
	})
	if err != nil && !errors.Is(err, errEnd) {
		return err
	}
	l.Settle(end.time, unlimited)
	return take()
}
