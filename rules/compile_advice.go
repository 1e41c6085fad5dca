package rules

import (
	"strings"
)

func (c *compiler) cause(b *Benign, forAll bool) cause {
	if strings.TrimSpace(b.Cause) == "" {
		c.failf(b, "benign: no cause")
	}
	if (b.Test || forAll) && b.When == "" {
		c.failf(b, "benign: a cause that makes an alert a test, or that is for all alerts, needs a condition (when)")
	}
	return cause{when: c.when(&b.When), cause: c.text(&b.Cause), tell: c.text(&b.Tell), test: b.Test}
}

// advice compiles the prose and the mitigations.
func (c *compiler) advice(p *Playbook, out *playbook) {
	for key, text := range map[string]*string{"category": &p.Category, "meaning": &p.Meaning, "next": &p.Next} {
		if strings.TrimSpace(*text) == "" {
			c.failf(text, "playbook %q has no %s", p.ID, key)
		}
	}
	out.meaning, out.next = c.paragraphs(&p.Meaning), c.text(&p.Next)
	for i := range p.Also {
		out.also = append(out.also, c.statement("also", &p.Also[i]))
	}
	for i := range p.Questions {
		out.asks = append(out.asks, c.question(&p.Questions[i]))
	}
	out.measures = c.measures(p.Mitigations)
	out.except = c.exception(p)
}

func (c *compiler) statement(what string, s *Statement) statement {
	if strings.TrimSpace(s.Say) == "" {
		c.failf(s, "%s: nothing to say", what)
	}
	return statement{c.when(&s.When), c.paragraphs(&s.Say)}
}

func (c *compiler) question(q *Question) question {
	if strings.TrimSpace(q.Ask) == "" {
		c.failf(q, "questions: nothing to ask")
	}
	out := question{ask: c.text(&q.Ask)}
	for i := range q.Answers {
		out.answers = append(out.answers, c.statement("answers", &q.Answers[i]))
	}
	return out
}
