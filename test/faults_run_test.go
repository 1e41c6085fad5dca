//go:build unix

package test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

// faultRun is NATS with Falconer on it under load, to which faults happen that a
// seed draws.
type faultRun struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand // of the schedule
	began   time.Time
	cluster *cluster
	rules   string
	reopen  time.Duration // how long a closed incident is remembered
	js      jetstream.JetStream
	raw     *rawRecord
	witness *witness
	fleet   *fleet
	feed    *feed
	armed   atomic.Bool // workers get faults when they start
	full    atomic.Int64
	remade  int // how often FALCO was made anew
	evicted int // how often it dropped alerts unread

	mu       sync.Mutex
	counts   map[string]int // faults by kind
	events   []string
	stalls   int // times in which nothing was counted, see watchProgress
	thieves  sync.WaitGroup
	watching sync.WaitGroup
	done     chan struct{}
	over     sync.Once
}

// faultSeed is FALCONER_SEED, or a new one.
func faultSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("FALCONER_SEED")
	if text == "" {
		return rand.Uint64() >> 16
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "FALCONER_SEED")
	return seed
}

// startFaultRun starts so many servers and a load of so many messages a second.
// Workers get env beside their own.
func startFaultRun(t *testing.T, seed uint64, servers, perSecond int, reopen time.Duration, env ...string) *faultRun {
	t.Helper()
	r := &faultRun{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, uint64(servers))), began: time.Now(), counts: map[string]int{}, done: make(chan struct{}), rules: writeMixPlaybooks(t), reopen: reopen,
	}
	t.Cleanup(r.tell)
	r.cluster = startCluster(t, servers)
	r.js = r.cluster.connect()
	replicas := strconv.Itoa(servers)
	r.fleet = newFleet(fleet{
		t: t, path: program(t, faultyBinary), seed: seed, env: env, heard: r.heard, armed: r.armed.Load,
		args: []string{
			"--nats", r.cluster.urls(), "--rules", r.rules, "--reopen", reopen.String(), "--replicas", replicas,
			"--log-format", "json", "--log-level", "debug",
		},
	})
	until(t, time.Minute, "falconer setup", func() bool {
		return r.falconer("setup", "--replicas", replicas).code == 0
	})
	r.raw = &rawRecord{js: r.cluster.connect()}
	require.NoError(t, r.raw.begin())
	r.witness = openWitness(t, r.cluster.connect())
	r.feed = startFeed(t, r.cluster.connect(jetstream.WithPublishAsyncMaxPending(2*inFlight), jetstream.WithPublishAsyncTimeout(2*time.Second)), perSecond)
	t.Cleanup(r.end)
	r.watching.Go(r.watchProgress)
	return r
}

// end stops everything; what was collected stays.
func (r *faultRun) end() {
	r.over.Do(func() {
		close(r.done)
		r.watching.Wait()
		r.feed.stop()
		r.fleet.scale(0, syscall.SIGKILL)
		r.thieves.Wait()
		r.raw.reading().stop()
		r.witness.stop()
		for _, s := range r.cluster.servers {
			s.proc.kill()
		}
	})
}

// happened counts a fault.
func (r *faultRun) happened(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[kind]++
}

func (r *faultRun) faults() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.counts {
		n += c
	}
	return n
}

var injected = regexp.MustCompile(`"point":"([a-z]+)","action":"([a-z]+)".*"message":"fault injected"`)

// heard listens to what workers log.
func (r *faultRun) heard(s *slot, line string) {
	if strings.Contains(line, "takes no commit") {
		r.full.Add(1)
		return
	}
	m := injected.FindStringSubmatch(line)
	if m == nil {
		return
	}
	r.happened("worker: " + m[2] + " at " + m[1])
	r.event("%s: %s at %s", s.id, m[2], m[1])
	if m[2] == "pause" && r.faults()%2 == 0 {
		r.thieves.Go(func() { r.stealFrom(s.id) })
	}
}

// stealFrom takes the partitions of a worker that sleeps.
func (r *faultRun) stealFrom(id string) {
	owners := r.witness.owners()
	for _, p := range slices.Sorted(maps.Keys(owners)) {
		if owners[p] == id {
			r.steal(p)
		}
	}
}

// falconer runs a command of the release build to its end.
func (r *faultRun) falconer(args ...string) result {
	return run(r.t, program(r.t, falconerBinary), append([]string{"--nats", r.cluster.urls()}, args...)...)
}

// errNever says that a run does not come to its end.
var errNever = errors.New("waited in vain")

// wait waits for a condition and does not fail the test.
func (r *faultRun) wait(limit time.Duration, what string, holds func() bool) error {
	for deadline := time.Now().Add(limit); !holds(); pause(context.Background(), 50*time.Millisecond) {
		if time.Now().After(deadline) {
			r.event("waited in vain for %s\n%s", what, r.standing())
			return fmt.Errorf("%w: %s for %s", errNever, what, limit)
		}
	}
	return nil
}

// drained reports whether every alert that is collected is counted.
func (r *faultRun) drained() bool { return r.witness.totals().In == r.raw.readable() }

// settle ends the faults and the load, and waits until everything is counted,
// closed and forgotten.
func (r *faultRun) settle(limit time.Duration) error {
	r.armed.Store(false)
	r.feed.stop()
	r.thieves.Wait()
	for _, s := range r.fleet.slots {
		s.signal(syscall.SIGCONT)
	}
	n := max(2, len(r.fleet.up()))
	r.fleet.scale(0, syscall.SIGKILL)
	r.fleet.scale(n, syscall.SIGTERM)
	r.event("no more faults; %d messages were published", r.feed.published())
	return r.wait(limit, "all alerts to be counted, and all incidents to be closed and forgotten", func() bool {
		t := r.witness.totals()
		return r.raw.caughtUp() && r.drained() && t.Opened == t.Closed && r.witness.remembered() == 0
	})
}

// partitions is how many the raw stream has.
const partitions = subjects.DefaultPartitions
