package processor

import (
	"cmp"
	"fmt"
	"time"
)

func (l *Ledger) fold(m *Message) {
	l.opts.Prepare(m)
	switch d := &m.digest; {
	case d.err != nil:
		l.bury(m, d.err)
	case d.heartbeat:
		l.cur.Totals.Internal++
	default:
		l.count(m)
	}
}

// count folds an understood alert.
func (l *Ledger) count(m *Message) {
	d := &m.digest
	in := l.incidents[string(d.fingerprint[:])]
	e, err := l.whole(m, in)
	if err != nil {
		l.bury(m, err)
		return
	}
	*l.enter(m, in, e)++
}

// enter adds the alert to its incident, which it may open.
func (l *Ledger) enter(m *Message, in *Incident, e *examined) *uint64 {
	if in == nil || in.Closed {
		in = l.begin(m, e, in)
	}
	l.touched[in.Fingerprint] = true
	return l.add(m, in, e)
}

// whole returns the alert whole if that is needed: its incident will keep something
// of it, or make a report of it, or there are silences to compare it with. Else it
// may be nil.
func (l *Ledger) whole(m *Message, in *Incident) (e *examined, err error) {
	d := &m.digest
	e = d.whole
	kept := in == nil || in.Closed || in.Count == 0 || len(in.Samples) < maxSamples || d.severity > in.Severity
	if e == nil && (kept || l.silences.any(l.cur.Time)) {
		if e, err = l.opts.unfold(d, m.Data); err != nil {
			return e, err
		}
	}
	if kept {
		err = l.opts.search(e)
	}
	return e, err
}

// add adds the alert to its incident. It returns the sum to which the alert belongs.
func (l *Ledger) add(m *Message, in *Incident, e *examined) *uint64 {
	d := &m.digest
	severity, seen := d.severity, d.seen
	if e != nil {
		severity, seen = e.severity, seenOf(e.alert, l.words)
		l.notice(e.alert)
	}
	if in.copied(d.time, d.hash) {
		in.Resent++
		return &l.cur.Totals.Resent
	}
	if by := l.silencing(e, severity); by != nil {
		l.silence(in, by)
		return &l.cur.Totals.Silenced
	}
	before := l.cur.Totals.Reports
	in.count(l.cur.Time, d.time, &seen)
	if len(in.Samples) < maxSamples {
		in.sample(m, e.alert)
	}
	switch {
	case in.Count == 1: // those before it, if any, were silenced
		in.Severity = severity
		if in.Silenced > 0 {
			in.keep(e.alert)
		}
		l.report(in, e.alert, KindOpened, l.cur.Time)
	case severity > in.Severity:
		in.Severity = severity
		in.keep(e.alert)
		in.Escalations++
		l.report(in, e.alert, fmt.Sprintf("%s%d", KindEscalated, in.Escalations), l.cur.Time)
	}
	if threshold(in.Count) {
		l.report(in, in.Alert(), fmt.Sprintf("x%d", in.Count), l.cur.Time)
	}
	if l.cur.Totals.Reports > before {
		return &l.cur.Totals.Reported
	}
	return &l.cur.Totals.Merged
}

// silencing finds the silence that holds for the alert, or nil.
func (l *Ledger) silencing(e *examined, severity Severity) *SilenceRecord {
	if e == nil {
		return nil // there is none, or the alert would be whole
	}
	return l.silences.silencing(e.alert, severity, l.cur.Time)
}

// silence counts an event that makes no report. It keeps its incident open.
func (l *Ledger) silence(in *Incident, by *SilenceRecord) {
	in.Silenced++
	in.prolong(l.cur.Time)
	by.Count++
	by.Last = l.cur.Time
	l.out.Silences = &l.silences
}

// begin opens an incident after old, the closed one of the same fingerprint or nil.
func (l *Ledger) begin(m *Message, e *examined, old *Incident) *Incident {
	fp := string(e.fingerprint[:])
	for name, v := range e.values {
		e.values[name] = l.words.keep(v)
	}
	in := &Incident{
		Schema: IncidentSchema, ID: incidentID(fp, m.Seq, l.opts.Era), Fingerprint: fp,
		Rule: l.words.keep(e.alert.Rule), Source: l.words.keep(e.alert.Source), Identity: e.values, Severity: e.severity,
		Opened: l.cur.Time, Reopen: l.opts.Reopen,
		Idle: orDefault(e.identity.Idle, DefaultIdle), Cap: orDefault(e.identity.Cap, DefaultCap),
	}
	switch {
	case old == nil:
	case old.Count > 0:
		in.Previous = old.ID
	default: // nobody has heard of it
		in.Previous = old.Previous
	}
	in.keep(e.alert)
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

// report adds a report of the incident, of which a is the evidence, and the tasks
// that it brings for the first time.
func (l *Ledger) report(in *Incident, a *Alert, kind string, at time.Time) {
	r := l.compose(in, a, kind, at)
	l.out.Reports = append(l.out.Reports, r)
	l.weight += 3 * len(r.Markdown)
	l.cur.Totals.Reports++
	if kind == KindClosed {
		return
	}
	tasks := newTasks(in, a, &r, &l.page)
	for _, t := range tasks {
		in.Tasks = append(in.Tasks, t.Mitigation)
		l.weight += 3 * len(t.Body)
	}
	l.out.Tasks = append(l.out.Tasks, tasks...)
	l.cur.Totals.Tasks += uint64(len(tasks))
}

// compose makes a report of the incident, and leaves it on the ledger's page.
func (l *Ledger) compose(in *Incident, a *Alert, kind string, at time.Time) Report {
	verdict, advice := l.explain(a)
	r := newReport(in, a, kind, at, verdict, advice, l.silences.during(in, at))
	r.Markdown = l.page.report(&r)
	return r
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

// bury records an alert that could not be understood.
func (l *Ledger) bury(m *Message, why error) {
	l.cur.Totals.Dead++
	l.out.Dead = append(l.out.Dead, NewDeadLetter(*m, why))
}
