package processor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// drops has another partition's alert about dropped calls come by.
func (f *feed) drops(after time.Duration, host string, n int) []string {
	f.seq++
	data := alertJSON(RuleDrops, epoch.Add(after), fields{"source": "internal", "hostname": host, "n_drops": fmt.Sprint(n)})
	return f.fold(Message{Seq: f.seq, Time: epoch.Add(after), Data: data, Kind: DropMessage})
}

func TestReportsSayWhenDroppedCallsOverlap(t *testing.T) {
	at := epoch.Add
	for _, row := range []struct {
		name  string
		drops func(f *feed)
		want  []Blindness
	}{
		{"none, nothing is said", func(*feed) {}, nil},
		{"while it is open", func(f *feed) { f.drops(10*time.Minute, "node-1", 7) }, []Blindness{{"node-1", at(10 * time.Minute), at(10 * time.Minute), 7, 1}}},
		{"several within ten minutes are one", func(f *feed) {
			f.drops(10*time.Minute, "node-1", 7)
			f.drops(20*time.Minute, "node-1", 5)
		}, []Blindness{{"node-1", at(10 * time.Minute), at(20 * time.Minute), 12, 2}}},
		{"further apart they are two", func(f *feed) {
			f.drops(10*time.Minute, "node-1", 7)
			f.drops(21*time.Minute, "node-1", 5)
		}, []Blindness{{"node-1", at(10 * time.Minute), at(10 * time.Minute), 7, 1}, {"node-1", at(21 * time.Minute), at(21 * time.Minute), 5, 1}}},
		{"on another host", func(f *feed) { f.drops(10*time.Minute, "node-2", 7) }, nil},
		{"of nothing", func(f *feed) { f.drops(10*time.Minute, "node-1", 0) }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFeed(t)
			f.shell(0, nil)
			row.drops(f)
			require.Equal(t, []string{"closed"}, f.tick(2*time.Hour))
			require.Equal(t, row.want, f.last().Occurrences.Blind)
			require.EqualValues(t, 1, f.Cursor().Totals.In, "it is another partition's to count")
			if row.want == nil {
				require.Contains(t, f.last().Markdown, "If it dropped system calls at the time")
				return
			}
			require.Contains(t, f.last().Markdown, "Falco dropped system calls on `node-1` while this went on")
		})
	}
}

func TestDropsJustBeforeAnIncidentAreSaidWhenItOpens(t *testing.T) {
	for lead, want := range map[time.Duration]int{time.Second: 1, blindLead: 1, blindLead + time.Second: 0} {
		f := newFeed(t)
		f.drops(0, "node-1", 3)
		require.Equal(t, []string{"opened"}, f.shell(lead, nil))
		require.Len(t, f.last().Occurrences.Blind, want, lead)
	}
}

func TestThePartitionThatCountsDropsKnowsOfThemToo(t *testing.T) {
	f := newFeed(t)
	f.shell(0, nil)
	f.send(time.Minute, alertJSON(RuleDrops, epoch, fields{"source": "internal", "n_drops": "9"}))
	require.EqualValues(t, 2, f.Cursor().Totals.In)
	f.tick(3 * time.Hour)
	blind := 0
	for _, r := range f.got.Reports {
		if r.Kind == KindClosed && r.Rule == shellRule {
			blind = len(r.Occurrences.Blind)
		}
	}
	require.Equal(t, 1, blind)
}

func TestBlindnessIsBounded(t *testing.T) {
	f := newFeed(t)
	for i := range 3 * maxBlind {
		f.drops(time.Duration(i)*time.Second, fmt.Sprintf("node-%d", i), 1)
	}
	list := *f.got.Silences
	require.Len(t, list.Blind, maxBlind)
	require.Equal(t, fmt.Sprintf("node-%d", 3*maxBlind-1), list.Blind[maxBlind-1].Host, "the newest are kept")
	f.drops(30*time.Hour, "node-1", 1)
	require.Len(t, f.got.Silences.Blind, 1, "and the old forgotten")
}
