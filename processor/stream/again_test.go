package stream

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/broker/brokertest"
	"falconer/subjects"
)

const (
	poison  = `"rule": "Shell", "priority": "cut off on both si`
	poisons = "falco.warning.shell" // where it is published
)

// grave is a broker with one dead letter, of the only message in its raw stream.
type grave struct {
	*testing.T
	js  jetstream.JetStream
	seq uint64
}

// bury publishes an alert that nobody understands and has a worker bury it.
func bury(t *testing.T, layout subjects.Layout, subject, data string) grave {
	t.Helper()
	g := grave{T: t, js: brokertest.JetStream(t, brokertest.Start(t))}
	if layout.SourceStream != "" {
		_, err := g.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: layout.SourceStream, Subjects: []string{"falco.>"}})
		require.NoError(t, err)
	}
	_, err := Setup(t.Context(), g.js, layout)
	require.NoError(t, err)
	_, err = g.js.Publish(t.Context(), subject, []byte(data))
	require.NoError(t, err)
	g.seq = 1
	g.work("")
	return g
}

// work runs a worker until there is a letter for g.seq of another id than old.
func (g grave) work(old string) {
	g.Helper()
	w, err := New(g.Context(), Config{JS: g.js, Book: noBook{}})
	require.NoError(g, err)
	ctx, stop := context.WithCancel(g.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	require.Eventually(g, func() bool {
		l, err := readLetter(g.Context(), g.js, g.seq, "")
		return err == nil && l.id != old
	}, 20*time.Second, 10*time.Millisecond)
	stop()
	require.NoError(g, <-done)
}

// remake makes the raw stream anew. The server may give a stream that is made in
// the moment in which it was deleted its old messages again; then once more.
func (g grave) remake() {
	g.Helper()
	require.Eventually(g, func() bool {
		require.NoError(g, g.js.DeleteStream(g.Context(), subjects.RawStream))
		_, err := Setup(g.Context(), g.js, subjects.Layout{})
		require.NoError(g, err)
		s, err := g.js.Stream(g.Context(), subjects.RawStream)
		require.NoError(g, err)
		return s.CachedInfo().State.LastSeq == 0
	}, 10*time.Second, 10*time.Millisecond)
}

// steps takes what the steps of a replay need, to do some of them by hand.
func (g grave) steps(a *Again) (l letter, o original, home jetstream.Stream) {
	g.Helper()
	l, err := readLetter(g.Context(), g.js, g.seq, "")
	require.NoError(g, err)
	raw, home, err := a.streams(g.Context())
	require.NoError(g, err)
	o, err = l.original(g.Context(), g.js, Era(raw.CachedInfo().Created))
	require.NoError(g, err)
	return l, o, home
}

// copies counts the letter's alert in a stream, the first one included.
func (g grave) copies(stream string) (n int) {
	g.Helper()
	l, err := readLetter(g.Context(), g.js, g.seq, "")
	require.NoError(g, err)
	s, err := g.js.Stream(g.Context(), stream)
	require.NoError(g, err)
	c, err := s.OrderedConsumer(g.Context(), jetstream.OrderedConsumerConfig{})
	require.NoError(g, err)
	require.NoError(g, each(g.Context(), c, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		if l.is(m.Data()) {
			n++
		}
		return nil
	}))
	return n
}

func (g grave) raw() jetstream.Stream {
	g.Helper()
	s, err := g.js.Stream(g.Context(), subjects.RawStream)
	require.NoError(g, err)
	return s
}

// forgetIDs makes the server forget at once which message ids it has seen, so
// that nothing is exact by their grace.
func (g grave) forgetIDs(stream string) {
	g.Helper()
	s, err := g.js.Stream(g.Context(), stream)
	require.NoError(g, err)
	cfg := s.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond
	_, err = g.js.UpdateStream(g.Context(), cfg)
	require.NoError(g, err)
}

