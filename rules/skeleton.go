package rules

import (
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"falconer/processor"
)

// Skeleton returns the beginning of a playbook for alerts like this one, as YAML: it
// loads, its examples pass, and Lint names what is still to be written, which the
// text marks with TODO. Secrets are hidden first.
func Skeleton(a *processor.Alert, hide processor.Redaction) (string, error) {
	s := skeleton{alert: a, hide: hide}
	root := mapping(pair{"playbooks", block(s.playbook())})
	root.HeadComment = "A playbook that was begun from an alert. Write what is marked with TODO, then ask\n" +
		"\"falconer rules lint\" and \"falconer rules test\". The keys: rules/GUIDE.md."
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(root), enc.Close()); err != nil {
		return "", err
	}
	return b.String(), nil
}

type skeleton struct {
	alert *processor.Alert
	hide  processor.Redaction
}

func commented(n *yaml.Node, comment string) *yaml.Node {
	n.LineComment = comment
	return n
}

// literal is a scalar as it stands: a number, true or false.
func literal(tag, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}

func prose(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.LiteralStyle, Value: text}
}

func (s skeleton) playbook() *yaml.Node {
	rule := s.alert.Rule
	pairs := []pair{
		{"id", word(s.id())},
		{"version", literal("!!int", "1")},
		{"title", commented(word(strings.NewReplacer("{", "(", "}", ")", "\n", " ").Replace(processor.Visible(rule))), "TODO: the behaviour in a few words")},
		{"match", mapping(pair{"rules", list(word(rule))})},
		{"identity", mapping(pair{"version", literal("!!int", "1")}, pair{"fields", commented(list(words(s.identity())...), "what makes two alerts the same incident")})},
		{"category", word("TODO")},
	}
	if !slices.ContainsFunc(s.alert.Tags, func(tag string) bool { return attackTag(tag) != "" }) {
		pairs = append(pairs, pair{"attack", block(mapping(
			pair{"id", commented(word("TA0002"), "TODO: the technique, such as T1059.004")}, pair{"why", word("TODO")}))})
	}
	pairs = append(pairs,
		pair{"meaning", prose("TODO: what happened, with the alert's own values. Here it was\n" + s.values() + ".\n\nTODO: why an attacker does this, and what the alert does not prove.\n")},
		pair{"questions", block(s.question(), mapping(pair{"ask", word("TODO: a question that the alert does not answer?")}))},
		pair{"benign", block(mapping(pair{"cause", word("TODO: what it harmlessly often is.")}, pair{"tell", word("TODO: how to know that from an attack.")}))},
		pair{"mitigations", block(s.mitigations()...)},
	)
	if fields := s.exception(); len(fields) > 0 {
		pairs = append(pairs, pair{"exception", mapping(
			pair{"name", word("known_" + processor.Slug(rule))}, pair{"fields", list(words(fields)...)}, pair{"why", word("TODO: why these fields together are the harmless case.")})})
	}
	return mapping(append(pairs, pair{"next", word("TODO: the first thing to do, in one sentence.")}, pair{"examples", block(s.examples()...)})...)
}

// id is the rule's name as ids are written.
func (s skeleton) id() string { return strings.ReplaceAll(processor.Slug(s.alert.Rule), "_", "-") }

func words(list []string) (out []*yaml.Node) {
	for _, w := range list {
		out = append(out, word(w))
	}
	return out
}

func (s skeleton) has(name string) bool {
	_, ok := processor.Derive(s.alert, name)
	return ok
}

// having returns those of the names that the alert has.
func (s skeleton) having(names ...string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return !s.has(n) })
}

func (s skeleton) identity() []string {
	fields := s.having(processor.DefaultIdentity()...)
	if len(fields) == 0 {
		return []string{"host"}
	}
	return fields
}

// values are placeholders for what the alert has to tell.
func (s skeleton) values() string {
	names := s.having("proc.cmdline", "fd.name", "ka.verb", "ka.target.resource", "ka.target.name", "ct.name", "gcp.methodName", "user")
	if len(names) == 0 {
		names = []string{"rule"}
	}
	return "{" + strings.Join(names[:min(3, len(names))], "}, {") + "}"
}

