//go:build unix

package test

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// maxState is how long a stored incident may be: its evidence is bounded by what
// is decoded of one alert, and the rest by its own limits.
const maxState = 48 << 10

// seenCursor is what the witness reads in a partition's cursor.
type seenCursor struct {
	Partition int       `json:"partition"`
	Epoch     uint64    `json:"epoch"`
	Owner     string    `json:"owner"`
	Created   time.Time `json:"created"`
	Seq       uint64    `json:"seq"`
	Read      uint64    `json:"read"`
	Time      time.Time `json:"time"`
	Mark      mark      `json:"mark"`
	Totals    totals    `json:"totals"`
	at        uint64    // its own sequence
}

type mark struct {
	End time.Time `json:"end"`
	ID  string    `json:"id"`
}

func (m mark) compare(o mark) int { return cmp.Or(m.End.Compare(o.End), cmp.Compare(m.ID, o.ID)) }

// seenState is what it reads in an incident's state.
type seenState struct {
	ID     string    `json:"id"`
	End    time.Time `json:"end"`
	Closed bool      `json:"closed"`
}

// witness sees every message of the output stream as it is written, holds what
// must hold at every moment, and keeps the outputs for the comparison at the end.
type witness struct {
	*tap
	watch *watch // whose schemas every output is held against

	mu      sync.Mutex
	trail   map[int][]seenCursor // the cursors of each partition
	states  map[string]bool      // subjects that hold a state
	written int                  // states
	largest int                  // of them
	outputs []output
	next    uint64 // sequence
	holes   uint64 // sequences that were overwritten before they were read
	broken  []string
}

func openWitness(t *testing.T, js jetstream.JetStream) *witness {
	t.Helper()
	w := &witness{watch: &watch{t: t, schemas: schemas(t)}, trail: map[int][]seenCursor{}, states: map[string]bool{}, next: 1}
	w.tap = openTap(js, subjects.OutputStream, nil, w.see)
	return w
}

func (w *witness) see(m tapped) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holes += m.seq - w.next
	w.next = m.seq + 1
	switch o := (output{m.Subject(), m.seq, m.Headers(), m.Data()}); {
	case strings.HasPrefix(o.subject, "falconer.cursor."):
		w.cursor(o)
	case strings.HasPrefix(o.subject, "falconer.incident."):
		w.state(o)
	case strings.HasPrefix(o.subject, "falconer.silenced."):
		if len(o.data) > 2*maxState {
			w.breaks("%s is %d bytes long", o.subject, len(o.data))
		}
	default:
		w.outputs = append(w.outputs, o)
		if err := w.watch.validate(o); err != nil {
			w.breaks("%v", err)
		}
	}
}

func (w *witness) breaks(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// cursor checks that nothing in a partition's cursor goes back, and that nobody
// writes in another owner's epoch.
func (w *witness) cursor(o output) {
	c := decoded[seenCursor](o.data)
	c.at = o.seq
	if n, _ := strconv.Atoi(strings.TrimPrefix(o.subject, "falconer.cursor.")); n != c.Partition {
		w.breaks("%s holds the cursor of partition %d", o.subject, c.Partition)
	}
	if trail := w.trail[c.Partition]; len(trail) > 0 {
		before := trail[len(trail)-1]
		switch {
		case c.Epoch < before.Epoch:
			w.breaks("partition %d went from epoch %d of %s back to %d of %s at sequence %d", c.Partition, before.Epoch, before.Owner, c.Epoch, c.Owner, o.seq)
		case c.Epoch == before.Epoch && c.Owner != before.Owner:
			w.breaks("partition %d: %s writes in epoch %d of %s at sequence %d", c.Partition, c.Owner, c.Epoch, before.Owner, o.seq)
		case c.Created.Equal(before.Created) && c.Seq < before.Seq:
			w.breaks("partition %d went from sequence %d back to %d at sequence %d", c.Partition, before.Seq, c.Seq, o.seq)
		case c.Mark.compare(before.Mark) < 0:
			w.breaks("partition %d went from mark %v back to %v at sequence %d", c.Partition, before.Mark, c.Mark, o.seq)
		case c.Time.Before(before.Time):
			w.breaks("the clock of partition %d went from %s back to %s at sequence %d", c.Partition, before.Time, c.Time, o.seq)
		}
	}
	if !c.Totals.addUp() {
		w.breaks("partition %d does not add up at sequence %d: %+v", c.Partition, o.seq, c.Totals)
	}
	w.trail[c.Partition] = append(w.trail[c.Partition], c)
}

// state checks that an open incident lies beyond the mark, and that states stay small.
func (w *witness) state(o output) {
	if len(o.data) == 0 {
		delete(w.states, o.subject)
		return
	}
	w.states[o.subject] = true
	w.written++
	w.largest = max(w.largest, len(o.data))
	s := decoded[seenState](o.data)
	partition, _, err := subjects.ParseState(o.subject)
	trail := w.trail[partition]
	switch {
	case err != nil:
		w.breaks("%v", err)
	case len(trail) == 0:
		if w.holes == 0 { // else a newer cursor took the place of the first before it was read
			w.breaks("%s stands before any cursor of partition %d", o.subject, partition)
		}
	case !s.Closed && (mark{s.End, s.ID}).compare(trail[len(trail)-1].Mark) <= 0:
		w.breaks("%s is open, ends at %s and lies behind the mark %v at sequence %d", s.ID, s.End, trail[len(trail)-1].Mark, o.seq)
	case len(o.data) > maxState:
		w.breaks("%s is %d bytes long", o.subject, len(o.data))
	}
}

// totals sums up what the newest cursors say.
func (w *witness) totals() (sum totals) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, trail := range w.trail {
		sum = sum.add(trail[len(trail)-1].Totals)
	}
	return sum
}

// owners is the newest owner of each partition.
func (w *witness) owners() map[int]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[int]string{}
	for p, trail := range w.trail {
		out[p] = trail[len(trail)-1].Owner
	}
	return out
}

// remembered counts the incidents that are stored.
func (w *witness) remembered() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.states)
}

// requireWhole checks that each commit stands whole: between two cursors of a
// partition lie as many of its outputs as the first one's totals rose by.
func (w *witness) requireWhole(partitionOf func(output) int) (out []string) {
	written := map[int][]uint64{}
	for _, o := range w.outputs {
		p := partitionOf(o)
		written[p] = append(written[p], o.seq)
	}
	for p := range maps.Keys(w.trail) {
		n, least := 0, 0
		for _, c := range w.trail[p] {
			for n < len(written[p]) && written[p][n] < c.at {
				n++
			}
			most := c.Totals.Reports + c.Totals.Tasks + c.Totals.Dead
			if n < least || n > most {
				out = append(out, fmt.Sprintf("partition %d has %d outputs before its cursor at sequence %d, which counts %d, and the one before it %d", p, n, c.at, most, least))
				break
			}
			least = most
		}
		if len(written[p]) != least {
			out = append(out, fmt.Sprintf("partition %d has %d outputs, and its cursor counts %d", p, len(written[p]), least))
		}
	}
	return out
}

// sameOutputs reports whether two messages are the same to a consumer.
func sameOutputs(a, b output) bool { return a.subject == b.subject && bytes.Equal(a.data, b.data) }
