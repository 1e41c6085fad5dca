package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"

	"falconer/processor"
	"falconer/subjects"
)

// Config is what a Worker needs. JS and Book are required.
type Config struct {
	JS   jetstream.JetStream
	Book processor.Book
	// ID names this worker among the members: letters, digits, "-" and "_". Empty
	// means the host's name and a random end. It must be unique among the workers that run.
	ID string
	// Redaction and Reopen are the ledger's; they must be the same for all workers.
	Redaction processor.Redaction
	Reopen    time.Duration
	// Retention is how long reports and tasks are kept; dead letters four times
	// as long. Zero means seven days.
	Retention time.Duration
	// CommitEvery is how long a change waits for others before it is committed;
	// under backlog five times as long. Zero means 50 ms.
	CommitEvery time.Duration
	// CommitTimeout is when a commit without an answer is in doubt. Zero means 5 s.
	CommitTimeout time.Duration
	// Prefetch is how many alerts a partition's reader asks for at once. Zero means 500.
	Prefetch int
	Log      zerolog.Logger
	// Now is the worker's clock; it decides when to ask and when to commit, never
	// what comes out. Nil means time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.ID == "" {
		c.ID = randomID()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	setDefault(&c.Retention, 7*24*time.Hour)
	setDefault(&c.CommitEvery, 50*time.Millisecond)
	setDefault(&c.CommitTimeout, 5*time.Second)
	if c.Prefetch == 0 {
		c.Prefetch = 500
	}
	return c
}

// randomID is the host's name, for people, and something that makes it unique.
func randomID() string {
	host, _ := os.Hostname()
	unique := nuid.Next()
	return strings.Trim(strings.Map(idRune, host)+"-"+strings.ToLower(unique[len(unique)-8:]), "-")
}

const idRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

func idRune(r rune) rune {
	if strings.ContainsRune(idRunes, r) {
		return r
	}
	return '-'
}

func setDefault(d *time.Duration, fallback time.Duration) {
	if *d == 0 {
		*d = fallback
	}
}

// Worker folds the partitions that are its share. Any number may run on one NATS.
type Worker struct {
	cfg        Config
	partitions int
	presence   *presence
	inbox      chan delivery
	acquired   chan acquisition
	running    sync.WaitGroup
	quit       <-chan struct{}

	// What follows belongs to the loop.
	owned   map[int]*partition
	wanted  map[int]bool
	taking  map[int]bool
	retryAt map[int]time.Time
	looked  int       // how many partitions verify has looked at
	since   time.Time // when the oldest change waiting for a commit was made
	moved   time.Time // the same for a cursor that moved without other change
	stalled time.Time // since when the output stream refuses commits

	complained time.Time
	// careful says until when a partition's outputs are looked for before they
	// are published; see missing.
	careful map[int]time.Time
}

// acquisition is the outcome of an attempt to own a partition.
type acquisition struct {
	n   int
	p   *partition
	err error
}

// New checks the configuration and the streams, which must exist: see Setup.
func New(ctx context.Context, cfg Config) (*Worker, error) {
	cfg = cfg.withDefaults()
	if cfg.JS == nil || cfg.Book == nil {
		return nil, errors.New("stream: Config.JS and Config.Book are required")
	}
	if strings.Trim(cfg.ID, idRunes) != "" {
		return nil, fmt.Errorf("worker id %q: only letters, digits, - and _ are allowed", cfg.ID)
	}
	raw, err := cfg.JS.Stream(ctx, subjects.RawStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", subjects.RawStream, explain(err))
	}
	n, err := subjects.PartitionsOf(raw.CachedInfo().Config)
	if err != nil {
		return nil, err
	}
	members, err := newPresence(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Worker{
		cfg: cfg, partitions: n, presence: members,
		inbox: make(chan delivery, 4096), acquired: make(chan acquisition),
		owned: map[int]*partition{}, wanted: map[int]bool{}, taking: map[int]bool{}, retryAt: map[int]time.Time{}, careful: map[int]time.Time{},
	}, nil
}

// ID returns the name under which this worker is a member.
func (w *Worker) ID() string { return w.cfg.ID }

// Run works until ctx ends. It then commits what is folded, lets its partitions
// go, and returns nil. Faults of the broker do not end it: it tries for ever.
func (w *Worker) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	w.quit = ctx.Done()
	w.running.Go(func() { w.presence.run(work) })
	second := time.NewTicker(time.Second)
	defer second.Stop()
	beat := time.NewTicker(w.cfg.CommitEvery / 5)
	defer beat.Stop()
	w.rebalance(work)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case d := <-w.inbox:
			w.receive(work, d)
		case a := <-w.acquired:
			w.acquire(work, a)
		case <-w.presence.changed:
			w.rebalance(work)
		case <-second.C:
			w.rebalance(work)
			w.verify(work)
			w.ticks()
		case <-beat.C:
			w.commitIfDue(work)
		}
	}
	w.drain(work)
	stop()
	w.finish()
	return nil
}

