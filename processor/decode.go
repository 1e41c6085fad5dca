package processor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of Decode. They bound what one alert may cost in state and reports;
// what is cut is named in Alert.Cut. Past MaxTotalBytes of values, the others
// keep 64 bytes each.
const (
	MaxAlertBytes  = 1 << 20 // a longer alert is not decoded
	MaxValueBytes  = 1 << 10 // of one field's value
	MaxOutputBytes = 4 << 10 // Falco repeats most fields in its text
	MaxTotalBytes  = 16 << 10
	MaxFieldCount  = 96
	MaxNameBytes   = 256 // of a field's name, a tag, the host name
	MaxRuleBytes   = 512
	MaxTagCount    = 32
	falcoCutMarker = "[...]" // falcosidekick's, at the end of a value it cut
)

// DecodeError says why bytes are not an alert, in words for an operator. It
// becomes the reason of a dead letter.
type DecodeError struct{ Reason string }

func (e *DecodeError) Error() string { return "decoding alert: " + e.Reason }

func undecodable(format string, args ...any) error {
	return &DecodeError{Reason: fmt.Sprintf(format, args...)}
}

// Decode reads one alert in Falco's JSON or falcosidekick's. It is tolerant of
// what differs between their versions (DESIGN, "What an alert is"), never
// guesses and never panics. Every error is a *DecodeError.
func Decode(data []byte) (*Alert, error) {
	a := &Alert{Fields: make(map[string]string, 24)}
	if (&scanner{}).scan(string(data), a) {
		a.trim()
		return a, nil
	}
	return decode(data)
}

// decode is Decode for alerts of any form.
func decode(data []byte) (*Alert, error) {
	if len(data) > MaxAlertBytes {
		return nil, undecodable("%d bytes long; alerts are decoded up to %d bytes", len(data), MaxAlertBytes)
	}
	top, err := object(data)
	if err != nil {
		return nil, err
	}
	a := &Alert{}
	if a.Rule, err = text(top, "rule"); err != nil {
		return nil, err
	}
	if strings.TrimSpace(a.Rule) == "" {
		return nil, undecodable("no rule: the key \"rule\" is missing or empty%s", keysOf(top))
	}
	if len(a.Rule) > MaxRuleBytes {
		return nil, undecodable("the rule's name is %d bytes long; at most %d are allowed", len(a.Rule), MaxRuleBytes)
	}
	if err := a.decodeFields(top["output_fields"]); err != nil {
		return nil, err
	}
	if a.Output, err = text(top, "output"); err != nil {
		return nil, err
	}
	if a.Hostname, err = text(top, "hostname"); err != nil {
		return nil, err
	}
	if a.Source, err = text(top, "source"); err != nil {
		return nil, err
	}
	a.Output, a.Hostname = a.bound("output", a.Output, MaxOutputBytes), a.bound("hostname", a.Hostname, MaxNameBytes)
	a.Source = sourceOf(a.bound("source", a.Source, MaxNameBytes), a.Rule)
	a.decodePriority(top["priority"])
	a.decodeTags(top["tags"])
	a.decodeTime(top["time"])
	return a, nil
}

// object splits a JSON object by its keys, which are compared without case, as
// falcosidekick's own decoder does. Of a repeated key the last one holds.
func object(data []byte) (map[string]json.RawMessage, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return nil, undecodable("empty message")
	}
	if data[0] != '{' {
		return nil, undecodable("not a JSON object: it begins with %s", head(data))
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, undecodable("%s", jsonReason(data, err))
	}
	top := make(map[string]json.RawMessage, len(raw))
	for _, k := range slices.Sorted(maps.Keys(raw)) {
		low := strings.ToLower(k)
		if _, exact := raw[low]; k == low || !exact {
			top[low] = raw[k]
		}
	}
	return top, nil
}

