package rules

import (
	"slices"

	"falconer/processor"
)

// Advise implements processor.Book.
func (b *Book) Advise(a *processor.Alert) processor.Advice {
	p := b.take(a, b.tagCache.read(a.Tags))
	r := b.read(a)
	defer b.done(r)
	r.scope = p.scope
	out := processor.Advice{Title: p.Title, Meaning: say(p.meaning, r)}
	for i := range p.also {
		if p.also[i].when.holds(r) {
			out.Meaning = append(out.Meaning, say(p.also[i].say, r)...)
		}
	}
	for i := range p.asks {
		out.Questions = append(out.Questions, p.asks[i].fill(r))
	}
	out.Benign = b.causes(p.playbook, r)
	r.scope = p.scope
	out.Exception = p.except.fill(r)
	out.Next, _ = p.next.text(r)
	out.Mitigations = slices.Grow(out.Mitigations, len(p.measures))
	for i := range p.measures {
		if m, ok := p.measures[i].fill(p.scope, r); ok {
			out.Mitigations = append(out.Mitigations, m)
		}
	}
	return out
}

func say(paragraphs []template, r *reader) []processor.Text {
	out := make([]processor.Text, len(paragraphs))
	for i, t := range paragraphs {
		out[i], _ = t.text(r)
	}
	return out
}

// fill asks the question, and gives the first answer that holds and is complete.
func (q *question) fill(r *reader) processor.Question {
	ask, _ := q.ask.text(r)
	out := processor.Question{Ask: ask}
	for i := range q.answers {
		if answer, ok := q.answers[i].complete(r); ok {
			out.Answer = answer
			break
		}
	}
	return out
}

// complete returns the statement when it holds and all its values are there.
func (s *statement) complete(r *reader) (processor.Text, bool) {
	if !s.when.holds(r) {
		return nil, false
	}
	var out processor.Text
	for i, t := range s.say {
		text, ok := t.text(r)
		if !ok {
			return nil, false
		}
		if i > 0 {
			out = append(out, processor.Span{Text: "\n\n"})
		}
		out = append(out, text...)
	}
	return out, true
}

// causes lists the harmless causes: the playbook's, and those of the playbooks
// for all alerts that are likely.
func (b *Book) causes(p *playbook, r *reader) []processor.Benign {
	var out []processor.Benign
	for _, from := range append(slices.Clip(b.always), p) {
		r.scope = from.scope
		for i := range from.causes {
			c := &from.causes[i]
			likely := c.likely(r)
			if from.Match.All && !likely {
				continue
			}
			why, _ := c.cause.text(r)
			tell, _ := c.tell.text(r)
			out = append(out, processor.Benign{Cause: why, Tell: tell, Likely: likely})
		}
	}
	return out
}

// fill builds the mitigation for the alert, unless a condition keeps it out.
func (m *measure) fill(own *scope, r *reader) (processor.Mitigation, bool) {
	r.scope = own
	because, _ := m.because.text(r)
	if !m.applies(own, r) {
		return processor.Mitigation{}, false
	}
	out := processor.Mitigation{
		ID: m.ID, Title: m.Title, Kind: processor.TaskKind(m.Kind), Horizon: processor.Horizon(m.Horizon),
		Risk: m.risk, Attack: slices.Clip(m.attack), NoTask: m.Task != nil && !*m.Task,
	}
	description, _ := m.description.text(r)
	out.Description = joined(because, description)
	out.Undo, _ = m.undo.text(r)
	out.Needs, _ = m.needs.text(r)
	out.Blast, _ = m.blast.text(r)
	m.fillSteps(&out, r)
	return out, true
}

// applies reports whether both conditions hold, and leaves r in the scope of the
// mitigation.
func (m *measure) applies(own *scope, r *reader) bool {
	r.scope = own
	if !m.when.holds(r) {
		return false
	}
	r.scope = m.scope
	return m.condition.holds(r)
}

// joined makes two texts two paragraphs.
func joined(a, b processor.Text) processor.Text {
	if len(a) == 0 || len(b) == 0 {
		return append(a, b...)
	}
	return slices.Concat(a, processor.Say("\n\n"), b)
}

// fillSteps adds the commands and configuration that are of use where the alert
// happened.
func (m *measure) fillSteps(out *processor.Mitigation, r *reader) {
	place := processor.Place(r.alert)
	for _, c := range m.commands {
		if c.meets(place, r) {
			out.Commands = append(out.Commands, c.fill(r))
		}
	}
	for _, c := range m.configs {
		if c.meets(place, r) {
			out.Configs = append(out.Configs, c.fill(r))
		}
	}
}
