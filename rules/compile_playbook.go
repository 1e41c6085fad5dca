package rules

import (
	"fmt"
	"slices"
	"strings"

	"falconer/processor"
)

// playbook is a compiled Playbook.
type playbook struct {
	*Playbook
	file     string
	line     int
	layer    string
	label    string // id@version
	scope    *scope
	identity processor.Identity
	mapped   []mapped
	tactics  []Tactic
	adjust   []adjustment
	meaning  []template
	also     []statement
	asks     []question
	causes   []cause
	measures []measure
	except   *exception
	next     template
}

// mapped is a technique that the playbook names, and the one it replaces.
type mapped struct {
	processor.Technique
	instead string
}

type adjustment struct {
	when *condition
	processor.Contribution
}

type statement struct {
	when *condition
	say  []template
}

type question struct {
	ask     template
	answers []statement
}

type cause struct {
	when        *condition
	cause, tell template
	test        bool
}

// measure is a mitigation as one playbook uses it.
type measure struct {
	*mitigation
	entry   *Mitigation // what the playbook wrote
	own     bool        // written in the playbook, not shared
	when    *condition
	because template
}

// playbook compiles p. It returns a playbook even when there were problems, so
// that its other parts are looked at too.
func (c *compiler) playbook(s *source, p *Playbook, lets map[string]*extract) *playbook {
	c.enter(s, p, lets)
	out := &playbook{
		Playbook: p, file: s.name, line: c.line, layer: s.layer,
		label: fmt.Sprintf("%s@%d", p.ID, p.Version), scope: c.scope,
	}
	c.id("playbook", &p.ID)
	if p.Version < 1 {
		c.failf(&p.Version, "version: want a number from 1, which is raised with every change that shows in a report")
	}
	c.title("playbook", &p.Title)
	c.match(&p.Match)
	for i := range p.Adjust {
		out.adjust = append(out.adjust, c.adjustment(&p.Adjust[i]))
	}
	for i := range p.Benign {
		out.causes = append(out.causes, c.cause(&p.Benign[i], p.Match.All))
	}
	for i := range p.Examples {
		c.example(&p.Examples[i])
	}
	if p.Match.All {
		c.onlyForAll(p)
		return out
	}
	out.identity = c.identity(p.Identity)
	c.mappings(p, out)
	c.advice(p, out)
	return out
}

// onlyForAll refuses what a playbook for all alerts cannot say.
func (c *compiler) onlyForAll(p *Playbook) {
	extra := map[string]bool{
		"identity": p.Identity != nil, "category": p.Category != "", "attack": p.Attack != nil,
		"meaning": p.Meaning != "", "also": p.Also != nil, "questions": p.Questions != nil,
		"mitigations": p.Mitigations != nil, "exception": p.Exception != nil, "next": p.Next != "",
	}
	for _, key := range sortedKeys(extra) {
		if extra[key] {
			c.failf(p, "%s: a playbook for all alerts has only let, adjust, benign and examples", key)
		}
	}
}

// match checks that the playbook says in one way what it is for.
func (c *compiler) match(m *Match) {
	kinds := 0
	for _, given := range []bool{len(m.Rules) > 0, len(m.Tags) > 0, len(m.Sources) > 0, len(m.Priorities) > 0, m.All} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		c.failf(m, "match has %d kinds of keys; want exactly one of rules, tags, sources, priorities, all", kinds)
	}
	if len(m.Former) > 0 && len(m.Rules) == 0 {
		c.failf(&m.Former, "match: former without rules; want the rule's name of today in rules")
	}
	for _, list := range [][]string{m.Rules, m.Former, m.Tags, m.Sources, m.Priorities} {
		for i, word := range list {
			if strings.TrimSpace(word) == "" || slices.Contains(list[:i], word) {
				c.failf(&list[i], "match: %q is empty or given twice", word)
			}
		}
	}
	for i, tag := range m.Tags {
		if notes := c.attack.ReadTags([]string{tag}).Notes; len(notes) > 0 {
			c.failf(&m.Tags[i], "match: %s", strings.Join(notes, "; "))
		}
	}
	for i, word := range m.Priorities {
		if _, ok := priority(word); !ok {
			c.failf(&m.Priorities[i], "%s", choice("priority", word, priorityWords()))
		}
	}
}

func priorityWords() []string {
	var words []string
	for p := processor.Emergency; p <= processor.PriorityUnknown; p++ {
		words = append(words, p.String())
	}
	return words
}

// priority reads a priority strictly: only "unknown" itself is unknown.
func priority(word string) (processor.Priority, bool) {
	p := processor.ParsePriority(word)
	return p, p != processor.PriorityUnknown || strings.EqualFold(word, p.String())
}

// mappings compiles the ATT&CK ids of a playbook.
func (c *compiler) mappings(p *Playbook, out *playbook) {
	for i := range p.Attack {
		m := &p.Attack[i]
		instead, ok := c.attack.Technique(m.Instead)
		if m.Instead != "" && !ok {
			c.failf(&m.Instead, "instead: %q is no technique of ATT&CK %s", m.Instead, c.attack.Version())
		}
		if t, ok := c.attack.Technique(m.ID); ok {
			if t.ID != m.ID {
				c.failf(&m.ID, "attack: %s is retired; write %s %s", m.ID, t.ID, t.Name)
			}
			t.Origin, t.Why = "playbook", strings.TrimSpace(m.Why)
			out.mapped = append(out.mapped, mapped{t, instead.ID})
			continue
		}
		if t, ok := c.attack.Tactic(m.ID); ok {
			out.tactics = append(out.tactics, t)
			continue
		}
		c.failf(&m.ID, "attack: %q is no technique and no tactic of ATT&CK %s", m.ID, c.attack.Version())
	}
}

func (c *compiler) adjustment(a *Adjustment) adjustment {
	defer c.inside(a)()
	switch {
	case a.Add == 0 || a.Add < -100 || a.Add > 100:
		c.failf(&a.Add, "adjust: add is %d; want points from -100 to 100 other than 0", a.Add)
	case strings.TrimSpace(a.Why) == "" || strings.ContainsAny(a.Why, "{}\n"):
		c.failf(&a.Why, "adjust: why is %q; want one line without placeholders", a.Why)
	}
	return adjustment{c.when(&a.When), processor.Contribution{Points: a.Add, Reason: a.Why}}
}
