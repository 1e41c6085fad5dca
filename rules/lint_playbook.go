package rules

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"

	"falconer/processor"
)

func (l *linter) playbook(p *playbook) {
	alerts := l.matching[p]
	l.examples(p, alerts)
	for i := range p.Adjust {
		if strings.TrimSpace(p.Adjust[i].When) == "" {
			l.warnf(&p.Adjust[i], "adjust: without a condition these points are added always; the rule's priority is the place for that")
		}
	}
	texts := textsOf(p.Playbook)
	l.texts(texts)
	l.lookups(p)
	l.lets(p, texts, alerts)
	l.repeated("playbook "+p.ID, p.prose())
	if p.Match.All {
		return
	}
	l.category(p)
	for what, n := range map[string]int{"benign": len(p.Benign), "questions": len(p.Questions), "mitigations": len(p.Playbook.Mitigations)} {
		if n == 0 {
			l.warnf(p.Playbook, "playbook %s has no %s", p.ID, what)
		}
	}
	l.meaning(p)
	l.order(p)
	l.unseen(p, alerts)
	for i := range p.measures {
		if m := &p.measures[i]; m.own {
			l.mitigation(m.Mitigation)
			l.tried(m.mitigation)
		}
	}
	l.settled(p, alerts)
}

func (l *linter) examples(p *playbook, alerts []*processor.Alert) {
	switch {
	case len(p.Examples) == 0:
		l.warnf(p.Playbook, "playbook %s has no examples", p.ID)
	case len(alerts) == 0:
		l.warnf(p.Playbook, "playbook %s has no example that must match", p.ID)
	case len(alerts) == len(p.Examples):
		l.warnf(p.Playbook, "playbook %s has no example that must not match", p.ID)
	}
}

// categories are what ticket systems route by: ATT&CK's tactics in words, and what is
// no attack.
func (b *Book) categories() []string {
	out := []string{"configuration", "control plane", "policy violation", "software supply chain", "test", "unknown", "visibility"}
	for _, t := range b.attack.tactics {
		out = append(out, strings.ToLower(t.Name))
	}
	slices.Sort(out)
	return out
}

// category finds a word that no other playbook routes by: two spellings of one
// category are two.
func (l *linter) category(p *playbook) {
	if !slices.Contains(l.categories, p.Category) {
		l.warnf(&p.Category, "category %q is none that the others have; %sused: %s", p.Category, didYouMean(p.Category, l.categories), strings.Join(l.categories, ", "))
	}
}

// order finds things that would be destroyed before anyone looked at them.
func (l *linter) order(p *playbook) {
	looked := false
	for _, m := range p.measures {
		looked = looked || m.Kind == string(processor.Investigate)
		if m.destroys() && !looked {
			l.warnf(m.Mitigation, "mitigation %s destroys something before anything was looked at", m.ID)
		}
	}
}

func (m *mitigation) destroys() bool {
	return m.risk == processor.Destructive || slices.ContainsFunc(m.commands, func(c *command) bool { return c.risk == processor.Destructive })
}

func (l *linter) mitigation(m *Mitigation) {
	for what, text := range map[string]string{"description": m.Description, "blast": m.Blast, "needs": m.Needs} {
		if strings.TrimSpace(text) == "" {
			l.warnf(m, "mitigation %s has no %s", m.ID, what)
		}
	}
	if m.Undo == "" && m.Risk != string(processor.ReadOnly) {
		l.warnf(m, "mitigation %s has no undo, and is not read-only", m.ID)
	}
	for i := range m.Commands {
		l.command(m, &m.Commands[i])
	}
	for i := range m.Configs {
		if m.Configs[i].Explain == "" {
			l.warnf(&m.Configs[i], "mitigation %s: configuration without explain", m.ID)
		}
	}
}

func (l *linter) command(m *Mitigation, c *Command) {
	if c.Explain == "" {
		l.warnf(c, "mitigation %s: command without explain", m.ID)
	}
	if len(c.Run) == 0 {
		return
	}
	has := func(args ...string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return slices.Contains(c.Run, a) })
	}
	names := slices.ContainsFunc(c.Run, func(a string) bool { t, _ := parseTemplate(a); return len(t.names()) > 0 })
	if strings.ContainsAny(c.Run[0], " |;&<>") {
		l.warnf(c, "mitigation %s: %q is one word to the shell; write the program and each argument apart, and pipes with pipe", m.ID, c.Run[0])
	}
	if risk := cmp.Or(c.Risk, m.Risk); risk == string(processor.ReadOnly) && changes(c.Run) {
		l.warnf(c, "mitigation %s: %s is said to be read-only, and changes something", m.ID, strings.Join(c.Run[:min(3, len(c.Run))], " "))
	}
	switch {
	case path.Base(c.Run[0]) == "find" && has("-delete", "-exec", "-execdir"):
		l.warnf(c, "mitigation %s: find with -delete or -exec changes whatever it finds; name the one file", m.ID)
	case has("rm") && has("-r", "-R", "-rf", "-fr", "--recursive") && names:
		l.warnf(c, "mitigation %s: rm of a whole directory that the alert names", m.ID)
	}
}

func (l *linter) shared(m *Mitigation) {
	l.mitigation(m)
	l.repeated("mitigation "+m.ID, m.prose())
	compiled, users := l.book.shared[m.ID], l.users[m.ID]
	if len(users) == 0 || compiled.Mitigation != m {
		l.warnf(m, "no playbook uses the shared mitigation %s", m.ID)
		return
	}
	l.placed(compiled, l.placesOf(users), "no alert of the playbooks that use it")
	l.tried(compiled)
	l.texts(textsOf(m))
}

var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX|TBD|[Ll]orem ipsum)\b`)

// texts warns of unfinished prose and of placeholders that no example fills.
func (l *linter) texts(texts []text) {
	for _, t := range texts {
		if t.line > 0 {
			l.line = t.line
		}
		if m := unfinished.FindString(t.prose); m != "" {
			l.warnf(t.at, "unfinished: %s", m)
		}
		for _, name := range t.names {
			if !l.known(name) {
				l.warnf(t.at, "placeholder {%s}: no example of any playbook has a value for it", name)
			}
		}
	}
}

func (l *linter) known(name string) bool {
	return l.seen[name] || strings.HasPrefix(name, "let.") || strings.HasPrefix(name, yours)
}

// lookups warns of names in conditions that no example has.
func (l *linter) lookups(p *playbook) {
	for _, c := range p.conditions() {
		for _, name := range c.asked {
			if !l.known(name) {
				l.line = c.line
				l.warnf(nil, "condition %q: no example of any playbook has a value for %s", cut(c.source, 60), name)
			}
		}
	}
}

// lets warns of values that are never used, or that no example has.
func (l *linter) lets(p *playbook, texts []text, alerts []*processor.Alert) {
	used := p.conditionNames()
	for _, t := range texts {
		used = append(used, t.names...)
	}
	for _, name := range sortedKeys(p.Let) {
		at := entry{mapAddress(p.Let), name}
		if !p.Match.All && !slices.Contains(used, "let."+name) {
			l.warnf(at, "let %s is never used", name)
		}
		if !l.anyHas(p.scope, alerts, "let."+name) {
			l.warnf(at, "let %s: no example has a value for it", name)
		}
	}
}

func (l *linter) anyHas(s *scope, alerts []*processor.Alert, name string) bool {
	return slices.ContainsFunc(alerts, func(a *processor.Alert) bool {
		r := l.book.read(a)
		defer l.book.done(r)
		r.scope = s
		_, ok := r.value(name)
		return ok
	})
}
