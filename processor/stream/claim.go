package stream

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// acquisition is the outcome of an attempt to own a partition.
type acquisition struct {
	n   int
	p   *partition
	err error
}

// rebalance takes the partitions that are this worker's share and not yet owned,
// and lets go of those that are not. It does nothing until the other members are
// known: whoever joins would take everything from them first.
func (w *Worker) rebalance(ctx context.Context) {
	if !w.presence.known() {
		return
	}
	clear(w.wanted)
	for _, n := range assign(w.cfg.ID, w.presence.members(), w.partitions) {
		w.wanted[n] = true
		if w.owned[n] == nil && !w.taking[n] && !w.cfg.Now().Before(w.retryAt[n]) {
			w.take(ctx, n)
		}
	}
	if surplus := slices.ContainsFunc(slices.Collect(maps.Keys(w.owned)), func(n int) bool { return !w.wanted[n] }); surplus {
		w.commit(ctx)
		w.await(ctx)
	}
	for n, p := range w.owned {
		if !w.wanted[n] {
			w.drop(p)
		}
	}
}

// take tries to own a partition, beside the loop: it must not hold up the others.
func (w *Worker) take(ctx context.Context, n int) {
	w.taking[n] = true
	w.running.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, 4*w.cfg.CommitTimeout)
		defer cancel()
		p, err := w.own(ctx, n)
		w.acquired <- acquisition{n, p, err}
	})
}

func (w *Worker) acquire(ctx context.Context, a acquisition) {
	delete(w.taking, a.n)
	switch {
	case a.err != nil:
		w.retryLater(a.n)
		w.complain(ctx, a)
	case w.wanted[a.n]:
		w.owned[a.n] = a.p
		w.tellOwned()
	}
	if len(w.taking) == 0 { // else with the last of them, or within a second
		w.read(ctx)
	}
}

// complain says that a partition was not taken, at most every five seconds: when
// the broker is away all of them say the same.
func (w *Worker) complain(ctx context.Context, a acquisition) {
	if ctx.Err() != nil || w.cfg.Now().Sub(w.complained) < 5*time.Second {
		return
	}
	w.complained = w.cfg.Now()
	w.cfg.Log.Warn().Err(a.err).Int("partition", a.n).Msg("partition not taken; trying again")
}

// retryLater keeps a partition from being taken again at once: two workers that
// disagree about the members would else take it from each other without end.
func (w *Worker) retryLater(n int) { w.retryAt[n] = w.cfg.Now().Add(time.Second) }

// errReconnected says why a partition is in doubt after a connection broke: what
// was on its way then is lost, and the server takes it for delivered. The next
// delivery would show the gap, but there may be none for long.
var errReconnected = errors.New("the connection broke, and deliveries may be lost with it")

// connection numbers the connections to NATS that this worker has had.
func (w *Worker) connection() uint64 { return w.cfg.JS.Conn().Stats().Reconnects }

// renew takes the partitions anew that were taken on an earlier connection.
func (w *Worker) renew(ctx context.Context) {
	now := w.connection()
	for _, p := range w.owned {
		if p.connection != now {
			w.reown(ctx, p, errReconnected)
		}
	}
}

// drop lets a partition go. What it folded and did not commit is folded again by
// the next owner.
func (w *Worker) drop(p *partition) {
	if w.owned[p.n] == p {
		delete(w.owned, p.n)
		w.tellOwned()
		w.retire()
	}
}

// reown drops a partition whose state is in doubt and takes it anew.
func (w *Worker) reown(ctx context.Context, p *partition, why error) {
	if w.owned[p.n] != p {
		return // it was let go meanwhile
	}
	w.cfg.Log.Info().Err(why).Int("partition", p.n).Msg("partition in doubt; taking it anew")
	w.drop(p)
	if w.wanted[p.n] && !w.taking[p.n] && ctx.Err() == nil {
		w.retryLater(p.n)
	}
}

func (w *Worker) tellOwned() {
	w.presence.holds(slices.Sorted(maps.Keys(w.owned)))
}
