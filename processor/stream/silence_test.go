package stream_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

func silence(t *testing.T, until time.Time, matchers ...string) processor.Silence {
	t.Helper()
	var list []processor.Matcher
	for _, text := range matchers {
		m, err := processor.ParseMatcher(text)
		require.NoError(t, err)
		list = append(list, m)
	}
	s, err := processor.NewSilence(list, "ops@example.org", "planned work", until)
	require.NoError(t, err)
	return s
}

func TestASilenceHoldsFromItsPlaceOnForAllWorkers(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 4})
	b := book{}
	stop := start(t, stream.Config{JS: connect(), Book: b})
	publishFrom(t, js, 0, 100, 20)
	quiet := silence(t, time.Now().Add(time.Hour), "proc.name=~p[0-4]", "rule=~Rule .*")
	place, err := stream.Order(t.Context(), js, processor.SilenceOrder{Add: &quiet})
	require.NoError(t, err)
	require.EqualValues(t, 101, place)
	again, err := stream.Order(t.Context(), js, processor.SilenceOrder{Add: &quiet})
	require.NoError(t, err)
	require.Equal(t, place, again, "ordered twice is ordered once")

	publishFrom(t, js, 100, 100, 20)
	drained(t, js, 200)
	stop()
	start(t, stream.Config{JS: connect(), Book: b}) // another owner reads the list that was stored
	publishFrom(t, js, 200, 100, 20)
	drained(t, js, 300)
	sum := totals(t, js)
	require.EqualValues(t, 2*25, sum.Silenced, "5 of 20 processes, 5 alerts each, twice")
	require.True(t, sum.Balanced(), "%+v", sum)

	_, err = stream.Order(t.Context(), js, processor.SilenceOrder{Expire: &processor.Expiry{ID: quiet.ID, Author: "me", Reason: "done"}})
	require.NoError(t, err)
	publishFrom(t, js, 300, 100, 20)
	drained(t, js, 400)
	require.EqualValues(t, 50, totals(t, js).Silenced)
	requireExact(t, js, b)

	list, err := stream.ListSilences(t.Context(), js)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.EqualValues(t, 50, list[0].Count)
	require.Equal(t, "me", list[0].Ended.Author)
	require.Equal(t, 4, list[0].Partitions)
	require.EqualValues(t, 101, list[0].Seq)
}

func TestAnIncidentOfSilencedAlertsOnlyMakesNoReport(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 1})
	b := book{idle: time.Second}
	quiet := silence(t, time.Now().Add(time.Hour), "proc.name=p0")
	_, err := stream.Order(t.Context(), js, processor.SilenceOrder{Add: &quiet})
	require.NoError(t, err)
	st, err := stream.Inspect(t.Context(), js)
	require.NoError(t, err)
	require.Zero(t, st.Lag, "an order is no alert that waits")
	start(t, stream.Config{JS: connect(), Book: b})
	publish(t, js, 30, 1)
	drained(t, js, 30)
	require.Eventually(t, func() bool { return totals(t, js).Closed == 1 }, 20*time.Second, 50*time.Millisecond)
	require.Empty(t, outputs(t, js, subjects.Reports, subjects.Tasks))
	var in processor.Incident
	for _, data := range outputs(t, js, subjects.States) {
		require.NoError(t, json.Unmarshal(data, &in))
	}
	require.EqualValues(t, 30, in.Silenced)
	require.Zero(t, in.Count)
}

func TestAnOrderThatIsWrongIsNotPublished(t *testing.T) {
	js, _ := setup(t, subjects.Layout{Partitions: 1})
	for name, order := range map[string]processor.SilenceOrder{
		"nothing":         {},
		"an id of no use": {Expire: &processor.Expiry{ID: "x.y", Author: "a", Reason: "r"}},
		"no author":       {Expire: &processor.Expiry{ID: "0123abcd", Reason: "r"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := stream.Order(t.Context(), js, order)
			require.Error(t, err)
		})
	}
	s, err := js.Stream(t.Context(), subjects.RawStream)
	require.NoError(t, err)
	require.Zero(t, s.CachedInfo().State.Msgs)
}

func TestAReplayKnowsSilencesWhoseOrdersHaveAgedOut(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 2})
	b := book{idle: time.Second}
	quiet := silence(t, time.Now().Add(time.Hour), "proc.name=p0")
	_, err := stream.Order(t.Context(), js, processor.SilenceOrder{Add: &quiet})
	require.NoError(t, err)
	start(t, stream.Config{JS: connect(), Book: b})
	publish(t, js, 30, 3)
	drained(t, js, 30)
	require.EqualValues(t, 10, totals(t, js).Silenced)
	raw, err := js.Stream(t.Context(), subjects.RawStream)
	require.NoError(t, err)
	require.NoError(t, raw.Purge(t.Context(), jetstream.WithPurgeSubject(subjects.Silences)))

	upto, err := stream.Cursors(t.Context(), js)
	require.NoError(t, err)
	var sum processor.Totals
	err = stream.Refold(t.Context(), js, processor.Options{Book: b}, stream.Raw{Upto: upto}, func(_ int, ch processor.Changes) error {
		sum = sum.Add(ch.Cursor.Totals)
		return nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 10, sum.Silenced)
}

// What Falco drops on a host is said in the reports of every partition: the alert
// about it is counted by one and read by all.
func TestDropsAreKnownToEveryPartition(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 16})
	b := book{}
	stop := start(t, stream.Config{JS: connect(), Book: b})
	publishFrom(t, js, 0, 40, 20)
	ack, err := js.Publish(t.Context(), "falco.debug.falco_internal_syscall_event_drop", []byte(
		`{"rule":"Falco internal: syscall event drop","priority":"Debug","source":"internal","hostname":"node-1","output_fields":{"n_drops":"12"}}`))
	require.NoError(t, err)
	m, err := js.Stream(t.Context(), subjects.RawStream)
	require.NoError(t, err)
	stored, err := m.GetMsg(t.Context(), ack.Sequence)
	require.NoError(t, err)
	require.Equal(t, "falconer.raw.1.debug.falco_internal_syscall_event_drop", stored.Subject, "where subjects.Raw looks for it")
	drained(t, js, 41)
	stop()
	start(t, stream.Config{JS: connect(), Book: b}) // another owner knows of it by what was stored
	publishFrom(t, js, 40, 160, 20)
	drained(t, js, 201)
	require.EqualValues(t, 201, totals(t, js).In)
	requireExact(t, js, b)
	said := 0
	for subject, data := range outputs(t, js, subjects.Reports) {
		var r processor.Report
		require.NoError(t, json.Unmarshal(data, &r))
		if name, _ := subjects.ParseReport(subject); name.Kind == "x10" {
			require.Len(t, r.Occurrences.Blind, 1, subject)
			said++
		}
	}
	require.Equal(t, 20, said)
}
