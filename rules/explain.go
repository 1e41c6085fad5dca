package rules

import (
	"fmt"
	"slices"
	"strings"

	"falconer/processor"
)

// Explanation says how a Book came to its verdict on one alert.
type Explanation struct {
	Rule     string `json:"rule"`
	Source   string `json:"source"`
	Priority string `json:"priority"`
	Place    string `json:"place"`
	// Candidates are the playbooks that would do, in the order in which they are
	// asked; the first was taken.
	Candidates []Candidate `json:"candidates"`
	// Identity holds the values that make two alerts the same incident.
	Fingerprint string            `json:"fingerprint"`
	Identity    map[string]string `json:"identity"`
	// Lets are the values taken out of fields; an empty one found nothing.
	Lets map[string]string `json:"lets,omitempty"`
	// Techniques, Tactics and Notes are what the rule's tags were read as.
	Techniques []string `json:"techniques,omitempty"`
	Tactics    []string `json:"tactics,omitempty"`
	Notes      []string `json:"notes,omitempty"`
	// Conditions are those of the playbooks for all alerts and of the one taken.
	Conditions []Condition       `json:"conditions,omitempty"`
	Verdict    processor.Verdict `json:"verdict"`
}

// Candidate is a playbook that would do for an alert.
type Candidate struct {
	Playbook string `json:"playbook"`
	Match    string `json:"match"` // rule, tag, technique, source or priority
	Key      string `json:"key"`   // what of the alert it matched
	Layer    string `json:"layer"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Taken    bool   `json:"taken"`
	Why      string `json:"why"`
}

// Condition is a condition and what came of it.
type Condition struct {
	Playbook string `json:"playbook"`
	// For says what depends on it, such as "+15 a hidden file".
	For   string `json:"for"`
	When  string `json:"when"`
	Holds bool   `json:"holds"`
	// Saw are the values that it looked up; absent ones are empty.
	Saw   map[string]string `json:"saw,omitempty"`
	Error string            `json:"error,omitempty"`
}

// Explain tells how the book judges the alert, and what it did not choose.
func (b *Book) Explain(a *processor.Alert) Explanation {
	read := b.tagCache.read(a.Tags)
	e := Explanation{
		Rule: a.Rule, Source: a.Source, Priority: a.Priority.String(), Place: processor.Place(a),
		Notes: read.Notes, Lets: map[string]string{}, Verdict: b.Judge(a),
	}
	for _, t := range read.Techniques {
		e.Techniques = append(e.Techniques, t.ID+" "+t.Name)
	}
	for _, t := range read.Tactics {
		e.Tactics = append(e.Tactics, t.ID+" "+t.Name)
	}
	b.candidates(a, read, func(c candidate) bool {
		e.Candidates = append(e.Candidates, c.explain(e.Candidates))
		return true
	})
	e.Fingerprint, e.Identity = processor.Fingerprint(a, b.Identity(a))
	r := b.read(a)
	defer b.done(r)
	for _, p := range append(slices.Clip(b.always), b.take(a, read).playbook) {
		p.explain(r, &e)
	}
	return e
}

// explain says why the candidate was or was not taken, given the ones before.
func (c candidate) explain(before []Candidate) Candidate {
	out := Candidate{
		Playbook: c.label, Match: c.match, Key: c.key, Layer: c.layer, File: c.file, Line: c.line,
		Taken: len(before) == 0, Why: "the first that would do",
	}
	if len(before) > 0 {
		first := before[0]
		out.Why = fmt.Sprintf("a %s %s goes before a %s %s", first.Layer, first.Match, c.layer, c.match)
	}
	return out
}

func (p *playbook) explain(r *reader, e *Explanation) {
	r.scope = p.scope
	for _, name := range sortedKeys(p.Let) {
		e.Lets[name] = r.let(name)
	}
	add := func(what string, c *condition) {
		if c != nil {
			e.Conditions = append(e.Conditions, c.explain(p.ID, what, r))
		}
	}
	for _, a := range p.adjust {
		add(fmt.Sprintf("%+d %s", a.Points, a.Reason), a.when)
	}
	for _, s := range p.also {
		add("a paragraph of the meaning", s.when)
	}
	for i, q := range p.asks {
		for _, answer := range q.answers {
			add("an answer to: "+cut(p.Questions[i].Ask, 60), answer.when)
		}
	}
	for i, c := range p.causes {
		add("likely benign: "+cut(p.Benign[i].Cause, 60), c.when)
	}
	for _, m := range p.measures {
		r.scope = p.scope
		add("mitigation "+m.ID, m.when)
		r.scope = m.scope
		m.eachCondition(func(c *condition) { add("mitigation "+m.ID, c) })
	}
}

func (c *condition) explain(playbook, what string, r *reader) Condition {
	out := Condition{Playbook: playbook, For: what, When: strings.Join(strings.Fields(c.source), " ")}
	holds, err := c.eval(r)
	out.Holds = holds
	if err != nil {
		out.Error = err.Error()
	}
	for _, name := range c.asked {
		if out.Saw == nil {
			out.Saw = map[string]string{}
		}
		out.Saw[name], _ = r.value(name)
	}
	return out
}

// String returns the explanation as text for a terminal. Values of the alert
// are quoted, so that they cannot speak to it.
func (e Explanation) String() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("rule      %q", e.Rule)
	say("source    %q, priority %s, place %s", e.Source, e.Priority, e.Place)
	say("tags      techniques %s; tactics %s", orNone(e.Techniques), orNone(e.Tactics))
	say("verdict   %s, score %d, confidence %s, test %t", e.Verdict.Severity, e.Verdict.Score, e.Verdict.Confidence, e.Verdict.Test)
	say("identity  %s", e.Fingerprint)
	for _, name := range sortedKeys(e.Identity) {
		say("          %s = %q", name, e.Identity[name])
	}
	for _, n := range e.Verdict.Notes {
		say("note      %s", processor.Visible(n))
	}
	say("\nplaybooks, in the order in which they are asked:")
	for _, c := range e.Candidates {
		say("  %s %s (%s %s %q, %s:%d): %s", mark(c.Taken), c.Playbook, c.Layer, c.Match, c.Key, c.File, c.Line, c.Why)
	}
	say("\nscore:")
	for _, c := range e.Verdict.Why {
		say("  %+4d %s", c.Points, c.Reason)
	}
	e.writeLookups(say)
	return b.String()
}

func mark(yes bool) string {
	if yes {
		return "*"
	}
	return "-"
}

func (e Explanation) writeLookups(say func(string, ...any)) {
	if len(e.Lets) > 0 {
		say("\nvalues taken out of fields:")
	}
	for _, name := range sortedKeys(e.Lets) {
		say("  let.%s = %q", name, e.Lets[name])
	}
	if len(e.Conditions) > 0 {
		say("\nconditions (* holds):")
	}
	for _, c := range e.Conditions {
		say("  %s %s: %s", mark(c.Holds), c.Playbook, c.For)
		say("      %s", c.When)
		for _, name := range sortedKeys(c.Saw) {
			say("      %s = %q", name, c.Saw[name])
		}
		if c.Error != "" {
			say("      error: %s", c.Error)
		}
	}
}
