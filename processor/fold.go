package processor

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

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
	e.redact(l.opts.Redaction.Level)
	e.verdict = l.opts.Book.Judge(e.alert)
	if find := l.opts.Redaction.Find; find != nil && l.opts.Redaction.Level != RedactOff && l.keeps(e) {
		if found := e.alert.secrets(find); len(found) > 0 {
			e.redact(l.opts.Redaction.Level, found...)
			e.verdict = l.opts.Book.Judge(e.alert) // as it will be judged for the report
		}
	}
	return e, nil
}

// redact hides secrets in the alert and in the values of its identity. The
// fingerprint was made before: it shows nothing.
func (e *examined) redact(level RedactionLevel, found ...string) {
	e.alert.redact(level, found...)
	for name, v := range e.values {
		if shown := hideField(level, name, v, found); shown != v {
			e.values[name] = shown
		}
	}
}

// keeps reports whether the incident of the alert may keep something of it.
func (l *Ledger) keeps(e examined) bool {
	in := l.incidents[e.fingerprint]
	return in == nil || in.Closed || in.Count == 0 || len(in.Samples) < maxSamples || e.verdict.Severity > in.Severity
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
		l.notice(e.alert)
		*l.count(m, e)++
	}
}

// count folds an understood alert into its incident, which it may open. It
// returns the sum to which the alert belongs.
func (l *Ledger) count(m Message, e examined) *uint64 {
	in := l.incidents[e.fingerprint]
	l.touched[e.fingerprint] = true
	if in == nil || in.Closed {
		in = l.begin(m, e, in)
	}
	if in.copied(e.alert, e.hash) {
		in.Resent++
		return &l.cur.Totals.Resent
	}
	if by := l.silences.silencing(e.alert, e.verdict.Severity, l.cur.Time); by != nil {
		l.silence(in, by)
		return &l.cur.Totals.Silenced
	}
	before := l.cur.Totals.Reports
	in.count(m, l.cur.Time, e.alert, e.sum)
	switch {
	case in.Count == 1: // those before it, if any, were silenced
		in.Severity, in.Evidence = e.verdict.Severity, e.alert
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
		return &l.cur.Totals.Reported
	}
	return &l.cur.Totals.Merged
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
func (l *Ledger) begin(m Message, e examined, old *Incident) *Incident {
	in := &Incident{
		Schema: IncidentSchema, ID: incidentID(e.fingerprint, m.Seq, l.opts.Era), Fingerprint: e.fingerprint,
		Rule: e.alert.Rule, Source: e.alert.Source, Identity: e.values, Severity: e.verdict.Severity,
		Opened: l.cur.Time, Evidence: e.alert, Reopen: l.opts.Reopen,
		Idle: orDefault(e.identity.Idle, DefaultIdle), Cap: orDefault(e.identity.Cap, DefaultCap),
	}
	switch {
	case old == nil:
	case old.Count > 0:
		in.Previous = old.ID
	default: // nobody has heard of it
		in.Previous = old.Previous
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
	r := newReport(in, kind, at, verdict, advice, l.silences.during(in, at))
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

// bury records an alert that could not be understood.
func (l *Ledger) bury(m Message, why error) {
	l.cur.Totals.Dead++
	l.out.Dead = append(l.out.Dead, NewDeadLetter(m, why))
}
