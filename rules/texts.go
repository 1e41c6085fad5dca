package rules

import (
	"reflect"

	"go.yaml.in/yaml/v3"
)

// text is one text of a playbook with placeholders, for the linter.
type text struct {
	at    any // address of the text, or nil
	line  int // where it stands, for texts in a tree
	prose string
	names []string
}

// notTexts are the fields of a playbook that hold no placeholders.
var notTexts = map[string]bool{
	"When": true, "Let": true, "Match": true, "Examples": true, "Adjust": true,
	"Identity": true, "Attack": true, "Exception": true,
}

// textsOf returns every text below a Playbook or Mitigation.
func textsOf(of any) []text {
	var out []text
	collectTexts(reflect.ValueOf(of).Elem(), &out)
	return out
}

func collectTexts(v reflect.Value, out *[]text) {
	switch {
	case v.Type() == reflect.TypeFor[Tree]():
		collectScalars(v.Addr().Interface().(*Tree).node, out)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if !notTexts[v.Type().Field(i).Name] {
				collectTexts(v.Field(i), out)
			}
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			collectTexts(v.Index(i), out)
		}
	case v.Kind() == reflect.String:
		*out = append(*out, text{at: v.Addr().Interface(), prose: v.String(), names: namesIn(v.String())})
	}
}

func collectScalars(n *yaml.Node, out *[]text) {
	if n == nil {
		return
	}
	if n.Kind == yaml.ScalarNode {
		*out = append(*out, text{line: n.Line, prose: n.Value, names: namesIn(n.Value)})
	}
	for _, c := range n.Content {
		collectScalars(c, out)
	}
}

func namesIn(prose string) []string {
	t, _ := parseTemplate(prose)
	return t.names()
}

// conditions returns every condition of the playbook, without the shared
// mitigations' own.
func (p *playbook) conditions() []*condition {
	var all []*condition
	add := func(c *condition) {
		if c != nil {
			all = append(all, c)
		}
	}
	for i := range p.adjust {
		add(p.adjust[i].when)
	}
	for i := range p.also {
		add(p.also[i].when)
	}
	for i := range p.asks {
		for j := range p.asks[i].answers {
			add(p.asks[i].answers[j].when)
		}
	}
	for i := range p.causes {
		add(p.causes[i].when)
	}
	for i := range p.measures {
		add(p.measures[i].when)
		if p.measures[i].own {
			p.measures[i].eachCondition(add)
		}
	}
	return all
}

func (m *mitigation) eachCondition(add func(*condition)) {
	add(m.condition)
	for _, c := range m.commands {
		add(c.when)
	}
	for _, c := range m.configs {
		add(c.when)
	}
}

// prose returns the texts of the playbook that tell what is its own, without the
// shared mitigations'.
func (p *Playbook) prose() []*string {
	out := []*string{&p.Meaning, &p.Next}
	for i := range p.Adjust {
		out = append(out, &p.Adjust[i].Why)
	}
	for i := range p.Also {
		out = append(out, &p.Also[i].Say)
	}
	for i := range p.Questions {
		for j := range p.Questions[i].Answers {
			out = append(out, &p.Questions[i].Answers[j].Say)
		}
	}
	for i := range p.Benign {
		out = append(out, &p.Benign[i].Cause, &p.Benign[i].Tell)
	}
	for i := range p.Mitigations {
		out = append(out, p.Mitigations[i].prose()...)
	}
	if p.Exception != nil {
		out = append(out, &p.Exception.Why)
	}
	return out
}

// prose leaves out what rightly reads the same in many steps: needs, undo, blast.
func (m *Mitigation) prose() []*string {
	out := []*string{&m.Because, &m.Description}
	for i := range m.Commands {
		out = append(out, &m.Commands[i].Explain)
	}
	for i := range m.Configs {
		out = append(out, &m.Configs[i].Explain)
	}
	return out
}

func (p *playbook) conditionNames() []string {
	var names []string
	for _, c := range p.conditions() {
		names = append(names, c.asked...)
	}
	return names
}