func TestALetterIsReplayedOnce(t *testing.T) {
	g := bury(t, subjects.Layout{}, poisons, poison)
	a := &Again{JS: g.js, By: "me"}
	rec, fresh, err := a.Replay(t.Context(), g.seq, "")
	require.NoError(t, err)
	require.True(t, fresh)
	require.EqualValues(t, 2, rec.RawSeq)
	m, err := at(t.Context(), g.js, subjects.RawStream, rec.RawSeq)
	require.NoError(t, err)
	require.Equal(t, poison, string(m.Data))
	require.Equal(t, poisons, subjects.Origin(m.Subject))
	first, err := at(t.Context(), g.js, subjects.RawStream, g.seq)
	require.NoError(t, err)
	require.Equal(t, first.Subject, m.Subject, "it meets its incident in the same partition")
	require.Equal(t, rec.ID, m.Header.Get(subjects.HeaderReplay))

	again, fresh, err := a.Replay(t.Context(), g.seq, "")
	require.NoError(t, err)
	require.False(t, fresh)
	require.Equal(t, rec, again)
	require.Equal(t, 2, g.copies(subjects.RawStream))

	stored, err := lastOf(t.Context(), g.js, subjects.OutputStream, subjects.Replay(g.seq, "*"))
	require.NoError(t, err)
	require.Equal(t, "672h0m0s", stored.Header.Get("Nats-TTL"), "as long as a letter")
	requireForm(t, ReplayedSchema, stored.Data)
	known, err := ListReplayed(t.Context(), g.js)
	require.NoError(t, err)
	require.Equal(t, map[string]Replayed{rec.ID: rec}, known)

	_, _, err = a.Replay(t.Context(), 99, "")
	require.EqualError(t, err, "there is no dead letter 99: it may have expired")
}

func requireForm(t *testing.T, name string, data []byte) {
	t.Helper()
	text, err := subjects.Schema(name)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("urn:x", doc))
	schema, err := c.Compile("urn:x")
	require.NoError(t, err)
	var v any
	require.NoError(t, json.Unmarshal(data, &v))
	require.NoError(t, schema.Validate(v))
}

// Each row is how far a run came before it crashed; the next one does the rest.
func TestAReplayThatCrashedIsFinishedByTheNext(t *testing.T) {
	for name, crash := range map[string]func(g grave, a *Again){
		"before anything": func(grave, *Again) {},
		"after the claim": func(g grave, a *Again) {
			l, o, home := g.steps(a)
			_, _, err := a.claim(g.Context(), l, o, home)
			require.NoError(g, err)
		},
		"after the claim, with others on the subject since": func(g grave, a *Again) {
			l, o, home := g.steps(a)
			_, _, err := a.claim(g.Context(), l, o, home)
			require.NoError(g, err)
			for range 3 {
				_, err = g.js.Publish(g.Context(), poisons, []byte("{}"))
				require.NoError(g, err)
			}
		},
		"after the alert was stored": func(g grave, a *Again) {
			l, o, home := g.steps(a)
			rec, _, err := a.claim(g.Context(), l, o, home)
			require.NoError(g, err)
			_, err = a.publish(g.Context(), l, o, rec, home)
			require.NoError(g, err)
		},
		"after the alert was stored, and the original was lost": func(g grave, a *Again) {
			l, o, home := g.steps(a)
			rec, _, err := a.claim(g.Context(), l, o, home)
			require.NoError(g, err)
			_, err = a.publish(g.Context(), l, o, rec, home)
			require.NoError(g, err)
			require.NoError(g, g.raw().DeleteMsg(g.Context(), g.seq))
		},
		"after the record was completed": func(g grave, a *Again) {
			_, fresh, err := a.Replay(g.Context(), g.seq, "")
			require.NoError(g, err)
			require.True(g, fresh)
		},
	} {
		for _, layout := range []subjects.Layout{{}, {SourceStream: "MINE"}} {
			t.Run(name+strings.TrimSuffix(" from "+layout.SourceStream, " from "), func(t *testing.T) {
				t.Parallel()
				home := subjects.RawStream
				if layout.SourceStream != "" {
					home = layout.SourceStream
				}
				g := bury(t, layout, poisons, poison)
				g.forgetIDs(home)
				crash(g, &Again{JS: g.js, By: "who crashed"})
				<-time.After(150 * time.Millisecond) // until the server has forgotten the message ids
				rec, _, err := (&Again{JS: g.js, By: "me"}).Replay(t.Context(), g.seq, "")
				require.NoError(t, err)
				m, err := at(t.Context(), g.js, subjects.RawStream, rec.RawSeq)
				require.NoError(t, err)
				require.Equal(t, poison, string(m.Data))
				require.Equal(t, rec.ID, m.Header.Get(subjects.HeaderReplay))
				want := 2
				if strings.Contains(name, "lost") && layout.SourceStream == "" {
					want = 1
				}
				require.Equal(t, want, g.copies(home))
				_, fresh, err := (&Again{JS: g.js}).Replay(t.Context(), g.seq, "")
				require.NoError(t, err)
				require.False(t, fresh)
				require.Equal(t, want, g.copies(home))
			})
		}
	}
}

