package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/broker/brokertest"
	"falconer/subjects"
)

// plainBook makes of every alert an incident of its pod, with one task.
type plainBook struct{}

func (plainBook) Identity(*processor.Alert) processor.Identity {
	return processor.Identity{Fields: []string{"pod"}}
}

func (b plainBook) Grade(a *processor.Alert) processor.Severity { return b.Judge(a).Severity }

func (plainBook) Judge(a *processor.Alert) processor.Verdict {
	v := processor.Verdict{Category: "test", Confidence: "high", Why: []processor.Contribution{processor.BasePoints(a.Priority)}}
	v.Score, v.Severity = processor.Score(v.Why)
	return v
}

func (plainBook) Advise(*processor.Alert) processor.Advice {
	return processor.Advice{
		Title: "Test", Meaning: []processor.Text{processor.Say("A test.")}, Next: processor.Say("Nothing."),
		Mitigations: []processor.Mitigation{{ID: "look", Title: "Look", Kind: processor.Investigate, Horizon: processor.Now, Risk: processor.ReadOnly}},
	}
}

// BenchmarkEncode makes the messages of one partition's part of a commit of the
// size that a worker under load commits: of states alone, which is what a flood of
// repeats changes, and of incidents that open, with report and task.
func BenchmarkEncode(b *testing.B) {
	for _, shape := range []struct {
		name            string
		before, changed int
	}{{"states=850", 850, 850}, {"openings=280", 0, 280}} {
		b.Run(shape.name, func(b *testing.B) {
			l := processor.NewLedger(processor.Options{Book: plainBook{}, Era: "era"})
			foldEach(b, l, 0, shape.before)
			l.Take()
			foldEach(b, l, 1000, shape.changed)
			changes := l.Take()
			w, p := &Worker{cfg: Config{}.withDefaults()}, &partition{revs: map[string]uint64{}}
			b.ReportAllocs()
			for b.Loop() {
				s, err := w.encode(p, changes)
				require.NoError(b, err)
				require.NoError(b, w.complete(b.Context(), s))
				require.Greater(b, len(s.msgs), shape.changed)
			}
		})
	}
}

// foldEach folds one alert of each of so many pods.
func foldEach(b *testing.B, l *processor.Ledger, from, n int) {
	b.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range n {
		data := fmt.Appendf(nil, `{"rule":"Rule","priority":"Warning","source":"syscall","hostname":"node-1","time":"2026-01-02T03:04:05Z","output":%q,`+
			`"output_fields":{"container.id":"0123456789ab","container.image.repository":"registry.example/shop/cart","container.image.tag":"v1.2.3",`+
			`"container.name":"cart","evt.time":%d,"evt.type":"execve","k8s.ns.name":"shop","k8s.pod.name":"pod-%d","proc.cmdline":"sh -c uptime",`+
			`"proc.exepath":"/bin/busybox","proc.name":"sh","proc.pname":"containerd-shim","user.name":"app","user.uid":1000}}`,
			strings.Repeat("what the fields say ", 20), from+i, i)
		require.True(b, l.Fold(processor.Message{Seq: uint64(from + i + 1), Time: at, Subject: "falco.warning.rule", Data: data}, 1<<20))
	}
}

// BenchmarkTakeover is what a partition waits for when its owner has died: the fence,
// and the states of 30,000 open incidents.
func BenchmarkTakeover(b *testing.B) {
	const open = 30_000
	js := brokertest.JetStream(b, brokertest.Start(b))
	_, err := Setup(b.Context(), js, subjects.Layout{Partitions: 1, Small: true})
	require.NoError(b, err)
	l := processor.NewLedger(processor.Options{Book: plainBook{}, Era: "era"})
	foldEach(b, l, 0, open)
	for _, in := range l.Take().Incidents {
		data, err := in.Encode()
		require.NoError(b, err)
		_, err = js.PublishAsync(subjects.State(0, in.Fingerprint), data)
		require.NoError(b, err)
	}
	<-js.PublishAsyncComplete()
	w, err := New(b.Context(), Config{JS: js, Book: plainBook{}})
	require.NoError(b, err)
	for b.Loop() {
		p, err := w.own(b.Context(), 0)
		require.NoError(b, err)
		require.Equal(b, open, p.ledger.Open())
	}
}

// wordyBook advises as much as a built-in playbook does.
type wordyBook struct{ plainBook }

func (wordyBook) Advise(a *processor.Alert) processor.Advice {
	pod := processor.Span{Text: a.Fields["k8s.pod.name"], Value: true}
	prose := func(n int) processor.Text {
		sentence := "A shell in a container is what an intruder wants first & foremost, and what an operator opens to look around. "
		return processor.Text{{Text: strings.Repeat(sentence, n) + "It ran in "}, pod, {Text: " – look <there>."}}
	}
	out := processor.Advice{Title: "Test", Meaning: []processor.Text{prose(4), prose(3)}, Next: prose(1)}
	for i := range 5 {
		out.Questions = append(out.Questions, processor.Question{Ask: prose(1), Answer: prose(1)})
		out.Benign = append(out.Benign, processor.Benign{Cause: prose(1), Tell: prose(1)})
		line := "kubectl get pod -n shop -o json -- " + pod.Text + ` | jq '.spec.containers[] | {name, image}'`
		command := processor.Command{Where: "kubernetes", Line: line, Explain: prose(1), Risk: processor.ReadOnly, Ready: true}
		body := "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"" + pod.Text + "\"\n" + strings.Repeat("spec:\n  a: b\n", 20)
		config := processor.Config{Tool: "kubernetes", Format: "yaml", Body: body, Explain: prose(1), Ready: true}
		out.Mitigations = append(out.Mitigations, processor.Mitigation{
			ID: fmt.Sprint("look-", i), Title: "Look", Kind: processor.Investigate, Horizon: processor.Now, Risk: processor.ReadOnly,
			Description: prose(2), Undo: prose(1), Needs: prose(1), Blast: prose(1), Commands: []processor.Command{command, command}, Configs: []processor.Config{config},
		})
	}
	return out
}

// BenchmarkEncodeJSON is the body of one report with much advice, and of one of its
// tasks.
func BenchmarkEncodeJSON(b *testing.B) {
	l := processor.NewLedger(processor.Options{Book: wordyBook{}, Era: "era"})
	foldEach(b, l, 0, 1)
	changes := l.Take()
	for name, body := range map[string]any{"report": &changes.Reports[0], "task": &changes.Tasks[0]} {
		b.Run(name, func(b *testing.B) {
			data, err := EncodeJSON(body)
			require.NoError(b, err)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = EncodeJSON(body)
			}
		})
	}
}
