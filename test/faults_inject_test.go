//go:build unix

package test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// injector makes one kind of fault happen while a run goes on, and returns when
// it is over. The workers' own faults, at named points of their life, come beside.
type injector struct {
	name   string
	weight int
	only   string // R1 or R3, or both
	inject func(*faultRun) error
}

// injectors are all of them. Their weights say how often they
// come.
func injectors() []injector {
	return []injector{
		{"worker: SIGKILL", 6, "", (*faultRun).killWorker},
		{"worker: SIGSTOP", 6, "", (*faultRun).stopWorker},
		{"worker: twin", 4, "", (*faultRun).twinWorker},
		{"worker: clock -2h", 3, "", func(r *faultRun) error { return r.stepClock("-2h@3s") }},
		{"worker: clock +26h", 3, "", func(r *faultRun) error { return r.stepClock("+26h@3s") }},
		{"workers: other number", 5, "", (*faultRun).rescale},
		{"workers: rolling restart", 3, "", (*faultRun).rollWorkers},
		{"partitions stolen", 6, "", (*faultRun).stealSome},
		{"server: SIGKILL", 6, "", (*faultRun).killServer},
		{"servers: SIGKILL of all", 3, "R3", (*faultRun).killServers},
		{"server: cut off, connections held", 4, "R3", func(r *faultRun) error { return r.cutServer(true) }},
		{"server: cut off, connections broken", 4, "R3", func(r *faultRun) error { return r.cutServer(false) }},
		{"streams: leaders step down", 6, "R3", (*faultRun).stepDown},
		{"FALCONER full", 3, "", (*faultRun).fillOutput},
		{"FALCO made anew", 1, "", func(r *faultRun) error { return r.remakeRaw(false) }},
		{"FALCO made anew, workers down", 1, "", func(r *faultRun) error { return r.remakeRaw(true) }},
		{"FALCO evicts unread alerts", 2, "", (*faultRun).evictRaw},
	}
}

// play draws faults for so long, about one a second beside those that the workers
// do to themselves.
func (r *faultRun) play(d time.Duration) {
	r.armed.Store(true)
	var deck []injector
	for over := time.Now().Add(d); time.Now().Before(over) && !r.t.Failed(); {
		pause(context.Background(), time.Duration(300+r.rng.IntN(900))*time.Millisecond)
		if len(deck) == 0 {
			deck = r.shuffled()
		}
		r.inject(deck[0])
		deck = deck[1:]
	}
}

// shuffled is a deck with as many cards of each fault as it weighs, so that none
// is left out for long.
func (r *faultRun) shuffled() (deck []injector) {
	only := regexp.MustCompile(os.Getenv("FALCONER_ONLY")) // for whoever looks into one of them
	for _, i := range injectors() {
		if (i.only == "" || i.only == r.cluster.kind()) && only.MatchString(i.name) {
			deck = append(deck, slices.Repeat([]injector{i}, i.weight)...)
		}
	}
	r.rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return deck
}

// inject makes one fault happen and counts it.
func (r *faultRun) inject(i injector) {
	r.event("%s", i.name)
	if err := i.inject(r); err != nil {
		r.event("%s: %v", i.name, err)
		return
	}
	r.happened(i.name)
}

// moment is a time to leave a fault standing.
func (r *faultRun) moment(least, most time.Duration) {
	pause(context.Background(), least+time.Duration(r.rng.Int64N(int64(most-least))))
}

// someWorker draws one of those that run.
func (r *faultRun) someWorker() *slot {
	up := r.fleet.up()
	return up[r.rng.IntN(len(up))]
}

func (r *faultRun) killWorker() error {
	r.someWorker().signal(syscall.SIGKILL)
	return nil
}

// stopWorker makes a zombie: a worker that sleeps, loses its partitions to a
// thief meanwhile or not, and wakes up with a commit half done.
func (r *faultRun) stopWorker() error {
	s := r.someWorker()
	s.signal(syscall.SIGSTOP)
	if r.rng.IntN(2) == 0 {
		r.stealFrom(s.id)
	}
	r.moment(300*time.Millisecond, 2*time.Second)
	s.signal(syscall.SIGCONT)
	return nil
}

func (r *faultRun) twinWorker() error {
	return r.someWorker().twin(time.Duration(500+r.rng.IntN(2500)) * time.Millisecond)
}

// stepClock restarts a worker, whose clock then steps.
func (r *faultRun) stepClock(step string) error {
	s := r.someWorker()
	s.before("FALCONER_CLOCK=" + step)
	s.signal(syscall.SIGKILL)
	return nil
}

func (r *faultRun) rescale() error {
	n := []int{1, 8, 2, 3}[r.rng.IntN(4)]
	sig := []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[r.rng.IntN(2)]
	if n == len(r.fleet.up()) {
		n++
	}
	r.event("%d workers, %s to those that are too many", n, sig)
	r.fleet.scale(n, sig)
	return nil
}

func (r *faultRun) rollWorkers() error {
	for _, s := range r.fleet.up() {
		s.lower(syscall.SIGTERM)
		s.raise()
		r.moment(100*time.Millisecond, 600*time.Millisecond)
	}
	return nil
}

func (r *faultRun) stealSome() error {
	for range 1 + r.rng.IntN(4) {
		r.steal(r.rng.IntN(partitions))
	}
	return nil
}

// steal writes the fence of a partition as a worker does that takes it over, and
// does nothing with it.
func (r *faultRun) steal(partition int) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	subject := subjects.Cursor(partition)
	msg, err := r.js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+subjects.OutputStream, fmt.Appendf(nil, `{"last_by_subj":%q}`, subject))
	if err != nil {
		return
	}
	var got struct {
		Message struct {
			Seq  uint64 `json:"seq"`
			Data []byte `json:"data"`
		} `json:"message"`
	}
	if json.Unmarshal(msg.Data, &got) != nil || got.Message.Seq == 0 {
		return
	}
	c := decoded[map[string]json.RawMessage](got.Message.Data)
	c["epoch"] = fmt.Append(nil, decoded[uint64](c["epoch"])+1)
	c["owner"] = []byte(`"thief"`)
	data, _ := json.Marshal(c)
	_, err = r.js.Publish(ctx, subject, data, jetstream.WithExpectLastSequencePerSubject(got.Message.Seq), jetstream.WithRetryAttempts(0))
	r.event("partition %d stolen: %v", partition, err)
}
