package rules

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

// Every published rule has a playbook that names it, today's and those of former
// times, Falco's and other people's.
func TestEveryPublishedRuleIsCovered(t *testing.T) {
	book := builtin(t)
	kinds := map[string]int{}
	for _, c := range book.Coverage() {
		kinds[c.Kind]++
		require.NotEmpty(t, c.Playbook, "%s rule %q of source %s", c.Kind, c.Rule, c.Source)
	}
	require.Equal(t, map[string]int{"upstream": 238, "archived": 4, "former": 89, "third-party": 101}, kinds)
}

// withoutException are rules whose alerts no exception should hide: they match all
// there is and are to be switched off, or what they tell of is never routine.
var withoutException = []string{
	"All K8s Audit Events", "All Cloudtrail Events", "Console Root Login Without MFA", "Deactivate MFA for Root User", "Webhook Disconnected",
}

// For each rule that Falco ships not only a
// name, but what to ask, what it may be, and what to do.
func TestEveryUpstreamRuleIsWhole(t *testing.T) {
	book := builtin(t)
	for _, c := range book.Coverage() {
		if c.Kind != "upstream" {
			continue
		}
		t.Run(c.Rule, func(t *testing.T) {
			require.NotEmpty(t, c.Playbook)
			p := book.playbook(c.Playbook)
			require.Contains(t, p.Match.Rules, c.Rule, "it is today's name")
			require.GreaterOrEqual(t, c.Mitigations, 2, "mitigations")
			require.GreaterOrEqual(t, c.Questions, 3, "questions")
			require.GreaterOrEqual(t, c.Benign, 1, "benign causes")
			require.GreaterOrEqual(t, c.Examples, 2, "examples")
			require.NotEmpty(t, p.adjust, "adjustments")
			if !slices.Contains(withoutException, c.Rule) {
				require.NotNil(t, p.except, "exception")
			}
			answered := slices.ContainsFunc(p.asks, func(q question) bool { return len(q.answers) > 0 })
			require.True(t, answered, "a question that the alert answers")
			// Look first; what is being destroyed right now may be held before that.
			look := slices.IndexFunc(p.measures, func(m measure) bool { return m.Kind == string(processor.Investigate) })
			require.Contains(t, []int{0, 1}, look, "look first")
			require.False(t, p.measures[0].destroys())
			for _, m := range p.mapped {
				require.NotEmpty(t, p.Attack[slices.IndexFunc(p.Attack, func(a Mapping) bool { return a.ID == m.ID })].Why)
			}
			shown := 0
			for _, a := range p.matching() {
				v := book.Judge(a)
				require.NotEmpty(t, v.Techniques, "an ATT&CK technique")
				require.NotEmpty(t, v.Stage)
				shown = max(shown, len(book.Advise(a).Mitigations))
			}
			require.GreaterOrEqual(t, shown, 2)
		})
	}
}

// upstreamRule is a rule as falcosecurity/rules and falcosecurity/plugins ship it.
type upstreamRule struct {
	Rule, Source, Priority, Kind string
	Tags                         []string
	OutputFields                 []string `json:"output_fields"`
}

func upstreamRules(t *testing.T) (out []upstreamRule) {
	t.Helper()
	data := facts(t, "falco-rules.json")
	if data == nil {
		t.Skip("FALCONER_CORPUS is not set: it names a folder of public alerts, with the facts about rules beside it")
	}
	require.NoError(t, json.Unmarshal(data, &out))
	return slices.DeleteFunc(out, func(r upstreamRule) bool { return r.Kind != "upstream" })
}

// Tags that contradict themselves (a tactic that the technique does not serve) are
// corrected by the playbook: what is left serves a tactic that is tagged or mapped.
func TestContradictingTagsAreCorrected(t *testing.T) {
	book := builtin(t)
	found := 0
	for _, r := range upstreamRules(t) {
		read := book.attack.ReadTags(r.Tags)
		if len(read.Techniques) == 0 || !contradicts(read.Notes) {
			continue
		}
		found++
		v := book.Judge(&processor.Alert{Rule: r.Rule, Source: r.Source, Tags: r.Tags, Fields: map[string]string{}})
		p := book.take(&processor.Alert{Rule: r.Rule, Source: r.Source}, &read)
		require.NotEmpty(t, p.mapped, "%s: the playbook says nothing beside %v", r.Rule, r.Tags)
		for _, m := range p.Attack {
			require.NotEmpty(t, m.Why, r.Rule)
		}
		require.True(t, !contradicts(v.Notes) || len(p.tactics) > 0 || slices.ContainsFunc(p.mapped, func(m mapped) bool { return m.instead != "" }),
			"%s: neither is the tag's technique replaced, nor its tactic named: %v", r.Rule, v.Notes)
	}
	require.Equal(t, 11, found, "ten, and one that has a tactic that fits beside the one that does not")
}

func contradicts(notes []string) bool {
	return slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, " contradicts ") })
}

// Fields that a playbook's exception and identity name are fields that the rule's
// output has, or that Falco adds to every alert of the source.
func TestEveryUpstreamFieldIsKnown(t *testing.T) {
	book := builtin(t)
	bySource := map[string]map[string]bool{}
	for _, r := range upstreamRules(t) {
		if bySource[r.Source] == nil {
			bySource[r.Source] = map[string]bool{}
		}
		for _, f := range r.OutputFields {
			bySource[r.Source][f] = true
		}
	}
	for _, c := range book.Coverage() {
		if c.Kind != "upstream" || c.Source == "syscall" || c.Playbook == "" {
			continue
		}
		p := book.playbook(c.Playbook)
		if p.except == nil {
			continue
		}
		for _, f := range p.except.fields {
			require.True(t, bySource[c.Source][f], "%s: its exception names %s, which no rule of %s prints", c.Rule, f, c.Source)
		}
	}
}