func TestTwoThatReplayAtOnceReplayOnce(t *testing.T) {
	g := bury(t, subjects.Layout{}, poisons, poison)
	g.forgetIDs(subjects.RawStream)
	var running sync.WaitGroup
	var mu sync.Mutex
	seqs, first := map[uint64]bool{}, 0
	for range 8 {
		running.Go(func() {
			rec, fresh, err := (&Again{JS: g.js}).Replay(t.Context(), g.seq, "")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if seqs[rec.RawSeq] = true; fresh {
				first++
			}
		})
	}
	running.Wait()
	require.Equal(t, 1, first)
	require.Len(t, seqs, 1, "all are told the same place")
	require.Equal(t, 2, g.copies(subjects.RawStream))
}

// One that hung between looking and publishing comes back when another has done
// it, and the server no longer knows the message's id.
func TestAZombieReplaysNothing(t *testing.T) {
	g := bury(t, subjects.Layout{}, poisons, poison)
	a := &Again{JS: g.js}
	l, o, home := g.steps(a)
	rec, _, err := a.claim(t.Context(), l, o, home)
	require.NoError(t, err)
	last, seq, err := a.look(t.Context(), l, o, rec, home)
	require.NoError(t, err)
	require.Zero(t, seq)

	_, fresh, err := (&Again{JS: g.js}).Replay(t.Context(), g.seq, "")
	require.NoError(t, err)
	require.True(t, fresh)
	_, err = g.js.Publish(t.Context(), o.subject, o.data, jetstream.WithExpectLastSequencePerSubject(last))
	require.Equal(t, conflict, judge(err))
	require.Equal(t, 2, g.copies(subjects.RawStream))
}

func TestAReplayGetsThroughOnABusySubject(t *testing.T) {
	g := bury(t, subjects.Layout{}, poisons, poison)
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	busy.Go(func() {
		for ctx.Err() == nil {
			_, _ = g.js.Publish(ctx, poisons, []byte("{}"))
			<-time.After(time.Millisecond) // this is how busy it is
		}
	})
	_, fresh, err := (&Again{JS: g.js}).Replay(t.Context(), g.seq, "")
	stop()
	busy.Wait()
	require.NoError(t, err)
	require.True(t, fresh)
	require.Equal(t, 2, g.copies(subjects.RawStream))
}

// What a claim stands for may be gone again when it is looked for.
func TestAClaimWhoseAlertCannotBeLookedForIsLeft(t *testing.T) {
	g := bury(t, subjects.Layout{}, poisons, poison)
	a := &Again{JS: g.js, By: "who crashed"}
	l, o, home := g.steps(a)
	rec, _, err := a.claim(t.Context(), l, o, home)
	require.NoError(t, err)
	_, err = a.publish(t.Context(), l, o, rec, home)
	require.NoError(t, err)
	require.NoError(t, g.raw().Purge(t.Context()))
	_, _, err = a.Replay(t.Context(), g.seq, "")
	require.ErrorIs(t, err, errUnknown)
	require.ErrorContains(t, err, "claimed by who crashed at ")
	require.Zero(t, g.copies(subjects.RawStream))
}

