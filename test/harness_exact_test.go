//go:build unix

package test

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

// report is what the tests look at in a report.
type report struct {
	ID          string            `json:"id"`
	Kind        string            `json:"kind"`
	Incident    string            `json:"incident"`
	Identity    map[string]string `json:"identity"`
	Occurrences struct {
		Count   int            `json:"count"`
		Resent  int            `json:"resent"`
		Samples []sampleFields `json:"samples"`
	} `json:"occurrences"`
}

// requireExact waits until all is quiet and holds what was published against the
// first n alerts of a load, which are all that was stored.
func (s *system) requireExact(l load, n int) {
	s.t.Helper()
	events, copies, storedAlerts := l.counts(n)
	require.Equal(s.t, storedAlerts, s.storedAlerts(), "the test itself has stored something else")
	s.reached(fmt.Sprintf("%d alerts of %d are taken", storedAlerts, len(events)))
	st := s.quiet()
	s.reached(fmt.Sprintf("%d incidents are closed", st.Totals.Closed))
	require.Equal(s.t, storedAlerts, st.Totals.In)
	require.Equal(s.t, copies, st.Totals.Resent)
	st.Totals.requireAddUp(s)
	outputs := s.watch.outputs(st.Totals.Reports + st.Totals.Tasks + st.Totals.Dead)
	incidents := s.requireReports(outputs, st)
	s.requireCounted(incidents, events, copies)
	s.watch.requireForward()
	s.watch.requireValid()
	s.reached(fmt.Sprintf("%d outputs are exact", len(outputs)))
	s.requireReplaySame()
	s.reached("a replay makes the same")
}

// storedAlerts counts the alerts in the raw stream.
func (s *system) storedAlerts() int {
	s.t.Helper()
	c, err := s.js.CreateConsumer(s.t.Context(), subjects.RawStream, jetstream.ConsumerConfig{
		FilterSubjects: []string{"falconer.raw.>", subjects.Alerts}, AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: 10 * time.Second,
	})
	require.NoError(s.t, err)
	return int(c.CachedInfo().NumPending)
}

func (t totals) requireAddUp(s *system) {
	s.t.Helper()
	require.True(s.t, t.addUp(), "%+v", t)
	require.Equal(s.t, t.Opened, t.Closed, "%+v", t)
}

// requireReports checks the life of each incident, in the order of the outputs'
// sequences, and returns the last report of each.
func (s *system) requireReports(outputs []output, st status) map[string]report {
	s.t.Helper()
	lives, last := map[string][]string{}, map[string]report{}
	reports, tasks := 0, 0
	for _, o := range outputs {
		if name, err := subjects.ParseTask(o.subject); err == nil {
			tasks++
			require.Equal(s.t, name.Incident+"/task/"+name.Task, o.id())
			continue
		}
		name, err := subjects.ParseReport(o.subject)
		require.NoError(s.t, err)
		reports++
		var r report
		require.NoError(s.t, json.Unmarshal(o.data, &r))
		require.Equal(s.t, name.Incident+"/"+name.Kind, o.id())
		require.Equal(s.t, r.ID, o.id())
		lives[r.Incident], last[r.Incident] = append(lives[r.Incident], fmt.Sprint(r.Kind, " at ", r.Occurrences.Count)), r
	}
	require.Equal(s.t, st.Totals.Reports, reports)
	require.Equal(s.t, st.Totals.Tasks, tasks)
	require.Len(s.t, lives, st.Totals.Opened)
	for id, life := range lives {
		require.Equal(s.t, lifeOf(last[id].Occurrences.Count), life, "incident %s", id)
	}
	return last
}

// lifeOf is which reports an incident of so many alerts has, at which counts.
func lifeOf(count int) []string {
	life := []string{"opened at 1"}
	for x := 10; x <= count; x *= 10 {
		life = append(life, fmt.Sprintf("x%d at %d", x, x))
	}
	return append(life, fmt.Sprintf("closed at %d", count))
}

// requireCounted checks that each workload's incidents have counted each of its
// events once.
func (s *system) requireCounted(incidents map[string]report, events map[string]int, copies int) {
	s.t.Helper()
	counted, resent := map[string]int{}, 0
	for _, r := range incidents {
		counted[r.Identity["workload"]] += r.Occurrences.Count
		resent += r.Occurrences.Resent
	}
	require.Equal(s.t, events, counted)
	require.Equal(s.t, copies, resent)
}

// requireReplaySame folds the raw stream again and compares byte for byte.
func (s *system) requireReplaySame() {
	s.t.Helper()
	r := s.falconer("--rules", s.rules, "replay", "--diff")
	require.Zero(s.t, r.code, "%s%s", r.stdout, r.stderr)
	require.Contains(s.t, r.stderr, " 0 changed, 0 new,")
}
