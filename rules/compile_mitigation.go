package rules

import (
	"fmt"

	"falconer/processor"
)

// mitigation is a compiled Mitigation.
type mitigation struct {
	*Mitigation
	condition   *condition
	scope       *scope
	layer       string
	description template
	commands    []*command
	configs     []*config
	risk        processor.Risk
	undo        template
	needs       template
	blast       template
	attack      []processor.Reference
}

// measures compiles the list of mitigations of a playbook.
func (c *compiler) measures(list []Mitigation) []measure {
	var out []measure
	seen := map[string]bool{}
	for i := range list {
		m := &list[i]
		one := measure{entry: m, mitigation: c.used(m), because: c.text(&m.Because)}
		if m.Use == "" {
			one.mitigation, one.own = c.mitigation(m), true
		} else {
			one.when = c.when(&m.When)
		}
		if one.mitigation == nil {
			continue
		}
		if seen[one.ID] {
			c.failf(m, "mitigation %q is in this playbook twice", one.ID)
		}
		seen[one.ID] = true
		out = append(out, one)
	}
	return out
}

// used finds the shared mitigation that m names, or nil.
func (c *compiler) used(m *Mitigation) *mitigation {
	if m.Use == "" {
		return nil
	}
	only := Mitigation{Use: m.Use, Because: m.Because, When: m.When}
	if m.ID != "" || m.Title != "" || m.Kind != "" || m.Horizon != "" || m.Description != "" || m.Commands != nil || m.Configs != nil ||
		m.Risk != "" || m.Undo != "" || m.Needs != "" || m.Blast != "" || m.Attack != nil || m.Task != nil {
		c.failf(m, "use: %q brings everything but because and when; leave the other keys out", only.Use)
	}
	found := c.shared[m.Use]
	if found == nil {
		known := sortedKeys(c.shared)
		there := "there are: " + orNone(known)
		if len(known) > 20 {
			there = fmt.Sprintf("\"falconer rules mitigations\" lists the %d there are", len(known))
		}
		c.failf(&m.Use, "use: no shared mitigation has the id %q; %s%s", m.Use, didYouMean(m.Use, known), there)
	}
	return found
}

// mitigation compiles m in the present scope.
func (c *compiler) mitigation(m *Mitigation) *mitigation {
	defer c.inside(m)()
	c.id("mitigation", &m.ID)
	c.title("mitigation", &m.Title)
	c.word("kind", &m.Kind, string(processor.Investigate), string(processor.Contain), string(processor.Harden), string(processor.Tune))
	c.word("horizon", &m.Horizon, string(processor.Now), string(processor.ThisWeek), string(processor.ByDesign))
	c.word("risk", &m.Risk, risks()...)
	out := &mitigation{
		Mitigation: m, layer: c.file.layer, scope: c.scope, condition: c.when(&m.When), risk: processor.Risk(m.Risk),
		description: c.text(&m.Description), undo: c.text(&m.Undo), needs: c.text(&m.Needs), blast: c.text(&m.Blast),
	}
	for i := range m.Commands {
		out.commands = append(out.commands, c.command(&m.Commands[i], m.Risk))
	}
	for i := range m.Configs {
		out.configs = append(out.configs, c.config(&m.Configs[i]))
	}
	for i, id := range m.Attack {
		ref, ok := c.attack.Mitigation(id)
		if !ok {
			c.failf(&m.Attack[i], "attack: %q is no mitigation of ATT&CK %s; want an id such as M1038", id, c.attack.Version())
		}
		out.attack = append(out.attack, ref)
	}
	return out
}

func risks() []string {
	return []string{string(processor.ReadOnly), string(processor.Reversible), string(processor.Destructive)}
}
