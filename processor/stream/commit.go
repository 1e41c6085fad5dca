package stream

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// Limits of one commit. The server takes 1,000 messages a batch; a partition's share
// stays below that with its cursor and the news of a gap. What waits for a commit is
// bounded for the sake of memory.
const (
	serverBatch     = 1000
	maxBatch        = 900
	maxPendingBytes = 16 << 20
	maxBody         = 900 << 10
)

// Error codes of JetStream that the client library does not name, from
// nats-server's server/errors.json.
const (
	codeStoreFailed      = 10077
	codeNoStorage        = 10047
	codeSubjectOverlap   = 10065
	codeIncompleteBatch  = 10176
	codeDuplicateInBatch = 10201
	codeTooManyBatches   = 10210
	codeClusterNoLeader  = 10008
)

// outcome is what is known after a commit was tried.
type outcome int

const (
	committed outcome = iota
	refused           // surely not stored; the same again may work
	conflict          // surely not stored; someone else owns one of the partitions
	repeated          // surely not stored; an output exists already
	doubtful          // may be stored or not
)

// judge reads the outcome from the error of a batch.
func judge(err error) outcome {
	if err == nil {
		return committed
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return doubtful
	}
	switch api.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return conflict
	case codeIncompleteBatch, codeTooManyBatches, codeStoreFailed, codeNoStorage, jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return refused
	case codeDuplicateInBatch:
		return repeated
	}
	if api.Code == 429 {
		return refused
	}
	return doubtful
}

// flight is a commit on its way, which is encoded and stored while the loop folds on.
// It ends with what became of each batch. The loop has one at a time.
type flight <-chan []landing

// landing is what became of the shares that went in one batch.
type landing struct {
	shares []*share
	first  uint64 // sequence of the batch's first message
	err    error
}

// launch sends the shares on their way, after a wait.
func (w *Worker) launch(ctx context.Context, shares []*share, wait time.Duration) {
	landed := make(chan []landing, 1)
	w.flight = landed
	w.running.Go(func() {
		if wait > 0 && !w.pause(ctx, wait) {
			landed <- []landing{{shares: shares, err: errQuit}}
			return
		}
		landed <- w.publish(ctx, shares)
	})
}

// errQuit says that a commit was given up because the worker ends.
var errQuit = errors.New("the worker ends before the stream takes commits again")

// pause waits, and returns false when the worker ends meanwhile.
func (w *Worker) pause(ctx context.Context, wait time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-w.quit:
		return false
	case <-time.After(wait):
		return true
	}
}

// publish stores the shares in as few atomic batches as they fit in, and encodes the
// outputs of the next while one is stored. A share is never divided; each stands for
// itself.
func (w *Worker) publish(ctx context.Context, shares []*share) (landings []landing) {
	sizes := make([]int, len(shares))
	for i, s := range shares {
		sizes[i] = s.size()
	}
	encoded := w.encodeAll(ctx, shares)
	for len(shares) > 0 {
		var ready []*share
		n, size := 0, 0
		for n < len(shares) && (n == 0 || size+sizes[n] <= serverBatch) {
			size += sizes[n]
			if err := <-encoded[n]; err != nil {
				landings = append(landings, landing{shares: shares[n : n+1], err: err})
			} else {
				ready = append(ready, shares[n])
			}
			n++
		}
		if len(ready) > 0 {
			landings = append(landings, w.store(ctx, ready))
		}
		shares, sizes, encoded = shares[n:], sizes[n:], encoded[n:]
	}
	return landings
}

// encodeAll begins to encode the outputs of the shares, in order and on all cores.
// Each channel says of one share when that is done.
func (w *Worker) encodeAll(ctx context.Context, shares []*share) []chan error {
	done := make([]chan error, len(shares))
	for i := range done {
		done[i] = make(chan error, 1)
	}
	next := atomic.Int64{}
	for range min(len(shares), runtime.GOMAXPROCS(0)) {
		w.running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(shares)); i = next.Add(1) - 1 {
				done[i] <- w.complete(ctx, shares[i])
			}
		})
	}
	return done
}

// store publishes the shares atomically.
func (w *Worker) store(ctx context.Context, shares []*share) landing {
	var msgs []*nats.Msg
	for _, s := range shares {
		msgs = append(msgs, s.msgs...)
	}
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CommitTimeout)
	defer cancel()
	w.reach(atFolded)
	ack, err := w.publishBatch(ctx, msgs)
	if err != nil {
		return landing{shares: shares, err: err}
	}
	w.reach(atAcked)
	// Sequences of a batch have no gap between them.
	return landing{shares: shares, first: ack.Sequence - uint64(len(msgs)) + 1}
}

// settle notes the revisions of a stored share whose cursor got sequence seq.
func (s *share) settle(seq uint64) {
	s.p.cur, s.p.rev = s.cursor, seq
	for i, fp := range s.revised {
		s.p.revs[fp] = seq + 1 + uint64(i)
	}
	if s.changes.Silences != nil {
		s.p.silencesRev = seq + 1 + uint64(len(s.revised))
	}
	for _, fp := range s.changes.Forgotten {
		delete(s.p.revs, fp)
	}
}