func jsonReason(data []byte, err error) string {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
		return fmt.Sprintf("invalid JSON at byte %d (line %d): %s", syntax.Offset, line, syntax.Error())
	}
	return "invalid JSON: " + err.Error()
}

// head shows the beginning of what was found, for an error.
func head(data []byte) string {
	return strconv.QuoteToASCII(string(data[:min(len(data), 24)]))
}

func keysOf(top map[string]json.RawMessage) string {
	keys := slices.Sorted(maps.Keys(top))
	if len(keys) == 0 {
		return "; the object is empty"
	}
	list := strings.Join(keys[:min(len(keys), 8)], ", ")
	return "; found: " + Visible(list[:min(len(list), 200)])
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// text reads a key that must be a string, null or missing.
func text(top map[string]json.RawMessage, key string) (string, error) {
	raw := top[key]
	if isNull(raw) {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", undecodable("%q must be a string, found %s", key, head(raw))
	}
	return s, nil
}

func sourceOf(source, rule string) string {
	switch s := strings.TrimSpace(source); {
	case s == "syscalls" || s == "" && !strings.HasPrefix(rule, "Falco internal: "):
		return "syscall"
	case s == "":
		return SourceInternal
	default:
		return s
	}
}

func (a *Alert) decodePriority(raw json.RawMessage) {
	var word string
	if json.Unmarshal(raw, &word) != nil {
		word = string(raw)
	}
	a.Priority = ParsePriority(word)
	if a.Priority == PriorityUnknown {
		a.Notes = append(a.Notes, "the alert has no priority that Falco knows")
	}
}

func (a *Alert) decodeTags(raw json.RawMessage) {
	var tags []any
	var joined string
	if json.Unmarshal(raw, &tags) != nil && json.Unmarshal(raw, &joined) == nil {
		for t := range strings.SplitSeq(joined, ",") {
			tags = append(tags, t)
		}
	}
	words := make([]string, 0, len(tags))
	for _, t := range tags {
		if s, ok := t.(string); ok {
			words = append(words, s)
		}
	}
	a.setTags(words)
}

func (a *Alert) setTags(tags []string) {
	for _, s := range tags {
		s = strings.TrimSpace(s)
		if s == "" || len(s) > MaxNameBytes || slices.Contains(a.Tags, s) || len(a.Tags) >= MaxTagCount {
			continue
		}
		a.Tags = append(a.Tags, s)
	}
	slices.Sort(a.Tags)
}

// Forms of the key "time": RFC 3339, and the same with Falco's "+0000".
var timeForms = [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700"}

// decodeTime reads the key "time" (one of timeForms, or the seconds and
// nanoseconds of Falco's gRPC output), else the event time among the fields.
func (a *Alert) decodeTime(raw json.RawMessage) {
	var s string
	if json.Unmarshal(raw, &s) == nil && s != "" {
		for _, form := range timeForms {
			if t, err := time.Parse(form, s); err == nil && plausible(t) {
				a.Time = t.UTC()
				return
			}
		}
		a.Notes = append(a.Notes, "the alert's time is not RFC 3339 and was not used")
	}
	var pair struct{ Seconds, Nanos int64 }
	if json.Unmarshal(raw, &pair) == nil && pair.Seconds > 0 {
		a.setTime(time.Unix(pair.Seconds, pair.Nanos))
	}
	for _, name := range []string{"evt.time", "evt.time.iso8601"} {
		if ns, err := strconv.ParseInt(a.Fields[name], 10, 64); err == nil && a.Time.IsZero() {
			a.setTime(time.Unix(0, ns))
		}
	}
	if a.Time.IsZero() {
		a.Notes = append(a.Notes, "the alert does not say when the event happened")
	}
}

func (a *Alert) setTime(t time.Time) {
	if plausible(t) {
		a.Time = t.UTC()
	}
}

// plausible keeps out times that JSON could not write back, or that no host has.
func plausible(t time.Time) bool { y := t.UTC().Year(); return y >= 1990 && y < 2262 }
