package processor

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"time"
	"unsafe"
)

// scan reads, in one validating pass, the alerts that nearly all alerts are: JSON as
// Falco and falcosidekick write it, in ASCII, with output fields in the order of
// their names. Anything else, faults among it, is left to the decoder of the
// standard library, which is the reference: what scan reads it reads alike.
//
// It is ten times as fast and allocates nothing, and stands where every alert of a
// flood comes by.
type scanner struct {
	// text is the alert; values are parts of it, or of unescaped.
	text string
	at   int
	// unescaped holds the strings that had escapes.
	unescaped []byte
	list      []field // output fields that have a value
	fields    int     // how many there are, with and without a value
	total     int     // bytes of their values
}

// field is an output field and its value.
type field struct{ name, value string }

// scan reads text into a, of which it reuses the map and the lists. When it returns
// false, the text is not plain, and a is of no use.
func (s *scanner) scan(text string, a *Alert) bool {
	*s = scanner{text: text, unescaped: s.unescaped[:0], list: s.list[:0]}
	if cap(s.unescaped) < len(text) { // so that it never moves while strings point into it
		s.unescaped = make([]byte, 0, len(text))
	}
	fields := a.Fields
	clear(fields)
	*a = Alert{Fields: fields, Tags: a.Tags[:0], Absent: a.Absent[:0], Priority: PriorityUnknown}
	if !s.object(a) {
		return false
	}
	for s.at < len(text) {
		if !space(text[s.at]) {
			return false
		}
		s.at++
	}
	if strings.TrimSpace(a.Rule) == "" || len(a.Rule) > MaxRuleBytes || len(a.Output) > MaxOutputBytes || a.Priority == PriorityUnknown || a.Time.IsZero() || s.fields == 0 {
		return false
	}
	a.Output = a.bound("output", a.Output, MaxOutputBytes)
	a.Source = sourceOf(a.Source, a.Rule)
	return true
}

// Keys of an alert, as bits of what was seen.
const (
	keyRule = 1 << iota
	keySource
	keyPriority
	keyHostname
	keyOutput
	keyTime
	keyTags
	keyFields
)

func (s *scanner) object(a *Alert) bool {
	if len(s.text) > MaxAlertBytes || !s.token('{') {
		return false
	}
	for seen := 0; ; {
		name, ok := s.name()
		if !ok {
			return false
		}
		key := 0
		switch name {
		case "rule":
			key, ok = keyRule, s.string(&a.Rule)
		case "source":
			key, ok = keySource, s.short(&a.Source)
		case "hostname":
			key, ok = keyHostname, s.short(&a.Hostname)
		case "priority":
			key, ok = keyPriority, s.priority(a)
		case "output":
			key, ok = keyOutput, s.string(&a.Output)
		case "time":
			key, ok = keyTime, s.time(a)
		case "tags":
			key, ok = keyTags, s.tags(a)
		case "output_fields":
			key, ok = keyFields, s.outputFields(a)
		default:
			_, _, ok = s.value()
			ok = ok && !anyUpper(name) // it might be one of the above
		}
		if !ok || seen&key != 0 {
			return false
		}
		seen |= key
		if s.token('}') {
			return true
		}
		if !s.token(',') {
			return false
		}
	}
}

func anyUpper(s string) bool {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			return true
		}
	}
	return false
}

func (s *scanner) outputFields(a *Alert) bool {
	if !s.token('{') {
		return false
	}
	for last := ""; ; {
		name, ok := s.name()
		if !ok || name <= last || len(name) > MaxNameBytes || s.fields >= MaxFieldCount {
			return false
		}
		last = name
		s.fields++
		v, none, ok := s.value()
		if !ok || len(v) > MaxValueBytes || s.total > MaxTotalBytes {
			return false
		}
		if none || v == "<NA>" || v == "" {
			a.Absent = append(a.Absent, name)
		} else {
			a.Fields[name] = a.bound(name, v, MaxValueBytes)
			s.list = append(s.list, field{name, v})
			s.total += len(v)
		}
		if s.token('}') {
			return true
		}
		if !s.token(',') {
			return false
		}
	}
}

func (s *scanner) tags(a *Alert) bool {
	if !s.token('[') {
		return false
	}
	if s.token(']') {
		return true
	}
	var list [MaxTagCount]string
	for n := range list {
		if !s.string(&list[n]) {
			return false
		}
		if s.token(']') {
			a.setTags(list[:n+1])
			return true
		}
		if !s.token(',') {
			return false
		}
	}
	return false
}

func (s *scanner) priority(a *Alert) bool {
	var word string
	ok := s.string(&word)
	a.Priority = ParsePriority(word)
	return ok
}

