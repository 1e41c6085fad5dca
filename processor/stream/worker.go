package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
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
	// under backlog ten times as long. Zero means 50 ms.
	CommitEvery time.Duration
	// CommitTimeout is when a commit without an answer is in doubt. Zero means 5 s.
	CommitTimeout time.Duration
	// Prefetch is how many alerts a reader asks for at once. Zero means 1,000.
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
		c.Now = defaultClock()
	}
	setDefault(&c.Retention, 7*24*time.Hour)
	setDefault(&c.CommitEvery, 50*time.Millisecond)
	setDefault(&c.CommitTimeout, 5*time.Second)
	if c.Prefetch == 0 {
		c.Prefetch = 1000
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
	inbox      chan *batch
	preparing  chan struct{} // holds one for each batch that is being prepared
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
	// refusals counts how often it did since then.
	refusals int
	flight   flight // nil when no commit is on its way
	readers  map[*reader]bool

	complained time.Time
	// careful says until when a partition's outputs are looked for before they
	// are published; see missing.
	careful map[int]time.Time
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
		return nil, fmt.Errorf("stream %s: %w", subjects.RawStream, Explain(err))
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
		inbox: make(chan *batch, 32), preparing: make(chan struct{}, runtime.GOMAXPROCS(0)), acquired: make(chan acquisition),
		readers: map[*reader]bool{}, owned: map[int]*partition{}, wanted: map[int]bool{}, taking: map[int]bool{}, retryAt: map[int]time.Time{}, careful: map[int]time.Time{},
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
		case b := <-w.inbox:
			w.receive(work, b)
		case l := <-w.flight:
			w.land(work, l)
		case a := <-w.acquired:
			w.acquire(work, a)
		case <-w.presence.changed:
			w.rebalance(work)
		case <-second.C:
			w.renew(work)
			w.rebalance(work)
			w.read(work)
			w.verify(work)
			w.survey(work)
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
	w.await(ctx)
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
		case <-w.acquired:
		case <-w.inbox:
		case <-done:
			return
		}
	}
}

// verify looks at a quarter of the partitions: one that another worker took from
// this one is else noticed with the next commit only, which a quiet one has not.
func (w *Worker) verify(ctx context.Context) {
	if w.flight != nil {
		return // it will tell
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	owned := slices.Sorted(maps.Keys(w.owned))
	for range (len(owned) + 3) / 4 {
		p := w.owned[owned[w.looked%len(owned)]]
		w.looked++
		_, rev, err := readCursor(ctx, w.cfg.JS, p.n)
		if err == nil && rev != p.rev {
			w.reown(ctx, p, errFenced)
		}
	}
}
