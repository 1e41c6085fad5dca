package rules

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// actionner is one of Falco Talon's: its parameters, and the required ones.
type actionner struct{ parameters, required []string }

// What Falco Talon accepts (falcosecurity/falco-talon 0.3.0, internal/rules).
// Talon ignores parameters that it does not know, which is why we look.
var (
	talonActionners = map[string]actionner{
		"kubernetes:terminate":     {parameters: []string{"grace_period_seconds", "ignore_daemonsets", "ignore_statefulsets", "ignore_standalone_pods", "min_healthy_replicas"}},
		"kubernetes:label":         {parameters: []string{"labels", "level"}, required: []string{"labels"}},
		"kubernetes:annotation":    {parameters: []string{"annotations", "level"}, required: []string{"annotations"}},
		"kubernetes:networkpolicy": {parameters: []string{"allow_cidr", "allow_namespaces"}},
		"kubernetes:exec":          {parameters: []string{"command", "shell"}, required: []string{"command"}},
		"kubernetes:script":        {parameters: []string{"script", "file", "shell"}},
		"kubernetes:log":           {parameters: []string{"tail_lines"}},
		"kubernetes:download":      {parameters: []string{"file"}, required: []string{"file"}},
		"kubernetes:tcpdump":       {parameters: []string{"duration", "snaplen", "image"}},
		"kubernetes:sysdig":        {parameters: []string{"duration", "scope", "buffer_size", "image"}},
		"kubernetes:cordon":        {},
		"kubernetes:drain":         {parameters: []string{"min_healthy_replicas", "ignore_errors", "ignore_daemonsets", "ignore_statefulsets", "max_wait_period", "wait_period_excluded_namespaces"}},
		"kubernetes:delete":        {},
		"cilium:networkpolicy":     {parameters: []string{"allow_cidr", "allow_namespaces"}},
		"calico:networkpolicy":     {parameters: []string{"allow_cidr", "allow_namespaces", "order"}},
		"aws:lambda":               {parameters: []string{"aws_lambda_name", "aws_lambda_alias_or_version", "aws_lambda_invocation_type"}, required: []string{"aws_lambda_name"}},
		"gcp:function":             {parameters: []string{"gcp_function_name", "gcp_function_location", "gcp_function_timeout"}, required: []string{"gcp_function_name", "gcp_function_location"}},
	}
	// talonOutput are the actionners that cannot do without an output.
	talonOutput  = []string{"kubernetes:download", "kubernetes:tcpdump", "kubernetes:sysdig"}
	talonTargets = map[string][]string{
		"aws:s3":     {"bucket", "prefix", "region"},
		"gcp:gcs":    {"bucket", "prefix"},
		"minio:s3":   {"bucket", "prefix"},
		"local:file": {"destination"},
	}
	talonPriority = regexp.MustCompile(`^(<|>)?(=)?(Debug|Informational|Notice|Warning|Error|Critical|Alert|Emergency)$`)
	talonTag      = regexp.MustCompile(`^(?i)[a-z_0-9.]*[a-z0-9]$`)
	talonField    = regexp.MustCompile(`^[a-z0-9.\[\]]+!?=`)
	talonBool     = regexp.MustCompile(`^(true|false)$`)
)

// talon checks a list of Falco Talon actions and rules. One that is wrong makes
// Talon refuse the whole file.
func (in *inspector) talon(n *yaml.Node) {
	if !in.isList(n, "the file") {
		return
	}
	named := map[string]bool{}
	for _, item := range n.Content {
		if name := get(item, "action"); name != nil && get(item, "rule") == nil {
			named[name.Value] = true
			in.talonAction(item, nil)
		}
	}
	for _, item := range n.Content {
		switch {
		case get(item, "rule") != nil:
			in.talonRule(item, named)
		case get(item, "action") == nil:
			in.failf(item, "an item is a rule or an action")
		}
	}
}

