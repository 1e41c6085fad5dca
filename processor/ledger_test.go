package processor

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// step is one message, and the kinds of the reports that must follow.
type step struct {
	after time.Duration // since the first
	over  fields        // of the alert
	want  []string
}

func TestLedgerReports(t *testing.T) {
	grave, graver := fields{"priority": "Error"}, fields{"priority": "Alert"}
	for _, row := range []struct {
		name  string
		steps []step
	}{
		{"the first alert opens at once", []step{{0, nil, []string{"opened"}}}},
		{"the same pod within the idle gap adds no report", []step{
			{0, nil, []string{"opened"}},
			{time.Minute, nil, nil},
			{59 * time.Minute, nil, nil},
		}},
		{"another replica of the workload adds no report", []step{
			{0, nil, []string{"opened"}},
			{time.Minute, fields{"k8s.pod.name": "web-7c5ddbdf54-zzzzz", "hostname": "node-2"}, nil},
		}},
		{"another workload opens its own", []step{
			{0, nil, []string{"opened"}},
			{time.Minute, fields{"k8s.pod.name": "api-7c5ddbdf54-x2v9k"}, []string{"opened"}},
		}},
		{"a graver alert escalates", []step{
			{0, nil, []string{"opened"}},
			{time.Minute, grave, []string{"escalated-1"}},
			{2 * time.Minute, nil, nil},
			{3 * time.Minute, grave, nil},
			{4 * time.Minute, graver, []string{"escalated-2"}},
		}},
		{"idle time counts from the last alert", []step{
			{0, nil, []string{"opened"}},
			{50 * time.Minute, nil, nil},
			{100 * time.Minute, nil, nil},
			{100*time.Minute + 59*time.Minute, nil, nil},
		}},
		{"an alert a nanosecond before the end belongs to the incident", []step{
			{0, nil, []string{"opened"}},
			{time.Hour - 1, nil, nil},
		}},
		{"an alert at the very end comes too late", []step{
			{0, nil, []string{"opened"}},
			{time.Hour, nil, []string{"closed", "opened"}},
		}},
		{"another incident's alert moves the clock for all", []step{
			{0, nil, []string{"opened"}},
			{61 * time.Minute, fields{"k8s.pod.name": "api"}, []string{"closed", "opened"}},
		}},
		{"a clock that goes back closes nothing and is not followed", []step{
			{0, nil, []string{"opened"}},
			{30 * time.Minute, nil, nil},
			{time.Minute, fields{"proc.cmdline": "late"}, nil},
			{89 * time.Minute, nil, nil},
		}},
		{"a severity that falls is no report", []step{
			{0, graver, []string{"opened"}},
			{time.Minute, nil, nil},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFeed(t)
			for i, s := range row.steps {
				require.Equal(t, s.want, f.shell(s.after, s.over), "message %d", i+1)
			}
		})
	}
}

func TestLedgerCapsAnIncidentThatNeverRests(t *testing.T) {
	f := newFeed(t)
	burst := func(after time.Duration) []string {
		return f.send(after, alertJSON(burstRule, epoch.Add(after), nil))
	}
	require.Equal(t, []string{"opened"}, burst(0))
	require.Nil(t, burst(9*time.Minute))
	require.Nil(t, burst(18*time.Minute))
	require.Nil(t, burst(25*time.Minute-1))
	require.Equal(t, []string{"closed", "opened"}, burst(25*time.Minute), "25 minutes are the rule's cap")
	closed := f.got.Reports[1]
	require.EqualValues(t, 4, closed.Occurrences.Count)
	require.Equal(t, epoch.Add(25*time.Minute), closed.At, "it closes at its end, whenever that is seen")
}

func TestLedgerThresholds(t *testing.T) {
	f := newFeed(t)
	got := map[int]string{}
	for i := 1; i <= 1000; i++ {
		if kinds := f.shell(time.Duration(i)*time.Second, nil); kinds != nil {
			got[i] = strings.Join(kinds, " ")
			require.EqualValues(t, i, f.last().Occurrences.Count)
		}
	}
	require.Equal(t, map[int]string{1: "opened", 10: "x10", 100: "x100", 1000: "x1000"}, got)
}

func TestThreshold(t *testing.T) {
	for count, want := range map[uint64]bool{
		0: false, 1: false, 9: false, 10: true, 11: false, 20: false, 99: false, 100: true, 110: false, 200: false,
		1000: true, 10_000_000: true, 10_000_001: false, 10_000_000_000_000_000_000: true, 1<<64 - 1: false,
	} {
		require.Equal(t, want, threshold(count), count)
	}
}

