package rules

import (
	"slices"
	"strings"

	"falconer/processor"
)

// index finds the playbooks of one layer by what they match.
type index struct {
	rules      map[string]*playbook
	tags       map[string]*playbook // tags as written, that ATT&CK knows nothing of
	techniques map[string]*playbook
	tactics    map[string]*playbook
	sources    map[string]*playbook
	priorities map[processor.Priority]*playbook
}

// add puts a playbook into the index of its layer.
func (b *Book) add(c *compiler, p *playbook) {
	b.playbooks = append(b.playbooks, p)
	if p.Match.All {
		b.always = append(b.always, p)
		return
	}
	layer := &b.builtin
	if p.layer == userLayer {
		layer = &b.user
	}
	c.file, c.line = b.sourceOf(p), p.line
	for i, rule := range p.Match.Rules {
		put(c, &layer.rules, rule, p, &p.Match.Rules[i], "rule")
	}
	for i, rule := range p.Match.Former {
		put(c, &layer.rules, rule, p, &p.Match.Former[i], "rule")
	}
	for i, tag := range p.Match.Tags {
		b.addTag(c, layer, p, &p.Match.Tags[i], tag)
	}
	for i, source := range p.Match.Sources {
		if source == "syscalls" {
			source = "syscall"
		}
		put(c, &layer.sources, source, p, &p.Match.Sources[i], "source")
	}
	for i, word := range p.Match.Priorities {
		level, _ := priority(word)
		put(c, &layer.priorities, level, p, &p.Match.Priorities[i], "priority")
	}
}

func (b *Book) addTag(c *compiler, layer *index, p *playbook, at *string, tag string) {
	read := b.attack.ReadTags([]string{tag})
	switch {
	case len(read.Techniques) > 0:
		put(c, &layer.techniques, read.Techniques[0].ID, p, at, "technique")
	case len(read.Tactics) > 0:
		put(c, &layer.tactics, read.Tactics[0].ID, p, at, "tactic")
	default:
		put(c, &layer.tags, tag, p, at, "tag")
	}
}

func (b *Book) sourceOf(p *playbook) *source {
	i := slices.IndexFunc(b.sources, func(s *source) bool { return s.name == p.file && s.layer == p.layer })
	return b.sources[i]
}

func put[K comparable](c *compiler, m *map[K]*playbook, key K, p *playbook, at *string, what string) {
	if *m == nil {
		*m = map[K]*playbook{}
	}
	if first := (*m)[key]; first != nil {
		c.failf(at, "match: %s %q is playbook %q's already, in %s:%d", what, *at, first.ID, first.file, first.line)
		return
	}
	(*m)[key] = p
}

// The kinds of match, as they stand in a Verdict.
const (
	matchRule      = "rule"
	matchTag       = "tag"
	matchTechnique = "technique"
	matchSource    = "source"
	matchPriority  = "priority"
)

// candidate is a playbook that would do for an alert, and why.
type candidate struct {
	*playbook
	match string
	key   string
}

// take returns the best playbook for the alert. Its cost does not depend on how
// many playbooks there are.
func (b *Book) take(a *processor.Alert, read *TagReading) candidate {
	var best candidate
	b.candidates(a, read, func(c candidate) bool {
		best = c
		return false
	})
	return best
}

// pick is take for who wants the playbook alone. It reads the alert's tags only
// where they can matter.
func (b *Book) pick(a *processor.Alert) *playbook {
	if p := b.user.rules[a.Rule]; p != nil {
		return p
	}
	if p := b.builtin.rules[a.Rule]; p != nil && !b.user.tagged() {
		return p
	}
	return b.take(a, b.tagCache.read(a.Tags)).playbook
}

// tagged reports whether a playbook of the layer is for tags.
func (x *index) tagged() bool { return len(x.tags)+len(x.techniques)+len(x.tactics) > 0 }

// candidates yields the playbooks that would do for the alert, best first,
// until yield returns false.
func (b *Book) candidates(a *processor.Alert, read *TagReading, yield func(candidate) bool) {
	offer := func(p *playbook, match, key string) bool {
		return p == nil || yield(candidate{p, match, key})
	}
	for _, layer := range []*index{&b.user, &b.builtin} {
		if !offer(layer.rules[a.Rule], matchRule, a.Rule) || !layer.byTags(a, read, offer) {
			return
		}
	}
	for _, layer := range []*index{&b.user, &b.builtin} {
		if !offer(layer.sources[a.Source], matchSource, a.Source) {
			return
		}
	}
	for _, layer := range []*index{&b.user, &b.builtin} {
		if !offer(layer.priorities[a.Priority], matchPriority, a.Priority.String()) {
			return
		}
	}
}

// byTags offers the playbooks of the alert's tags: tags as written, techniques
// from the most specific to their parents, then tactics.
func (x *index) byTags(a *processor.Alert, read *TagReading, offer func(*playbook, string, string) bool) bool {
	for _, tag := range a.Tags {
		if !offer(x.tags[tag], matchTag, tag) {
			return false
		}
	}
	for _, wantSub := range []bool{true, false} {
		for i := range read.Techniques {
			id := read.Techniques[i].ID
			if strings.Contains(id, ".") == wantSub && !offer(x.techniques[id], matchTechnique, id) {
				return false
			}
		}
	}
	for i := range read.Techniques {
		parent, _, sub := strings.Cut(read.Techniques[i].ID, ".")
		if sub && !offer(x.techniques[parent], matchTechnique, parent) {
			return false
		}
	}
	for i := range read.Tactics {
		if id := read.Tactics[i].ID; !offer(x.tactics[id], matchTag, id) {
			return false
		}
	}
	return true
}
