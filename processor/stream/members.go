package stream

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"falconer/subjects"
)

// Member is a live worker's presence.
type Member struct {
	ID         string    `json:"id"`
	Host       string    `json:"host"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	Partitions []int     `json:"partitions"`
}

// assign returns the partitions that the worker should own among the members,
// by rendezvous hashing: when one comes or goes only its own part moves.
func assign(id string, members []string, partitions int) []int {
	var mine []int
	for p := range partitions {
		best := slices.MaxFunc(members, func(a, b string) int {
			x, y := weight(a, p), weight(b, p)
			if x == y {
				return slices.Compare([]byte(a), []byte(b))
			}
			if x < y {
				return -1
			}
			return 1
		})
		if best == id {
			mine = append(mine, p)
		}
	}
	return mine
}

func weight(id string, partition int) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%s", partition, id))
	return binary.BigEndian.Uint64(sum[:8])
}

// presence keeps this worker known and follows who else is. Being wrong costs
// work done twice, never exactness.
type presence struct {
	kv   jetstream.KeyValue
	now  func() time.Time
	log  zerolog.Logger
	mu   sync.Mutex
	self Member
	seen map[string]time.Time // by this worker's own clock
	// complete says that those who were there before this worker are known.
	complete bool
	// changed is signalled when the set of live members may have changed.
	changed chan struct{}
}

func newPresence(ctx context.Context, cfg Config) (*presence, error) {
	kv, err := cfg.JS.KeyValue(ctx, subjects.MembersBucket)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", subjects.MembersBucket, Explain(err))
	}
	host, _ := os.Hostname()
	return &presence{
		kv: kv, now: cfg.Now, log: cfg.Log, seen: map[string]time.Time{}, changed: make(chan struct{}, 1),
		self: Member{ID: cfg.ID, Host: host, PID: os.Getpid(), Started: cfg.Now().UTC(), Partitions: []int{}},
	}, nil
}

// run announces this worker every third of the time its presence lasts, and
// follows the others, until ctx ends; then it takes its leave.
func (p *presence) run(ctx context.Context) {
	renew := time.NewTicker(subjects.MemberTTL / 3)
	defer renew.Stop()
	p.announce(ctx)
	for ctx.Err() == nil {
		p.follow(ctx, renew.C)
	}
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := p.kv.Delete(leave, p.self.ID); err != nil {
		p.log.Debug().Err(err).Msg("presence not withdrawn; it ends by itself")
	}
}

// follow watches the bucket until the watch or ctx ends.
func (p *presence) follow(ctx context.Context, renew <-chan time.Time) {
	watch, err := p.kv.WatchAll(ctx)
	if err != nil {
		p.log.Warn().Err(err).Msg("members not watched; trying again")
		select {
		case <-ctx.Done():
		case <-renew:
			p.announce(ctx)
		}
		return
	}
	defer func() { _ = watch.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew:
			p.announce(ctx)
			p.expire()
		case e, ok := <-watch.Updates():
			if !ok {
				return
			}
			if e == nil { // the end of what the bucket held
				p.completed()
				continue
			}
			if e.Key() == p.self.ID {
				p.checkTwin(e.Value())
			}
			p.note(e.Key(), e.Operation() == jetstream.KeyValuePut)
		}
	}
}

func (p *presence) completed() {
	p.mu.Lock()
	p.complete = true
	p.mu.Unlock()
	p.signal()
}

// known reports whether it is known who else is there, so that this worker's
// share can be told; when nobody answers, after a time everybody is taken for gone.
func (p *presence) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.complete || p.now().Sub(p.self.Started) > subjects.MemberTTL
}

func (p *presence) announce(ctx context.Context) {
	p.mu.Lock()
	data, err := json.Marshal(p.self)
	p.mu.Unlock()
	if err == nil {
		_, err = p.kv.Put(ctx, p.self.ID, data)
	}
	if err != nil && ctx.Err() == nil {
		p.log.Warn().Err(err).Msg("presence not announced; others may take this worker's partitions")
	}
}

// checkTwin warns when another worker announces itself under this one's id: the
// two then take their partitions from each other without end. What was announced
// before this worker came is of one that is gone.
func (p *presence) checkTwin(announced []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var m Member
	if !p.complete || json.Unmarshal(announced, &m) != nil || m.Started.Equal(p.self.Started) && m.PID == p.self.PID && m.Host == p.self.Host {
		return
	}
	p.log.Error().Str("worker", m.ID).Str("host", m.Host).Int("pid", m.PID).
		Msg("another worker runs under this worker's id; what comes out stays exact, but they take partitions from each other without end: give each its own --id")
}

func (p *presence) note(id string, alive bool) {
	p.mu.Lock()
	_, known := p.seen[id]
	if alive {
		p.seen[id] = p.now()
	} else {
		delete(p.seen, id)
	}
	p.mu.Unlock()
	if known != alive {
		p.signal()
	}
}

// expire forgets members that were not heard of for their time.
func (p *presence) expire() {
	p.mu.Lock()
	before := len(p.seen)
	for id, at := range p.seen {
		if id != p.self.ID && p.now().Sub(at) > subjects.MemberTTL {
			delete(p.seen, id)
		}
	}
	gone := len(p.seen) != before
	p.mu.Unlock()
	if gone {
		p.signal()
	}
}

func (p *presence) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// members lists the live workers, this one always among them.
func (p *presence) members() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := []string{p.self.ID}
	for id := range p.seen {
		if id != p.self.ID {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// holds tells the others, with the next announcement, what this worker owns.
func (p *presence) holds(partitions []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.self.Partitions = partitions
}