func TestLedgerEscalationAndThresholdAtOnce(t *testing.T) {
	f := newFeed(t)
	for i := range 9 {
		f.shell(time.Duration(i)*time.Second, nil)
	}
	require.Equal(t, []string{"escalated-1", "x10"}, f.shell(9*time.Second, fields{"priority": "Alert"}))
	require.EqualValues(t, 2, f.got.Cursor.Totals.Reported, "one alert, however many reports")
	require.Equal(t, CriticalSeverity, f.last().Severity)
	require.Equal(t, "Alert", f.last().Priority.String(), "reports are made of the gravest alert")
}

func TestLedgerEvidenceIsTheFirstOfTheGravest(t *testing.T) {
	f := newFeed(t)
	f.shell(0, fields{"proc.cmdline": "one"})
	f.shell(1*time.Second, fields{"proc.cmdline": "two", "priority": "Error"})
	f.shell(2*time.Second, fields{"proc.cmdline": "three", "priority": "Error"})
	f.shell(3*time.Second, fields{"proc.cmdline": "four"})
	f.tick(2 * time.Hour)
	require.Equal(t, KindClosed, f.last().Kind)
	require.Contains(t, f.last().Advice.Meaning[0].Plain(), "two")
	require.Equal(t, "one", f.last().Occurrences.Samples[0].What, "samples stay in the order of arrival")
	require.Len(t, f.last().Occurrences.Samples, 4)
}

func TestLedgerCountsCopiesApart(t *testing.T) {
	f := newFeed(t)
	event := func(after time.Duration, i int, uuid string) []string {
		return f.send(after, alertJSON(shellRule, epoch.Add(time.Duration(i)), fields{"uuid": uuid}))
	}
	event(0, 0, "a")
	require.Nil(t, event(time.Second, 0, "b"), "the other falcosidekick's copy")
	event(2*time.Second, 1, "c")
	require.Nil(t, event(3*time.Second, 0, "d"), "a copy that comes late")
	require.Equal(t, Totals{In: 4, Reported: 1, Merged: 1, Resent: 2, Opened: 1, Reports: 1, Tasks: 1}, f.got.Cursor.Totals)

	for i := 2; i < 9; i++ {
		event(4*time.Second, i, "e")
	}
	require.Equal(t, []string{"x10"}, event(5*time.Second, 9, "f"), "copies do not count towards thresholds")
	require.EqualValues(t, 10, f.last().Occurrences.Count)
	require.EqualValues(t, 2, f.last().Occurrences.Resent)
}

func TestLedgerRemembersTheNewestEvents(t *testing.T) {
	f := newFeed(t)
	event := func(i int) { f.send(time.Minute, alertJSON(shellRule, epoch.Add(time.Duration(i)), nil)) }
	for i := range maxRecent + 1 {
		event(i)
	}
	event(1)
	require.EqualValues(t, 1, f.Cursor().Totals.Resent, "one of the last 64 events is known again")
	event(0)
	require.EqualValues(t, 1, f.Cursor().Totals.Resent, "the 65th last is not: it is counted as an event of its own")
	require.EqualValues(t, maxRecent+2, f.got.Incidents[0].Count)
}

func TestLedgerCopyDoesNotKeepAnIncidentOpen(t *testing.T) {
	f := newFeed(t)
	data := alertJSON(shellRule, epoch, nil)
	f.send(0, data)
	f.send(59*time.Minute, data)
	require.Equal(t, []string{"closed"}, f.tick(time.Hour))
}

func TestLedgerReturn(t *testing.T) {
	for _, row := range []struct {
		name     string
		after    time.Duration // of the return, since the first alert; the incident ends after an hour
		previous bool
	}{
		{"a return right after closing names the incident before", time.Hour, true},
		{"a return within the reopen window names it", time.Hour + testReopen - 1, true},
		{"a return at the end of the window does not", time.Hour + testReopen, false},
		{"a return long after does not", 100 * time.Hour, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFeed(t)
			f.shell(0, nil)
			require.Equal(t, []string{"closed", "opened"}, f.shell(row.after, nil))
			first, again := f.got.Reports[0], f.last()
			require.NotEqual(t, first.Incident, again.Incident)
			require.Equal(t, first.Fingerprint, again.Fingerprint)
			require.Equal(t, map[bool]string{true: first.Incident}[row.previous], again.Previous)
			require.Equal(t, again.Previous, f.got.Tasks[1].Previous)
			require.Equal(t, f.got.Tasks[0].Key, f.got.Tasks[1].Key, "the ticket is found by its key either way")
			require.NotEqual(t, f.got.Tasks[0].ID, f.got.Tasks[1].ID)
		})
	}
}

