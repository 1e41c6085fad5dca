package processor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// oracle folds a stream the plain way: one message after the other, looking at
// every incident each time. It shares with the ledger what a single alert is
// (Decode, Fingerprint, eventHash, the book), and nothing of the state machine.
type oracle struct {
	now     time.Time
	open    map[string]*oracleIncident
	closed  map[string]*oracleIncident
	reports []string
	tasks   []string
	totals  Totals
	silent  map[string]oracleSilence
}

// oracleSilence is a silence that holds, or was ended before its time.
type oracleSilence struct {
	matchers []string
	until    time.Time
	ended    bool
}

type oracleIncident struct {
	id, fp, previous  string
	opened, last, end time.Time
	idle, cap         time.Duration
	count, resent     uint64
	silenced          uint64
	severity          Severity
	escalations       int
	evidence          *Alert
	recent            []uint64
	tasks             []string
}

func requireOracle(t *testing.T, msgs []Message, got story) {
	t.Helper()
	o := &oracle{open: map[string]*oracleIncident{}, closed: map[string]*oracleIncident{}, silent: map[string]oracleSilence{}}
	for _, m := range msgs {
		o.pass(m.Time)
		switch m.Kind {
		case AlertMessage:
			o.alert(m)
		case SilenceMessage:
			o.order(m)
		}
	}
	o.pass(epoch.AddDate(1, 0, 0))

	var reports, tasks []string
	for _, r := range got.reports {
		x := r.Occurrences
		reports = append(reports, oracleLine(r.ID, r.Severity, r.At, x.Opened, x.Last, x.End, x.Count, x.Resent, x.Silenced, r.Previous))
	}
	for _, task := range got.tasks {
		tasks = append(tasks, task.ID)
	}
	require.Equal(t, o.reports, reports)
	require.Equal(t, o.tasks, tasks)
	require.Len(t, got.Dead, int(o.totals.Dead))
	require.JSONEq(t, string(encode(t, o.totals)), totalsOf(t, got.End))
}

func oracleLine(id string, s Severity, at, opened, last, end time.Time, count, resent, silenced uint64, previous string) string {
	return fmt.Sprintf("%s %s at %s, %s to %s or %s, %d+%d+%d after %q", id, s, at, opened, last, end, count, resent, silenced, previous)
}

// pass moves the clock and closes what is over.
func (o *oracle) pass(at time.Time) {
	if at.After(o.now) {
		o.now = at
	}
	var over []*oracleIncident
	for _, in := range o.open {
		if !o.now.Before(in.end) {
			over = append(over, in)
		}
	}
	slices.SortFunc(over, func(a, b *oracleIncident) int {
		return cmp.Or(a.end.Compare(b.end), cmp.Compare(a.id, b.id))
	})
	for _, in := range over {
		o.totals.Closed++
		if in.count > 0 {
			o.report(in, "closed", in.end)
		}
		delete(o.open, in.fp)
		o.closed[in.fp] = in
	}
}

func (o *oracle) alert(m Message) {
	o.totals.In++
	a, err := Decode(m.Data)
	switch {
	case err != nil || a.Rule == bomb:
		o.totals.Dead++
		return
	case a.Heartbeat():
		o.totals.Internal++
		return
	}
	id := testBook{}.Identity(a)
	fp, _ := Fingerprint(a, id)
	in := o.open[fp]
	if in == nil {
		in = o.begin(fp, m.Seq, id)
	}
	hash := eventHash(a)
	if !a.Time.IsZero() && slices.Contains(in.recent, hash) {
		in.resent++
		o.totals.Resent++
		return
	}
	if !a.Time.IsZero() {
		in.recent = append(in.recent, hash)
	}
	if len(in.recent) > 64 {
		in.recent = in.recent[1:]
	}
	a.redact(RedactStandard)
	if o.quiet(a) {
		in.silenced++
		o.totals.Silenced++
		o.extend(in)
		return
	}
	o.count(in, a)
}