// drain commits what is folded and lets every partition go.
func (w *Worker) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CommitTimeout)
	defer cancel()
	w.commit(ctx)
	for _, p := range w.owned {
		w.drop(p)
	}
}

// finish waits for the goroutines that Run has started.
func (w *Worker) finish() {
	done := make(chan struct{})
	go func() { w.running.Wait(); close(done) }()
	for {
		select {
		case a := <-w.acquired:
			if a.p != nil {
				a.p.reader.stop()
			}
		case <-w.inbox:
		case <-done:
			return
		}
	}
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
		return
	case !w.wanted[a.n]:
		a.p.reader.stop()
		return
	}
	w.owned[a.n] = a.p
	w.tellOwned()
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

// drop lets a partition go. What it folded and did not commit is folded again by
// the next owner.
func (w *Worker) drop(p *partition) {
	p.reader.stop()
	if w.owned[p.n] == p {
		delete(w.owned, p.n)
		w.tellOwned()
	}
}

// reown drops a partition whose state is in doubt and takes it anew.
func (w *Worker) reown(ctx context.Context, p *partition, why error) {
	w.cfg.Log.Info().Err(why).Int("partition", p.n).Msg("partition in doubt; taking it anew")
	w.drop(p)
	if w.wanted[p.n] && !w.taking[p.n] && ctx.Err() == nil {
		w.retryLater(p.n)
	}
}

// verify looks at a quarter of the partitions: one that another worker took from
// this one is else noticed with the next commit only, which a quiet one has not.
func (w *Worker) verify(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	owned := slices.Sorted(maps.Keys(w.owned))
	for range (len(owned) + 3) / 4 {
		p := w.owned[owned[w.looked%len(owned)]]
		w.looked++
		_, rev, err := readCursor(ctx, w.cfg.JS, p.n)
		if err == nil && rev != p.rev && w.owned[p.n] == p {
			w.reown(ctx, p, errFenced)
		}
	}
}

func (w *Worker) tellOwned() {
	w.presence.holds(slices.Sorted(maps.Keys(w.owned)))
}

// receive folds one delivery.
func (w *Worker) receive(ctx context.Context, d delivery) {
	switch {
	case w.owned[d.p.n] != d.p: // of a partition that was let go
	case d.err != nil:
		w.reown(ctx, d.p, d.err)
	default:
		w.fold(ctx, d)
	}
}

func (w *Worker) fold(ctx context.Context, d delivery) {
	d.p.behind = d.behind
	for !d.p.ledger.Fold(d.msg, w.room(d.p)) {
		w.commit(ctx)
		if w.owned[d.p.n] != d.p {
			return
		}
	}
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
	var shares []*share
	for _, n := range slices.Sorted(maps.Keys(w.owned)) {
		p := w.owned[n]
		if p.ledger.Pending() == 0 && p.ledger.Cursor() == p.cur.Cursor {
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

// ticks asks for the time in partitions that are quiet.
func (w *Worker) ticks() {
	for _, p := range w.owned {
		w.tick(p)
	}
}