func (s *scanner) time(a *Alert) bool {
	var v string
	if !s.string(&v) {
		return false
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil || !plausible(t) {
		return false
	}
	a.Time = t.UTC()
	return true
}

// short reads a string that is short enough to be kept whole.
func (s *scanner) short(v *string) bool {
	return s.string(v) && len(*v) <= MaxNameBytes && !strings.HasSuffix(*v, falcoCutMarker)
}

// token passes over white space and the character, if that comes next.
func (s *scanner) token(c byte) bool {
	for s.at < len(s.text) && space(s.text[s.at]) {
		s.at++
	}
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// name reads a key and its colon. One with an escape is not plain.
func (s *scanner) name() (string, bool) {
	if !s.token('"') {
		return "", false
	}
	end := s.plain(s.at)
	if end >= len(s.text) || s.text[end] != '"' {
		return "", false
	}
	name := s.text[s.at:end]
	s.at = end + 1
	return name, s.token(':')
}

func (s *scanner) string(v *string) (ok bool) {
	if !s.token('"') {
		return false
	}
	*v, ok = s.rest()
	return ok
}

// value reads a string, number or word; none says that it was null. Lists and
// objects are not plain.
func (s *scanner) value() (v string, none, ok bool) {
	if s.token('"') {
		v, ok = s.rest()
		return v, false, ok
	}
	begin := s.at
	for s.at < len(s.text) && !strings.ContainsRune(",}] \n\r\t", rune(s.text[s.at])) {
		s.at++
	}
	switch v = s.text[begin:s.at]; v {
	case "true", "false":
		return v, false, true
	case "null":
		return "", true, true
	}
	return v, false, number(v)
}

// number reports whether v is a number by the grammar of JSON.
func number(v string) bool {
	v = strings.TrimPrefix(v, "-")
	whole := digitsOf(v)
	if whole == 0 || whole > 1 && v[0] == '0' {
		return false
	}
	v = v[whole:]
	if rest, ok := strings.CutPrefix(v, "."); ok {
		n := digitsOf(rest)
		if n == 0 {
			return false
		}
		v = rest[n:]
	}
	if v != "" && (v[0] == 'e' || v[0] == 'E') {
		v = v[1:]
		if v != "" && (v[0] == '+' || v[0] == '-') {
			v = v[1:]
		}
		n := digitsOf(v)
		return n > 0 && n == len(v)
	}
	return v == ""
}

func digitsOf(v string) (n int) {
	for n < len(v) && v[n] >= '0' && v[n] <= '9' {
		n++
	}
	return n
}

// rest reads the rest of a string whose quote was passed.
func (s *scanner) rest() (string, bool) {
	end := s.plain(s.at)
	if end >= len(s.text) {
		return "", false
	}
	if s.text[end] == '"' {
		v := s.text[s.at:end]
		s.at = end + 1
		return v, true
	}
	begin := len(s.unescaped)
	for end < len(s.text) && s.text[end] == '\\' {
		s.unescaped = append(s.unescaped, s.text[s.at:end]...)
		if s.at = end; !s.escape() {
			return "", false
		}
		end = s.plain(s.at)
	}
	if end >= len(s.text) || s.text[end] != '"' {
		return "", false
	}
	s.unescaped = append(s.unescaped, s.text[s.at:end]...)
	s.at = end + 1
	return alias(s.unescaped[begin:]), true
}

// escape reads one escape of an ASCII character.
func (s *scanner) escape() bool {
	if s.at+1 >= len(s.text) {
		return false
	}
	c := s.text[s.at+1]
	s.at += 2
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		if len(s.text)-s.at < 4 || s.text[s.at:s.at+2] != "00" {
			return false
		}
		high, low := hexDigit(s.text[s.at+2]), hexDigit(s.text[s.at+3])
		if high > 7 || low > 15 {
			return false
		}
		c = high<<4 | low
		s.at += 4
	default:
		return false
	}
	s.unescaped = append(s.unescaped, c)
	return true
}

// hexDigit is the value of a hexadecimal digit, or more than 15.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// plain returns where the next character stands, from i on, that is a quote, a
// backslash, a control character or beyond ASCII; eight are looked at together.
func (s *scanner) plain(i int) int {
	const (
		ones = 0x0101010101010101
		high = 0x8080808080808080
	)
	for ; i+8 <= len(s.text); i += 8 {
		w := binary.LittleEndian.Uint64([]byte(s.text[i : i+8]))
		quote, slash := w^'"'*ones, w^'\\'*ones
		special := (w - ' '*ones) &^ w // below a space
		special |= (quote - ones) &^ quote
		special |= (slash - ones) &^ slash
		if special = (special | w) & high; special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for i < len(s.text) && s.text[i] >= ' ' && s.text[i] < 0x80 && s.text[i] != '"' && s.text[i] != '\\' {
		i++
	}
	return i
}

// alias is b as a string that shares its memory: b must not change any more.
func alias(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // as said; no allocation for each alert of a flood
}

// trim makes of empty lists none, as decode does.
func (a *Alert) trim() {
	if len(a.Tags) == 0 {
		a.Tags = nil
	}
	if len(a.Absent) == 0 {
		a.Absent = nil
	}
}
