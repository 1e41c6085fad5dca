package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"falconer/processor"
	"falconer/subjects"
)

// share is one partition's part of a commit.
type share struct {
	p       *partition
	changes processor.Changes
	cursor  Cursor
	msgs    []*nats.Msg
	compare bool
	// careful says that outputs are looked for before they are published; see missing.
	careful bool
	// revised are the fingerprints whose states msgs hold from the second on, in
	// order; the first message is the cursor.
	revised []string
	// completed says that the outputs are among msgs.
	completed bool
}

// encode makes the messages of one partition's changes that are of its state, which
// goes on changing: the cursor, then the incidents. The outputs follow; see complete.
func (w *Worker) encode(p *partition, ch processor.Changes) (*share, error) {
	s := &share{p: p, changes: ch, cursor: p.cur, compare: !w.mutated(noCompare)}
	s.cursor.Cursor, s.cursor.Read = ch.Cursor, 0
	if p.read > ch.Cursor.Seq {
		s.cursor.Read = p.read
	}
	if err := s.put(subjects.Cursor(p.n), s.cursor, p.rev, true); err != nil {
		return nil, err
	}
	for _, in := range ch.Incidents {
		rev, known := p.revs[in.Fingerprint]
		data, err := in.Encode()
		if err != nil {
			return nil, fmt.Errorf("encoding the state of incident %s: %w", in.ID, err)
		}
		m := s.putData(subjects.State(p.n, in.Fingerprint), tame(data), rev, known)
		if in.Closed {
			m.Header.Set(jetstream.MsgTTLHeader, p.keepClosed.Round(time.Second).String())
		}
		s.revised = append(s.revised, in.Fingerprint)
	}
	if ch.Silences != nil {
		if err := s.put(subjects.SilencedIn(p.n), ch.Silences, p.silencesRev, true); err != nil {
			return nil, err
		}
	}
	for _, fp := range ch.Forgotten {
		s.forget(fp)
	}
	return s, nil
}

// size is how many messages the share has when it is complete.
func (s *share) size() int {
	if s.completed {
		return len(s.msgs)
	}
	return len(s.msgs) + len(s.changes.Reports) + len(s.changes.Tasks) + len(s.changes.Dead)
}

// complete adds the outputs, which nothing changes any more, unless that was done
// for an earlier attempt. It runs beside the loop.
func (w *Worker) complete(ctx context.Context, s *share) error {
	if s.completed {
		return nil
	}
	if err := s.outputs(s.changes, w.cfg.Retention); err != nil {
		return err
	}
	if s.careful {
		if err := w.missing(ctx, s); err != nil {
			return err
		}
	}
	s.completed = true
	return nil
}

// put adds a message that is compared and set. A subject that was never seen, or
// was forgotten, is not compared: the cursor in the same batch guards it.
func (s *share) put(subject string, body any, rev uint64, known bool) error {
	data, err := EncodeJSON(body)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", subject, err)
	}
	s.putData(subject, data, rev, known)
	return nil
}

func (s *share) putData(subject string, data []byte, rev uint64, known bool) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Data = data
	if known {
		s.expect(m, rev)
	}
	s.msgs = append(s.msgs, m)
	return m
}

// forget replaces a stored state by an empty one that soon expires.
func (s *share) forget(fingerprint string) {
	rev, known := s.p.revs[fingerprint]
	if !known {
		return // it was never stored
	}
	m := emptied(s.p.n, fingerprint)
	s.expect(m, rev)
	s.msgs = append(s.msgs, m)
}

// emptied is what stands for the state of a forgotten incident, and soon expires.
func emptied(partition int, fingerprint string) *nats.Msg {
	m := nats.NewMsg(subjects.State(partition, fingerprint))
	m.Header.Set(jetstream.MsgTTLHeader, "1m")
	return m
}

// expect has the server compare a subject's revision before it sets the message.
func (s *share) expect(m *nats.Msg, rev uint64) {
	if s.compare {
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(rev, 10))
	}
}

