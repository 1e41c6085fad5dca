package processor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLedgerReportsWhatWasLost(t *testing.T) {
	f := newFeed(t)
	f.shell(0, nil)
	require.True(t, f.Lost(Gap{Partition: 3, First: 10, Last: 20, Messages: 7, Time: epoch.Add(time.Minute)}, MinRoom))
	require.True(t, f.Lost(Gap{Partition: 3, First: 30, Last: 40, Messages: 11, Time: epoch.Add(time.Minute)}, MinRoom))
	require.True(t, f.Lost(Gap{Partition: 4, First: 10, Last: 20, Messages: 7, Time: epoch.Add(time.Minute)}, MinRoom))
	ch := f.Take()
	require.Len(t, ch.Reports, 2, "one incident a partition")
	r := ch.Reports[0]
	require.Equal(t, RuleLost, r.Rule)
	require.Equal(t, KindOpened, r.Kind)
	require.Contains(t, r.Markdown, "Falconer's own rule")
	require.NotContains(t, r.Markdown, "intrusion")
	require.NotEqual(t, r.Incident, ch.Reports[1].Incident)
	require.Equal(t, "10-20", r.Occurrences.Samples[0].What)
	requireValid(t, schema(t, ReportSchema), ch.Reports...)
	requireValid(t, schema(t, IncidentSchema), ch.Incidents...)

	sum := ch.Cursor.Totals
	require.EqualValues(t, 3, sum.Gaps)
	require.EqualValues(t, 25, sum.Lost)
	require.EqualValues(t, 1, sum.In, "what was not read is not in the sums")
	require.True(t, sum.Balanced(), "%+v", sum)
}

func TestLedgerTellsOfAGapOnlyWithRoomForIt(t *testing.T) {
	f := newFeed(t)
	require.False(t, f.Lost(Gap{Messages: 1}, perAlert-1))
	require.Zero(t, f.Pending())
	require.Zero(t, f.Cursor().Totals.Gaps)
}

// failingBook fails on everything.
type failingBook struct{ Book }

func (failingBook) Identity(*Alert) Identity { panic("no identity") }

func (failingBook) Grade(*Alert) Severity { panic("no severity") }

func (failingBook) Judge(*Alert) Verdict { panic("no verdict") }

func (failingBook) Advise(*Alert) Advice { panic("no advice") }

func TestLedgerTellsOfAGapWhateverThePlaybooksDo(t *testing.T) {
	l := NewLedger(Options{Book: failingBook{}, Era: "era"})
	require.True(t, l.Lost(Gap{Partition: 1, First: 1, Last: 2, Messages: 2, Time: epoch}, MinRoom))
	ch := l.Take()
	require.Len(t, ch.Reports, 1)
	require.Equal(t, CriticalSeverity, ch.Reports[0].Severity)
}
