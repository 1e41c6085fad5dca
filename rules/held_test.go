package rules

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"falconer/processor"
)

// holder checks an advice against the playbook that it was filled from: it reads
// every command and configuration back the way its tool does, and finds nothing
// but the playbook's own words and, in the places of the placeholders, the
// alert's values as they are.
type holder struct {
	*reader
	problems []string
}

func (h *holder) failf(format string, args ...any) {
	h.problems = append(h.problems, fmt.Sprintf(format, args...))
}

// held returns what is wrong with advice as that of the book for the alert.
func held(b *Book, a *processor.Alert, advice processor.Advice) []string {
	p := b.take(a, b.tagCache.read(a.Tags))
	r := b.read(a)
	defer b.done(r)
	h := &holder{reader: r}
	rest := advice.Mitigations
	for i := range p.measures {
		m := &p.measures[i]
		if !m.applies(p.scope, r) {
			continue
		}
		if len(rest) == 0 || rest[0].ID != m.ID {
			h.failf("mitigation %s is missing", m.ID)
			return h.problems
		}
		h.steps(m, rest[0])
		rest = rest[1:]
	}
	if len(rest) > 0 {
		h.failf("mitigation %s comes from nowhere", rest[0].ID)
	}
	r.scope = p.scope
	h.exception(p.except, advice.Exception)
	return h.problems
}

func (h *holder) steps(m *measure, got processor.Mitigation) {
	place := processor.Place(h.alert)
	commands, configs := got.Commands, got.Configs
	for _, c := range m.commands {
		if !c.meets(place, h.reader) {
			continue
		}
		if len(commands) == 0 {
			h.failf("%s: a command is missing", m.ID)
			return
		}
		h.command(c, commands[0])
		commands = commands[1:]
	}
	for _, c := range m.configs {
		if !c.meets(place, h.reader) {
			continue
		}
		if len(configs) == 0 {
			h.failf("%s: a configuration is missing", m.ID)
			return
		}
		h.config(c, configs[0])
		configs = configs[1:]
	}
	if len(commands)+len(configs) > 0 {
		h.failf("%s: %d steps come from nowhere", m.ID, len(commands)+len(configs))
	}
}

// readLine reads a line as a shell does: a pipe of simple commands, and a file.
func readLine(line string) (commands [][]string, file string, err error) {
	parsed, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(line), "")
	if err != nil {
		return nil, "", err
	}
	if len(parsed.Stmts) != 1 {
		return nil, "", fmt.Errorf("%d statements", len(parsed.Stmts))
	}
	cfg := &expand.Config{Env: expand.ListEnviron("HOME=/expanded"), NoUnset: true}
	var walk func(s *syntax.Stmt) error
	walk = func(s *syntax.Stmt) error {
		if s.Background || s.Negated {
			return errors.New("a statement with & or a negation")
		}
		for _, r := range s.Redirs {
			if r.Op != syntax.RdrOut || r.N != nil || file != "" {
				return fmt.Errorf("a redirection %s", r.Op)
			}
			if file, err = expand.Literal(cfg, r.Word); err != nil {
				return err
			}
		}
		switch c := s.Cmd.(type) {
		case *syntax.BinaryCmd:
			if c.Op != syntax.Pipe {
				return fmt.Errorf("an operator %s", c.Op)
			}
			if err := walk(c.X); err != nil {
				return err
			}
			return walk(c.Y)
		case *syntax.CallExpr:
			if len(c.Assigns) > 0 {
				return errors.New("an assignment")
			}
			fields, err := expand.Fields(cfg, c.Args...)
			commands = append(commands, fields)
			return err
		}
		return fmt.Errorf("a %T", s.Cmd)
	}
	return commands, file, walk(parsed.Stmts[0])
}

func (h *holder) command(c *command, got processor.Command) {
	commands, file, err := readLine(got.Line)
	if err != nil || len(commands) != len(c.vectors) {
		h.failf("command %q: read as %q: %v", got.Line, commands, err)
		return
	}
	if processor.Visible(got.Line) != got.Line {
		h.failf("command %q hides something", got.Line)
	}
	for i, v := range c.vectors {
		if len(commands[i]) != len(v) {
			h.failf("command %q has the arguments %q, and the playbook %d", got.Line, commands[i], len(v))
			return
		}
		for j, a := range v {
			if !h.fits(a.template, commands[i][j], got.Ready, nil) {
				h.failf("command %q: argument %d is %q", got.Line, j, commands[i][j])
			}
		}
	}
	if !h.fits(c.to, file, got.Ready, nil) || strings.Contains(file, "/") && !strings.Contains(literals(c.to), "/") {
		h.failf("command %q writes to %q", got.Line, file)
	}
	h.readiness(got.Line, got.Ready, got.Missing)
}

func (h *holder) readiness(what string, ready bool, missing []string) {
	if ready != (len(missing) == 0) {
		h.failf("%q is ready: %t, and misses %q", what, ready, missing)
	}
}

func literals(t template) (out string) {
	for _, p := range t {
		if p.name == "" {
			out += p.text
		}
	}
	return out
}

// fits reports whether text is the template with the alert's values, each as
// change makes it, in the places of the placeholders. What is not ready may have
// a name in angle brackets there.
func (h *holder) fits(t template, text string, ready bool, change func(string) string) bool {
	if len(t) == 0 {
		return text == ""
	}
	p := t[0]
	var options []string
	if p.name == "" {
		options = []string{p.text}
	} else {
		v, ok := h.exact(p.name)
		switch {
		case ok && change != nil:
			options = append(options, change(v))
		case ok:
			options = append(options, v)
		case p.hasFallback:
			options = append(options, p.fallback)
		}
		if !ready {
			options = append(options, "<"+p.name+">")
		}
	}
	return slices.ContainsFunc(options, func(o string) bool {
		rest, ok := strings.CutPrefix(text, o)
		return ok && h.fits(t[1:], rest, ready, change)
	})
}