func (s skeleton) question() *yaml.Node {
	if !s.has("user") {
		return mapping(pair{"ask", word("TODO: who did it?")})
	}
	return mapping(pair{"ask", word("Who did it?")}, pair{"answers", block(mapping(pair{"when", word(`f("user") != ""`)}, pair{"say", word("{user}.")}))})
}

// mitigations names the shared ones that look at where the alert happened, and
// begins one.
func (s skeleton) mitigations() []*yaml.Node {
	look := map[string][]string{
		processor.Kubernetes: {"look-at-process-tree", "preserve-pod-evidence"},
		processor.Container:  {"look-at-process-tree", "preserve-container-evidence"},
		processor.Host:       {"look-at-process-tree", "preserve-host-evidence"},
		processor.Cluster:    {"review-k8s-actor", "read-audit-trail-of-user"},
	}[processor.Place(s.alert)]
	switch s.alert.Source {
	case "aws_cloudtrail":
		look = []string{"review-aws-actor"}
	case "gcp_auditlog":
		look = []string{"review-gcp-actor"}
	case "okta":
		look = []string{"review-okta-actor"}
	case "github":
		look = []string{"review-github-actor"}
	}
	var out []*yaml.Node
	for _, id := range look {
		out = append(out, mapping(pair{"use", word(id)}, pair{"because", word("TODO: what it shows here.")}))
	}
	run := list(words([]string{"echo", "TODO"})...)
	return append(out, mapping(
		pair{"id", word("contain-" + s.id())},
		pair{"title", word("TODO: what to do about it")},
		pair{"kind", commented(word("contain"), "investigate, contain, harden or tune")},
		pair{"horizon", commented(word("now"), "now, week or design")},
		pair{"description", word("TODO: what it is for, and when not to do it.")},
		pair{"commands", block(mapping(pair{"where", word(processor.Place(s.alert))}, pair{"run", run}, pair{"explain", word("TODO: what it does.")}))},
		pair{"risk", commented(word("reversible"), "read-only, reversible or destructive")},
		pair{"undo", word("TODO")}, pair{"needs", word("TODO: rights and tools.")}, pair{"blast", word("TODO: who notices.")},
	))
}

func (s skeleton) exception() []string {
	fields := s.having("k8s.ns.name", "container.image.repository", "proc.cmdline", "ka.user.name", "ka.target.resource", "ct.user", "ct.name", "gcp.user", "okta.actor.name", "github.user")
	return fields[:min(3, len(fields))]
}

// examples are the alert itself, which must match, and one of another rule.
func (s skeleton) examples() []*yaml.Node {
	of := mapping()
	for _, name := range sortedKeys(s.alert.Fields) {
		of.Content = append(of.Content, word(name), word(s.hide.Redact(s.alert.Fields[name])))
	}
	of.Style = yaml.FlowStyle
	alert := []pair{{"rule", word(s.alert.Rule)}, {"priority", word(s.alert.Priority.String())}, {"source", word(s.alert.Source)}}
	if s.alert.Hostname != "" {
		alert = append(alert, pair{"hostname", word(s.alert.Hostname)})
	}
	if len(s.alert.Tags) > 0 {
		alert = append(alert, pair{"tags", list(words(s.alert.Tags)...)})
	}
	alert = append(alert, pair{"output_fields", of})
	other := mapping(pair{"rule", word(s.alert.Rule + " (another)")}, pair{"priority", word(s.alert.Priority.String())}, pair{"source", word(s.alert.Source)}, pair{"output_fields", of})
	return []*yaml.Node{
		mapping(pair{"name", word("the alert that it was begun from")}, pair{"match", literal("!!bool", "true")}, pair{"alert", mapping(alert...)}),
		mapping(pair{"name", word("another rule")}, pair{"match", literal("!!bool", "false")}, pair{"alert", other}),
	}
}