func TestWhereTheAlertOfALetterIsFound(t *testing.T) {
	long := `{"rule":"` + strings.Repeat("x", processor.MaxDeadBytes) + `"`
	for name, row := range map[string]struct {
		subject, data string
		lost          bool
		want          string
	}{
		"in the raw stream": {poisons, poison, false, ""},
		"in the letter":     {poisons, poison, true, ""},
		"in the raw stream, too long for the letter": {poisons, long, false, ""},
		"only in part":                         {poisons, long, true, "the letter holds only the first 393216 of its 393226 bytes, and stream FALCO no longer holds the alert"},
		"under a subject that shows otherwise": {"falco.warning.a\u202eb", poison, false, ""},
		"under a subject that is lost":         {"falco.warning.a\u202eb", poison, true, `stands in the letter as "falco.warning.a\\u202eb" only`},
		"under a subject with a backslash":     {`falco.warning.a\b`, poison, true, "cannot be written"},
		"outside the partitions":               {"falco.odd", poison, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := bury(t, subjects.Layout{}, row.subject, row.data)
			if row.lost {
				require.NoError(t, g.raw().Purge(t.Context()))
			}
			rec, fresh, err := (&Again{JS: g.js, By: "me"}).Replay(t.Context(), g.seq, "")
			if row.want != "" {
				require.ErrorContains(t, err, row.want)
				_, err = lastOf(t.Context(), g.js, subjects.OutputStream, subjects.Replay(g.seq, "*"))
				require.ErrorIs(t, err, errNotFound, "nothing was claimed")
				return
			}
			require.NoError(t, err)
			require.True(t, fresh)
			m, err := at(t.Context(), g.js, subjects.RawStream, rec.RawSeq)
			require.NoError(t, err)
			require.Equal(t, row.data, string(m.Data))
			require.Equal(t, row.subject, subjects.Origin(m.Subject))
		})
	}
}

func TestAnAlertThatTheServerDoesNotTakeAnyMoreIsNotClaimed(t *testing.T) {
	g := bury(t, subjects.Layout{}, poisons, strings.Repeat("x", 1<<20-100))
	_, _, err := (&Again{JS: g.js, By: "me"}).Replay(t.Context(), g.seq, "")
	require.ErrorContains(t, err, "the alert has 1048476 bytes, and with its headers would pass the 1048576 that the server takes (max_payload)")
	_, err = lastOf(t.Context(), g.js, subjects.OutputStream, subjects.Replay(g.seq, "*"))
	require.ErrorIs(t, err, errNotFound)
}

// A raw stream that was made anew gives its sequences again: a letter of one life
// is not taken for a letter of another.
func TestLettersOfTwoLivesOfTheRawStream(t *testing.T) {
	g := bury(t, subjects.Layout{}, poisons, poison)
	a := &Again{JS: g.js, By: "me"}
	g.remake()
	_, err := g.js.Publish(t.Context(), "falco.error.other", []byte("{}"))
	require.NoError(t, err)

	rec, fresh, err := a.Replay(t.Context(), g.seq, "")
	require.NoError(t, err)
	require.True(t, fresh)
	require.EqualValues(t, 2, rec.RawSeq)
	m, err := at(t.Context(), g.js, subjects.RawStream, 2)
	require.NoError(t, err)
	require.Equal(t, poison, string(m.Data), "not what stands at its sequence now")

	g.remake()
	_, err = g.js.Publish(t.Context(), poisons, []byte("another"))
	require.NoError(t, err)
	g.work(rec.ID)
	other, fresh, err := a.Replay(t.Context(), g.seq, "")
	require.NoError(t, err)
	require.True(t, fresh, "the newest letter of the sequence is another one")
	require.NotEqual(t, rec.ID, other.ID)
	require.EqualValues(t, 2, other.RawSeq)

	era := strings.TrimPrefix(rec.ID, "dead/1-")
	old, fresh, err := a.Replay(t.Context(), g.seq, era)
	require.NoError(t, err, "the older letter is still there")
	require.False(t, fresh)
	require.Equal(t, rec, old)
}