func TestLedgerForgetsClosedIncidents(t *testing.T) {
	f := newFeed(t)
	f.shell(0, nil)
	due, ok := f.NextDue()
	require.True(t, ok)
	require.Equal(t, epoch.Add(time.Hour), due)

	require.Equal(t, []string{"closed"}, f.tick(time.Hour))
	require.Zero(t, f.Open())
	require.True(t, f.got.Incidents[0].Closed)
	require.Nil(t, f.got.Incidents[0].Evidence, "a closed state keeps only what a return needs")
	due, ok = f.NextDue()
	require.True(t, ok)
	require.Equal(t, epoch.Add(time.Hour+testReopen), due)

	require.Nil(t, f.tick(time.Hour+testReopen))
	require.Equal(t, []string{f.got.Reports[0].Fingerprint}, f.got.Forgotten)
	require.Empty(t, f.incidents)
	_, ok = f.NextDue()
	require.False(t, ok)
	require.Zero(t, f.Pending())
}

func TestLedgerTickIsNoAlert(t *testing.T) {
	f := newFeed(t)
	require.Nil(t, f.tick(0))
	require.Zero(t, f.Cursor().Totals)
	require.EqualValues(t, 1, f.Cursor().Seq)
	require.Equal(t, epoch, f.Cursor().Time)
}

func TestLedgerHeartbeatIsCountedAndNothingElse(t *testing.T) {
	f := newFeed(t)
	require.Nil(t, f.send(0, alertJSON(RuleSnapshot, epoch, fields{"source": "internal"})))
	require.Equal(t, Totals{In: 1, Internal: 1}, f.Cursor().Totals)
	require.Zero(t, f.Open())
	require.Equal(t, []string{"opened"}, f.send(1, alertJSON(RuleDrops, epoch, fields{"source": "internal"})), "drops are an incident")
}

func TestLedgerBuriesWhatItCannotUnderstand(t *testing.T) {
	for _, row := range []struct{ name, data, want string }{
		{"no JSON", "\x1b[2Jhello", "not a JSON object"},
		{"an empty message", "", "empty message"},
		{"a playbook that breaks", string(alertJSON(bomb, epoch, nil)), "analysis panicked: judge: no mercy"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFeed(t)
			require.Nil(t, f.send(time.Minute, []byte(row.data)))
			require.Equal(t, Totals{In: 1, Dead: 1}, f.Cursor().Totals)
			require.Zero(t, f.Open())
			dead := f.got.Dead[0]
			require.Contains(t, dead.Reason, row.want)
			require.Equal(t, dead.Reason, Visible(dead.Reason))
			require.Equal(t, row.data, string(dead.Raw))
			require.Equal(t, len(row.data), dead.Size)
			require.EqualValues(t, 1, dead.Seq)
			require.Equal(t, epoch.Add(time.Minute), dead.Time)
			require.Equal(t, "falco.notice.shell", dead.Subject)
			require.Equal(t, []string{"opened"}, f.shell(time.Minute, nil), "the next alert is folded as ever")
		})
	}
}

func TestDeadLetterIsBounded(t *testing.T) {
	f := newFeed(t)
	f.send(0, []byte(strings.Repeat("x", 2<<20)))
	dead := f.got.Dead[0]
	require.True(t, dead.Truncated)
	require.Len(t, dead.Raw, MaxDeadBytes)
	require.Equal(t, 2<<20, dead.Size)
	body, err := json.Marshal(dead)
	require.NoError(t, err)
	require.Less(t, len(body), 900<<10)
	text, utf8 := dead.Text()
	require.True(t, utf8)
	require.Len(t, text, MaxDeadBytes)
}

