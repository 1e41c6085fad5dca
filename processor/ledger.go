package processor

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
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
// escalation, the tasks, a dead letter, and the state.
const perAlert = maxTasks + 4

// Options configures a Ledger.
type Options struct {
	// Book explains alerts. Required.
	Book Book
	// Era is part of every incident's id: it tells one life of the raw stream
	// from the next. Lower case letters and digits.
	Era string
	// Redaction defaults to RedactSecrets.
	Redaction Redaction
	// Reopen is how long after closing a fingerprint's return names the old
	// incident; zero means DefaultReopen.
	Reopen time.Duration
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
	out       Changes
	touched   map[string]bool
	open      int
	weight    int
}

// Cursor says how far a ledger has come. Stored together with the outputs, it
// makes their publication exact.
type Cursor struct {
	// Seq and RawTime are the sequence and broker time of the last folded message.
	Seq     uint64    `json:"seq"`
	RawTime time.Time `json:"raw_time,omitzero"`
	// Time is the highest broker time seen: the ledger's clock.
	Time time.Time `json:"time,omitzero"`
	// Mark is the last incident closed. An open state at or below it is a stale
	// revision of one that has closed.
	Mark   Mark   `json:"mark,omitzero"`
	Totals Totals `json:"totals"`
}

// Totals count what became of every alert: In = Reported + Merged + Resent +
// Internal + Dead, always.
type Totals struct {
	In       uint64 `json:"in"`       // alerts taken from the stream
	Reported uint64 `json:"reported"` // caused at least one report
	Merged   uint64 `json:"merged"`   // counted by an incident, no report due
	Resent   uint64 `json:"resent"`   // copies of an event counted before
	Internal uint64 `json:"internal"` // Falco's metrics snapshots
	Dead     uint64 `json:"dead"`     // could not be understood

	Opened  uint64 `json:"opened"` // incidents
	Closed  uint64 `json:"closed"` // incidents
	Reports uint64 `json:"reports"`
	Tasks   uint64 `json:"tasks"`
}

// Add returns the sum of t and o.
func (t Totals) Add(o Totals) Totals {
	return Totals{
		t.In + o.In, t.Reported + o.Reported, t.Merged + o.Merged, t.Resent + o.Resent, t.Internal + o.Internal,
		t.Dead + o.Dead, t.Opened + o.Opened, t.Closed + o.Closed, t.Reports + o.Reports, t.Tasks + o.Tasks,
	}
}

// Balanced reports whether every alert taken is accounted for.
func (t Totals) Balanced() bool {
	return t.In == t.Reported+t.Merged+t.Resent+t.Internal+t.Dead
}

// Changes are what became of the messages folded since the last Take. They must
// be stored together, or not at all.
type Changes struct {
	Cursor Cursor
	// Incidents are the states to store, in the order of their fingerprints.
	// They are the ledger's own: encode them before the next Fold.
	Incidents []*Incident
	// Forgotten are fingerprints whose stored state, if any, is to be dropped.
	Forgotten []string
	Reports   []Report
	Tasks     []Task
	Dead      []DeadLetter
}

// NewLedger returns an empty ledger.
func NewLedger(opts Options) *Ledger {
	if opts.Reopen == 0 {
		opts.Reopen = DefaultReopen
	}
	if opts.Redaction == "" {
		opts.Redaction = RedactSecrets
	}
	return &Ledger{opts: opts, incidents: map[string]*Incident{}, touched: map[string]bool{}}
}

// Restore puts a new ledger where the one that stored cur and the incidents
// was. It takes the incidents over. What is due already is settled by the next
// Fold or Settle, which keep to their room.
func (l *Ledger) Restore(cur Cursor, incidents []*Incident) {
	l.cur = cur
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
	return len(l.touched) + len(l.out.Reports) + len(l.out.Tasks) + len(l.out.Dead)
}

// Weight returns about how many bytes the pending outputs will take.
func (l *Ledger) Weight() int { return l.weight + 4<<10*len(l.touched) }

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
	if !m.Tick {
		l.cur.Totals.In++
		l.fold(m)
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
	l.report(in, KindClosed, in.End)
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

// examined is an alert with all that is known of it before any state changes.
type examined struct {
	alert       *Alert
	identity    Identity
	values      map[string]string
	fingerprint string
	hash        uint64
	sum         string
	verdict     Verdict
}

// examine does what may fail on a hostile alert or in a faulty playbook, and
// turns a panic into an error.
func (l *Ledger) examine(m Message) (e examined, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("analysis panicked: %v", p)
		}
	}()
	if e.alert, err = Decode(m.Data); err != nil || e.alert.Heartbeat() {
		return e, err
	}
	e.hash = eventHash(e.alert)
	e.identity = l.opts.Book.Identity(e.alert)
	e.fingerprint, e.values = Fingerprint(e.alert, e.identity)
	e.alert.redact(l.opts.Redaction)
	if l.opts.Redaction != RedactNothing {
		for name, v := range e.values {
			e.values[name] = hideField(name, v)
		}
	}
	e.verdict = l.opts.Book.Judge(e.alert)
	return e, nil
}

func (l *Ledger) fold(m Message) {
	e, err := l.examine(m)
	switch {
	case err != nil:
		l.bury(m, err)
	case e.alert.Heartbeat():
		l.cur.Totals.Internal++
	default:
		sum := sha256.Sum256(m.Data)
		e.sum = hex.EncodeToString(sum[:])
		l.count(m, e)
	}
}

