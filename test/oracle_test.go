//go:build unix

package test

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rawMessage is a message as the raw stream held it. Born is when that stream
// was made: there may be several, one after the other.
type rawMessage struct {
	born    time.Time
	seq     uint64
	at      time.Time
	subject string
	data    []byte
}

func (m rawMessage) tick() bool { return strings.HasPrefix(m.subject, "falconer.tick.") }

// silence reports whether the message is an order to silence or to listen again,
// which every partition folds at its position.
func (m rawMessage) silence() bool { return strings.HasPrefix(m.subject, "falconer.silence.") }

// drop reports whether the message is an alert about dropped system calls, which
// every partition reads and one counts.
func (m rawMessage) drop() bool {
	return strings.HasPrefix(m.subject, "falconer.raw.") && strings.HasSuffix(m.subject, "."+slug(ruleDrops))
}

// partition is where the message belongs, by its subject in the stream; -1 is
// everywhere. What the stream's transform left as it was belongs to 0.
func (m rawMessage) partition() int {
	token := strings.Split(m.subject, ".")
	switch {
	case m.silence():
		return -1
	case token[0] == "falconer" && (token[1] == "raw" || token[1] == "tick"):
		n, _ := strconv.Atoi(token[2])
		return n
	}
	return 0
}

// origin is the subject that it was published to.
func (m rawMessage) origin() string {
	if rest, ok := strings.CutPrefix(m.subject, "falconer.raw."); ok {
		_, rest, _ = strings.Cut(rest, ".")
		return "falco." + rest
	}
	return m.subject
}

// era names a raw stream by when it was made.
func era(born time.Time) string { return strconv.FormatInt(born.UnixMilli(), 36) }

// oracle folds the messages of one partition the plain way, one after the other,
// from what DESIGN.md promises. It keeps everything and shares no code with
// Falconer; what it cannot know, the texts, is left to the second fold.
type oracle struct {
	partition int
	reopen    time.Duration // how long a closed incident is remembered
	now       time.Time
	incidents map[string]*oracleIncident // open or closed, by fingerprint
	silences  []*oracleSilence
	totals    totals
	outputs   []prediction
}

type oracleIncident struct {
	f           reportFields // as the next report will say it
	rank        int          // of its severity
	escalations int
	recent      []string
	evidence    *seenAlert
	tasks       []string
	window      window
	closed      bool
}

// split gives each partition the messages that it has read.
func split(msgs []rawMessage, unread gaps) [][]rawMessage {
	out := make([][]rawMessage, partitions)
	for _, m := range msgs {
		for p := range out {
			if (m.partition() == p || m.partition() < 0 || m.drop()) && !unread.hides(p, m) {
				out[p] = append(out[p], m)
			}
		}
	}
	return out
}

// foldAll folds the messages of all partitions.
func foldAll(split [][]rawMessage, reopen time.Duration) []*oracle {
	out := make([]*oracle, partitions)
	for p := range out {
		out[p] = &oracle{partition: p, reopen: reopen, incidents: map[string]*oracleIncident{}}
		for _, m := range split[p] {
			out[p].fold(m)
		}
	}
	return out
}

func (o *oracle) fold(m rawMessage) {
	o.pass(m.at)
	a := readAlert(m.data)
	switch {
	case m.tick(), m.drop() && m.partition() != o.partition:
		return
	case m.silence():
		o.order(m)
		return
	case a == nil:
		o.totals.Dead++
		o.outputs = append(o.outputs, predictDead(m))
	case a.Rule == "Falco internal: metrics snapshot":
		o.totals.Internal++
	default:
		o.alert(m, a)
	}
	o.totals.In++
}

// pass moves the clock and closes what is over, in the order of end and id.
func (o *oracle) pass(at time.Time) {
	if at.After(o.now) {
		o.now = at
	}
	var over []*oracleIncident
	for _, in := range o.incidents {
		if !in.closed && !o.now.Before(in.f.Occurrences.End) {
			over = append(over, in)
		}
	}
	slices.SortFunc(over, func(a, b *oracleIncident) int {
		return cmp.Or(a.f.Occurrences.End.Compare(b.f.Occurrences.End), cmp.Compare(a.f.Incident, b.f.Incident))
	})
	for _, in := range over {
		in.closed = true
		o.totals.Closed++
		if in.f.Occurrences.Count > 0 { // else nobody has heard of it
			o.report(in, "closed", in.f.Occurrences.End)
		}
	}
}

