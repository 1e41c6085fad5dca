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

// The raw stream drops its oldest messages when it is full or they are old,
// whether they were read or not. A partition's messages stand between those of
// others, so that a jump from one sequence to a later one is nothing odd. It is a
// gap when the stream has since dropped what stood between: then nobody can say
// any more that none of it was the partition's.

// saw notes that the message at seq was folded.
func (p *partition) saw(seq uint64) { p.seen = append(p.seen, seq) }

// gap returns what the stream, which now begins at first, has dropped between the
// messages that the partition has read since it was checked.
func (p *partition) gap(first uint64) (g processor.Gap, lost bool) {
	g.Partition = p.n
	before := p.read
	for _, seq := range p.seen {
		if last := min(seq, first) - 1; last > before {
			if g.Messages == 0 {
				g.First = before + 1
			}
			g.Last = last
			g.Messages += last - before
		}
		before = max(before, seq)
	}
	return g, g.Messages > 0
}

// checked notes that what was seen is accounted for.
func (p *partition) checked() {
	if n := len(p.seen); n > 0 {
		p.read, p.seen = max(p.read, p.seen[n-1]), p.seen[:0]
	}
}

// noteGaps looks for gaps before every commit, so that a cursor never passes one
// that is not recorded with it. A partition whose commit has no room for the news
// is held back until the next.
func (w *Worker) noteGaps(ctx context.Context) (held map[int]bool) {
	unchecked := false
	for _, p := range w.owned {
		unchecked = unchecked || len(p.seen) > 0
	}
	if !unchecked {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CommitTimeout)
	defer cancel()
	raw, err := w.rawInfo(ctx)
	if err != nil {
		w.cfg.Log.Warn().Err(err).Msg("gaps not looked for; they are with the next commit")
		return nil
	}
	held = map[int]bool{}
	for n, p := range w.owned {
		held[n] = !w.noteGap(p, raw)
	}
	return held
}

// noteGap tells the ledger what the partition has lost, if anything. It returns
// false when there is no room for it now.
func (w *Worker) noteGap(p *partition, raw *jetstream.StreamInfo) bool {
	if !raw.Created.Equal(p.cur.Created) {
		return true // of another stream; the reader will notice
	}
	if g, lost := p.gap(raw.State.FirstSeq); lost {
		g.Time = oldestTime(raw)
		// A batch has room for the news beyond what is pending.
		if !p.ledger.Lost(g, maxBatch+processor.MinRoom) {
			return false
		}
		w.cfg.Log.Error().Int("partition", p.n).Uint64("first", g.First).Uint64("last", g.Last).Uint64("at_most", g.Messages).
			Msgf("%s dropped messages before they were read; its max_age or max_bytes is too small for the backlog, workers are too few, or someone purged it", subjects.RawStream)
	}
	p.checked()
	return true
}

// oldestTime is the broker's time of the oldest message that the stream holds, or
// now if it holds none.
func oldestTime(raw *jetstream.StreamInfo) time.Time {
	if raw.State.Msgs == 0 {
		return raw.TimeStamp
	}
	return raw.State.FirstTime
}

// Times of survey.
const (
	surveyEvery = 5 * time.Second // a quiet partition, when nothing presses
	stuckAfter  = 4 * time.Second // a message that waits and does not come is lost on the way
)

// errStuck says that a message waits which the reader does not deliver.
var errStuck = errors.New("an alert waits and is not delivered")

// survey looks after quiet partitions, now and then, and at once when the
// stream's beginning comes half way to what one has read. It is proven to be read
// up to now, or else its next message would look as if others were lost. Or
// something waits for it; if that does not come, it was lost between servers, and
// the partition is taken anew.
func (w *Worker) survey(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	raw, err := w.rawInfo(ctx)
	if err != nil {
		return // the next second will do
	}
	state, now := raw.State, w.cfg.Now()
	half := state.FirstSeq + (state.LastSeq-min(state.LastSeq, state.FirstSeq))/2
	for _, p := range w.owned {
		if p.read >= half && now.Before(p.surveyAt) || !raw.Created.Equal(p.cur.Created) {
			continue
		}
		waits, err := w.surveyPartition(ctx, p, state.LastSeq)
		if err != nil {
			w.cfg.Log.Debug().Err(err).Int("partition", p.n).Msg("partition not surveyed")
			continue
		}
		p.surveyAt = now.Add(surveyEvery)
		if waits != p.waits || len(w.inbox) > 0 {
			p.waits, p.waitsSince = waits, now
		}
		if waits > 0 && now.Sub(p.waitsSince) >= stuckAfter {
			w.reown(ctx, p, errStuck)
		}
	}
}

// surveyPartition proves that a quiet partition is read up to last, which was the
// end of the stream just now: the stream's leader holds nothing more for it. Else
// it returns the sequence of what waits. A consumer could not tell, since the
// server that it runs on may lag behind. The stream's beginning is asked for after
// that, so that what was dropped meanwhile is not taken for read.
func (w *Worker) surveyPartition(ctx context.Context, p *partition, last uint64) (waits uint64, err error) {
	if last <= p.read || len(p.seen) > 0 {
		return 0, nil
	}
	for _, subject := range subjects.Raw(p.n, w.partitions) {
		m, err := nextOf(ctx, w.cfg.JS, subjects.RawStream, subject, p.read+1)
		if !errors.Is(err, errNotFound) {
			return m.Seq, err
		}
	}
	after, err := w.rawInfo(ctx)
	if err != nil {
		return 0, err
	}
	p.saw(last + 1) // as if the next message were read
	if !w.noteGap(p, after) {
		p.seen = p.seen[:0]
		return 0, nil
	}
	p.read = last
	w.moved = earliest(w.moved, w.cfg.Now())
	return 0, nil
}

// rawInfo asks the raw stream's leader for its extent and limits.
func (w *Worker) rawInfo(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := w.cfg.JS.Stream(ctx, subjects.RawStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", subjects.RawStream, err)
	}
	return s.CachedInfo(), nil
}