func (in *inspector) talonRule(n *yaml.Node, named map[string]bool) {
	in.only(n, "rule", "rule", "description", "match", "continue", "dry_run", "notifiers", "actions")
	in.needs(n, "rule", "actions")
	in.matches(get(n, "continue"), "continue", talonBool)
	in.matches(get(n, "dry_run"), "dry_run", talonBool)
	if match := get(n, "match"); match != nil {
		in.talonMatch(match)
	}
	if actions := get(n, "actions"); actions != nil && len(actions.Content) == 0 {
		in.failf(actions, "a rule needs at least one action")
	}
	in.each(n, "actions", func(a *yaml.Node) { in.talonAction(a, named) })
}

func (in *inspector) talonMatch(n *yaml.Node) {
	if !in.only(n, "match", "rules", "output_fields", "priority", "source", "tags") {
		return
	}
	in.each(n, "rules", func(*yaml.Node) {})
	in.matches(get(n, "priority"), "priority", talonPriority)
	in.each(n, "tags", func(t *yaml.Node) { in.talonEach(t, "tag", talonTag) })
	in.each(n, "output_fields", func(f *yaml.Node) { in.talonEach(f, "output field", talonField) })
	if s := get(n, "source"); s != nil && s.Value == "syscalls" {
		in.failf(s, "source is compared exactly, and Falco sends syscall")
	}
}

// talonEach checks the parts of one string, which commas divide. A value of the
// alert in it could add conditions by a comma: only plain ones come in.
func (in *inspector) talonEach(n *yaml.Node, what string, form *regexp.Regexp) {
	if in.filled(n) {
		in.config.quoted[n] = plainOnly
		return
	}
	for part := range strings.SplitSeq(n.Value, ",") {
		if part = strings.TrimSpace(part); !form.MatchString(part) {
			in.failf(n, "%s %q does not match %s, and Talon would refuse the file", what, part, form)
		}
	}
}

// talonAction checks an action: of its own when named is nil, else inside a
// rule, where it may take what it lacks from the action of its name.
func (in *inspector) talonAction(n *yaml.Node, named map[string]bool) {
	if !in.only(n, "action", "action", "description", "actionner", "parameters", "continue", "ignore_errors", "additional_contexts", "output") {
		return
	}
	in.needs(n, "action", "action")
	in.matches(get(n, "continue"), "continue", talonBool)
	in.matches(get(n, "ignore_errors"), "ignore_errors", talonBool)
	who := get(n, "actionner")
	if who == nil {
		if name := get(n, "action"); name != nil && !named[name.Value] {
			in.failf(n, "action %q has no actionner, and no action of that name is defined in this file", name.Value)
		}
		return
	}
	known, ok := talonActionners[who.Value]
	if !ok {
		in.failf(who, "%s", choice("actionner", who.Value, sortedKeys(talonActionners)))
		return
	}
	in.talonParameters(n, who.Value, known)
	in.talonOutput(n, who.Value)
}

func (in *inspector) talonParameters(n *yaml.Node, who string, known actionner) {
	parameters := get(n, "parameters")
	if parameters == nil {
		parameters = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line}
	}
	if in.only(parameters, "parameters of "+who, known.parameters...) {
		in.needs(parameters, who, known.required...)
	}
	if code := firstNode(get(parameters, "command"), get(parameters, "script")); code != nil && in.filled(code) {
		in.failf(code, "a value of the alert inside a script would be run")
	}
}

func firstNode(nodes ...*yaml.Node) *yaml.Node {
	for _, n := range nodes {
		if n != nil {
			return n
		}
	}
	return nil
}

func (in *inspector) talonOutput(n *yaml.Node, who string) {
	out := get(n, "output")
	if out == nil {
		if slices.Contains(talonOutput, who) {
			in.failf(n, "%s needs an output", who)
		}
		return
	}
	if !in.only(out, "output", "target", "parameters") {
		return
	}
	in.needs(out, "output", "target", "parameters")
	target, parameters := get(out, "target"), get(out, "parameters")
	if target == nil || parameters == nil {
		return
	}
	if allowed, ok := talonTargets[target.Value]; ok {
		in.only(parameters, "parameters of "+target.Value, allowed...)
		return
	}
	in.failf(target, "%s", choice("target", target.Value, sortedKeys(talonTargets)))
}
