package processor

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Matcher compares one value of an alert. Its text is NAME OP VALUE, where OP is
// = (equal), != (not equal), =~ (the regular expression matches the whole value)
// or !~ (it does not), as in Alertmanager. Regular expressions are RE2's.
//
// NAME is rule, source, priority, severity, tag, hostname, the name of an output
// field, or one that Derive knows. A value that the alert lacks is empty. Of
// several tags one has to match, and for != and !~ none may.
type Matcher struct {
	Name  string
	Op    string
	Value string

	re *regexp.Regexp
}

// maxMatcherBytes bounds a matcher's text.
const maxMatcherBytes = 512

var matcherForm = regexp.MustCompile(`(?s)^\s*([A-Za-z_][A-Za-z0-9_.\[\]-]*)\s*(=~|!~|!=|=)\s*(.*?)\s*$`)

// ParseMatcher reads a matcher. Its value may stand in double quotes, with the
// escapes of JSON.
func ParseMatcher(text string) (Matcher, error) {
	if len(text) > maxMatcherBytes {
		return Matcher{}, fmt.Errorf("a matcher of %d bytes: at most %d are allowed", len(text), maxMatcherBytes)
	}
	part := matcherForm.FindStringSubmatch(text)
	if part == nil {
		return Matcher{}, fmt.Errorf("%q is no matcher: want NAME=VALUE, NAME!=VALUE, NAME=~REGEXP or NAME!~REGEXP, such as k8s.ns.name=shop", text)
	}
	m := Matcher{Name: part[1], Op: part[2], Value: part[3]}
	if err := checkName(m.Name); err != nil {
		return Matcher{}, err
	}
	if strings.HasPrefix(m.Value, `"`) {
		if err := json.Unmarshal([]byte(m.Value), &m.Value); err != nil {
			return Matcher{}, fmt.Errorf("matcher %s: the quoted value %s is not a JSON string: %w", m.Name, part[3], err)
		}
	}
	err := m.compile()
	return m, err
}

// alertNames are the matchers' names that are no output fields and no derived names.
var alertNames = []string{"rule", "source", "priority", "severity", "tag", "hostname"}

// checkName refuses a name that is one of ours but for its case: an output field
// of that name is not to be expected.
func checkName(name string) error {
	for _, known := range slices.Concat(alertNames, DerivedNames()) {
		if name != known && strings.EqualFold(name, known) {
			return fmt.Errorf("matcher %s: did you mean %q?", name, known)
		}
	}
	return nil
}

// normalize writes a priority or a severity as alerts have it, and refuses a word
// that is none.
func (m *Matcher) normalize() error {
	known := map[string][]string{"priority": priorityNames[:], "severity": Severities()}[m.Name]
	if known == nil || m.Value == "" {
		return nil
	}
	value := m.Value
	if m.Name == "priority" && strings.EqualFold(value, "info") {
		value = Informational.String()
	}
	i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, value) })
	if i < 0 {
		return fmt.Errorf("matcher %s: %q is none: want one of %s", m.Name, m.Value, strings.Join(known, ", "))
	}
	m.Value = known[i]
	return nil
}

func (m *Matcher) compile() (err error) {
	if !strings.HasSuffix(m.Op, "~") {
		return m.normalize()
	}
	if m.re, err = regexp.Compile(`^(?s:` + m.Value + `)$`); err != nil {
		return fmt.Errorf("matcher %s: %w", m.Name, err)
	}
	return nil
}

// String returns the matcher as ParseMatcher reads it.
func (m Matcher) String() string {
	if plainValue.MatchString(m.Value) {
		return m.Name + m.Op + m.Value
	}
	quoted, _ := json.Marshal(m.Value) // a string can always be encoded
	return m.Name + m.Op + string(quoted)
}

// plainValue is a value that needs no quotes: it cannot be taken for a part of
// the operator, has no space at its ends, and shows as it is.
var plainValue = regexp.MustCompile(`^[\w/.*(\[^](?:[[:print:]]*[[:graph:]])?$`)

// MarshalText writes String.
func (m Matcher) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (m *Matcher) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMatcher(string(text))
	return err
}

// matches reports whether the alert, of this severity, has the value.
func (m *Matcher) matches(a *Alert, severity Severity) bool {
	return slices.ContainsFunc(m.values(a, severity), m.holds) != strings.HasPrefix(m.Op, "!")
}

// holds compares one value, whatever a "!" turns it into.
func (m *Matcher) holds(value string) bool {
	if m.re != nil {
		return m.re.MatchString(value)
	}
	return value == m.Value
}

func (m *Matcher) values(a *Alert, severity Severity) []string {
	switch m.Name {
	case "rule":
		return []string{a.Rule}
	case "source":
		return []string{a.Source}
	case "priority":
		return []string{a.Priority.String()}
	case "severity":
		return []string{severity.String()}
	case "hostname":
		return []string{a.Hostname}
	case "tag":
		if len(a.Tags) > 0 {
			return a.Tags
		}
	}
	v, _ := Derive(a, m.Name)
	return []string{v}
}

// unlikely is a value that no alert has: what holds for it asks for nothing.
const unlikely = "\x00no alert has this"

// selects reports whether the matcher asks for certain values, not for any, nor for all but some.
func (m *Matcher) selects() bool {
	return !strings.HasPrefix(m.Op, "!") && !m.holds("") && !m.holds(unlikely)
}

// checkMatchers refuses what would silence every alert, by mistake most likely.
func checkMatchers(list []Matcher) error {
	if len(list) == 0 {
		return errors.New("no matcher: want at least one, such as rule=\"Terminal shell in container\"")
	}
	if len(list) > maxMatchers {
		return fmt.Errorf("%d matchers: at most %d are allowed", len(list), maxMatchers)
	}
	if slices.ContainsFunc(list, func(m Matcher) bool { return m.selects() }) {
		return nil
	}
	return errors.New("these matchers hold for nearly all alerts: add one that asks for a certain value, such as k8s.ns.name=shop")
}