func TestLedgerSaysThatThePlaybookFailed(t *testing.T) {
	f := newFeed(t)
	require.Equal(t, []string{"opened"}, f.send(0, alertJSON(mute, epoch, nil)))
	r := f.last()
	require.Contains(t, r.Verdict.Notes, "the playbook failed on this alert: advise: lost for words")
	require.Contains(t, r.Markdown, "The playbook for this rule failed on this alert")
	require.Equal(t, 35, r.Verdict.Score, "the verdict stands")
	require.Empty(t, f.got.Tasks)
}

func TestLedgerReportsWithoutAWordFromThePlaybook(t *testing.T) {
	f := newFeed(t)
	f.send(0, alertJSON(wordless, epoch, fields{"output_fields": nil}))
	require.NotEmpty(t, f.last().Advice.Meaning)
	require.NotNil(t, f.last().Verdict.Why)
	require.Equal(t, "low", f.last().Verdict.Confidence)
	requireNoEmptySection(t, f.last().Markdown)
}

func TestLedgerMakesEachTaskOnce(t *testing.T) {
	f := newFeed(t)
	f.shell(0, nil)
	require.Equal(t, []string{"look"}, mitigations(f.got.Tasks))
	for i := 1; i < 10; i++ {
		f.shell(time.Duration(i)*time.Second, nil)
	}
	require.Equal(t, []string{"look"}, mitigations(f.got.Tasks), "x10 brings nothing new")
	f.shell(time.Minute, fields{"priority": "Critical"})
	require.Equal(t, []string{"look", "isolate"}, mitigations(f.got.Tasks), "escalation brings what the graver alert needs")
	f.tick(5 * time.Hour)
	require.Len(t, f.got.Tasks, 2, "closing brings none")
	require.EqualValues(t, 2, f.Cursor().Totals.Tasks)
}

func TestLedgerMakesNoTaskOfWhatIsOnlyWorthKnowing(t *testing.T) {
	f := newFeed(t)
	f.shell(0, fields{"priority": "Debug"})
	require.Equal(t, Info, f.last().Severity)
	require.NotEmpty(t, f.last().Advice.Mitigations)
	require.Empty(t, f.got.Tasks)
	f.shell(time.Second, nil)
	require.Equal(t, []string{"look"}, mitigations(f.got.Tasks), "once it is graver, it makes them")
}

func mitigations(tasks []Task) []string {
	var out []string
	for _, t := range tasks {
		out = append(out, t.Mitigation)
	}
	return out
}

func TestLedgerKeepsTotalsBalanced(t *testing.T) {
	f := newFeed(t)
	f.shell(0, nil)
	f.shell(0, nil)
	f.shell(time.Second, nil)
	f.send(time.Second, []byte("x"))
	f.send(time.Second, alertJSON(RuleSnapshot, epoch, nil))
	f.tick(2 * time.Hour)
	require.Equal(t, Totals{
		In: 5, Reported: 1, Merged: 1, Resent: 1, Internal: 1, Dead: 1, Opened: 1, Closed: 1, Reports: 2, Tasks: 1,
	}, f.Cursor().Totals)
	sum := f.Cursor().Totals.Add(f.Cursor().Totals)
	require.True(t, sum.Balanced())
	require.EqualValues(t, 10, sum.In)
	require.False(t, Totals{In: 1}.Balanced())
}

// A hostile stream cannot make a state grow without bound.
func TestLedgerBoundsAState(t *testing.T) {
	f := newFeed(t)
	for i := range 100 {
		long := fmt.Sprintf("%03d%s", i, strings.Repeat("\x01", 1500))
		f.send(time.Second, alertJSON(nothing, epoch.Add(time.Duration(i)), fields{
			"k8s.pod.name": long, "container.image.repository": long, "user.name": long, "proc.cmdline": long,
		}))
	}
	in := f.got.Incidents[0]
	require.EqualValues(t, 100, in.Count)
	require.Len(t, in.Samples, maxSamples)
	require.Len(t, in.Recent, maxRecent)
	for _, d := range in.Seen {
		require.LessOrEqual(t, len(d.Values), maxDistinct)
		require.Equal(t, d.Kind != "host", d.More, d.Kind)
	}
	body, err := json.Marshal(in)
	require.NoError(t, err)
	require.Less(t, len(body), 128<<10)
}

