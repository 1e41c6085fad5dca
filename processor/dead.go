package processor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"
	"unicode/utf8"
)

// DeadSchema is the name and version of a dead letter's form.
const DeadSchema = "dead.v1"

// MaxDeadBytes bounds the raw bytes kept in a dead letter; the rest is in the
// raw stream for as long as that keeps it.
const MaxDeadBytes = 384 << 10

// DeadLetter keeps an alert that could not be understood, with the reason.
type DeadLetter struct {
	Schema string `json:"schema"`
	// Seq is the alert's sequence in the raw stream.
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Subject  string    `json:"subject"`
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	// Size and SHA256 are of the whole message, Raw its first MaxDeadBytes in base64.
	Size      int    `json:"size"`
	SHA256    string `json:"sha256"`
	Raw       []byte `json:"raw"`
	Truncated bool   `json:"truncated,omitempty"`
}

// NewDeadLetter records message m and why it is not an alert.
func NewDeadLetter(m Message, why error) DeadLetter {
	reason := why.Error()
	if d, ok := errors.AsType[*DecodeError](why); ok {
		reason = d.Reason
	}
	sum := sha256.Sum256(m.Data)
	raw := m.Data[:min(len(m.Data), MaxDeadBytes)]
	return DeadLetter{
		Schema: DeadSchema, Seq: m.Seq, Time: brokerTime(m.Time), Subject: Visible(m.Subject),
		Reason: Visible(shorten(reason, 1024)), Attempts: 1, Size: len(m.Data), SHA256: hex.EncodeToString(sum[:]),
		Raw: append([]byte{}, raw...), Truncated: len(raw) < len(m.Data),
	}
}

// Text returns the raw bytes as text for a person, and whether they are UTF-8.
func (d DeadLetter) Text() (string, bool) {
	return Visible(string(d.Raw)), utf8.Valid(d.Raw)
}