func (o *oracle) alert(m rawMessage, a *seenAlert) {
	fingerprint, values := a.identity()
	in := o.incidents[fingerprint]
	if in == nil || in.closed {
		in = o.open(m, a, fingerprint, values, in)
	}
	if event := a.event(); event != "" {
		if slices.Contains(in.recent, event) {
			in.f.Occurrences.Resent++
			o.totals.Resent++
			return
		}
		in.recent = append(in.recent, event)
		in.recent = in.recent[max(0, len(in.recent)-64):]
	}
	in.prolong(o.now)
	if o.silenced(a) {
		in.f.Occurrences.Silenced++
		o.totals.Silenced++
		return
	}
	in.count(m, a)
	before := o.totals.Reports
	switch n := in.f.Occurrences.Count; {
	case n == 1:
		in.rank, in.evidence = a.severity(), a
		o.report(in, "opened", o.now)
	case a.severity() > in.rank:
		in.rank, in.evidence = a.severity(), a
		in.escalations++
		o.report(in, fmt.Sprintf("escalated-%d", in.escalations), o.now)
	}
	if power := strconv.FormatUint(in.f.Occurrences.Count, 10); len(power) > 1 && strings.Trim(power[1:], "0") == "" && power[0] == '1' {
		o.report(in, "x"+power, o.now)
	}
	if o.totals.Reports > before {
		o.totals.Reported++
		return
	}
	o.totals.Merged++
}

func (o *oracle) open(m rawMessage, a *seenAlert, fingerprint string, values map[string]string, old *oracleIncident) *oracleIncident {
	in := &oracleIncident{rank: a.severity(), evidence: a, window: a.window()}
	in.f = reportFields{
		Incident: fingerprint + "-" + strconv.FormatUint(m.seq, 36) + "-" + era(m.born), Fingerprint: fingerprint, Identity: values,
	}
	if old != nil && o.now.Before(old.f.Occurrences.End.Add(o.reopen)) {
		in.f.Previous = old.f.Incident
		if old.f.Occurrences.Count == 0 {
			in.f.Previous = old.f.Previous
		}
	}
	in.f.Occurrences.Opened = o.now
	o.incidents[fingerprint] = in
	o.totals.Opened++
	return in
}

// prolong has the incident end so long after now, but not beyond its longest time.
func (in *oracleIncident) prolong(now time.Time) {
	x := &in.f.Occurrences
	x.Last, x.End = now, now.Add(in.window.idle)
	if latest := x.Opened.Add(in.window.cap); latest.Before(x.End) {
		x.End = latest
	}
}

// count adds one more event to the figures.
func (in *oracleIncident) count(m rawMessage, a *seenAlert) {
	x := &in.f.Occurrences
	x.Count++
	if !a.Time.IsZero() && (x.FirstEvent.IsZero() || a.Time.Before(x.FirstEvent)) {
		x.FirstEvent = a.Time
	}
	if a.Time.After(x.LastEvent) {
		x.LastEvent = a.Time
	}
	if len(x.Samples) < 5 {
		sum := sha256.Sum256(m.data)
		x.Samples = append(x.Samples, sampleFields{m.seq, a.Time, hex.EncodeToString(sum[:]), a.field("proc.cmdline")})
	}
	for i, v := range []string{a.Hostname, a.field("k8s.pod.name"), a.derived("image"), a.field("user.name")} {
		if len(x.Seen) <= i {
			x.Seen = append(x.Seen, distinctFields{Kind: []string{"host", "pod", "image", "user"}[i]})
		}
		d := &x.Seen[i]
		switch {
		case slices.Contains(d.Values, v):
		case len(d.Values) < 10:
			d.Values = append(d.Values, v)
		default:
			d.More = true
		}
	}
}

func (o *oracle) report(in *oracleIncident, kind string, at time.Time) {
	o.totals.Reports++
	o.outputs = append(o.outputs, in.predictReport(kind, at))
	if kind == "closed" {
		return
	}
	for _, task := range mixTasks {
		if task.due(in.rank) && !slices.Contains(in.tasks, task.id) {
			in.tasks = append(in.tasks, task.id)
			o.totals.Tasks++
			o.outputs = append(o.outputs, in.predictTask(task, at))
		}
	}
}
