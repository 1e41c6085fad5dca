package rules

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"falconer/processor"
)

// trial is what became of a configuration in all the examples that show it.
type trial struct {
	ready    bool
	refused  string // the first note on a value that was refused
	problems []*Problem
}

// try fills the configurations of p for every example that must match, and looks
// at the outcome as at load: a value may be one that the tool refuses.
func (l *linter) try(p *playbook) {
	for i := range p.Examples {
		e := &p.Examples[i]
		a, err := e.alert()
		if err != nil || !e.Match {
			continue
		}
		r := l.book.read(a)
		for j := range p.measures {
			if p.measures[j].applies(p.scope, r) {
				l.tryConfigs(p.measures[j].mitigation, r, fmt.Sprintf("filled for example %q of playbook %s", e.Name, p.ID))
			}
		}
		l.book.done(r)
	}
}

func (l *linter) tryConfigs(m *mitigation, r *reader, why string) {
	for _, c := range m.configs {
		if !c.meets(processor.Place(r.alert), r) {
			continue
		}
		t := l.trials[c]
		if t == nil {
			t = &trial{}
			l.trials[c] = t
		}
		f := &filling{}
		full := c.filledWith(r, f)
		switch {
		case len(f.missing) == 0:
			t.ready = true
			t.add(full.problems(), why)
		case len(f.notes) > 0 && t.refused == "":
			t.refused = fmt.Sprintf("%s (%s)", f.notes[0], why)
		}
	}
}

// add remembers problems, each where it came up first.
func (t *trial) add(problems []*Problem, why string) {
	for _, p := range problems {
		if !slices.ContainsFunc(t.problems, func(known *Problem) bool { return known.Line == p.Line }) {
			p.Text = fmt.Sprintf("%s (%s)", p.Text, why)
			t.problems = append(t.problems, p)
		}
	}
}

// filledWith returns a copy without placeholders.
func (c *config) filledWith(r *reader, f *filling) *config {
	out := &config{tool: c.tool, format: c.format, quoted: map[*yaml.Node]manner{}}
	if c.format != "text" {
		out.tree = c.fillTree(c.tree, r, f)
		return out
	}
	for line := range strings.Lines(c.fillLines(r, f)) {
		out.lines = append(out.lines, template{{text: strings.TrimSuffix(line, "\n")}})
	}
	return out
}

// problems returns what the tool would say to configuration without placeholders.
func (c *config) problems() []*Problem {
	in := &compiler{file: &source{}}
	if c.format == "text" {
		in.checkLines(&Config{Tool: c.tool, Lines: make([]string, len(c.lines))}, c)
	} else {
		(&inspector{c: in, config: c}).inspect()
	}
	return in.problems
}

// tried warns of what came out when m was filled.
func (l *linter) tried(m *mitigation) {
	for i, c := range m.configs {
		t := l.trials[c]
		if t == nil {
			continue
		}
		for _, p := range t.problems {
			// Lines of text have no nodes that would know where they stand.
			if l.line = p.Line; l.line == 0 {
				l.line = l.file.lines[&m.Configs[i]]
			}
			l.warnf(nil, "mitigation %s: %s", m.ID, p.Text)
		}
		if !t.ready && t.refused != "" {
			l.warnf(&m.Configs[i], "mitigation %s: configuration is never ready: %s", m.ID, t.refused)
		}
	}
}
