package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/subjects"
)

// errFenced says that another worker took the partition.
var errFenced = errors.New("another worker took the partition")

// partition is one partition of the raw stream that this worker owns: its
// ledger, and the revisions by which its writes are compared and set.
type partition struct {
	n    int
	cur  Cursor // as last stored
	rev  uint64 // of the stored cursor
	revs map[string]uint64
	// silencesRev is of the stored list of silences, 0 when there is none.
	silencesRev uint64
	ledger      *processor.Ledger
	// reader delivers to it, once the loop has begun to read for it.
	reader *reader
	// read is the sequence up to which the partition is known to be read, or is
	// known to have lost something; seen are those folded since. See gap.
	read uint64
	seen []uint64
	// surveyAt is when it is to be surveyed even if nothing presses; waits is the
	// sequence of what waited for it then, since when.
	surveyAt   time.Time
	waits      uint64
	waitsSince time.Time
	// keepClosed is how long the state of a closed incident is stored at the most.
	keepClosed time.Duration
	// connection numbers the connection on which the partition was taken.
	connection uint64
	// folded is the number of the last delivery that was folded: the loop checks
	// for itself that it has missed none.
	folded uint64
}

// own takes a partition: it writes the fence and loads the state that the fence
// protects. Any error means that nothing is owned and that it may be tried again.
func (w *Worker) own(ctx context.Context, n int) (*partition, error) {
	p := &partition{n: n, revs: map[string]uint64{}, connection: w.connection()}
	if err := w.fence(ctx, p); err != nil {
		return nil, fmt.Errorf("fencing partition %d: %w", n, err)
	}
	w.reach(atFenced)
	states, silences, err := w.load(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("loading partition %d: %w", n, err)
	}
	p.ledger = processor.NewLedger(w.options(Era(p.cur.Created)))
	cur := w.restorable(p.cur.Cursor)
	p.ledger.Restore(cur, w.lay(p, states, cur), silences)
	w.cfg.Log.Debug().Int("partition", n).Uint64("epoch", p.cur.Epoch).Uint64("seq", p.cur.Seq).Int("open", p.ledger.Open()).Msg("partition owned")
	return p, nil
}

// options are the ledger's, in an era of the raw stream.
func (w *Worker) options(era string) processor.Options {
	return processor.Options{Book: w.cfg.Book, Era: era, Redaction: w.cfg.Redaction, Reopen: w.cfg.Reopen}
}

// lay sorts out ghosts. A server that is killed may bring a state back of which the
// newest revision, the empty one of a forgotten incident, has expired; of three
// servers one may do so alone. Nobody must compare with a revision that the stream's
// leader does not have, so ghosts are not restored. They are emptied again if the
// leader has them, and else expire by themselves.
func (w *Worker) lay(p *partition, states []*processor.Incident, cur processor.Cursor) []*processor.Incident {
	return slices.DeleteFunc(states, func(in *processor.Incident) bool {
		if !in.ForgottenBy(cur) {
			return false
		}
		m := emptied(p.n, in.Fingerprint)
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(p.revs[in.Fingerprint], 10))
		_, _ = w.cfg.JS.PublishMsgAsync(m) // another time will do
		delete(p.revs, in.Fingerprint)
		return true
	})
}

// restorable is the cursor as the ledger gets it.
func (w *Worker) restorable(cur processor.Cursor) processor.Cursor {
	if w.mutated(noMark) {
		cur.Mark = processor.Mark{}
	}
	return cur
}

// fence writes the cursor with a new epoch. Once it is stored, every commit of
// an earlier owner fails.
func (w *Worker) fence(ctx context.Context, p *partition) error {
	cur, rev, err := readCursor(ctx, w.cfg.JS, p.n)
	if err != nil {
		return err
	}
	raw, err := w.rawInfo(ctx)
	if err != nil {
		return err
	}
	if cur, err = w.sameLife(ctx, cur, raw.Created.UTC()); err != nil {
		return err
	}
	cur.Epoch++
	cur.Owner = w.cfg.ID
	data, err := json.Marshal(cur)
	if err != nil {
		return err
	}
	opts := []jetstream.PublishOpt{jetstream.WithExpectStream(subjects.OutputStream), jetstream.WithExpectLastSequencePerSubject(rev)}
	if w.mutated(noCompare) {
		opts = opts[:1]
	}
	ack, err := w.cfg.JS.Publish(ctx, subjects.Cursor(p.n), data, opts...)
	if err != nil {
		return err
	}
	p.cur, p.rev, p.read = cur, ack.Sequence, max(cur.Seq, cur.Read)
	p.keepClosed = w.keepClosed(raw.Config.MaxAge)
	return nil
}

// keepClosed is how long an incident that has closed may still matter: it names the
// next one's predecessor while alerts from within the reopen window may be read,
// which they may for as long as the raw stream keeps them. It is emptied long before,
// when it is forgotten; this is for what comes back from the dead.
func (w *Worker) keepClosed(maxAge time.Duration) time.Duration {
	if maxAge <= 0 {
		maxAge = 30 * 24 * time.Hour
	}
	return cmp.Or(w.cfg.Reopen, processor.DefaultReopen) + maxAge + time.Hour
}

// sameLife checks that the cursor speaks of the raw stream as it is. When the
// stream was made anew since, nothing of it is read, what it has dropped by now
// included. When it was restored or truncated, its sequences mean something else:
// reading goes on from the first message after the cursor's time.
func (w *Worker) sameLife(ctx context.Context, cur Cursor, created time.Time) (Cursor, error) {
	same := cur.Created.Equal(created)
	if same && cur.Seq > 0 {
		m, err := at(ctx, w.cfg.JS, subjects.RawStream, cur.Seq)
		switch {
		case errors.Is(err, errNotFound): // aged out
		case err != nil:
			return cur, err
		default:
			same = m.Time.Equal(cur.RawTime)
		}
	}
	if same || cur.Created.IsZero() {
		cur.Created = created
		return cur, nil
	}
	w.cfg.Log.Warn().Int("partition", cur.Partition).Time("was", cur.Created).Time("is", created).
		Msgf("stream %s is not the one the cursor was written for; going on with what was stored since", subjects.RawStream)
	cur.Created, cur.Seq, cur.Read = created, 0, 0
	if created.After(cur.RawTime) {
		return cur, nil
	}
	var err error
	cur.Seq, err = w.seqAfter(ctx, cur.RawTime)
	return cur, err
}

// seqAfter returns the sequence of the last message at or before t.
func (w *Worker) seqAfter(ctx context.Context, t time.Time) (uint64, error) {
	start := t.Add(time.Nanosecond)
	c, err := w.cfg.JS.CreateConsumer(ctx, subjects.RawStream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &start,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = w.cfg.JS.DeleteConsumer(ctx, subjects.RawStream, c.CachedInfo().Name) }()
	return c.CachedInfo().Delivered.Stream, nil
}

// checkForm refuses what another version of Falconer has stored.
func checkForm(subject, found, want string) error {
	if found != want {
		return fmt.Errorf("state %s has the form %q, this falconer writes %q: run one version of falconer only", subject, found, want)
	}
	return nil
}
