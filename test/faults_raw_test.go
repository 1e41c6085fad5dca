//go:build unix

package test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// rawRecord collects the raw stream while it is written: it drops its oldest, and the
// stream may be made anew.
type rawRecord struct {
	js jetstream.JetStream

	mu     sync.Mutex
	tap    *tap
	born   time.Time // of the stream that is read now
	msgs   []rawMessage
	alerts int
	orders int
	begins uint64 // of the stream that is read now, when it was evicted
	gaps   gaps
	lost   int // alerts in them
}

// begin starts to collect the stream as it is now made.
func (r *rawRecord) begin() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := r.js.Stream(ctx, subjects.RawStream)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.born, r.begins = s.CachedInfo().Created.UTC(), 0
	r.tap = openTap(r.js, subjects.RawStream, nil, r.collect)
	return nil
}

// reading is the tap on the stream as it is now made.
func (r *rawRecord) reading() *tap {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tap
}

func (r *rawRecord) collect(m tapped) {
	r.mu.Lock()
	defer r.mu.Unlock()
	msg := rawMessage{born: r.born, seq: m.seq, at: m.at, subject: m.Subject(), data: m.Data()}
	r.msgs = append(r.msgs, msg)
	switch {
	case msg.silence():
		r.orders++
	case !msg.tick():
		r.alerts++
	}
}

// stored counts the alerts of all streams until now.
func (r *rawRecord) stored() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alerts
}

// readable counts those of them that could be read.
func (r *rawRecord) readable() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alerts - r.lost
}

// kept counts everything that somebody else than a worker has published.
func (r *rawRecord) kept() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alerts + r.orders
}

func (r *rawRecord) all() []rawMessage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.msgs)
}

// caughtUp reports whether everything that the stream holds is collected.
func (r *rawRecord) caughtUp() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := r.js.Stream(ctx, subjects.RawStream)
	return err == nil && r.reading().last.Load() >= s.CachedInfo().State.LastSeq
}

// check reads the stream once more and says what the record has otherwise:
// nothing, unless the server has changed what it had delivered.
func (r *rawRecord) check() (out []string) {
	mine := map[uint64]rawMessage{}
	for _, m := range r.all() {
		if m.born.Equal(r.born) && m.seq >= r.begins {
			mine[m.seq] = m
		}
	}
	again, err := readAll(r.js, subjects.RawStream)
	if err != nil {
		return []string{err.Error()}
	}
	for _, m := range again {
		old, known := mine[m.seq]
		switch {
		case !known && m.seq <= r.reading().last.Load():
			out = append(out, fmt.Sprintf("the raw stream delivers %s at sequence %d only now", m.Subject(), m.seq))
		case known && (old.subject != m.Subject() || !old.at.Equal(m.at) || !bytes.Equal(old.data, m.Data())):
			out = append(out, fmt.Sprintf("the raw stream holds another message at sequence %d than it has delivered", m.seq))
		}
		delete(mine, m.seq)
	}
	for seq, m := range mine {
		if !m.tick() {
			out = append(out, fmt.Sprintf("the raw stream has lost the alert at sequence %d that it had delivered", seq))
		}
	}
	return out
}
