package rules

import (
	_ "embed"
	"encoding/json"
	"slices"

	"falconer/processor"
)

//go:embed published.json
var publishedTable []byte

// PublishedRule is a Falco rule that anyone may have loaded.
type PublishedRule struct {
	// Kind is upstream (shipped by the Falco organisation), archived (in its
	// archive), former (a name that a rule once had, or a rule that is gone) or
	// third-party (shipped with a plugin of others).
	Kind   string `json:"kind"`
	Source string `json:"source"`
	Rule   string `json:"rule"`
}

// Published lists the rules that the Falco organisation and the plugins in its
// registry publish, read from falcosecurity/rules and falcosecurity/plugins at the
// revisions that published.json names. Names from those of former times stand last.
func Published() []PublishedRule {
	var table struct {
		Published []PublishedRule `json:"published"`
	}
	if err := json.Unmarshal(publishedTable, &table); err != nil {
		panic("rules: published.json: " + err.Error()) // it is built in and tested
	}
	return table.Published
}

// Covered says which playbook there is for a published rule.
type Covered struct {
	PublishedRule
	// Playbook is the id of the one that names the rule; empty when none does and
	// its alerts get what there is for their tags, source or priority.
	Playbook string `json:"playbook,omitempty"`
	// Today is the rule's name of today when the playbook knows it as a former one.
	Today string `json:"today,omitempty"`
	Layer string `json:"layer,omitempty"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	// Mitigations, Questions, Benign and Examples count what the playbook has.
	Mitigations int `json:"mitigations"`
	Questions   int `json:"questions"`
	Benign      int `json:"benign"`
	Examples    int `json:"examples"`
	// Techniques are the ATT&CK ids that the playbook maps, beside those of tags.
	Techniques []string `json:"techniques,omitempty"`
}

// Coverage tells for every published rule which playbook names it.
func (b *Book) Coverage() []Covered {
	published := Published()
	out := make([]Covered, len(published))
	for i, r := range published {
		out[i] = b.cover(r)
	}
	return out
}

func (b *Book) cover(r PublishedRule) Covered {
	c := Covered{PublishedRule: r}
	alert := &processor.Alert{Rule: r.Rule, Source: r.Source, Priority: processor.PriorityUnknown}
	p := b.take(alert, b.tagCache.read(nil))
	if p.playbook == nil || p.match != matchRule {
		return c
	}
	c.Playbook, c.Layer, c.File, c.Line = p.ID, p.layer, p.file, p.line
	c.Mitigations, c.Questions, c.Benign, c.Examples = len(p.measures), len(p.asks), len(p.causes), len(p.Examples)
	if slices.Contains(p.Match.Former, r.Rule) {
		c.Today = p.Match.Rules[0]
	}
	for _, m := range p.mapped {
		c.Techniques = append(c.Techniques, m.ID)
	}
	return c
}
