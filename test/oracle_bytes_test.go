//go:build unix

package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/rules"
	"falconer/subjects"
)

// sameBytes folds once more with Falconer's own core and the same playbooks,
// without a stream, and compares the outputs byte for byte: so texts are held
// against something as well.
func (r *faultRun) sameBytes(split [][]rawMessage, got map[string]output) (out []string) {
	book, err := rules.Load(r.rules)
	if err != nil {
		return []string{err.Error()}
	}
	n := 0
	check := func(id, subject string, body any) {
		n++
		data, err := stream.EncodeJSON(body)
		o := got[id]
		switch {
		case err != nil:
			out = append(out, fmt.Sprintf("%s: %v", id, err))
		case o.subject != subject || !bytes.Equal(o.data, data):
			at := firstDifference(o.data, data)
			out = append(out, fmt.Sprintf("%s on %s differs from a second fold (on %s) at byte %d: %.120q, want %.120q",
				id, o.subject, subject, at, o.data[min(at, len(o.data)):], data[min(at, len(data)):]))
		}
	}
	for p, msgs := range split {
		refold(book, r.reopen, p, msgs, check)
	}
	if n != len(got) {
		out = append(out, fmt.Sprintf("a second fold makes %d outputs, published are %d", n, len(got)))
	}
	return out
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// refold folds a partition's messages with processor.Ledger. When the raw stream
// was made anew a new ledger, of another era, goes on from the old one's state.
func refold(book processor.Book, reopen time.Duration, partition int, msgs []rawMessage, check func(id, subject string, body any)) {
	incidents, silences := map[string]*processor.Incident{}, processor.Silences{}
	var l *processor.Ledger
	var born time.Time
	take := func() {
		ch := l.Take()
		for _, in := range ch.Incidents {
			incidents[in.Fingerprint] = in
		}
		for _, fp := range ch.Forgotten {
			delete(incidents, fp)
		}
		if ch.Silences != nil {
			silences = *ch.Silences
		}
		for i := range ch.Reports {
			check(ch.Reports[i].ID, stream.ReportSubject(&ch.Reports[i]), &ch.Reports[i])
		}
		for i := range ch.Tasks {
			check(ch.Tasks[i].ID, stream.TaskSubject(&ch.Tasks[i]), &ch.Tasks[i])
		}
		for i := range ch.Dead {
			check(fmt.Sprintf("dead/%d-%s", ch.Dead[i].Seq, era(born)), subjects.DeadLetter(ch.Dead[i].Seq, era(born)), &ch.Dead[i])
		}
	}
	for _, m := range msgs {
		if l == nil || !born.Equal(m.born) {
			before := l
			born = m.born
			l = processor.NewLedger(processor.Options{Book: book, Era: era(born), Reopen: reopen})
			if before != nil {
				l.Restore(before.Cursor(), restored(incidents), silences)
			}
		}
		l.Fold(processor.Message{Seq: m.seq, Time: m.at, Subject: m.origin(), Data: m.data, Kind: m.kind(partition)}, 1<<30)
		take()
	}
}

func (m rawMessage) kind(partition int) processor.MessageKind {
	switch {
	case m.tick():
		return processor.TickMessage
	case m.silence():
		return processor.SilenceMessage
	case m.drop() && m.partition() != partition:
		return processor.DropMessage
	}
	return processor.AlertMessage
}

// restored is a copy of the states as they would be read from their stored form.
func restored(incidents map[string]*processor.Incident) (out []*processor.Incident) {
	for _, in := range incidents {
		data, _ := json.Marshal(in)
		out = append(out, decoded[*processor.Incident](data))
	}
	return out
}
