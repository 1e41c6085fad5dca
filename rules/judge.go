package rules

import (
	"slices"

	"falconer/processor"
)

// Grade implements processor.Book.
func (b *Book) Grade(a *processor.Alert) processor.Severity {
	p := b.pick(a)
	r := b.read(a)
	defer b.done(r)
	r.why = b.weigh(p, r, r.why[:0])
	_, severity := processor.Score(r.why)
	return severity
}

// Judge implements processor.Book.
func (b *Book) Judge(a *processor.Alert) processor.Verdict {
	read := b.tagCache.read(a.Tags)
	p := b.take(a, read)
	r := b.read(a)
	defer b.done(r)
	v := processor.Verdict{
		Category: p.Category, Playbook: p.label, Match: p.match,
		Techniques: p.techniques(read),
	}
	v.Notes = notes(read, v.Techniques)
	v.Why = b.weigh(p.playbook, r, make([]processor.Contribution, 0, 8))
	v.Score, v.Severity = processor.Score(v.Why)
	v.Stage = b.stage(p.playbook, read, v.Techniques)
	likely, test := b.benign(p.playbook, r)
	v.Confidence, v.Test = confidence(p.match, likely), test
	if len(r.notes) > 0 {
		v.Notes = slices.Concat(v.Notes, r.notes)
	}
	return v
}

// weigh appends what moves the score: priority, the playbooks for all alerts, and
// the one taken.
func (b *Book) weigh(p *playbook, r *reader, why []processor.Contribution) []processor.Contribution {
	why = append(why, processor.BasePoints(r.alert.Priority))
	for _, all := range b.always {
		why = all.weigh(r, why)
	}
	return p.weigh(r, why)
}

func (p *playbook) weigh(r *reader, why []processor.Contribution) []processor.Contribution {
	r.scope = p.scope
	for i := range p.adjust {
		if p.adjust[i].when.holds(r) {
			why = append(why, p.adjust[i].Contribution)
		}
	}
	return why
}

// techniques returns those of the rule's tags and of the playbook. Without a
// mapping of the playbook they are the tags' own, which must not be changed.
func (p *playbook) techniques(read *TagReading) []processor.Technique {
	if len(p.mapped) == 0 {
		return slices.Clip(read.Techniques)
	}
	out := slices.Clone(read.Techniques)
	for _, m := range p.mapped {
		out = slices.DeleteFunc(out, func(t processor.Technique) bool { return m.instead != "" && t.ID == m.instead })
		if !slices.ContainsFunc(out, func(t processor.Technique) bool { return t.ID == m.ID }) {
			out = append(out, m.Technique)
		}
	}
	return out
}

// notes are those about the rule's tags, without those that say of a tactic that no
// technique serves it when the playbook has one that does. They must not be changed.
func notes(read *TagReading, techniques []processor.Technique) []string {
	settled := func(note string) bool {
		return slices.ContainsFunc(read.disputes, func(d dispute) bool {
			return d.note == note && slices.ContainsFunc(techniques, func(t processor.Technique) bool { return slices.Contains(t.Tactics, d.tactic) })
		})
	}
	if len(read.disputes) == 0 || !slices.ContainsFunc(read.Notes, settled) {
		return slices.Clip(read.Notes)
	}
	return slices.DeleteFunc(slices.Clone(read.Notes), settled)
}

// stage returns the first tactic that the behaviour serves, in the order of the
// kill chain: of those that the playbook names, else of those that the tags
// name, else of those of the first technique.
func (b *Book) stage(p *playbook, read *TagReading, techniques []processor.Technique) string {
	switch {
	case len(p.tactics) > 0:
		return b.earliest(p.tactics, nil)
	case len(read.Tactics) > 0:
		return b.earliest(read.Tactics, nil)
	case len(techniques) > 0:
		return b.earliest(nil, techniques[0].Tactics)
	}
	return ""
}

func (b *Book) earliest(tactics []Tactic, shorts []string) string {
	for _, t := range b.attack.tactics {
		if slices.Contains(shorts, t.Short) || slices.ContainsFunc(tactics, func(o Tactic) bool { return o.ID == t.ID }) {
			return t.Short
		}
	}
	return ""
}

// benign reports whether a harmless cause is likely, and whether it is a test.
func (b *Book) benign(p *playbook, r *reader) (likely, test bool) {
	for _, all := range b.always {
		l, t := all.benign(r)
		likely, test = likely || l, test || t
	}
	l, t := p.benign(r)
	return likely || l, test || t
}

func (p *playbook) benign(r *reader) (likely, test bool) {
	r.scope = p.scope
	for i := range p.causes {
		if c := &p.causes[i]; c.likely(r) {
			likely, test = true, test || c.test
		}
	}
	return likely, test
}

// likely reports whether the alert bears the marks of the cause. A cause that
// names none is never likely.
func (c *cause) likely(r *reader) bool { return c.when != nil && c.when.holds(r) }

// confidence says how well the playbook fits, one step less when something
// harmless is likely.
func confidence(match string, benign bool) string {
	steps := []string{"low", "medium", "high"}
	step := 1
	switch match {
	case matchRule:
		step = 2
	case matchPriority:
		step = 0
	}
	if benign {
		step = max(step-1, 0)
	}
	return steps[step]
}
