package processor

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// IncidentSchema is the name and version of an incident's stored form.
const IncidentSchema = "incident.v1"

// How much of an incident's history its state keeps, so that the state stays
// bounded whatever comes.
const (
	maxSamples  = 5
	maxDistinct = 10
	maxRecent   = 64
	maxSampleB  = 256
)

// Incident is the state of one incident: what its fingerprint has folded since
// it opened. It is stored after every commit that touched it.
//
// Times named "event" are the host's clock; all others are the broker's.
type Incident struct {
	Schema      string            `json:"schema"`
	ID          string            `json:"id"`
	Fingerprint string            `json:"fingerprint"`
	Rule        string            `json:"rule"`
	Source      string            `json:"source"`
	Identity    map[string]string `json:"identity,omitempty"`
	// Previous is the incident of the same fingerprint before this one, if it
	// closed within the reopen window.
	Previous string    `json:"previous,omitempty"`
	Severity Severity  `json:"severity"`
	Opened   time.Time `json:"opened"`
	Last     time.Time `json:"last"`
	// End is when the incident closes unless another alert comes.
	End    time.Time `json:"end"`
	Closed bool      `json:"closed"`
	// Count is how many distinct events were folded, Resent how many further
	// copies of them came, Silenced how many events a silence kept from counting.
	// Their sum is the number of stored alerts. An incident of which all events
	// were silenced makes no report.
	Count       uint64     `json:"count"`
	Resent      uint64     `json:"resent"`
	Silenced    uint64     `json:"silenced,omitempty"`
	FirstEvent  time.Time  `json:"first_event,omitzero"`
	LastEvent   time.Time  `json:"last_event,omitzero"`
	Escalations int        `json:"escalations,omitempty"`
	Tasks       []string   `json:"tasks,omitempty"`
	Samples     []Sample   `json:"samples,omitempty"`
	Seen        []Distinct `json:"seen,omitempty"`
	// Evidence is the gravest alert so far, the first of equals, in JSON; reports are
	// made of it. It seldom changes, and is seldom read.
	Evidence json.RawMessage `json:"evidence,omitempty"`
	// Recent are hashes of the newest events, by which copies are known.
	Recent Hashes `json:"recent,omitempty"`
	// Idle, Cap and Reopen are the windows that hold for this incident, in nanoseconds.
	Idle   time.Duration `json:"idle"`
	Cap    time.Duration `json:"cap"`
	Reopen time.Duration `json:"reopen"`
}

// Sample points at one alert of an incident in the raw stream.
type Sample struct {
	// Seq is the alert's sequence in the raw stream; offline, its number in the input.
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time,omitzero"` // the event's, by the host's clock
	SHA256 string    `json:"sha256"`
	// What tells the alerts of one incident apart: a command line or a file.
	What string `json:"what,omitempty"`
}

// Distinct lists the different values of one kind that an incident has seen.
type Distinct struct {
	// Kind is host, pod, image or user.
	Kind   string   `json:"kind"`
	Values []string `json:"values"`
	// More says that there were others beyond the list.
	More bool `json:"more,omitempty"`
}

// Message is a stored message of the raw stream.
type Message struct {
	Seq  uint64
	Time time.Time // the broker's
	// Subject is where it was published, for dead letters.
	Subject string
	Data    []byte
	Kind    MessageKind
	digest  digest // see Options.Prepare
}

// MessageKind says what a message of the raw stream is.
type MessageKind int8

// The kinds. Whatever is none of the others is an alert, or should be.
const (
	AlertMessage   MessageKind = iota
	TickMessage                // carries the broker's time and nothing else
	SilenceMessage             // a SilenceOrder
	DropMessage                // an alert about dropped system calls that another partition counts
)

// window returns when an incident ends that opened and was last fed then.
func window(opened, last time.Time, idle, limit time.Duration) time.Time {
	end, latest := last.Add(idle), opened.Add(limit)
	if latest.Before(end) {
		return latest
	}
	return end
}

// incidentID names an incident by its fingerprint and first alert. The era is
// the raw stream's, so that a stream made anew never repeats an id.
func incidentID(fingerprint string, seq uint64, era string) string {
	return fingerprint + "-" + strconv.FormatUint(seq, 36) + "-" + era
}

// forgetAt is when a closed incident is no longer named as previous.
func (in *Incident) forgetAt() time.Time { return in.End.Add(in.Reopen) }

// ForgottenBy reports whether a ledger that has come to cur has forgotten the
// incident: what is stored of it came back from the dead, or was to go next.
func (in *Incident) ForgottenBy(cur Cursor) bool {
	closed := in.Closed || (Mark{in.End, in.ID}).compare(cur.Mark) <= 0
	return closed && !in.forgetAt().After(cur.Time)
}

