package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
)

// source is a playbook file as it was read.
type source struct {
	name  string
	layer string
	lines map[any]int
	File
}

// compiler turns what was read into what is run, and gathers every problem.
type compiler struct {
	attack   *Attack
	options  []expr.Option
	compiled map[string]condition
	problems []*Problem
	shared   map[string]*mitigation
	// always are the lets of the playbooks for all alerts.
	always map[string]*extract
	// Where the compiler is: the file, the first line of the playbook or the
	// shared mitigation, and the lets that it knows.
	file  *source
	line  int
	scope *scope
}

// at returns the line of the value that address points to. One that was left
// out has none, and then the playbook's own line must do.
func (c *compiler) at(address any) int {
	if line := c.file.lines[address]; line > 0 {
		return line
	}
	return c.line
}

func (c *compiler) failf(address any, format string, args ...any) {
	c.problems = append(c.problems, &Problem{File: c.file.name, Line: c.at(address), Text: fmt.Sprintf(format, args...)})
}

// inside makes keys that were left out of the struct at address be reported on
// its line, until the returned func is called.
func (c *compiler) inside(address any) func() {
	before := c.line
	c.line = c.at(address)
	return func() { c.line = before }
}

// enter makes the compiler report on the thing that starts at address.
func (c *compiler) enter(s *source, address any, own map[string]*extract) {
	c.file, c.line = s, 0
	c.line = s.lines[address]
	c.scope = &scope{own: own, all: c.always}
}

var idForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (c *compiler) id(what string, id *string) {
	switch {
	case *id == "":
		c.failf(id, "%s has no id", what)
	case !idForm.MatchString(*id):
		c.failf(id, "id %q: want lower-case letters and digits with single dashes between, as in shell-in-container", *id)
	}
}

// title checks a text that is shown without being filled.
func (c *compiler) title(what string, title *string) {
	switch {
	case strings.TrimSpace(*title) == "":
		c.failf(title, "%s has no title", what)
	case strings.ContainsAny(*title, "{}\n"):
		c.failf(title, "title %q: a title is one line without placeholders", *title)
	}
}

// word checks that a word is one of a few.
func (c *compiler) word(what string, found *string, allowed ...string) {
	if !slices.Contains(allowed, *found) {
		c.failf(found, "%s", choice(what, *found, allowed))
	}
}

// when compiles a condition; an empty one always holds.
func (c *compiler) when(source *string) *condition {
	if strings.TrimSpace(*source) == "" {
		return nil
	}
	cond, err := c.condition(*source)
	if err != nil {
		c.failf(source, "condition %q: %v", cut(*source, 80), err)
		return nil
	}
	cond.line = c.at(source)
	for _, name := range cond.asked {
		c.known(source, name)
	}
	return cond
}

// condition compiles a condition once, however often it is written.
func (c *compiler) condition(source string) (*condition, error) {
	if _, ok := c.compiled[source]; !ok {
		cond, err := compileCondition(source, c.options)
		if err != nil {
			return nil, err
		}
		c.compiled[source] = *cond
	}
	cond := c.compiled[source]
	return &cond, nil
}

// known checks a name that a condition or placeholder looks up.
func (c *compiler) known(address any, name string) {
	let, isLet := strings.CutPrefix(name, "let.")
	switch near := likely(name); {
	case isLet && c.scope.find(let) == nil:
		c.failf(address, "unknown let %q; %sknown here: %s", let, didYouMean(let, c.scope.names()), orNone(c.scope.names()))
	case !placeholderName.MatchString(name):
		c.failf(address, "%q is no name of an output field", name)
	case near != "":
		c.failf(address, "unknown name %q; did you mean %q?", name, near)
	}
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// text compiles a text with placeholders.
func (c *compiler) text(text *string) template {
	return c.template(text, strings.TrimSpace(*text))
}

func (c *compiler) template(address any, text string) template {
	t, err := parseTemplate(text)
	if err != nil {
		c.failf(address, "%v", err)
		return nil
	}
	for _, name := range t.names() {
		if strings.HasPrefix(name, "let.") {
			c.known(address, name)
		}
	}
	return t
}

// paragraphs compiles prose that empty lines divide.
func (c *compiler) paragraphs(text *string) []template {
	var out []template
	for _, p := range blankLine.Split(*text, -1) {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, c.template(text, p))
		}
	}
	return out
}

var blankLine = regexp.MustCompile(`\n[ \t]*\n`)
