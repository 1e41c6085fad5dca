package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"falconer/processor"
)

// Result is how one example of a playbook went.
type Result struct {
	Playbook string `json:"playbook"`
	Example  string `json:"example"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Layer    string `json:"layer"` // user or built-in
	// Failures say what was wanted and what came; there are none when it passed.
	Failures []string `json:"failures,omitempty"`
}

// Test runs the examples of every playbook through the whole book. Those of a
// built-in one whose alert a playbook of the user's takes, or which uses a step that
// the user has replaced, are left out.
func (b *Book) Test() []Result {
	var out []Result
	for _, p := range b.playbooks {
		s := b.sourceOf(p)
		for i := range p.Examples {
			e := &p.Examples[i]
			if b.shadowed(p, e) {
				continue
			}
			out = append(out, Result{
				Playbook: p.ID, Example: e.Name, File: p.file, Line: s.lines[e], Layer: p.layer,
				Failures: b.run(p, e),
			})
		}
	}
	return out
}

// shadowed reports whether a playbook of the user's is taken for the example of
// a built-in one: that is what the user's are for.
func (b *Book) shadowed(p *playbook, e *Example) bool {
	if p.layer == userLayer || p.Match.All {
		return false
	}
	// One that uses a step which the user has replaced has expected the other.
	if slices.ContainsFunc(p.measures, func(m measure) bool { return m.layer == userLayer }) {
		return true
	}
	a, err := e.alert()
	if err != nil {
		return false
	}
	return b.take(a, b.tagCache.read(a.Tags)).layer == userLayer
}

// alert decodes the example's alert the way a real one is.
func (e *Example) alert() (*processor.Alert, error) {
	data, err := json.Marshal(e.Alert)
	if err != nil {
		return nil, err
	}
	return processor.Decode(data)
}

// example checks what can be checked without a book.
func (c *compiler) example(e *Example) {
	if strings.TrimSpace(e.Name) == "" {
		c.failf(e, "an example has no name")
	}
	if _, err := e.alert(); err != nil {
		c.failf(e, "example %q: %v", e.Name, err)
	}
	if e.Severity != "" {
		c.word("severity", &e.Severity, processor.Severities()...)
	}
}

// run returns what went wrong with an example of p.
func (b *Book) run(p *playbook, e *Example) []string {
	a, err := e.alert()
	if err != nil {
		return []string{err.Error()}
	}
	v := b.Judge(a)
	var failures []string
	fail := func(format string, args ...any) { failures = append(failures, fmt.Sprintf(format, args...)) }
	if matched := b.matched(p, a, v); matched != e.Match {
		fail("match: want %t, got %t: playbook %s was taken by %s", e.Match, matched, v.Playbook, v.Match)
	}
	if e.Severity != "" && v.Severity.String() != e.Severity {
		fail("severity: want %s, got %s: score %d = %s", e.Severity, v.Severity, v.Score, sum(v.Why))
	}
	if e.Test != nil && v.Test != *e.Test {
		fail("test: want %t, got %t", *e.Test, v.Test)
	}
	if len(e.Contains)+len(e.Lacks) > 0 {
		text := Plain(v, b.Advise(a))
		for _, piece := range e.Contains {
			if !strings.Contains(text, piece) {
				fail("contains: %q is nowhere in the advice", piece)
			}
		}
		for _, piece := range e.Lacks {
			if strings.Contains(text, piece) {
				fail("lacks: %q is in the advice", piece)
			}
		}
	}
	return slices.Concat(failures, notesOf(v))
}

// notesOf returns the notes on conditions that could not be evaluated.
func notesOf(v processor.Verdict) []string {
	return slices.DeleteFunc(slices.Clone(v.Notes), func(n string) bool { return !strings.HasPrefix(n, "the condition ") })
}

// matched reports whether p was the playbook taken or, for all alerts, whether
// it had something to say.
func (b *Book) matched(p *playbook, a *processor.Alert, v processor.Verdict) bool {
	if !p.Match.All {
		return v.Playbook == p.label
	}
	r := b.read(a)
	defer b.done(r)
	likely, _ := p.benign(r)
	return likely || len(p.weigh(r, nil)) > 0
}

func sum(why []processor.Contribution) string {
	parts := make([]string, len(why))
	for i, c := range why {
		parts[i] = fmt.Sprintf("%+d %s", c.Points, c.Reason)
	}
	return strings.Join(parts, ", ")
}

// Plain returns verdict and advice as plain text: the reasons, techniques,
// prose, commands and configuration that an example's contains and lacks are
// looked up in.
func Plain(v processor.Verdict, a processor.Advice) string {
	var b strings.Builder
	add := func(texts ...string) {
		for _, t := range texts {
			if t != "" {
				b.WriteString(t + "\n")
			}
		}
	}
	add(a.Title, v.Category, v.Stage, sum(v.Why))
	for _, t := range v.Techniques {
		add(t.ID + " " + t.Name)
	}
	for _, m := range a.Meaning {
		add(m.Plain())
	}
	for _, q := range a.Questions {
		add(q.Ask.Plain(), q.Answer.Plain())
	}
	for _, c := range a.Benign {
		add(c.Cause.Plain(), c.Tell.Plain())
	}
	for _, m := range a.Mitigations {
		add(m.Title, m.Description.Plain(), m.Undo.Plain(), m.Needs.Plain(), m.Blast.Plain())
		for _, c := range m.Commands {
			add(c.Line, c.Explain.Plain())
		}
		for _, c := range m.Configs {
			add(c.Body, c.Explain.Plain())
		}
	}
	if a.Exception != nil {
		add(a.Exception.Body, a.Exception.Explain.Plain())
	}
	add(a.Next.Plain())
	return b.String()
}
