package rules

import (
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/vm"

	"falconer/processor"
)

// reader looks up the values of one alert for the templates and conditions of a
// playbook. It is used by one goroutine at a time and lent out by Book.read.
type reader struct {
	alert *processor.Alert
	scope *scope
	// taken remembers what the lets gave.
	taken map[*extract]string
	place string // see where
	// env is what vm sees of the alert, once filled.
	env    map[string]any
	filled bool
	vm     vm.VM
	notes  []string
	// To be used again: where Grade sums up, and where a condition joins texts.
	why     []processor.Contribution
	scratch []byte
}

// scope is the lets that a playbook knows: its own, and those of the playbooks
// for all alerts.
type scope struct {
	own, all map[string]*extract
}

// extract is a compiled Extract.
type extract struct {
	from  []string
	match *regexp.Regexp
	needs clues // without one of which match does not match
}

func (s *scope) find(name string) *extract {
	if e := s.own[name]; e != nil {
		return e
	}
	return s.all[name]
}

// names returns the lets that are in scope, sorted.
func (s *scope) names() []string {
	var names []string
	for _, lets := range []map[string]*extract{s.own, s.all} {
		for name := range lets {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// value returns the value of a field, of a derived name, of one of alertNames,
// or of a let, and whether it has one; an empty value is none.
func (r *reader) value(name string) (string, bool) {
	var v string
	switch name {
	case "":
	case "rule":
		v = r.alert.Rule
	case "source":
		v = r.alert.Source
	case "hostname":
		v = r.alert.Hostname
	case "output":
		v = r.alert.Output
	case "priority":
		v = r.alert.Priority.String()
	default:
		if let, ok := strings.CutPrefix(name, "let."); ok {
			v = r.let(let)
		} else if !strings.HasPrefix(name, yours) {
			v, _ = processor.Derive(r.alert, name)
		}
	}
	return v, v != ""
}

// let returns what the named let takes out of the alert, or "".
func (r *reader) let(name string) string {
	e := r.scope.find(name)
	if e == nil {
		return ""
	}
	if v, ok := r.taken[e]; ok {
		return v
	}
	v := e.take(r)
	r.taken[e] = v
	return v
}

// take returns what the extract finds in the first field that it matches.
func (e *extract) take(r *reader) string {
	for _, name := range e.from {
		v, ok := r.value(name)
		if !ok || !e.needs.inText(v) {
			continue
		}
		if m := e.match.FindStringSubmatch(v); m != nil && m[1] != "" {
			return m[1]
		}
	}
	return ""
}

// exact is value for places where half a value would do harm: one that was cut
// on its way, or from which a secret was taken, is none.
func (r *reader) exact(name string) (string, bool) {
	v, ok := r.value(name)
	if !ok || strings.Contains(v, processor.Redacted) || r.cut(name) {
		return "", false
	}
	return v, true
}

func (r *reader) cut(name string) bool {
	if slices.Contains(r.alert.Cut, name) {
		return true
	}
	let, ok := strings.CutPrefix(name, "let.")
	if !ok {
		return false
	}
	e := r.scope.find(let)
	return e != nil && slices.ContainsFunc(e.from, func(from string) bool { return slices.Contains(r.alert.Cut, from) })
}
