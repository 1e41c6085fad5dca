package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/broker/brokertest"
	"falconer/processor/stream"
	"falconer/subjects"
)

// book is the least knowledge that makes every kind of output: severity by
// priority, one task an incident, a short window.
type book struct{ idle time.Duration }

func (b book) Identity(*processor.Alert) processor.Identity {
	return processor.Identity{Fields: []string{"proc.name", "workload"}, Idle: b.idle}
}

func (b book) Grade(a *processor.Alert) processor.Severity { return b.Judge(a).Severity }

func (book) Judge(a *processor.Alert) processor.Verdict {
	v := processor.Verdict{Category: "test", Confidence: "high", Playbook: "test@1", Match: "rule"}
	v.Why = []processor.Contribution{processor.BasePoints(a.Priority)}
	v.Score, v.Severity = processor.Score(v.Why)
	return v
}

func (book) Advise(*processor.Alert) processor.Advice {
	return processor.Advice{
		Title: "Test", Meaning: []processor.Text{processor.Say("A test.")}, Next: processor.Say("Nothing."),
		Mitigations: []processor.Mitigation{{ID: "look", Title: "Look", Kind: processor.Investigate, Horizon: processor.Now, Risk: processor.ReadOnly}},
	}
}

// setup starts a broker and makes the streams.
func setup(t *testing.T, layout subjects.Layout) (jetstream.JetStream, func() jetstream.JetStream) {
	t.Helper()
	b := brokertest.Start(t)
	connect := func() jetstream.JetStream { return brokertest.JetStream(t, b) }
	js := connect()
	_, err := stream.Setup(t.Context(), js, layout)
	require.NoError(t, err)
	return js, connect
}

func logger() zerolog.Logger {
	if os.Getenv("FALCONER_TEST_LOG") != "" {
		return zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: "15:04:05.000"}).With().Timestamp().Logger()
	}
	return zerolog.Nop()
}

// start runs a worker until the returned func is called, or the test ends.
func start(t *testing.T, cfg stream.Config) (stop func()) {
	t.Helper()
	cfg.Log = logger()
	w, err := stream.New(t.Context(), cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); require.NoError(t, <-done) })
	t.Cleanup(stop)
	return stop
}

// alert is the i-th alert of a stream with so many distinct processes.
func alert(i, distinct int) (subject string, data []byte) {
	rule := fmt.Sprintf("Rule %d", i%distinct%7)
	data, _ = json.Marshal(map[string]any{
		"rule": rule, "priority": "Warning", "source": "syscall", "hostname": "node-1", "time": "2026-01-02T03:04:05Z",
		"output_fields": map[string]any{"proc.name": fmt.Sprintf("p%d", i%distinct), "evt.time": 1767323045000000000 + i},
	})
	return "falco.warning." + processor.Slug(rule), data
}

// publish stores the first n alerts and returns when all are acknowledged.
func publish(t *testing.T, js jetstream.JetStream, n, distinct int) {
	t.Helper()
	publishFrom(t, js, 0, n, distinct)
}

// publishFrom stores the n alerts from the given one on.
func publishFrom(t *testing.T, js jetstream.JetStream, from, n, distinct int) {
	t.Helper()
	var futures []jetstream.PubAckFuture
	for i := range n {
		subject, data := alert(from+i, distinct)
		f, err := js.PublishAsync(subject, data)
		require.NoError(t, err)
		futures = append(futures, f)
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			require.NoError(t, err)
		}
	}
}

// outputs reads what the output stream holds of the given subjects.
func outputs(t *testing.T, js jetstream.JetStream, filter ...string) map[string][]byte {
	t.Helper()
	s, err := js.Stream(t.Context(), subjects.OutputStream)
	require.NoError(t, err)
	out := map[string][]byte{}
	for _, m := range stored(t, s, filter) {
		if len(m.Data()) > 0 {
			out[m.Subject()] = m.Data()
		}
	}
	return out
}

