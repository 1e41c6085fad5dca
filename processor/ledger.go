package processor

import (
	"cmp"
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Defaults of the windows.
const (
	DefaultIdle   = time.Hour
	DefaultCap    = 24 * time.Hour
	DefaultReopen = 24 * time.Hour
)

// MinRoom is the smallest room that Fold may be given: more messages than one
// alert can ever cause.
const MinRoom = 64

// perAlert bounds the outputs of one alert: an opened or threshold report, an
// escalation, the tasks, a dead letter, the state, and the list of silences.
const perAlert = maxTasks + 5

// Options configures a Ledger.
type Options struct {
	// Book explains alerts. Required.
	Book Book
	// Era is part of every incident's id: it tells one life of the raw stream
	// from the next. Lower case letters and digits.
	Era       string
	Redaction Redaction
	// Reopen is how long after closing a fingerprint's return names the old
	// incident; zero means DefaultReopen.
	Reopen time.Duration
}

func (o Options) withDefaults() Options {
	o.Reopen = cmp.Or(o.Reopen, DefaultReopen)
	o.Redaction.Level = cmp.Or(o.Redaction.Level, RedactStandard)
	return o
}

// Ledger folds the alerts of one partition, in the order of their sequences,
// into incidents. Its outputs depend on the messages alone: not on when Take is
// called, nor on how often a ledger is restored from what Take returned.
//
// A Ledger may be used by one goroutine at a time.
type Ledger struct {
	opts      Options
	cur       Cursor
	incidents map[string]*Incident // open or still remembered, by fingerprint
	queue     dueQueue
	silences  Silences
	out       Changes
	touched   map[string]bool
	words     words
	page      page
	open      int
	weight    int
}

// NewLedger returns an empty ledger.
func NewLedger(opts Options) *Ledger {
	return &Ledger{opts: opts.withDefaults(), incidents: map[string]*Incident{}, touched: map[string]bool{}, words: words{}}
}

// Restore puts a new ledger where the one that stored cur and the incidents
// was. It takes the incidents over. What is due already is settled by the next
// Fold or Settle, which keep to their room.
func (l *Ledger) Restore(cur Cursor, incidents []*Incident, silences Silences) {
	l.cur, l.silences = cur, silences
	for _, in := range incidents {
		if !in.Closed && (Mark{in.End, in.ID}).compare(cur.Mark) <= 0 {
			in.slim()
		}
		l.remember(in)
	}
}

// Cursor returns how far the ledger has come, what is not taken yet included.
func (l *Ledger) Cursor() Cursor { return l.cur }

// Open returns how many incidents are open.
func (l *Ledger) Open() int { return l.open }

// Pending returns how many messages Take would give to store, the cursor's not
// counted; zero when nothing but the cursor may have moved.
func (l *Ledger) Pending() int {
	n := len(l.touched) + len(l.out.Reports) + len(l.out.Tasks) + len(l.out.Dead)
	if l.out.Silences != nil {
		n++
	}
	return n
}

// Weight returns about how many bytes the pending outputs will take.
func (l *Ledger) Weight() int {
	w := l.weight + 4<<10*len(l.touched)
	if l.out.Silences != nil {
		w += 1 << 10 * len(l.silences.List)
	}
	return w
}

// NextDue returns when the next open incident ends or the next closed one is
// forgotten, and false when there is none.
func (l *Ledger) NextDue() (time.Time, bool) {
	if l.queue.refresh(l.incidents); len(l.queue) == 0 {
		return time.Time{}, false
	}
	return l.queue[0].due, true
}

// Fold folds one message. It returns false, and has not folded it, when what is
// pending would pass room messages: Take then, and fold the same message again.
// Room must be at least MinRoom.
func (l *Ledger) Fold(m Message, room int) bool {
	if !l.Settle(m.Time, room) || l.Pending()+perAlert > room {
		return false
	}
	l.cur.Seq, l.cur.RawTime = m.Seq, brokerTime(m.Time)
	switch m.Kind {
	case AlertMessage:
		l.cur.Totals.In++
		l.fold(&m)
	case SilenceMessage:
		l.silences.obey(m, l.cur.Time)
		l.out.Silences = &l.silences
	case DropMessage: // another partition counts it
		if a, err := Decode(m.Data); err == nil {
			l.notice(a)
		}
	}
	return true
}

// Settle moves the ledger's clock to at, unless it is further already, and
// closes and forgets every incident that is due by then. It returns false when
// room ran out first: Take then, and settle again.
func (l *Ledger) Settle(at time.Time, room int) bool {
	if at = brokerTime(at); at.After(l.cur.Time) {
		l.cur.Time = at
	}
	for {
		l.queue.refresh(l.incidents)
		if len(l.queue) == 0 || l.queue[0].due.After(l.cur.Time) {
			return true
		}
		if l.Pending()+2 > room {
			return false
		}
		l.expire(heap.Pop(&l.queue).(dueEntry))
	}
}

// brokerTime is t without what differs between machines and is lost in JSON: the
// zone, and the reading of the monotonic clock.
func brokerTime(t time.Time) time.Time { return t.Round(0).UTC() }

// Take returns what has changed since the last Take and starts anew.
func (l *Ledger) Take() Changes {
	out := l.out
	out.Cursor = l.cur
	if out.Silences != nil {
		list := l.silences.clone()
		out.Silences = &list
	}
	for _, fp := range slices.Sorted(maps.Keys(l.touched)) {
		if in := l.incidents[fp]; in != nil {
			out.Incidents = append(out.Incidents, in)
			continue
		}
		out.Forgotten = append(out.Forgotten, fp)
	}
	l.out, l.touched, l.weight = Changes{}, map[string]bool{}, 0
	return out
}

// expire closes an open incident, or forgets a closed one.
func (l *Ledger) expire(e dueEntry) {
	in := l.incidents[e.fingerprint]
	l.touched[e.fingerprint] = true
	if in.Closed {
		delete(l.incidents, e.fingerprint)
		return
	}
	l.cur.Mark = Mark{in.End, in.ID}
	l.cur.Totals.Closed++
	if in.Count > 0 {
		l.report(in, in.Alert(), KindClosed, in.End)
	}
	l.open--
	in.slim()
	heap.Push(&l.queue, dueEntry{in.due(), in.ID, in.Fingerprint})
}

// remember makes in the state of its fingerprint.
func (l *Ledger) remember(in *Incident) {
	l.incidents[in.Fingerprint] = in
	heap.Push(&l.queue, dueEntry{in.due(), in.ID, in.Fingerprint})
	if !in.Closed {
		l.open++
	}
}

// ask asks the book. A playbook that fails must not cost the incident its
// report: what can be said without it is said.
func (l *Ledger) ask(a *Alert) (v Verdict, advice Advice) {
	defer func() {
		if p := recover(); p != nil {
			v.Notes = append(slices.Clip(v.Notes), Visible(fmt.Sprintf("the playbook failed on this alert: %v", p)))
			advice = Advice{
				Title:   "Alert without an explanation",
				Meaning: []Text{Say("The playbook for this rule failed on this alert, so only what the alert itself says stands below. Please report it.")},
				Next:    Say("Read the alert's own fields and decide by hand."),
			}
		}
	}()
	v = l.opts.Book.Judge(a)
	return v, l.opts.Book.Advise(a)
}

// Snapshot returns a report of kind KindOpen for every open incident as it
// stands, in the order in which they opened. It changes nothing.
func (l *Ledger) Snapshot() []Report {
	var open []*Incident
	for _, in := range l.incidents {
		if !in.Closed && in.Count > 0 {
			open = append(open, in)
		}
	}
	slices.SortFunc(open, func(a, b *Incident) int {
		return Mark{a.Opened, a.ID}.compare(Mark{b.Opened, b.ID})
	})
	reports := make([]Report, len(open))
	for i, in := range open {
		reports[i] = l.compose(in, in.Alert(), KindOpen, l.cur.Time)
	}
	return reports
}
