package stream

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/subjects"
)

// ReplayedSchema is the name and version of the form of a Replayed.
const ReplayedSchema = "replayed.v1"

// Replayed is the record beside a dead letter that its alert was published again,
// or is about to be.
type Replayed struct {
	Schema string    `json:"schema"`
	Seq    uint64    `json:"seq"`
	ID     string    `json:"id"` // the letter's
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	// Stream, Era and After say where the alert was not yet when the letter was
	// claimed: it stands in this life of this stream after this sequence, or it
	// was not published.
	Stream string `json:"stream"`
	Era    string `json:"era"`
	After  uint64 `json:"after"`
	// RawSeq is the alert's new sequence in the raw stream; zero until it is known.
	RawSeq uint64 `json:"raw_seq,omitempty"`
}

// ListReplayed returns the records of replayed letters by the letters' ids.
func ListReplayed(ctx context.Context, js jetstream.JetStream) (map[string]Replayed, error) {
	out := map[string]Replayed{}
	err := List(ctx, js, []string{subjects.Replays}, func(o Output) error {
		rec, err := decodeReplayed(o.Data)
		out[rec.ID] = rec
		return err
	})
	return out, err
}

func decodeReplayed(data []byte) (Replayed, error) {
	var rec Replayed
	if err := json.Unmarshal(data, &rec); err != nil {
		return rec, fmt.Errorf("reading the record of a replay: %w", err)
	}
	if rec.Schema != ReplayedSchema {
		return rec, fmt.Errorf("the record of the replay of %d has the form %q, this falconer reads %q", rec.Seq, rec.Schema, ReplayedSchema)
	}
	return rec, nil
}

// letter is a dead letter as it is stored.
type letter struct {
	processor.DeadLetter
	id  string
	era string // the last token of its subject
	ttl string // as in its header; empty when it is kept for ever
}

// readLetter reads the letter of a sequence and an era; without era, the newest.
func readLetter(ctx context.Context, js jetstream.JetStream, seq uint64, era string) (letter, error) {
	m, err := lastOf(ctx, js, subjects.OutputStream, subjects.DeadLetter(seq, cmp.Or(era, "*")))
	if errors.Is(err, errNotFound) {
		return letter{}, fmt.Errorf("there is no dead letter %d: it may have expired", seq)
	}
	if err != nil {
		return letter{}, Explain(err)
	}
	l := letter{era: m.Subject[strings.LastIndex(m.Subject, ".")+1:], id: m.Header.Get(subjects.HeaderID), ttl: m.Header.Get(jetstream.MsgTTLHeader)}
	if err := json.Unmarshal(m.Data, &l.DeadLetter); err != nil {
		return l, fmt.Errorf("reading dead letter %d: %w", seq, err)
	}
	if l.Schema != processor.DeadSchema || l.id == "" {
		return l, fmt.Errorf("dead letter %d has the form %q and the id %q: this falconer reads %q", seq, l.Schema, l.id, processor.DeadSchema)
	}
	return l, nil
}

// original is the alert of a letter as it was published. Why says what is
// missing: without subject nothing can be done, without data nothing published.
type original struct {
	subject string
	data    []byte
	why     error
}

// original looks for the letter's alert: in the raw stream, where it is whole and
// its subject true, or else in the letter itself.
func (l letter) original(ctx context.Context, js jetstream.JetStream, era string) (original, error) {
	if strings.HasSuffix(l.id, "-"+era) {
		m, err := at(ctx, js, subjects.RawStream, l.Seq)
		if err == nil && l.is(m.Data) {
			return original{subject: subjects.Origin(m.Subject), data: m.Data}, nil
		}
		if err != nil && !errors.Is(err, errNotFound) {
			return original{}, err
		}
	}
	switch {
	case l.altered():
		return original{why: fmt.Errorf("the subject that it was published to cannot be written, and stands in the letter as %q only; stream %s no longer holds the alert", l.Subject, subjects.RawStream)}, nil
	case l.Truncated:
		return original{subject: l.Subject, why: fmt.Errorf("the letter holds only the first %d of its %d bytes, and stream %s no longer holds the alert", len(l.Raw), l.Size, subjects.RawStream)}, nil
	case !l.is(l.Raw):
		return original{subject: l.Subject, why: errors.New("the bytes in the letter are not those of its SHA-256")}, nil
	}
	return original{subject: l.Subject, data: l.Raw}, nil
}

// is reports whether data is the letter's alert, every byte of it.
func (l letter) is(data []byte) bool {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]) == l.SHA256
}

// altered reports whether the letter's subject may be another than the alert's:
// what a person cannot see is shown there as escapes.
func (l letter) altered() bool {
	return strings.Contains(l.Subject, `\`) || strings.ContainsAny(l.Subject, " *>") || !strings.HasPrefix(l.Subject, "falco.")
}