// stored reads all that a stream holds of the given subjects now, however long
// the server takes to deliver it.
func stored(t *testing.T, s jetstream.Stream, filter []string) (msgs []jetstream.Msg) {
	t.Helper()
	c, err := s.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: filter})
	require.NoError(t, err)
	info, err := c.Info(t.Context())
	require.NoError(t, err)
	for n := int(info.NumPending); len(msgs) < n; {
		batch, err := c.Fetch(min(500, n-len(msgs)), jetstream.FetchMaxWait(5*time.Second))
		require.NoError(t, err)
		for m := range batch.Messages() {
			msgs = append(msgs, m)
		}
		require.NoError(t, batch.Error())
	}
	return msgs
}

// totals adds up the partitions' stored totals.
func totals(t *testing.T, js jetstream.JetStream) processor.Totals {
	t.Helper()
	st, err := stream.Inspect(t.Context(), js)
	require.NoError(t, err)
	return st.Totals
}

// oracle folds the raw stream one message after the other, in one ledger for
// each partition, and returns every output by its subject.
func oracle(t *testing.T, js jetstream.JetStream, b processor.Book) map[string][]byte {
	t.Helper()
	raw, err := js.Stream(t.Context(), subjects.RawStream)
	require.NoError(t, err)
	info := raw.CachedInfo()
	n, err := subjects.PartitionsOf(info.Config)
	require.NoError(t, err)
	out := map[string][]byte{}
	for p := range n {
		l := processor.NewLedger(processor.Options{Book: b, Era: stream.Era(info.Created)})
		for _, m := range rawMessages(t, raw, p) {
			require.True(t, l.Fold(m, 1<<30))
		}
		ch := l.Take()
		for _, r := range ch.Reports {
			out[subjects.Report(r.Severity.String(), processor.Slug(r.Rule), r.Incident, r.Kind)] = encode(t, r)
		}
		for _, task := range ch.Tasks {
			out[subjects.Task(task.Severity.String(), string(task.Kind), task.Incident, task.Mitigation)] = encode(t, task)
		}
		for _, d := range ch.Dead {
			out[subjects.DeadLetter(d.Seq, stream.Era(info.Created))] = encode(t, d)
		}
	}
	return out
}

func rawMessages(t *testing.T, raw jetstream.Stream, p int) (out []processor.Message) {
	t.Helper()
	for _, m := range stored(t, raw, subjects.Raw(p, partitionsOf(t, raw))) {
		meta, err := m.Metadata()
		require.NoError(t, err)
		out = append(out, processor.Message{
			Seq: meta.Sequence.Stream, Time: meta.Timestamp.UTC(), Subject: subjects.Origin(m.Subject()),
			Data: m.Data(), Kind: kindOf(m.Subject(), p),
		})
	}
	return out
}

func partitionsOf(t *testing.T, raw jetstream.Stream) int {
	t.Helper()
	n, err := subjects.PartitionsOf(raw.CachedInfo().Config)
	require.NoError(t, err)
	return n
}

func kindOf(subject string, p int) processor.MessageKind {
	switch {
	case subjects.IsTick(subject):
		return processor.TickMessage
	case subjects.IsSilence(subject):
		return processor.SilenceMessage
	case subjects.IsForeign(subject, p):
		return processor.DropMessage
	}
	return processor.AlertMessage
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	data, err := stream.EncodeJSON(v)
	require.NoError(t, err)
	return data
}

// requireExact compares everything published with the oracle.
func requireExact(t *testing.T, js jetstream.JetStream, b processor.Book) {
	t.Helper()
	want, got := oracle(t, js, b), outputs(t, js, subjects.Reports, subjects.Tasks, subjects.DeadLetters)
	for s := range want {
		require.Equal(t, string(want[s]), string(got[s]), "%s", s)
	}
	for s := range got {
		require.Contains(t, want, s, "published, but the oracle has it not")
	}
}

// drained waits until the workers have folded n alerts.
func drained(t *testing.T, js jetstream.JetStream, n uint64) {
	t.Helper()
	require.Eventually(t, func() bool { return totals(t, js).In >= n }, time.Minute, 50*time.Millisecond)
	require.Equal(t, n, totals(t, js).In)
}

