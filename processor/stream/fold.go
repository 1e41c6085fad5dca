package stream

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/subjects"
)

// receive folds one delivery.
func (w *Worker) receive(ctx context.Context, d delivery) {
	switch {
	case w.owned[d.p.n] != d.p: // of a partition that was let go
	case d.err != nil:
		w.reown(ctx, d.p, d.err)
	case d.number != d.p.folded+1:
		w.reown(ctx, d.p, fmt.Errorf("delivery %d came to be folded where %d was due", d.number, d.p.folded+1))
	default:
		w.fold(ctx, d)
	}
}

func (w *Worker) fold(ctx context.Context, d delivery) {
	d.p.behind = d.behind
	d.p.folded = d.number
	for !d.p.ledger.Fold(d.msg, w.room(d.p)) {
		w.commit(ctx)
		if w.owned[d.p.n] != d.p {
			return
		}
	}
	d.p.saw(d.msg.Seq)
	now := w.cfg.Now()
	switch {
	case d.p.ledger.Pending() == 0:
		w.moved = earliest(w.moved, now)
	default:
		w.since = earliest(w.since, now)
	}
	if w.full() {
		w.commit(ctx)
	}
}

func earliest(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return t
}

// room is how many messages the partition's ledger may have pending, so that
// those of all partitions fit one batch.
func (w *Worker) room(p *partition) int {
	pending := 0
	for _, o := range w.owned {
		pending += o.ledger.Pending()
	}
	return max(processor.MinRoom, maxBatch-len(w.owned)-pending+p.ledger.Pending())
}

func (w *Worker) full() bool {
	pending, weight := len(w.owned), 0
	for _, p := range w.owned {
		pending += p.ledger.Pending()
		weight += p.ledger.Weight()
	}
	return pending > maxBatch-processor.MinRoom || weight > maxBatchBytes
}

// commitIfDue commits what has waited long enough. Under backlog it waits longer,
// since a commit costs nearly the same whatever its size.
func (w *Worker) commitIfDue(ctx context.Context) {
	wait := w.cfg.CommitEvery
	if len(w.inbox) > 0 {
		wait *= 5
	}
	now := w.cfg.Now()
	if !w.since.IsZero() && now.Sub(w.since) >= wait || !w.moved.IsZero() && now.Sub(w.moved) >= 20*w.cfg.CommitEvery {
		w.commit(ctx)
	}
}

// ticks asks for the time in partitions that are quiet.
func (w *Worker) ticks() {
	for _, p := range w.owned {
		w.tick(p)
	}
}

// tick asks the broker for the time when the partition is quiet and something
// is due: a message whose place in the stream proves that all before was counted.
// It is sent without waiting for an answer: if it is lost, the next one will do.
func (w *Worker) tick(p *partition) {
	due, ok := p.ledger.NextDue()
	now := w.cfg.Now()
	if !ok || p.behind > 0 || due.After(now) {
		return
	}
	msg := nats.NewMsg(subjects.Tick(p.n))
	msg.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("tick-%d-%s", p.n, strconv.FormatInt(now.Unix(), 36)))
	if err := w.cfg.JS.Conn().PublishMsg(msg); err != nil {
		w.cfg.Log.Warn().Err(err).Int("partition", p.n).Msg("tick not published; incidents of a quiet partition close late")
	}
}