// commit sends the changes of all owned partitions on their way, when the commit
// before has landed.
func (w *Worker) commit(ctx context.Context) {
	w.await(ctx)
	w.since, w.moved = time.Time{}, time.Time{}
	if shares := w.collect(ctx); len(shares) > 0 {
		w.launch(ctx, shares, 0)
	}
}

// await returns when nothing is on its way: all is stored, or the partitions that it
// belongs to are let go.
func (w *Worker) await(ctx context.Context) {
	for w.flight != nil {
		w.land(ctx, <-w.flight)
	}
}

// land brings the partitions' revisions up to date, or does what has to be done
// about a commit that was not stored.
func (w *Worker) land(ctx context.Context, landings []landing) {
	w.flight = nil
	var again []*share
	var full error
	for _, l := range landings {
		switch judge(l.err) {
		case committed:
			for _, s := range l.shares {
				s.settle(l.first)
				s.log(w.cfg.Log)
				l.first += uint64(len(s.msgs))
			}
		case refused:
			full = l.err
			again = append(again, l.shares...)
		case conflict:
			again = append(again, w.stillMine(ctx, l.shares, l.err)...)
		case repeated:
			w.cfg.Log.Warn().Err(l.err).Msg("an output exists that the cursor does not know of; taking the partitions anew and leaving it out")
			w.abandon(ctx, l.shares, l.err, true)
		case doubtful:
			w.abandon(ctx, l.shares, l.err, false)
		}
	}
	wait := time.Duration(0)
	if full != nil {
		wait = w.refused(full)
	} else {
		w.cleared()
	}
	again = slices.DeleteFunc(again, func(s *share) bool { return w.owned[s.p.n] != s.p })
	if len(again) > 0 {
		w.launch(ctx, again, wait)
	}
}

// collect takes the changes of every owned partition that has any.
func (w *Worker) collect(ctx context.Context) []*share {
	held := w.noteGaps(ctx)
	var shares []*share
	for _, n := range slices.Sorted(maps.Keys(w.owned)) {
		p := w.owned[n]
		switch {
		case held[n]:
			w.since = w.cfg.Now() // there will be room when this commit is through
			continue
		case !p.changed():
			continue
		}
		s, err := w.encode(p, p.ledger.Take())
		if err != nil {
			w.reown(ctx, p, err)
			continue
		}
		s.careful = w.cfg.Now().Before(w.careful[n])
		shares = append(shares, s)
	}
	return shares
}

// changed reports whether there is anything to store.
func (p *partition) changed() bool {
	return p.ledger.Pending() > 0 || p.ledger.Cursor() != p.cur.Cursor || p.read > max(p.cur.Seq, p.cur.Read)
}

// refused notes that the stream took no commit, and returns how long to wait before
// it is tried again. A full output stream is back-pressure: workers wait until there
// is room, and say so.
func (w *Worker) refused(err error) (wait time.Duration) {
	now := w.cfg.Now()
	if w.stalled.IsZero() {
		w.stalled, w.refusals = now, 0
	}
	if w.refusals%20 == 3 {
		w.cfg.Log.Error().Err(err).Dur("stalled", now.Sub(w.stalled)).
			Msgf("stream %s takes no commit; alerts wait in %s and nothing is lost while that keeps them. Is it full? Raise its MaxBytes or shorten the retention", subjects.OutputStream, subjects.RawStream)
	}
	w.refusals++
	return min(20*time.Millisecond<<min(w.refusals-1, 6), time.Second)
}

func (w *Worker) cleared() {
	if !w.stalled.IsZero() {
		w.cfg.Log.Info().Dur("stalled", w.cfg.Now().Sub(w.stalled)).Msgf("stream %s takes commits again", subjects.OutputStream)
		w.stalled = time.Time{}
	}
}

// stillMine finds out whose cursor has changed after a conflict, lets those
// partitions go, and returns the shares of the others. If none has, the conflict
// is about a state: everything is taken anew.
func (w *Worker) stillMine(ctx context.Context, shares []*share, why error) []*share {
	var mine []*share
	for _, s := range shares {
		_, rev, err := readCursor(ctx, w.cfg.JS, s.p.n)
		if err == nil && rev == s.p.rev {
			mine = append(mine, s)
			continue
		}
		if err == nil {
			err = errFenced
		}
		w.reown(ctx, s.p, err)
	}
	if len(mine) == len(shares) {
		w.abandon(ctx, shares, why, false)
		return nil
	}
	return mine
}

// abandon lets the shares' partitions go and takes them anew: their fence finds
// out what was stored.
func (w *Worker) abandon(ctx context.Context, shares []*share, why error, careful bool) {
	for _, s := range shares {
		w.reown(ctx, s.p, why)
		if careful {
			w.careful[s.p.n] = w.cfg.Now().Add(time.Hour)
		}
	}
}
