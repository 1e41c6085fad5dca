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

// receive folds a batch of deliveries.
func (w *Worker) receive(ctx context.Context, b *batch) {
	<-b.prepared
	for i := range b.deliveries {
		switch d := &b.deliveries[i]; {
		case !w.reads(b.r, d.p): // of a partition that was let go, or is read elsewhere now
		case d.number != d.p.folded+1:
			w.reown(ctx, d.p, fmt.Errorf("delivery %d came to be folded where %d was due", d.number, d.p.folded+1))
		default:
			w.fold(ctx, d)
		}
	}
	b.r.upto = max(b.r.upto, b.upto)
	if b.err == nil {
		if w.heavy() {
			w.commit(ctx)
		}
		return
	}
	for _, l := range b.r.lanes {
		if l != nil && w.reads(b.r, l.p) {
			w.reown(ctx, l.p, b.err)
		}
	}
}

// reads reports whether the partition is owned and what the reader delivers is for it.
func (w *Worker) reads(r *reader, p *partition) bool { return p.reader == r && w.owned[p.n] == p }

func (w *Worker) fold(ctx context.Context, d *delivery) {
	p := d.p
	p.folded = d.number
	for !p.ledger.Fold(d.msg, maxBatch) {
		if w.commit(ctx); w.owned[p.n] != p {
			return
		}
	}
	p.saw(d.msg.Seq)
	switch {
	case p.ledger.Pending() == 0:
		if w.moved.IsZero() {
			w.moved = w.cfg.Now()
		}
	case w.since.IsZero():
		w.since = w.cfg.Now()
	}
	if p.ledger.Pending() > maxBatch-processor.MinRoom {
		w.commit(ctx)
	}
}

func earliest(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return t
}

// heavy reports whether what waits for a commit takes so much memory that it should
// wait no longer.
func (w *Worker) heavy() bool {
	weight := 0
	for _, p := range w.owned {
		weight += p.ledger.Weight()
	}
	return weight > maxPendingBytes
}

// backlog is how many waiting messages make a worker take its time with commits.
const backlog = 5000

// commitIfDue commits what has waited long enough, once the commit before is
// stored. Under backlog it waits longer, since a commit costs nearly the same
// whatever its size.
func (w *Worker) commitIfDue(ctx context.Context) {
	if w.flight != nil {
		return
	}
	wait := w.cfg.CommitEvery
	for r := range w.readers {
		if r.waits.Load() > backlog {
			wait = 10 * w.cfg.CommitEvery
		}
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
	if !ok || p.reader == nil || p.reader.waits.Load() > 0 || len(w.inbox) > 0 || due.After(now) {
		return
	}
	msg := nats.NewMsg(subjects.Tick(p.n))
	msg.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("tick-%d-%s", p.n, strconv.FormatInt(now.Unix(), 36)))
	if err := w.cfg.JS.Conn().PublishMsg(msg); err != nil {
		w.cfg.Log.Warn().Err(err).Int("partition", p.n).Msg("tick not published; incidents of a quiet partition close late")
	}
}