func TestOneWorkerPublishesWhatTheOracleFolds(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	b := book{}
	start(t, stream.Config{JS: connect(), Book: b})
	publish(t, js, 5000, 200)
	_, err := js.Publish(t.Context(), "falco.warning.broken", []byte("not json"))
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "falco.odd", []byte(`{"rule":"Odd","priority":"Error","output_fields":{"a":"b"}}`))
	require.NoError(t, err)
	drained(t, js, 5002)
	requireExact(t, js, b)
	sum := totals(t, js)
	require.True(t, sum.Balanced(), "%+v", sum)
	st, err := stream.Inspect(t.Context(), js)
	require.NoError(t, err)
	require.True(t, st.Balanced)
	require.EqualValues(t, 1, sum.Dead)
	require.EqualValues(t, 201, sum.Opened)
}

func TestIncidentsOfAQuietPartitionCloseOnce(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	b := book{idle: 1500 * time.Millisecond}
	start(t, stream.Config{JS: connect(), Book: b})
	publish(t, js, 300, 100)
	drained(t, js, 300)
	require.Eventually(t, func() bool { return totals(t, js).Closed == 100 }, 20*time.Second, 50*time.Millisecond)
	got := outputs(t, js, subjects.Reports)
	closed := 0
	for s := range got {
		name, err := subjects.ParseReport(s)
		require.NoError(t, err)
		if name.Kind == processor.KindClosed {
			closed++
		}
	}
	require.Equal(t, 100, closed)
}

func TestWorkersComeAndGoAndNothingIsCountedTwice(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	b := book{}
	run := func() func() { return start(t, stream.Config{JS: connect(), Book: b, Prefetch: 50}) }
	stopFirst := run()
	run()
	publish(t, js, 3000, 300)
	run()
	stopFirst()
	publish(t, js, 3000, 300)
	run()
	drained(t, js, 6000)
	sum := totals(t, js)
	require.EqualValues(t, 300, sum.Opened)
	requireExact(t, js, b)
}

func TestAWorkerWhoseConnectionsBreakLosesNothing(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	b := book{}
	mine := connect()
	start(t, stream.Config{JS: mine, Book: b})
	for i := range 5 {
		publish(t, js, 500, 50+i)
		require.NoError(t, mine.Conn().ForceReconnect())
	}
	drained(t, js, 2500)
	requireExact(t, js, b)
}

// What a connection that breaks had on its way is lost, and the server takes it
// for delivered: a partition in which nothing else comes would wait for ever.
func TestPartitionsAreTakenAnewWhenTheConnectionBreaks(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 4})
	mine := connect()
	start(t, stream.Config{JS: mine, Book: book{}})
	epoch := func(least uint64) func() bool {
		return func() bool {
			st, err := stream.Inspect(t.Context(), js)
			require.NoError(t, err)
			return !slices.ContainsFunc(st.Partitions, func(p stream.PartitionStatus) bool { return p.Epoch < least })
		}
	}
	require.Eventually(t, epoch(1), 20*time.Second, 50*time.Millisecond)
	require.NoError(t, mine.Conn().ForceReconnect())
	require.Eventually(t, epoch(2), 20*time.Second, 50*time.Millisecond)
}

func TestTwoWorkersThatBothOwnEverythingStayExact(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 2})
	b := book{}
	// Two workers of one name do not see each other, so each takes every partition.
	start(t, stream.Config{JS: connect(), Book: b, ID: "twin"})
	start(t, stream.Config{JS: connect(), Book: b, ID: "twin"})
	publish(t, js, 4000, 100)
	drained(t, js, 4000)
	requireExact(t, js, b)
}

func TestAUsersOwnStreamIsTheSource(t *testing.T) {
	b := brokertest.Start(t)
	js := brokertest.JetStream(t, b)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "MINE", Subjects: []string{"falco.>"}})
	require.NoError(t, err)
	_, err = stream.Setup(t.Context(), js, subjects.Layout{})
	require.ErrorContains(t, err, "stream MINE already has falco.>")
	_, err = stream.Setup(t.Context(), js, subjects.Layout{SourceStream: "MINE"})
	require.NoError(t, err)
	start(t, stream.Config{JS: brokertest.JetStream(t, b), Book: book{}})
	publish(t, js, 1000, 50)
	_, err = js.Publish(t.Context(), "falco.odd", []byte(`{"rule":"Odd","priority":"Error","output_fields":{"a":"b"}}`))
	require.NoError(t, err)
	drained(t, js, 1001)
	requireExact(t, js, book{})
}

