package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"falconer/processor"
)

// absent stands in prose where the alert has no value.
const absent = "(not in the alert)"

// template is text with placeholders, cut into its parts.
type template []part

// part is a run of text, or a placeholder when name is set.
type part struct {
	text string
	name string
	// fallback stands in for an absent value; it is the playbook's own text.
	fallback    string
	hasFallback bool
}

// names are output fields with their argument in brackets, derived names, and
// "let." with a name.
var placeholderName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*(\[[^\[\]{}|]*\])?$`)

// parseTemplate cuts text at its placeholders. "{{" is a brace; a closing brace
// outside a placeholder is itself.
func parseTemplate(text string) (template, error) {
	var t template
	var run strings.Builder
	for rest := text; rest != ""; {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			run.WriteString(rest)
			break
		}
		run.WriteString(rest[:open])
		if rest = rest[open:]; strings.HasPrefix(rest, "{{") {
			run.WriteByte('{')
			rest = rest[2:]
			continue
		}
		p, length, err := parsePlaceholder(rest)
		if err != nil {
			return nil, err
		}
		t = append(t.literal(&run), p)
		rest = rest[length:]
	}
	return t.literal(&run), nil
}

// literal adds what run has gathered and empties it.
func (t template) literal(run *strings.Builder) template {
	if run.Len() > 0 {
		t = append(t, part{text: run.String()})
		run.Reset()
	}
	return t
}

var lineBreak = regexp.MustCompile(`[ \t]*\n[ \t]*`)

// parsePlaceholder reads the placeholder that s begins with, and its length.
func parsePlaceholder(s string) (part, int, error) {
	end := strings.IndexByte(s, '}')
	if end < 0 || strings.Contains(s[1:end], "{") || strings.Contains(s[1:end], "\n\n") {
		return part{}, 0, fmt.Errorf("placeholder %q has no closing brace; write {{ for a brace", cut(s, 30))
	}
	name, fallback, has := strings.Cut(s[1:end], "|")
	if !placeholderName.MatchString(name) {
		return part{}, 0, fmt.Errorf("%q is no placeholder: want {output.field}, {let.name} or a derived name, with |default if need be; write {{ for a brace", s[:end+1])
	}
	if near := likely(name); near != "" {
		return part{}, 0, fmt.Errorf("unknown placeholder %q; did you mean {%s}?", s[:end+1], near)
	}
	// Prose that is wrapped may break the line inside a default.
	fallback = lineBreak.ReplaceAllString(fallback, " ")
	return part{name: name, fallback: fallback, hasFallback: has}, end + 1, nil
}

// yours begins the names of placeholders that never have a value: the operator
// has to fill them in, such as {your.bucket}.
const yours = "your."

// alertNames are what placeholders and conditions know of an alert beside its
// output fields and processor.DerivedNames.
func alertNames() []string {
	return []string{"rule", "source", "hostname", "priority", "output"}
}

// likely returns the known name that a name without a dot may be a slip of.
// Other names without a dot are custom fields, which people do add to Falco.
func likely(name string) string {
	if strings.ContainsAny(name, ".[") {
		return ""
	}
	known := append(alertNames(), processor.DerivedNames()...)
	if slices.Contains(known, name) {
		return ""
	}
	return nearest(name, known)
}

// names returns the placeholders' names in order.
func (t template) names() []string {
	var names []string
	for _, p := range t {
		if p.name != "" {
			names = append(names, p.name)
		}
	}
	return names
}

// literalText returns the template's text when it has no placeholder.
func (t template) literalText() (string, bool) {
	switch {
	case len(t) == 0:
		return "", true
	case len(t) == 1 && t[0].name == "":
		return t[0].text, true
	}
	return "", false
}

// text fills the template as prose, and says whether every placeholder had a
// value or a default.
func (t template) text(r *reader) (processor.Text, bool) {
	if len(t) == 0 {
		return nil, true
	}
	out := make(processor.Text, 0, len(t))
	complete := true
	say := func(prose string) {
		if n := len(out); n > 0 && !out[n-1].Value {
			out[n-1].Text += prose
			return
		}
		out = append(out, processor.Span{Text: prose})
	}
	for _, p := range t {
		value, ok := r.value(p.name)
		switch {
		case p.name == "":
			say(p.text)
		case ok:
			out = append(out, processor.Span{Text: value, Value: true})
		case p.hasFallback:
			say(p.fallback)
		default:
			complete = false
			say(absent)
		}
	}
	return out, complete
}

// piece is one part of a template, filled.
type piece struct {
	text  string
	name  string // of the placeholder; empty for the playbook's own text
	ready bool
}

// pieces fills the template for commands and configuration: a placeholder
// without a usable value shows its name in angle brackets and is not ready.
func (t template) pieces(r *reader) []piece {
	out := make([]piece, 0, len(t))
	for _, p := range t {
		value, ok := r.exact(p.name)
		switch {
		case p.name == "":
			out = append(out, piece{text: p.text, ready: true})
		case ok:
			out = append(out, piece{text: value, name: p.name, ready: true})
		case p.hasFallback:
			out = append(out, piece{text: p.fallback, ready: true})
		default:
			out = append(out, piece{text: "<" + p.name + ">", name: p.name})
		}
	}
	return out
}
