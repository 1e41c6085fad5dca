//go:build unix

package test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fleet is the workers of a run, each under a name of its own. One that ends is
// started again at once under the same name, so that its partitions are its own
// again and its fence has to take over what it left.
type fleet struct {
	t     *testing.T
	path  string
	args  []string
	env   []string // for every worker
	seed  uint64
	armed func() bool
	heard func(s *slot, line string)
	slots []*slot
}

// slot is the place of one worker.
type slot struct {
	fleet *fleet
	id    string
	rng   *rand.Rand // of its faults

	mu     sync.Mutex
	wanted bool
	next   []string // environment of the next start only
	odd    bool     // the worker that runs has such an environment
	proc   *process
	starts int
	last   []string // last words of those that ended
	idle   chan struct{}
}

// maxWorkers bounds a fleet.
const maxWorkers = 9

func newFleet(f fleet) *fleet {
	for i := range maxWorkers {
		s := &slot{fleet: &f, id: fmt.Sprintf("worker-%d", i+1), rng: rand.New(rand.NewPCG(f.seed, uint64(1000+i)))}
		f.slots = append(f.slots, s)
	}
	return &f
}

// up lists the workers that should run.
func (f *fleet) up() (out []*slot) {
	for _, s := range f.slots {
		if s.isWanted() {
			out = append(out, s)
		}
	}
	return out
}

// scale lets so many workers run; those too many are asked to end, or killed.
func (f *fleet) scale(n int, end syscall.Signal) {
	for _, s := range f.slots[:n] {
		s.raise()
	}
	for _, s := range f.slots[n:] {
		s.lower(end)
	}
}

func (s *slot) isWanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted
}

// raise starts the worker and keeps it running.
func (s *slot) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted {
		return
	}
	s.wanted, s.idle = true, make(chan struct{})
	go s.keep(s.idle)
}

// lower ends the worker for good, by the signal, and returns when it has ended.
func (s *slot) lower(sig syscall.Signal) {
	s.mu.Lock()
	idle, was := s.idle, s.wanted
	s.wanted = false
	s.mu.Unlock()
	if !was {
		return
	}
	s.signal(sig)
	select {
	case <-idle:
	case <-time.After(20 * time.Second):
		s.signal(syscall.SIGKILL)
		<-idle
	}
}

func (s *slot) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		s.proc.signal(sig)
	}
}

// keep runs the worker again and again while it is wanted.
func (s *slot) keep(idle chan struct{}) {
	defer close(idle)
	for {
		p := s.launch()
		if p == nil {
			return
		}
		began := time.Now()
		<-p.ended
		s.ended(p)
		if time.Since(began) < 500*time.Millisecond { // NATS is away
			time.Sleep(300 * time.Millisecond) //nolint:forbidigo // nothing tells when it is worth another try
		}
	}
}

func (s *slot) launch() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.wanted {
		return nil
	}
	p, err := s.spawn(s.environment())
	if err != nil {
		s.last = append(s.last, err.Error())
		return nil
	}
	s.proc, s.starts = p, s.starts+1
	return p
}

// spawn runs a worker of this name.
func (s *slot) spawn(env []string) (*process, error) {
	args := append([]string{"run", "--id", s.id}, s.fleet.args...)
	return launch(s.fleet.t, env, func(line string) { s.fleet.heard(s, line) }, s.id, s.fleet.path, args...)
}

func (s *slot) environment() []string {
	env := append(environment(s.fleet.t), s.fleet.env...)
	env = append(env, s.next...)
	s.next, s.odd = nil, len(s.next) > 0
	if s.fleet.armed() {
		env = append(env, "FALCONER_FAULT="+s.arm())
	}
	return env
}

// twin runs a second worker of this name for a time.
func (s *slot) twin(d time.Duration) error {
	s.mu.Lock()
	p, err := s.spawn(append(environment(s.fleet.t), s.fleet.env...))
	s.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(d):
	}
	p.kill()
	return nil
}

// before sets the environment of the worker's next start.
func (s *slot) before(env ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = env
}

// clocked calls fn if the worker's clock was made to step.
func (s *slot) clocked(fn func()) {
	s.mu.Lock()
	odd := s.odd
	s.mu.Unlock()
	if odd {
		fn()
	}
}

func (s *slot) ended(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	words := fmt.Sprintf("--- start %d of %s, ended with %v\n%s", s.starts, s.id, p.cmd.ProcessState, lastLines(unusual(p.log.String()), 40))
	s.last = append(s.last, words)
	s.last = s.last[max(0, len(s.last)-4):]
}

// words are the last that the workers of this name wrote.
func (s *slot) words() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.Join(s.last, "\n")
	if s.proc == nil {
		return "never started"
	}
	if s.proc.running() {
		text += fmt.Sprintf("\n--- start %d of %s, running\n%s", s.starts, s.id, lastLines(unusual(s.proc.log.String()), 60))
	}
	return text
}

// arm draws the next faults of this worker: none or some that it survives, then
// one that it does not.
func (s *slot) arm() string {
	var out []string
	base := 0
	for {
		point := []string{"fenced", "loading", "folded", "half", "sent", "acked"}[s.rng.IntN(6)]
		base += 1 + s.rng.IntN(map[string]int{"fenced": 5, "loading": 12}[point]+10)
		switch s.rng.IntN(10) {
		case 0, 1, 2:
			out = append(out, fmt.Sprintf("%s:%d:pause:%d", point, base, 300+s.rng.IntN(900)))
		case 3, 4:
			out = append(out, fmt.Sprintf("%s:%d:disconnect", point, base))
		default:
			return strings.Join(append(out, fmt.Sprintf("%s:%d:kill", point, base)), ",")
		}
	}
}

// unusual leaves out of a worker's log what it says of every report.
func unusual(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"message":"report"`) && !strings.Contains(line, "kept as a dead letter") {
			b.WriteString(line)
		}
	}
	return b.String()
}