func TestARecreatedRawStreamIsReadFromItsStart(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 4})
	start(t, stream.Config{JS: connect(), Book: book{}})
	publish(t, js, 500, 50)
	drained(t, js, 500)
	require.NoError(t, js.DeleteStream(t.Context(), subjects.RawStream))
	_, err := js.CreateStream(t.Context(), subjects.Layout{Partitions: 4}.WithDefaults().Raw())
	require.NoError(t, err)
	publish(t, js, 700, 50)
	drained(t, js, 1200)
	ids := map[string]bool{}
	for s := range outputs(t, js, subjects.Reports) {
		require.False(t, ids[s])
		ids[s] = true
	}
}

func TestAFullOutputStreamIsBackPressure(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 2, OutputMaxBytes: 4 << 20})
	start(t, stream.Config{JS: connect(), Book: book{}})
	publish(t, js, 2000, 2000)
	folded := func() uint64 { return totals(t, js).In }
	require.Eventually(t, func() bool { return folded() > 0 }, 20*time.Second, 50*time.Millisecond)
	require.Never(t, func() bool { return folded() == 2000 }, 2*time.Second, 100*time.Millisecond)
	s, err := js.Stream(t.Context(), subjects.OutputStream)
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	cfg.MaxBytes = 1 << 30
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	drained(t, js, 2000)
	requireExact(t, js, book{})
}

func TestReplayOfWhatIsCommittedGivesWhatWasPublished(t *testing.T) {
	js, connect := setup(t, subjects.Layout{Partitions: 4})
	b := book{idle: time.Second}
	start(t, stream.Config{JS: connect(), Book: b})
	publish(t, js, 300, 30)
	drained(t, js, 300)
	require.Eventually(t, func() bool { return totals(t, js).Closed == 30 }, 20*time.Second, 50*time.Millisecond)
	// What ticks caused must come out of a replay without them as well.
	raw, err := js.Stream(t.Context(), subjects.RawStream)
	require.NoError(t, err)
	require.NoError(t, raw.Purge(t.Context(), jetstream.WithPurgeSubject("falconer.tick.*")))
	again := map[string][]byte{}
	cursors, err := stream.Cursors(t.Context(), js)
	require.NoError(t, err)
	err = stream.Refold(t.Context(), js, processor.Options{Book: b}, stream.Raw{Upto: cursors}, func(_ int, ch processor.Changes) error {
		for _, r := range ch.Reports {
			again[stream.ReportSubject(&r)] = encode(t, r)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, outputs(t, js, subjects.Reports), again)
}

func TestEveryOutputStandsAtOneSequence(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	start(t, stream.Config{JS: connect(), Book: book{}})
	publish(t, js, 1000, 100)
	drained(t, js, 1000)
	s, err := js.Stream(t.Context(), subjects.OutputStream)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, m := range stored(t, s, []string{subjects.Reports, subjects.Tasks}) {
		id := m.Headers().Get(subjects.HeaderID)
		require.Equal(t, id, m.Headers().Get(nats.MsgIdHdr))
		require.NotEmpty(t, id)
		require.False(t, seen[id], id)
		seen[id] = true
		require.Equal(t, "168h0m0s", m.Headers().Get("Nats-TTL"))
	}
	require.Len(t, seen, 100*(1+1)+100)
}

func TestSetupNamesEachDifferenceAndChangesNothing(t *testing.T) {
	js := brokertest.JetStream(t, brokertest.Start(t))
	layout := subjects.Layout{}.WithDefaults()
	cfg := layout.Output()
	cfg.MaxMsgsPerSubject, cfg.AllowAtomicPublish = 3, false
	_, err := js.CreateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = stream.Setup(t.Context(), js, subjects.Layout{})
	require.ErrorContains(t, err, "max_msgs_per_subject is 3, want 1")
	require.ErrorContains(t, err, "allow_atomic is false, want true")
	s, err := js.Stream(t.Context(), subjects.OutputStream)
	require.NoError(t, err)
	require.EqualValues(t, 3, s.CachedInfo().Config.MaxMsgsPerSubject)
}

func TestSetupRefusesARawStreamThatLosesAlerts(t *testing.T) {
	for field, change := range map[string]func(*jetstream.StreamConfig){
		"max_msgs_per_subject is 5, want -1": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 },
		"no_ack is true, want false":         func(c *jetstream.StreamConfig) { c.NoAck = true },
		"discard is DiscardNew":              func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew },
	} {
		js := brokertest.JetStream(t, brokertest.Start(t))
		cfg := subjects.Layout{}.WithDefaults().Raw()
		change(&cfg)
		_, err := js.CreateStream(t.Context(), cfg)
		require.NoError(t, err)
		_, err = stream.Setup(t.Context(), js, subjects.Layout{})
		require.ErrorContains(t, err, field)
	}
}

