package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"falconer/processor"
)

// exception is a compiled Exception.
type exception struct {
	name   string
	fields []string
	comps  []string
	why    template
	frames sync.Map // of []string, by the fields that take part
}

// exceptionComps are the operators that an exception may use. Those that read
// the value as a pattern or a list are left out: the value is an attacker's.
var exceptionComps = []string{"=", "==", "contains", "icontains", "startswith", "endswith"}

// fill builds the Falco exception for the alert that r reads, or nil when the
// alert is no rule's. Only fields that the alert has take part; those it lacks
// are Missing, and said to make the exception wider.
func (e *exception) fill(r *reader) *processor.Config {
	if e == nil || r.alert.Source == processor.SourceInternal {
		return nil
	}
	f := &filling{}
	names, operators := e.pinned(r.alert)
	var fields, comps, values []string
	for i, name := range names {
		v, ok := r.exact(name)
		if !ok || !utf8.ValidString(v) {
			f.miss(name)
			continue
		}
		fields, comps, values = append(fields, name), append(comps, operators[i]), append(values, falcoQuote(v))
	}
	ready := len(fields) > 0
	if !ready {
		fields, comps = names, operators
		for _, name := range names {
			values = append(values, "<"+name+">")
		}
	} else if len(f.missing) > 0 {
		f.notes = append(f.notes, fmt.Sprintf("The alert has no usable value for `%s`, so this exception is wider than it should be: add a condition before you use it.", strings.Join(f.missing, "`, `")))
	}
	return &processor.Config{
		Tool: "falco", Format: "yaml",
		Body:    e.body(r.alert.Rule, fields, comps, values),
		Explain: f.explained(e.why, r),
		Ready:   len(f.missing) == 0 && ready,
		Missing: f.missing,
	}
}

// pinned returns the exception's fields and operators for the alert. What happened
// in a container is never excused for all containers alike: the image is pinned too
// where the playbook names neither image nor namespace.
func (e *exception) pinned(a *processor.Alert) (fields, comps []string) {
	narrow := slices.ContainsFunc(e.fields, func(f string) bool {
		return strings.HasPrefix(f, "container.image.") || strings.HasPrefix(f, "k8s.") || f == "container.name"
	})
	if place := processor.Place(a); narrow || place != processor.Kubernetes && place != processor.Container {
		return e.fields, e.comps
	}
	const image = "container.image.repository"
	return append(slices.Clip(e.fields), image), append(slices.Clip(e.comps), "=")
}

// nameFor returns a name that no other exception of the rule has: Falco takes a
// second one of the same name for an addition to the first, and refuses it.
func (e *exception) nameFor(values []string) string {
	h := sha256.New()
	for _, v := range values {
		fmt.Fprintf(h, "%q ", v)
	}
	return "falconer_" + processor.Slug(e.name) + "_" + hex.EncodeToString(h.Sum(nil)[:4])
}

// body writes the exception: what is fixed by its fields once, as a frame. Values
// are never bare words, so that they look the same in a list and alone.
func (e *exception) body(rule string, fields, comps, values []string) string {
	if !utf8.ValidString(rule) { // the encoder refuses the whole
		return encodeYAML(exceptionTree(rule, e.nameFor(values), fields, comps, values))
	}
	scalars := []string{scalarYAML(word(rule)), scalarYAML(word(e.nameFor(values)))}
	for _, v := range values {
		scalars = append(scalars, scalarYAML(word(v)))
	}
	return splice(e.frame(fields, comps), scalars)
}

// frame is the exception of these fields, cut where rule, name and values stand.
func (e *exception) frame(fields, comps []string) []string {
	key := strings.Join(fields, " ")
	if known, ok := e.frames.Load(key); ok {
		return known.([]string)
	}
	const mark = "{}" // neither a field nor an operator has braces
	whole := encodeYAML(exceptionTree(mark, mark, fields, comps, slices.Repeat([]string{mark}, len(fields))))
	frame := strings.Split(whole, "'"+mark+"'")
	e.frames.Store(key, frame)
	return frame
}

func exceptionTree(rule, name string, fields, comps, values []string) *yaml.Node {
	one := mapping(
		pair{"name", word(name)},
		pair{"fields", list(words(fields)...)},
		pair{"comps", list(words(comps)...)},
		pair{"values", block(list(words(values)...))},
	)
	return block(mapping(
		pair{"rule", word(rule)},
		pair{"exceptions", block(one)},
		pair{"override", mapping(pair{"exceptions", word("append")})},
	))
}

// falcoQuote returns v as a quoted string of Falco's condition language. Falco
// pastes the values of exceptions into the condition as they are, and only a
// value that brings its own quotes stays a value.
func falcoQuote(v string) string { return `"` + falcoEscapes.Replace(v) + `"` }

var falcoEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\b", `\b`, "\f", `\f`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// word returns a scalar that is read back as the string s, whatever s is.
func word(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	switch {
	case processor.Visible(s) != s:
		n.Style = yaml.DoubleQuotedStyle
	case !bare(s) && strings.TrimFunc(s, func(r rune) bool { return r == ' ' || bare(string(r)) }) != "":
		n.Style = yaml.SingleQuotedStyle
	}
	return n
}

func list(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle, Content: items}
}

func block(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: items}
}

// pair is a key of a mapping and its value.
type pair struct {
	key   string
	value *yaml.Node
}

func mapping(pairs ...pair) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, p := range pairs {
		m.Content = append(m.Content, word(p.key), p.value)
	}
	return m
}
