package processor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"
)

// SilenceSchema is the name and version of an order to silence.
const SilenceSchema = "silence.v1"

// Bounds of silences, so that a partition's list of them fits one message.
const (
	maxSilences    = 200
	maxMatchers    = 8
	maxReasonBytes = 512
	maxAuthorBytes = 128
	// MaxSilence is how long one silence may last.
	MaxSilence = 366 * 24 * time.Hour
)

// Silence keeps the alerts that it matches from making reports and tasks until it
// ends. They are counted all the same. All matchers must hold.
type Silence struct {
	// ID is short and stable: the same silence ordered twice is one.
	ID       string    `json:"id"`
	Matchers []Matcher `json:"matchers"`
	Author   string    `json:"author"`
	Reason   string    `json:"reason"`
	// Until is when it ends, by the broker's clock.
	Until time.Time `json:"until"`
}

// NewSilence checks a silence and gives it the id that follows from its content.
func NewSilence(matchers []Matcher, author, reason string, until time.Time) (Silence, error) {
	s := Silence{Matchers: matchers, Author: author, Reason: reason, Until: brokerTime(until)}
	canonical, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	sum := sha256.Sum256(canonical)
	s.ID = hex.EncodeToString(sum[:4])
	err = s.check()
	return s, err
}

var silenceID = regexp.MustCompile(`^[0-9a-f]{8}$`)

func (s *Silence) check() error {
	if !silenceID.MatchString(s.ID) {
		return fmt.Errorf("silence id %q: want eight hex digits", shorten(s.ID, 32))
	}
	if s.Until.IsZero() {
		return errors.New("a silence without an end: say until when")
	}
	return errors.Join(
		checkWords("author", s.Author, maxAuthorBytes), checkWords("reason", s.Reason, maxReasonBytes), checkMatchers(s.Matchers))
}

func checkWords(what, text string, limit int) error {
	switch {
	case text == "":
		return fmt.Errorf("a silence without %s: whoever wonders later has to know", what)
	case len(text) > limit:
		return fmt.Errorf("the %s has %d bytes: at most %d are allowed", what, len(text), limit)
	case !utf8.ValidString(text):
		return fmt.Errorf("the %s is not UTF-8", what)
	}
	return nil
}

// Matches reports whether all matchers hold for the alert, of this severity.
func (s *Silence) Matches(a *Alert, severity Severity) bool {
	for i := range s.Matchers {
		if !s.Matchers[i].matches(a, severity) {
			return false
		}
	}
	return true
}

// SilenceOrder is a message of the raw stream that begins or ends a silence. It
// takes effect at its place there: in every partition, for every alert behind it.
type SilenceOrder struct {
	Schema string `json:"schema"`
	// Add begins a silence.
	Add *Silence `json:"add,omitempty"`
	// Expire ends one before its time.
	Expire *Expiry `json:"expire,omitempty"`
}

// Expiry ends the silence of an id.
type Expiry struct {
	ID     string `json:"id"`
	Author string `json:"author"`
	Reason string `json:"reason"`
}

// Check says what is wrong with the order.
func (o *SilenceOrder) Check() error {
	switch {
	case o.Schema != SilenceSchema:
		return fmt.Errorf("the order has the form %q, want %q", shorten(o.Schema, 32), SilenceSchema)
	case (o.Add == nil) == (o.Expire == nil):
		return errors.New("the order must have one of add and expire")
	case o.Add != nil:
		return o.Add.check()
	case !silenceID.MatchString(o.Expire.ID):
		return fmt.Errorf("silence id %q: want eight hex digits", shorten(o.Expire.ID, 32))
	}
	return errors.Join(checkWords("author", o.Expire.Author, maxAuthorBytes), checkWords("reason", o.Expire.Reason, maxReasonBytes))
}

// parseOrder reads an order strictly: it is Falconer's own.
func parseOrder(data []byte) (SilenceOrder, error) {
	var o SilenceOrder
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return o, fmt.Errorf("reading an order to silence: %w", err)
	}
	err := o.Check()
	return o, err
}
