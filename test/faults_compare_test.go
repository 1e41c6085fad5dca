//go:build unix

package test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// maxDifferences bounds what a run tells that is not exact.
const maxDifferences = 30

// differences holds what Falconer has published against a sequential fold of
// what the raw stream held, and returns what is not as it must be: nothing.
func (r *faultRun) differences() []string {
	if err := r.wait(30*time.Second, "the outputs to be received", func() bool { return r.witness.caughtUp() }); err != nil {
		return []string{err.Error()}
	}
	r.witness.stop()
	out := slices.Concat(r.witness.broken, r.raw.check())
	at, err := r.stored()
	if err != nil {
		out = append(out, err.Error())
	}
	all, more := onceEach(r.witness.outputs, at)
	out = append(out, more...)
	messages := split(r.raw.all(), r.raw.gaps)
	oracles := foldAll(messages, r.reopen)
	got, news := takeNews(all)
	news.addTo(oracles, r.raw.gaps)
	out = append(out, news.differs(r.raw.gaps)...)
	out = append(out, r.sameTotals(oracles)...)
	out = append(out, compareOutputs(got, predictions(oracles))...)
	out = append(out, lives(r.witness.outputs)...)
	out = append(out, r.witness.requireWhole(homes(oracles, news))...)
	out = append(out, r.sameBytes(messages, got)...)
	if len(out) == 0 {
		out = append(out, r.bounded(len(all))...)
	}
	out = append(out, r.ghosts()...)
	if r.remade == 0 {
		out = append(out, r.replayDiffers()...)
	}
	return out
}

// predictions are the outputs of all partitions.
func predictions(oracles []*oracle) (out []prediction) {
	for _, o := range oracles {
		out = append(out, o.outputs...)
	}
	return out
}

// homes tells the partition of an output.
func homes(oracles []*oracle, n news) func(output) int {
	of := map[string]int{}
	for p, o := range oracles {
		for _, e := range o.outputs {
			of[e.id] = p
		}
	}
	return func(o output) int {
		if p, ok := of[o.id()]; ok {
			return p
		}
		incident, _, _ := strings.Cut(o.id(), "/")
		return n.of[incident]
	}
}

// caughtUp reports whether the witness has seen the newest message.
func (w *witness) caughtUp() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := w.js.Stream(ctx, subjects.OutputStream)
	return err == nil && w.last.Load() >= s.CachedInfo().State.LastSeq
}

// sameTotals compares the sums of every partition, and of "falconer status".
func (r *faultRun) sameTotals(oracles []*oracle) (out []string) {
	var sum totals
	for p, o := range oracles {
		sum = sum.add(o.totals)
		var have totals
		if trail := r.witness.trail[p]; len(trail) > 0 {
			have = trail[len(trail)-1].Totals
		}
		if have != o.totals {
			out = append(out, fmt.Sprintf("partition %d counts %+v, want %+v", p, have, o.totals))
		}
	}
	if sum.In != r.raw.readable() || !sum.addUp() {
		out = append(out, fmt.Sprintf("the oracle itself has counted %+v of %d alerts", sum, r.raw.readable()))
	}
	if kept, published := r.raw.kept(), r.feed.published(); kept < published {
		out = append(out, fmt.Sprintf("the raw stream has held %d messages, and has acknowledged %d", kept, published))
	}
	res := r.falconer("status", "--json")
	if res.code != 0 {
		return append(out, "falconer status: "+res.stderr)
	}
	if st := decoded[status]([]byte(res.stdout)); st.Totals != sum || st.Open != 0 || st.Lag != 0 {
		out = append(out, fmt.Sprintf("falconer status says %+v, want %+v with nothing open or waiting", st, sum))
	}
	return out
}

// stored reads at which sequences the output stream holds the outputs.
func (r *faultRun) stored() (map[string]uint64, error) {
	msgs, err := readAll(r.js, subjects.OutputStream, subjects.Reports, subjects.Tasks, subjects.DeadLetters)
	at := map[string]uint64{}
	for _, m := range msgs {
		at[m.Headers().Get(subjects.HeaderID)] = m.seq
	}
	return at, err
}

// onceEach returns the outputs by their ids, each of which must have been seen
// at one sequence and still stand there.
func onceEach(seen []output, stored map[string]uint64) (got map[string]output, out []string) {
	got = map[string]output{}
	for _, o := range seen {
		if old, twice := got[o.id()]; twice {
			out = append(out, fmt.Sprintf("%s stands at sequence %d and again at %d, the same: %t", o.id(), old.seq, o.seq, sameOutputs(old, o)))
		}
		got[o.id()] = o
	}
	for id, o := range got {
		if stored[id] != o.seq {
			out = append(out, fmt.Sprintf("%s was seen at sequence %d and is stored at %d", id, o.seq, stored[id]))
		}
	}
	for id, seq := range stored {
		if _, known := got[id]; !known {
			out = append(out, fmt.Sprintf("%s is stored at sequence %d and was never seen", id, seq))
		}
	}
	return got, out
}