// order begins and ends silences; what cannot be read is passed over.
func (o *oracle) order(m Message) {
	for id, s := range o.silent {
		if !o.now.Before(s.until) {
			delete(o.silent, id)
		}
	}
	var order struct {
		Add *struct {
			ID       string
			Matchers []string
			Until    time.Time
		}
		Expire *struct{ ID string }
	}
	if json.Unmarshal(m.Data, &order) != nil {
		return
	}
	if order.Expire != nil {
		if s, ok := o.silent[order.Expire.ID]; ok {
			s.ended = true
			o.silent[order.Expire.ID] = s
		}
		return
	}
	if _, known := o.silent[order.Add.ID]; !known && o.now.Before(order.Add.Until) {
		o.silent[order.Add.ID] = oracleSilence{matchers: order.Add.Matchers, until: order.Add.Until}
	}
}

// quiet knows the matchers that the random streams use.
func (o *oracle) quiet(a *Alert) bool {
	user, _ := Derive(a, "user")
	holds := map[string]bool{
		"user=root":               user == "root",
		"k8s.ns.name!~ns[1-9]":    a.Fields["k8s.ns.name"] != "ns1",
		"priority=~Warning|Error": a.Priority == Warning || a.Priority == Error,
		"tag=container":           slices.Contains(a.Tags, "container"),
		"rule=" + burstRule:       a.Rule == burstRule,
		"source=syscall":          a.Source == "syscall",
	}
	for _, s := range o.silent {
		all := !s.ended && o.now.Before(s.until)
		for _, m := range s.matchers {
			all = all && holds[m]
		}
		if all {
			return true
		}
	}
	return false
}

func (o *oracle) begin(fp string, seq uint64, id Identity) *oracleIncident {
	in := &oracleIncident{fp: fp, opened: o.now, idle: cmp.Or(id.Idle, time.Hour), cap: cmp.Or(id.Cap, 24*time.Hour)}
	in.id = incidentID(fp, seq, "era")
	if old := o.closed[fp]; old != nil && o.now.Before(old.end.Add(testReopen)) {
		in.previous = old.id
		if old.count == 0 {
			in.previous = old.previous
		}
	}
	o.open[fp] = in
	o.totals.Opened++
	return in
}

func (o *oracle) count(in *oracleIncident, a *Alert) {
	in.count++
	o.extend(in)
	before, severity := len(o.reports), testBook{}.Judge(a).Severity
	switch {
	case in.count == 1:
		in.severity, in.evidence = severity, a
		o.report(in, "opened", o.now)
	case severity > in.severity:
		in.severity, in.evidence = severity, a
		in.escalations++
		o.report(in, fmt.Sprintf("escalated-%d", in.escalations), o.now)
	}
	for power := uint64(10); power <= in.count; power *= 10 {
		if power == in.count {
			o.report(in, fmt.Sprintf("x%d", power), o.now)
		}
	}
	if len(o.reports) > before {
		o.totals.Reported++
		return
	}
	o.totals.Merged++
}

func (o *oracle) extend(in *oracleIncident) {
	in.last, in.end = o.now, o.now.Add(in.idle)
	if latest := in.opened.Add(in.cap); in.end.After(latest) {
		in.end = latest
	}
}

func (o *oracle) report(in *oracleIncident, kind string, at time.Time) {
	o.totals.Reports++
	o.reports = append(o.reports, oracleLine(in.id+"/"+kind, in.severity, at, in.opened, in.last, in.end, in.count, in.resent, in.silenced, in.previous))
	if kind == "closed" || in.severity == Info || in.evidence.Rule == mute {
		return
	}
	for _, m := range (testBook{}).Advise(in.evidence).Mitigations {
		if !slices.Contains(in.tasks, m.ID) {
			in.tasks = append(in.tasks, m.ID)
			o.tasks = append(o.tasks, in.id+"/task/"+m.ID)
			o.totals.Tasks++
		}
	}
}

func totalsOf(t *testing.T, cursor string) string {
	var cur Cursor
	require.NoError(t, json.Unmarshal([]byte(cursor), &cur))
	return string(encode(t, cur.Totals))
}
