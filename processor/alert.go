package processor

import (
	"fmt"
	"strings"
	"time"
)

// Alert is one Falco alert as Falconer understands it, whichever of Falco's own
// JSON and falcosidekick's it came as.
type Alert struct {
	// Rule is the name of the Falco rule, verbatim. Never empty.
	Rule string `json:"rule"`
	// Source is the event source, such as "syscall" or "k8s_audit". The plural
	// "syscalls" that falcosidekick writes is folded into "syscall".
	Source string `json:"source"`
	// Priority is Falco's, or PriorityUnknown when it is missing or no known word.
	Priority Priority `json:"priority"`
	// Time is when the event happened by the host's clock, in UTC; zero when the
	// alert does not say or says it in a form that cannot be read.
	Time time.Time `json:"time,omitzero"`
	// Hostname is the host (or the Falco pod) that raised the alert, or empty.
	Hostname string `json:"hostname,omitempty"`
	// Output is Falco's one-line text.
	Output string `json:"output,omitempty"`
	// Tags are the rule's tags in order, without empty ones and repeats.
	Tags []string `json:"tags,omitempty"`
	// Fields are the output fields that have a value, as text: strings as they
	// are, numbers digit for digit, nested values as compact JSON. A field that
	// is null or "<NA>" is absent.
	Fields map[string]string `json:"fields,omitempty"`
	// Absent names the output fields that the alert lists without a value.
	Absent []string `json:"absent,omitempty"`
	// Cut names what was shortened on its way here, by falcosidekick or by the
	// limits of Decode: field names, or "output".
	Cut []string `json:"cut,omitempty"`
	// Notes say what else the decoder noticed, for the reader of the report.
	Notes []string `json:"notes,omitempty"`
}

// Field returns the value of an output field and whether the alert has one.
func (a *Alert) Field(name string) (string, bool) {
	v, ok := a.Fields[name]
	return v, ok
}

// first returns the first of the named fields that has a non-empty value.
func (a *Alert) first(names ...string) string {
	for _, n := range names {
		if v := a.Fields[n]; v != "" {
			return v
		}
	}
	return ""
}

// Names of what Falco and falcosidekick say about themselves rather than about
// a workload.
const (
	SourceInternal = "internal"
	RuleSnapshot   = "Falco internal: metrics snapshot"
	RuleDrops      = "Falco internal: syscall event drop"
	RuleTest       = "Test rule"
)

// Heartbeat reports whether the alert is Falco's periodic metrics snapshot,
// which is counted and makes no incident.
func (a *Alert) Heartbeat() bool { return a.Rule == RuleSnapshot }

// Priority is the syslog-like priority of a Falco rule; lower is graver.
type Priority int8

// The priorities that Falco knows, in its order and with its numbers.
const (
	Emergency Priority = iota
	AlertPriority
	Critical
	Error
	Warning
	Notice
	Informational
	Debug
	PriorityUnknown
)

var priorityNames = [...]string{
	"Emergency", "Alert", "Critical", "Error", "Warning", "Notice",
	"Informational", "Debug", "Unknown",
}

// String returns Falco's word for p, such as "Warning".
func (p Priority) String() string {
	if p < 0 || int(p) >= len(priorityNames) {
		return priorityNames[PriorityUnknown]
	}
	return priorityNames[p]
}

// ParsePriority understands Falco's words in any case, "info", and the numbers
// 0 to 7 that Falco's gRPC output wrote. Anything else is PriorityUnknown.
func ParsePriority(s string) Priority {
	s = strings.TrimSpace(s)
	if strings.EqualFold(s, "info") {
		return Informational
	}
	if len(s) == 1 && s[0] >= '0' && s[0] <= '7' {
		return Priority(s[0] - '0')
	}
	for i, name := range priorityNames {
		if strings.EqualFold(name, s) {
			return Priority(i)
		}
	}
	return PriorityUnknown
}

// MarshalText writes the word.
func (p Priority) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (p *Priority) UnmarshalText(b []byte) error {
	*p = ParsePriority(string(b))
	return nil
}

// Severity is Falconer's judgement of an incident, from info to critical.
type Severity int8

// The severities, rising.
const (
	Info Severity = iota
	Low
	Medium
	High
	CriticalSeverity
)

var severityNames = [...]string{"info", "low", "medium", "high", "critical"}

// Severities lists every severity word, gravest first.
func Severities() []string { return []string{"critical", "high", "medium", "low", "info"} }

// String returns the word that stands in subjects and JSON.
func (s Severity) String() string {
	if s < 0 || int(s) >= len(severityNames) {
		return severityNames[Info]
	}
	return severityNames[s]
}

// ParseSeverity is the inverse of String.
func ParseSeverity(s string) (Severity, error) {
	for i, name := range severityNames {
		if name == s {
			return Severity(i), nil
		}
	}
	return Info, fmt.Errorf("unknown severity %q: want critical, high, medium, low or info", s)
}

// MarshalText writes the word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word.
func (s *Severity) UnmarshalText(b []byte) (err error) {
	*s, err = ParseSeverity(string(b))
	return err
}

// Span is a run of text: prose of the playbook, or a value of the alert, which
// is hostile and is shown as code.
type Span struct {
	Text  string
	Value bool
}

// Text is prose with values of the alert in it. In JSON it is one string in
// which control and direction characters are shown as escapes.
type Text []Span

// Say returns a Text of plain prose.
func Say(prose string) Text { return Text{{Text: prose}} }

// prose returns a text without values, as most are.
func (t Text) prose() (string, bool) {
	if len(t) == 1 && !t[0].Value {
		return t[0].Text, true
	}
	return "", false
}

// size is about how long the text will be.
func (t Text) size() int {
	n := 0
	for _, s := range t {
		n += len(s.Text) + 2
	}
	return n
}

// Plain returns the text with its values bare but made visible.
func (t Text) Plain() string {
	if prose, ok := t.prose(); ok {
		return prose
	}
	var b strings.Builder
	b.Grow(t.size())
	for _, s := range t {
		if s.Value {
			b.WriteString(Visible(s.Text))
			continue
		}
		b.WriteString(s.Text)
	}
	return b.String()
}

// Markdown returns the text with its values in code spans and its prose as it
// is: prose comes from a playbook, which is trusted, and may use Markdown.
func (t Text) Markdown() string {
	if prose, ok := t.prose(); ok {
		return prose
	}
	var b strings.Builder
	b.Grow(t.size())
	for _, s := range t {
		if s.Value {
			b.WriteString(CodeSpan(s.Text))
			continue
		}
		b.WriteString(s.Text)
	}
	return b.String()
}

// MarshalText writes Plain.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.Plain()), nil }

// UnmarshalText reads a text as one run of values, since what was prose and what
// was a value is no longer known.
func (t *Text) UnmarshalText(b []byte) error {
	*t = nil
	if len(b) > 0 {
		*t = Text{{Text: string(b), Value: true}}
	}
	return nil
}