func TestSetupRefusesMembersThatNeverLeave(t *testing.T) {
	js := brokertest.JetStream(t, brokertest.Start(t))
	_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: subjects.MembersBucket})
	require.NoError(t, err)
	_, err = stream.Setup(t.Context(), js, subjects.Layout{})
	require.ErrorContains(t, err, "bucket FALCONER_MEMBERS exists with other settings and was left as it is: max_age is 0s, want 15s")
	require.ErrorContains(t, err, "nats stream edit KV_FALCONER_MEMBERS")
}

func TestSetupLeavesLimitsToTheOperatorUnlessAsked(t *testing.T) {
	js := brokertest.JetStream(t, brokertest.Start(t))
	_, err := stream.Setup(t.Context(), js, subjects.Layout{RawMaxAge: time.Hour, Partitions: 4})
	require.NoError(t, err)
	made, err := stream.Setup(t.Context(), js, subjects.Layout{})
	require.NoError(t, err)
	require.Empty(t, made)
	_, err = stream.Setup(t.Context(), js, subjects.Layout{RawMaxAge: 2 * time.Hour})
	require.ErrorContains(t, err, "max_age is 1h0m0s, want 2h0m0s")
	_, err = stream.Setup(t.Context(), js, subjects.Layout{Partitions: 8})
	require.ErrorContains(t, err, "partitions is 4, want 8 (--partitions is for new streams: leave it out)")
}

// A sender must not be able to have its alert gone before anyone reads it.
func TestAnAlertWithATimeToLiveOfItsOwnIsRefused(t *testing.T) {
	js, _ := setup(t, subjects.Layout{Partitions: 1})
	m := nats.NewMsg("falco.warning.a_rule")
	m.Header.Set("Nats-TTL", "1s")
	_, err := js.PublishMsg(t.Context(), m)
	require.ErrorContains(t, err, "TTL")
}

func TestStatusIsToldWithoutTheMembersBucket(t *testing.T) {
	js, _ := setup(t, subjects.Layout{Partitions: 1})
	publish(t, js, 3, 3)
	require.NoError(t, js.DeleteKeyValue(t.Context(), subjects.MembersBucket))
	st, err := stream.Inspect(t.Context(), js)
	require.NoError(t, err)
	require.Empty(t, st.Members)
	require.EqualValues(t, 3, st.Lag)
}

// What several partitions have to commit together may be more than the server takes in
// one batch: each goes as a whole, in as many as it needs.
func TestACommitOfManyPartitionsGoesInSeveralBatches(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	b := book{}
	publish(t, js, 2400, 1200)
	start(t, stream.Config{JS: connect(), Book: b, CommitEvery: time.Second})
	drained(t, js, 2400)
	requireExact(t, js, b)
	require.EqualValues(t, 1200, totals(t, js).Opened)
	require.True(t, totals(t, js).Balanced())
}

// A worker reads all while it owns enough, and each partition by itself when others
// have come; each goes on where it was.
func TestReadersChangeWithoutLossOrRepetition(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	b := book{}
	start(t, stream.Config{JS: connect(), Book: b})
	stops := []func(){}
	for i := range 6 {
		publishFrom(t, js, 500*i, 500, 100)
		if i < 5 {
			stops = append(stops, start(t, stream.Config{JS: connect(), Book: b}))
		}
	}
	drained(t, js, 3000)
	for i, stop := range stops {
		stop()
		publishFrom(t, js, 3000+200*i, 200, 100)
	}
	drained(t, js, 4000)
	requireExact(t, js, b)
}