// count folds an understood alert into its incident, which it may open.
func (l *Ledger) count(m Message, e examined) {
	in := l.incidents[e.fingerprint]
	l.touched[e.fingerprint] = true
	if in == nil || in.Closed {
		in = l.begin(m, e, in)
	}
	if in.copied(e.hash) {
		in.Resent++
		l.cur.Totals.Resent++
		return
	}
	before := l.cur.Totals.Reports
	in.count(m, l.cur.Time, e.alert, e.sum)
	switch {
	case in.Count == 1:
		l.report(in, KindOpened, l.cur.Time)
	case e.verdict.Severity > in.Severity:
		in.Severity, in.Evidence = e.verdict.Severity, e.alert
		in.Escalations++
		l.report(in, fmt.Sprintf("%s%d", KindEscalated, in.Escalations), l.cur.Time)
	}
	if threshold(in.Count) {
		l.report(in, fmt.Sprintf("x%d", in.Count), l.cur.Time)
	}
	if l.cur.Totals.Reports > before {
		l.cur.Totals.Reported++
		return
	}
	l.cur.Totals.Merged++
}

// begin opens an incident after old, the closed one of the same fingerprint or nil.
func (l *Ledger) begin(m Message, e examined, old *Incident) *Incident {
	in := &Incident{
		Schema: IncidentSchema, ID: incidentID(e.fingerprint, m.Seq, l.opts.Era), Fingerprint: e.fingerprint,
		Rule: e.alert.Rule, Source: e.alert.Source, Identity: e.values, Severity: e.verdict.Severity,
		Opened: l.cur.Time, Evidence: e.alert, Reopen: l.opts.Reopen,
		Idle: orDefault(e.identity.Idle, DefaultIdle), Cap: orDefault(e.identity.Cap, DefaultCap),
	}
	if old != nil {
		in.Previous = old.ID
	}
	in.Last, in.End = in.Opened, window(in.Opened, in.Opened, in.Idle, in.Cap)
	l.remember(in)
	l.cur.Totals.Opened++
	return in
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}

// report adds a report, and the tasks that it brings for the first time.
func (l *Ledger) report(in *Incident, kind string, at time.Time) {
	verdict, advice := l.explain(in.Evidence)
	r := newReport(in, kind, at, verdict, advice)
	l.out.Reports = append(l.out.Reports, r)
	l.weight += 3 * len(r.Markdown)
	l.cur.Totals.Reports++
	if kind == KindClosed {
		return
	}
	tasks := newTasks(in, &r)
	for _, t := range tasks {
		in.Tasks = append(in.Tasks, t.Mitigation)
		l.weight += 3 * len(t.Body)
	}
	l.out.Tasks = append(l.out.Tasks, tasks...)
	l.cur.Totals.Tasks += uint64(len(tasks))
}

// explain asks the book about the alert, and fills in what no report may lack.
func (l *Ledger) explain(a *Alert) (Verdict, Advice) {
	v, advice := l.ask(a)
	v.Confidence = cmp.Or(v.Confidence, "low")
	if v.Why == nil {
		v.Why = []Contribution{}
	}
	if len(advice.Meaning) == 0 {
		advice.Meaning = []Text{Say("The playbook does not say what this behaviour means.")}
	}
	return v, advice
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

// bury records an alert that could not be understood.
func (l *Ledger) bury(m Message, why error) {
	l.cur.Totals.Dead++
	l.out.Dead = append(l.out.Dead, NewDeadLetter(m, why))
}

// dueEntry is a place in the queue. Its due may be earlier than the incident's,
// never later: refresh corrects it when it comes to the front.
type dueEntry struct {
	due         time.Time
	id          string
	fingerprint string
}

type dueQueue []dueEntry

func (q dueQueue) Len() int      { return len(q) }
func (q dueQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q dueQueue) Less(i, j int) bool {
	return Mark{q[i].due, q[i].id}.compare(Mark{q[j].due, q[j].id}) < 0
}
func (q *dueQueue) Push(x any) { *q = append(*q, x.(dueEntry)) }
func (q *dueQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// refresh brings an entry to the front that is true: entries of incidents that
// were replaced are dropped, and those that lived on are put back.
func (q *dueQueue) refresh(incidents map[string]*Incident) {
	for len(*q) > 0 {
		front := (*q)[0]
		in := incidents[front.fingerprint]
		switch {
		case in == nil || in.ID != front.id:
			heap.Pop(q)
		case in.due().After(front.due):
			(*q)[0].due = in.due()
			heap.Fix(q, 0)
		default:
			return
		}
	}
}

// Snapshot returns a report of kind KindOpen for every open incident as it
// stands, in the order in which they opened. It changes nothing.
func (l *Ledger) Snapshot() []Report {
	var open []*Incident
	for _, in := range l.incidents {
		if !in.Closed {
			open = append(open, in)
		}
	}
	slices.SortFunc(open, func(a, b *Incident) int {
		return Mark{a.Opened, a.ID}.compare(Mark{b.Opened, b.ID})
	})
	reports := make([]Report, len(open))
	for i, in := range open {
		verdict, advice := l.explain(in.Evidence)
		reports[i] = newReport(in, KindOpen, l.cur.Time, verdict, advice)
	}
	return reports
}
