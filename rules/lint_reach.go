package rules

import (
	"slices"
	"strings"

	"falconer/processor"
)

// unseen warns of what no alert of the playbook can bring to light.
func (l *linter) unseen(p *playbook, alerts []*processor.Alert) {
	l.untaken(p, alerts)
	for i := range p.asks {
		l.answers(p.asks[i].answers, p.Questions[i].Answers)
	}
	places := p.places(alerts)
	for i := range p.measures {
		m := &p.measures[i]
		if len(alerts) > 0 && !l.shown(p, m, alerts) {
			l.warnf(m.entry, "mitigation %s is never shown: no example meets its condition", m.ID)
			continue
		}
		if m.own {
			l.placed(m.mitigation, places, "no alert of these rules")
		} else if steps := m.steps(); len(steps) > 0 && !slices.ContainsFunc(steps, func(s step) bool { return fits(s.where, places) }) {
			l.warnf(m.entry, "mitigation %s shows no step here: no alert of these rules has the place %s", m.ID, wheresOf(steps))
		}
	}
}

// untaken warns of a playbook that others go before. That no alert at all is left
// for it cannot be told, since nobody knows all rules and tags; but its writer
// gave the alerts that it is for.
func (l *linter) untaken(p *playbook, alerts []*processor.Alert) {
	if len(alerts) == 0 {
		return
	}
	var others []string
	for _, a := range alerts {
		taken := l.book.take(a, l.book.tagCache.read(a.Tags))
		if taken.playbook == p {
			return
		}
		others = append(others, taken.ID)
	}
	slices.Sort(others)
	l.warnf(&p.Match, "playbook %s is never taken: its examples go to %s", p.ID, strings.Join(slices.Compact(others), ", "))
}

// answers warns of answers that one above always forestalls: it is under no
// other condition, and needs no other values.
func (l *linter) answers(compiled []statement, written []Statement) {
	for i := range compiled {
		first := slices.IndexFunc(compiled[:i], func(s statement) bool { return s.forestalls(compiled[i]) })
		if first >= 0 {
			l.warnf(&written[i], "never reached: the answer in line %d is given whenever this one could be", l.file.lines[&written[first]])
		}
	}
}

func (s statement) forestalls(other statement) bool {
	if s.when != nil && (other.when == nil || s.when.source != other.when.source) {
		return false
	}
	theirs := other.needs()
	return !slices.ContainsFunc(s.needs(), func(name string) bool { return !slices.Contains(theirs, name) })
}

// needs returns the placeholders without which the statement is not complete.
func (s statement) needs() []string {
	var names []string
	for _, t := range s.say {
		for _, p := range t {
			if p.name != "" && !p.hasFallback {
				names = append(names, p.name)
			}
		}
	}
	return names
}

// shown reports whether the playbook shows m for one of its examples. One that
// is not for rules may get any alert, and uses shared mitigations for places of
// which it has no example; there an example of another playbook will do.
func (l *linter) shown(p *playbook, m *measure, alerts []*processor.Alert) bool {
	if !m.own && len(p.Match.Rules) == 0 {
		alerts = l.alerts
	}
	return slices.ContainsFunc(alerts, func(a *processor.Alert) bool {
		r := l.book.read(a)
		defer l.book.done(r)
		return m.applies(p.scope, r)
	})
}

// places returns where the playbook's alerts can have happened: nil means
// anywhere.
func (p *playbook) places(alerts []*processor.Alert) []string {
	var places []string
	switch {
	case len(p.Match.Sources) > 0:
		for _, s := range p.Match.Sources {
			places = append(places, placesOfSource(s)...)
		}
	case len(p.Match.Rules) == 0:
		return nil
	}
	for _, a := range alerts {
		places = append(places, placesOfSource(a.Source)...)
		places = append(places, processor.Place(a))
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// placesOf returns where the alerts of several playbooks can have happened.
func (l *linter) placesOf(all []*playbook) []string {
	var places []string
	for _, p := range all {
		some := p.places(l.matching[p])
		if len(some) == 0 {
			return nil
		}
		places = append(places, some...)
	}
	return places
}

func placesOfSource(source string) []string {
	switch source {
	case "syscall", "syscalls", "":
		return []string{processor.Kubernetes, processor.Container, processor.Host}
	case processor.SourceInternal:
		return []string{processor.Host}
	case "k8s_audit":
		return []string{processor.Cluster}
	}
	return []string{processor.Cloud}
}

// step is a command or configuration, as far as its place goes.
type step struct {
	at    any
	what  string
	where []string
}

func (m *mitigation) steps() []step {
	var out []step
	for i, c := range m.commands {
		out = append(out, step{&m.Commands[i], "command", c.where})
	}
	for i, c := range m.configs {
		out = append(out, step{&m.Configs[i], "configuration", c.where})
	}
	return out
}

// fits reports whether something for the places where is of use at one of places.
func fits(where, places []string) bool {
	return len(places) == 0 || slices.ContainsFunc(places, func(place string) bool { return here(where, place) })
}

// placed warns of steps that are for none of the places; whose says who has none
// but these.
func (l *linter) placed(m *mitigation, places []string, whose string) {
	for _, s := range m.steps() {
		if !fits(s.where, places) {
			l.warnf(s.at, "mitigation %s: %s is never shown: %s has the place %s", m.ID, s.what, whose, strings.Join(s.where, " or "))
		}
	}
}

func wheresOf(steps []step) string {
	var places []string
	for _, s := range steps {
		places = append(places, s.where...)
	}
	slices.Sort(places)
	return strings.Join(slices.Compact(places), " or ")
}