// due is the next time at which the incident changes by itself.
func (in *Incident) due() time.Time {
	if in.Closed {
		return in.forgetAt()
	}
	return in.End
}

// copied reports whether the event is one of the recent ones, and remembers it
// if it is not. An alert that does not say when its event happened is never
// taken for a copy: two events that look the same could not be told apart.
func (in *Incident) copied(event time.Time, hash uint64) bool {
	if event.IsZero() {
		return false
	}
	if slices.Contains(in.Recent, hash) {
		return true
	}
	if len(in.Recent) >= maxRecent {
		in.Recent = in.Recent[:copy(in.Recent, in.Recent[1:])]
	}
	in.Recent = append(in.Recent, hash)
	return false
}

// count folds one more event into the figures.
func (in *Incident) count(at, event time.Time, values *seen) {
	in.Count++
	in.prolong(at)
	if !event.IsZero() {
		if in.FirstEvent.IsZero() || event.Before(in.FirstEvent) {
			in.FirstEvent = event
		}
		if event.After(in.LastEvent) {
			in.LastEvent = event
		}
	}
	for i, v := range values {
		if v != "" {
			in.saw(seenKinds[i], v)
		}
	}
}

// keep makes the alert the incident's evidence.
func (in *Incident) keep(a *Alert) {
	in.Evidence, _ = plainJSON(a) // text, numbers and lists of them can always be encoded
}

// Alert is the evidence.
func (in *Incident) Alert() *Alert {
	a := &Alert{}
	_ = json.Unmarshal(in.Evidence, a) // as keep wrote it, which the state's reader has checked
	return a
}

// Encode is the incident's stored form: its JSON, to which the evidence is added as
// it is.
func (in *Incident) Encode() ([]byte, error) {
	rest := *in
	rest.Evidence = nil
	b, err := plainJSON(&rest)
	if err == nil && in.Evidence != nil {
		b = append(append(append(b[:len(b)-1], `,"evidence":`...), in.Evidence...), '}')
	}
	return b, err
}

// plainJSON is json.Marshal without the escapes for HTML.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// sample notes where the alert stands.
func (in *Incident) sample(m *Message, a *Alert) {
	what := cmp.Or(a.first("proc.cmdline", "fd.name", "ka.uri", fieldLost), a.Output)
	sum := sha256.Sum256(m.Data)
	in.Samples = append(in.Samples, Sample{Seq: m.Seq, Time: a.Time, SHA256: hex.EncodeToString(sum[:]), What: strings.Clone(shorten(what, maxSampleB))})
}

// prolong has the incident wait again for the next alert.
func (in *Incident) prolong(at time.Time) {
	in.Last = at
	in.End = window(in.Opened, at, in.Idle, in.Cap)
}

func (in *Incident) saw(kind, value string) {
	i := slices.IndexFunc(in.Seen, func(d Distinct) bool { return d.Kind == kind })
	if i < 0 {
		in.Seen = append(in.Seen, Distinct{Kind: kind, Values: []string{value}})
		return
	}
	d := &in.Seen[i]
	switch {
	case slices.Contains(d.Values, value):
	case len(d.Values) < maxDistinct:
		d.Values = append(d.Values, value)
	default:
		d.More = true
	}
}

// slim drops from a closed incident what only an open one needs.
func (in *Incident) slim() {
	in.Closed = true
	in.Samples, in.Evidence, in.Recent, in.Seen, in.Tasks = nil, nil, nil, nil, nil
}

// threshold reports whether a report is due at this count: 10, 100, 1000 ...
func threshold(count uint64) bool {
	for count >= 10 && count%10 == 0 {
		count /= 10
		if count == 1 {
			return true
		}
	}
	return false
}

func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > 0 && s[end]&0xC0 == 0x80 {
		end--
	}
	return s[:end] + "…"
}

// Hashes are event hashes; in JSON one string of base64, eight bytes each.
type Hashes []uint64

// MarshalText writes the hashes, oldest first, big-endian.
func (h Hashes) MarshalText() ([]byte, error) {
	b := make([]byte, 0, 8*len(h))
	for _, v := range h {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads what MarshalText wrote.
func (h *Hashes) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(b)%8 != 0 {
		return fmt.Errorf("reading event hashes: want base64 of eight bytes each, found %q", shorten(string(text), 32))
	}
	*h = (*h)[:0]
	for ; len(b) > 0; b = b[8:] {
		*h = append(*h, binary.BigEndian.Uint64(b))
	}
	return nil
}

// Mark is a place in the order in which incidents close: by end, then id.
type Mark struct {
	End time.Time `json:"end"`
	ID  string    `json:"id"`
}

func (m Mark) compare(o Mark) int {
	if c := m.End.Compare(o.End); c != 0 {
		return c
	}
	return cmp.Compare(m.ID, o.ID)
}