func TestLedgerRefusesWhatDoesNotFit(t *testing.T) {
	f := newFeed(t)
	room, folded := MinRoom, 0
	for seq := uint64(1); ; seq++ {
		data := alertJSON(shellRule, epoch, fields{"k8s.ns.name": fmt.Sprintf("ns%d", seq)})
		if !f.Fold(Message{Seq: seq, Time: epoch, Data: data}, room) {
			break
		}
		folded++
		require.LessOrEqual(t, f.Pending(), room)
		require.Positive(t, f.Weight())
	}
	require.EqualValues(t, folded, f.Cursor().Seq, "what was refused is not folded")
	require.EqualValues(t, folded, f.Cursor().Totals.In)
	require.Len(t, f.Take().Reports, folded)
	require.Zero(t, f.Pending())
	require.Zero(t, f.Weight())
}

func TestLedgerClosesManyInTheOrderOfTheirEnds(t *testing.T) {
	f := newFeed(t)
	for i := range 200 {
		f.shell(time.Duration(i%7)*time.Second, fields{"k8s.ns.name": fmt.Sprintf("ns%d", i)})
	}
	before := len(f.got.Reports)
	takes := 0
	for !f.Settle(epoch.Add(2*time.Hour), MinRoom) {
		require.LessOrEqual(t, f.Pending(), MinRoom)
		f.take()
		takes++
	}
	f.take()
	require.GreaterOrEqual(t, takes, 3)
	closed := f.got.Reports[before:]
	require.Len(t, closed, 200)
	for i, r := range closed {
		require.Equal(t, KindClosed, r.Kind)
		if i > 0 {
			p := closed[i-1]
			require.Negative(t, Mark{p.At, p.Incident}.compare(Mark{r.At, r.Incident}))
		}
	}
	last := closed[199]
	require.Equal(t, Mark{last.At, last.Incident}, f.Cursor().Mark)
}

func TestLedgerKeepsBrokerTimesInUTC(t *testing.T) {
	zone := time.FixedZone("here", 7200)
	f := newFeed(t)
	f.fold(Message{Seq: 1, Time: epoch.In(zone), Data: alertJSON(shellRule, epoch, nil)})
	f.fold(Message{Seq: 2, Time: epoch.In(zone), Data: []byte("x")})
	body, err := json.Marshal([]any{f.got.Cursor, f.got.Reports, f.got.Dead, f.got.Tasks})
	require.NoError(t, err)
	require.NotContains(t, string(body), "+02:00", "outputs must not depend on the machine's zone")
	require.Equal(t, epoch, f.Cursor().RawTime)
}

func TestLedgerSnapshotChangesNothing(t *testing.T) {
	f := newFeed(t)
	f.shell(0, nil)
	f.shell(time.Second, fields{"k8s.ns.name": "bank"})
	f.shell(2*time.Second, nil)
	before, pending := f.Cursor(), f.Pending()
	reports := f.Snapshot()
	require.Len(t, reports, 2)
	require.Equal(t, KindOpen, reports[0].Kind)
	require.EqualValues(t, 2, reports[0].Occurrences.Count)
	require.Contains(t, reports[1].Title, "bank/web")
	require.Equal(t, before, f.Cursor())
	require.Equal(t, pending, f.Pending())
}

func TestLedgerRedactsByDefault(t *testing.T) {
	secret := fields{"proc.cmdline": "mysql -uroot -phunter2", "user.name": "token=hunter2"}
	f := newFeed(t)
	f.shell(0, secret)
	all, err := json.Marshal([]any{f.got.Reports, f.got.Tasks, f.got.Incidents})
	require.NoError(t, err)
	require.NotContains(t, string(all), "hunter2")
	require.Contains(t, string(all), Redacted)

	open := NewLedger(Options{Book: testBook{}, Era: "era", Redaction: Redaction{Level: RedactOff}})
	require.True(t, open.Fold(Message{Seq: 1, Time: epoch, Data: alertJSON(shellRule, epoch, secret)}, MinRoom))
	require.Contains(t, open.Take().Reports[0].Markdown, "hunter2")
}

func TestLedgerTakesNoUndatedAlertForACopy(t *testing.T) {
	l := NewLedger(Options{Book: testBook{}, Era: "era"})
	undated := []byte(`{"rule":"r","priority":"Error","output_fields":{"proc.name":"sh"}}`)
	for seq := range uint64(3) {
		require.True(t, l.Fold(Message{Seq: seq + 1, Time: time.Unix(0, 0).UTC(), Data: undated}, MinRoom))
	}
	require.EqualValues(t, 0, l.Cursor().Totals.Resent)
	require.EqualValues(t, 3, l.Take().Incidents[0].Count)
}
