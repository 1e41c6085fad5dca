package stream

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// Limits of one commit. The server takes 1,000 messages a batch; the rest is
// room for cursors.
const (
	maxBatch      = 900
	maxBatchBytes = 16 << 20
	maxBody       = 900 << 10
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

// publish stores the shares as one atomic batch and, when it is committed,
// brings the partitions' revisions up to date.
func (w *Worker) publish(ctx context.Context, shares []*share) error {
	var msgs []*nats.Msg
	for _, s := range shares {
		msgs = append(msgs, s.msgs...)
	}
	last, err := w.store(ctx, msgs)
	if err != nil {
		return err
	}
	seq := last - uint64(len(msgs)) + 1
	for _, s := range shares {
		s.settle(seq)
		s.log(w.cfg.Log)
		seq += uint64(len(s.msgs))
	}
	return nil
}

// store publishes the messages atomically and returns the last one's sequence;
// the others' precede it without a gap.
func (w *Worker) store(ctx context.Context, msgs []*nats.Msg) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CommitTimeout)
	defer cancel()
	w.reach(atFolded)
	ack, err := w.publishBatch(ctx, msgs)
	if err != nil {
		return 0, err
	}
	w.reach(atAcked)
	return ack.Sequence, nil
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

// commit stores the changes of all owned partitions in one atomic batch. It
// returns when they are stored, or when the partitions they belong to are let go.
func (w *Worker) commit(ctx context.Context) {
	w.since, w.moved = time.Time{}, time.Time{}
	shares := w.collect(ctx)
	for attempt := 0; len(shares) > 0; attempt++ {
		err := w.publish(ctx, shares)
		switch judge(err) {
		case committed:
			w.cleared()
			return
		case refused:
			shares = w.waitOut(ctx, shares, err, attempt)
		case conflict:
			shares = w.stillMine(ctx, shares, err)
		case repeated:
			w.cfg.Log.Warn().Err(err).Msg("an output exists that the cursor does not know of; taking the partitions anew and leaving it out")
			w.abandon(ctx, shares, err, true)
			return
		case doubtful:
			w.abandon(ctx, shares, err, false)
			return
		}
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
		if err == nil && w.cfg.Now().Before(w.careful[n]) {
			err = w.missing(ctx, s)
		}
		if err != nil {
			w.reown(ctx, p, err)
			continue
		}
		shares = append(shares, s)
	}
	return shares
}

// changed reports whether there is anything to store.
func (p *partition) changed() bool {
	return p.ledger.Pending() > 0 || p.ledger.Cursor() != p.cur.Cursor || p.read > max(p.cur.Seq, p.cur.Read)
}

// waitOut waits before a refused commit is tried again. A full output stream is
// back-pressure: workers wait until there is room, and say so.
func (w *Worker) waitOut(ctx context.Context, shares []*share, err error, attempt int) []*share {
	if w.stalled.IsZero() {
		w.stalled = w.cfg.Now()
	}
	if attempt%20 == 3 {
		w.cfg.Log.Error().Err(err).Dur("stalled", w.cfg.Now().Sub(w.stalled)).
			Msgf("stream %s takes no commit; alerts wait in %s and nothing is lost while that keeps them. Is it full? Raise its MaxBytes or shorten the retention", subjects.OutputStream, subjects.RawStream)
	}
	select {
	case <-ctx.Done():
		w.abandon(ctx, shares, ctx.Err(), false)
		return nil
	case <-w.quit:
		w.abandon(ctx, shares, err, false)
		return nil
	case <-time.After(min(20*time.Millisecond<<min(attempt, 6), time.Second)):
	}
	return shares
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