func (s *share) outputs(ch processor.Changes, retention time.Duration) error {
	var errs []error
	for i := range ch.Reports {
		r := &ch.Reports[i]
		errs = append(errs, s.output(ReportSubject(r), r.ID, r.Schema, r, retention, r.Shrink))
	}
	for i := range ch.Tasks {
		t := &ch.Tasks[i]
		errs = append(errs, s.output(TaskSubject(t), t.ID, t.Schema, t, retention, t.Shrink))
	}
	for i := range ch.Dead {
		d := &ch.Dead[i]
		era := Era(s.cursor.Created)
		id := fmt.Sprintf("dead/%d-%s", d.Seq, era)
		errs = append(errs, s.output(subjects.DeadLetter(d.Seq, era), id, d.Schema, d, deadRetention(retention), func() {}))
	}
	return errors.Join(errs...)
}

// ReportSubject is where a report is published.
func ReportSubject(r *processor.Report) string {
	return subjects.Report(r.Severity.String(), processor.Slug(r.Rule), r.Incident, r.Kind)
}

// TaskSubject is where a task is published.
func TaskSubject(t *processor.Task) string {
	return subjects.Task(t.Severity.String(), string(t.Kind), t.Incident, t.Mitigation)
}

// deadRetention keeps dead letters longer than outputs: someone has to look.
func deadRetention(retention time.Duration) time.Duration { return 4 * retention }

// output adds a message that consumers read.
func (s *share) output(subject, id, schema string, body any, ttl time.Duration, shrink func()) error {
	data, err := encodeBody(body, shrink)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", subject, err)
	}
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(jetstream.MsgIDHeader, id)
	m.Header.Set(subjects.HeaderID, id)
	m.Header.Set(subjects.HeaderSchema, schema)
	m.Header.Set(subjects.HeaderContentType, "application/json")
	m.Header.Set(jetstream.MsgTTLHeader, ttl.String())
	s.msgs = append(s.msgs, m)
	return nil
}

// encodeBody is the body of an output. If it would be too long to publish, the
// value is shortened by shrink first.
func encodeBody(v any, shrink func()) ([]byte, error) {
	data, err := EncodeJSON(v)
	if err == nil && len(data) > maxBody {
		shrink()
		data, err = EncodeJSON(v)
	}
	return data, err
}

// ReportBody is what is published of a report, which it shortens if it is too long.
func ReportBody(r *processor.Report) ([]byte, error) { return encodeBody(r, r.Shrink) }

// TaskBody is what is published of a task, which it shortens if it is too long.
func TaskBody(t *processor.Task) ([]byte, error) { return encodeBody(t, t.Shrink) }

// EncodeJSON is how bodies are encoded: json.Marshal without the escaping for
// HTML, which would make alerts hard to read and long, and with what a terminal
// would obey or hide escaped instead.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return tame(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// tame escapes control and format characters in the strings of a JSON text, which
// means the same to whoever decodes it. The encoder has done so below U+0020.
func tame(text []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(text); {
		if text[i] < 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		if unsafeRune(r) {
			out = append(out, text[done:i]...)
			for _, unit := range utf16.AppendRune(nil, r) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
			done = i + n
		}
		i += n
	}
	if done == 0 {
		return text
	}
	return append(out, text[done:]...)
}

func unsafeRune(r rune) bool {
	return r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// log says what was published, a line for each report.
func (s *share) log(log zerolog.Logger) {
	for i := range s.changes.Reports {
		r := &s.changes.Reports[i]
		log.Info().Str("rule", r.Rule).Str("incident", r.Incident).Str("kind", r.Kind).Stringer("severity", r.Severity).
			Uint64("count", r.Occurrences.Count).Int("partition", s.p.n).Msg("report")
	}
	for i := range s.changes.Dead {
		d := &s.changes.Dead[i]
		log.Warn().Uint64("seq", d.Seq).Str("reason", d.Reason).Str("subject", d.Subject).Msg("alert not understood; kept as a dead letter")
	}
}

// missing leaves out of a share the outputs that exist already. It is needed
// only after the server refused a batch for one: FALCONER was then restored, or
// lost its newest messages, and consumers may have seen what it held.
func (w *Worker) missing(ctx context.Context, s *share) error {
	kept := s.msgs[:0:0]
	for _, m := range s.msgs {
		if m.Header.Get(jetstream.MsgIDHeader) != "" {
			_, err := lastOf(ctx, w.cfg.JS, subjects.OutputStream, m.Subject)
			if err == nil {
				continue
			}
			if !errors.Is(err, errNotFound) {
				return err
			}
		}
		kept = append(kept, m)
	}
	s.msgs = kept
	return nil
}