func (h *holder) config(c *config, got processor.Config) {
	defer h.readiness(got.Body, got.Ready, got.Missing)
	if c.format == "text" {
		h.lines(c, got)
		return
	}
	for line := range strings.SplitSeq(got.Body, "\n") {
		if visibleLine(line) != line {
			h.failf("configuration %q hides something", line)
		}
	}
	dec := yaml.NewDecoder(strings.NewReader(got.Body)) // JSON is YAML
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		h.failf("configuration %q: %v", got.Body, err)
		return
	}
	if dec.Decode(&more) == nil {
		h.failf("configuration %q has a second document", got.Body)
	}
	h.tree(c, c.tree, doc.Content[0], got)
}

func (h *holder) tree(c *config, want, got *yaml.Node, whole processor.Config) {
	if got.Kind == yaml.AliasNode || got.Anchor != "" || got.Kind != want.Kind || len(got.Content) != len(want.Content) {
		h.failf("configuration %q: a node of kind %d with %d children became one of kind %d with %d", whole.Body, want.Kind, len(want.Content), got.Kind, len(got.Content))
		return
	}
	for i := range want.Content {
		h.tree(c, want.Content[i], got.Content[i], whole)
	}
	if want.Kind != yaml.ScalarNode {
		return
	}
	t, hole := c.holes[want]
	switch number := hole && want.ShortTag() == "!!int"; {
	case !hole && (got.Value != want.Value || got.ShortTag() != want.ShortTag()):
		h.failf("configuration: %q of the playbook became %q", want.Value, got.Value)
	case hole && !number && got.ShortTag() != "!!str":
		h.failf("configuration %q: %q became a %s", whole.Body, got.Value, got.ShortTag())
	case number && whole.Ready && !digits.MatchString(got.Value):
		h.failf("configuration %q: %q is no number", whole.Body, got.Value)
	case hole && c.quoted[want] == falcoString:
		text, err := falcoUnquote(got.Value)
		if err != nil || !h.fits(t, text, whole.Ready, nil) {
			h.failf("configuration: %q is %q to Falco: %v", got.Value, text, err)
		}
	case hole && !h.fits(t, got.Value, whole.Ready, nil):
		h.failf("configuration: %q is no filling of the playbook's %q", got.Value, want.Value)
	}
}

var inLine = regexp.MustCompile(`^[A-Za-z0-9._/:@=+,-]*$`)

func (h *holder) lines(c *config, got processor.Config) {
	lines := strings.Split(strings.TrimSuffix(got.Body, "\n"), "\n")
	if len(lines) != len(c.lines) {
		h.failf("configuration %q has %d lines, and the playbook %d", got.Body, len(lines), len(c.lines))
		return
	}
	for i, t := range c.lines {
		plain := func(v string) string {
			if !inLine.MatchString(v) {
				return "\x00 refused"
			}
			return v
		}
		if !h.fits(t, lines[i], got.Ready, plain) {
			h.failf("configuration: line %q", lines[i])
		}
	}
}

// falcoUnquote reads a string as Falco's condition language does: in double
// quotes, with nothing behind the closing one.
func falcoUnquote(s string) (string, error) {
	body, ok := strings.CutPrefix(s, `"`)
	if !ok {
		return "", fmt.Errorf("%q does not begin with a quote", s)
	}
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		switch {
		case body[i] == '"' && i == len(body)-1:
			return b.String(), nil
		case body[i] == '"':
			return "", fmt.Errorf("%q goes on behind its quotes", s)
		case body[i] == '\\' && i+1 < len(body):
			i++
			escapes := map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}
			if c, known := escapes[body[i]]; known {
				b.WriteByte(c)
				continue
			}
			fallthrough
		default:
			b.WriteByte(body[i])
		}
	}
	return "", fmt.Errorf("%q has no closing quote", s)
}

// exception checks that what it emits is one exception of the alert's own rule,
// over fields of the playbook, with values that Falco reads as the alert's.
func (h *holder) exception(e *exception, got *processor.Config) {
	if got == nil {
		if e != nil && h.alert.Source != processor.SourceInternal {
			h.failf("the exception is missing")
		}
		return
	}
	var rules []struct {
		Rule       string
		Exceptions []struct {
			Name          string
			Fields, Comps []string
			Values        [][]string
		}
		Override map[string]string
	}
	dec := yaml.NewDecoder(strings.NewReader(got.Body))
	dec.KnownFields(true)
	if err := dec.Decode(&rules); err != nil || len(rules) != 1 || len(rules[0].Exceptions) != 1 || len(rules[0].Exceptions[0].Values) != 1 {
		h.failf("exception %q: %v", got.Body, err)
		return
	}
	x := rules[0].Exceptions[0]
	if rules[0].Rule != strings.ToValidUTF8(h.alert.Rule, "\ufffd") || len(x.Fields) != len(x.Comps) || len(x.Fields) != len(x.Values[0]) {
		h.failf("exception %q is not one of rule %q", got.Body, h.alert.Rule)
		return
	}
	for i, field := range x.Fields {
		if !slices.Contains(e.fields, field) && field != "container.image.repository" {
			h.failf("exception %q: field %q is none of the playbook's", got.Body, field)
		}
		if !got.Ready && x.Values[0][i] == "<"+field+">" {
			continue
		}
		text, err := falcoUnquote(x.Values[0][i])
		if v, ok := h.exact(field); err != nil || !ok || text != v {
			h.failf("exception: %q is %q to Falco, want %q: %v", x.Values[0][i], text, v, err)
		}
	}
}