// compareOutputs compares field by field what was published with what should be.
func compareOutputs(got map[string]output, want []prediction) (out []string) {
	expected := map[string]bool{}
	for _, e := range want {
		expected[e.id] = true
		o, ok := got[e.id]
		if !ok {
			out = append(out, e.id+" is missing")
			continue
		}
		out = append(out, e.differs(o)...)
	}
	for id := range got {
		if !expected[id] {
			out = append(out, id+" should not be")
		}
	}
	return out
}

// lives checks the order of each incident's reports: opened, thresholds and
// escalations ascending, closed.
func lives(outputs []output) (out []string) {
	last := map[string][2]int{} // threshold and escalation
	for _, o := range outputs {
		name, err := subjects.ParseReport(o.subject)
		if err != nil {
			continue
		}
		before, opened := last[name.Incident]
		now := before
		switch {
		case name.Kind == "opened":
			now = [2]int{1, 0}
		case name.Kind == "closed":
			now = [2]int{1 << 60, 1 << 60}
		case strings.HasPrefix(name.Kind, "x"):
			now[0], _ = strconv.Atoi(strings.TrimPrefix(name.Kind, "x"))
		default:
			now[1], _ = strconv.Atoi(strings.TrimPrefix(name.Kind, "escalated-"))
		}
		if opened == (name.Kind == "opened") || now[0] < before[0] || now[1] < before[1] || now == before {
			out = append(out, fmt.Sprintf("%s comes after threshold and escalation %v", o.id(), before))
		}
		last[name.Incident] = now
	}
	return out
}

// bounded checks that the output stream holds nothing but the outputs, and a cursor
// and a list of silences a partition, once what stands for forgotten incidents has expired, for which
// there is time in a long run only.
func (r *faultRun) bounded(outputs int) []string {
	if !longFaults() {
		return nil
	}
	silences, err := readAll(r.js, subjects.OutputStream, subjects.Silenced)
	if err != nil {
		return []string{err.Error()}
	}
	held, want := -1, outputs+partitions+len(silences)
	err = r.wait(2*time.Minute, "forgotten incidents to expire", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s, err := r.js.Stream(ctx, subjects.OutputStream)
		if err != nil {
			return false
		}
		held = int(s.CachedInfo().State.Msgs)
		return held == want || held > want && held < want+200 && revived(ctx, s) == held-want
	})
	if err != nil {
		return []string{fmt.Sprintf("%s holds %d messages, want %d: %d outputs, %d cursors and %d lists of silences", subjects.OutputStream, held, want, outputs, partitions, len(silences))}
	}
	return nil
}

// revived counts the states that the stream's leader holds: ghosts, which expire by
// themselves, only much later. It returns -1 while one that is empty stands there.
func revived(ctx context.Context, s jetstream.Stream) int {
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subjects.States))
	if err != nil {
		return -1
	}
	for subject := range info.State.Subjects {
		if m, err := s.GetLastMsgForSubject(ctx, subject); err != nil || len(m.Data) == 0 {
			return -1
		}
	}
	return len(info.State.Subjects)
}

// ghosts are states that are stored, of incidents that are forgotten. A server that
// is killed may bring one back to life; it is closed then, and will expire by itself.
func (r *faultRun) ghosts() (out []string) {
	left, err := readAll(r.js, subjects.OutputStream, subjects.States)
	if err != nil {
		return []string{err.Error()}
	}
	for _, m := range left {
		switch mortal := m.Headers().Get(jetstream.MsgTTLHeader) != ""; {
		case len(m.Data()) == 0:
		case mortal && decoded[seenState](m.Data()).Closed:
			r.event("a ghost: %s", m.Subject())
		default:
			out = append(out, m.Subject()+" is still stored: "+string(m.Data()[:min(len(m.Data()), 400)]))
		}
	}
	return out
}

func (r *faultRun) replayDiffers() []string {
	res := r.falconer("--rules", r.rules, "--reopen", r.reopen.String(), "replay", "--diff")
	if res.code != 0 || !strings.Contains(res.stderr, " 0 changed, 0 new, 0 gone") {
		return []string{fmt.Sprintf("falconer replay --diff: code %d: %.2000s%.2000s", res.code, res.stdout, res.stderr)}
	}
	return nil
}
