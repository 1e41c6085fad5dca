package rules

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// falcoSchema returns the JSON Schema that falco --rule-schema prints, or nil
// when it is not at hand.
func falcoSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	data := facts(t, "falco-rule-schema.json")
	if data == nil {
		t.Log("FALCONER_CORPUS is not set: Falco's own schema of its rules is left out")
		return nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("falco.json", doc))
	schema, err := c.Compile("falco.json")
	require.NoError(t, err)
	return schema
}

// falcoFile reads a file of Falco rules.
func falcoFile(schema *jsonschema.Schema, body string) (problems []string) {
	var plain any
	if err := strictYAML(body, &plain); err != nil {
		return []string{err.Error()}
	}
	if schema != nil {
		if err := schema.Validate(plain); err != nil {
			problems = append(problems, err.Error())
		}
	}
	var items []falcoRule
	if err := strictYAML(body, &items); err != nil {
		return append(problems, err.Error())
	}
	for _, i := range items {
		problems = append(problems, i.problems()...)
	}
	return problems
}

// falcoRule is a rule, macro or list as the loader reads them.
type falcoRule struct {
	Rule       string
	Macro      string
	List       string
	Desc       string
	Condition  string
	Output     string
	Priority   string
	Source     string
	Enabled    *bool
	Tags       []string
	Items      []string
	Exceptions []falcoException
	Override   map[string]string
}

type falcoException struct {
	Name   string
	Fields []string
	Comps  []string
	Values [][]yaml.Node
}

// given returns the keys that the item has, beside its name and its override.
func (f falcoRule) given() (out []string) {
	for key, has := range map[string]bool{
		"desc": f.Desc != "", "condition": f.Condition != "", "output": f.Output != "", "priority": f.Priority != "",
		"enabled": f.Enabled != nil, "tags": f.Tags != nil, "items": f.Items != nil, "exceptions": f.Exceptions != nil,
	} {
		if has {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

func (f falcoRule) problems() (out []string) {
	failf := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	kind := "rule"
	switch {
	case f.Macro != "":
		kind = "macro"
	case f.List != "":
		kind = "list"
	case f.Rule == "":
		failf("an item without a name")
	}
	if len(f.Override) > 0 {
		out = append(out, f.overrides(kind)...)
	} else if needs := map[string][]string{"rule": {"condition", "desc", "output", "priority"}, "macro": {"condition"}, "list": {"items"}}[kind]; !hasAll(f.given(), needs) {
		failf("a new %s needs %q and has %q", kind, needs, f.given())
	}
	names := map[string]bool{}
	for _, e := range f.Exceptions {
		if names[e.Name] {
			failf("two exceptions named %q", e.Name)
		}
		names[e.Name] = true
		out = append(out, e.problems()...)
	}
	if text := f.Condition; strings.Count(text, "(") != strings.Count(text, ")") || strings.Count(text, `"`)%2 != 0 {
		failf("condition %q has a bracket or quote too many", text)
	}
	return out
}

// overrides checks that each key given says how it changes what is there.
func (f falcoRule) overrides(kind string) (out []string) {
	given := f.given()
	for _, key := range sortedKeys(f.Override) {
		allowed := map[string][]string{"append": falcoAppend[kind], "replace": falcoReplace[kind]}[f.Override[key]]
		if !slices.Contains(allowed, key) {
			out = append(out, fmt.Sprintf("%s of a %s cannot be overridden by %q", key, kind, f.Override[key]))
		}
		if !slices.Contains(given, key) {
			out = append(out, fmt.Sprintf("override of %s, which is not given", key))
		}
	}
	for _, key := range given {
		if f.Override[key] == "" {
			out = append(out, fmt.Sprintf("%s is given without an override", key))
		}
	}
	return out
}

func (e falcoException) problems() (out []string) {
	failf := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("exception %q: ", e.Name)+fmt.Sprintf(format, args...))
	}
	if !falcoName.MatchString(e.Name) {
		failf("a name that is none")
	}
	if len(e.Fields) == 0 || len(e.Values) == 0 {
		failf("a new exception needs fields and values")
	}
	if len(e.Comps) != len(e.Fields) {
		failf("%d comps for %d fields", len(e.Comps), len(e.Fields))
	}
	for _, comp := range e.Comps {
		if !slices.Contains(exceptionComps, comp) {
			failf("comp %q reads its value as more than text", comp)
		}
	}
	for _, row := range e.Values {
		if len(row) != len(e.Fields) {
			failf("a row of %d values for %d fields", len(row), len(e.Fields))
		}
		for i := range row {
			if !falcoQuoted(row[i].Value) && !placeholder.MatchString(row[i].Value) {
				failf("value %q does not stand in Falco's quotes", row[i].Value)
			}
		}
	}
	return out
}

// falcoQuoted reports whether v is one string of Falco's condition language, with
// its quotes.
func falcoQuoted(v string) bool {
	if len(v) < 2 || v[0] != '"' || v[len(v)-1] != '"' {
		return false
	}
	for inside := v[1 : len(v)-1]; inside != ""; inside = inside[1:] {
		switch {
		case inside[0] == '"' || inside[0] == '\n':
			return false
		case inside[0] == '\\' && (len(inside) < 2 || !strings.ContainsRune(`bfnrt\"`, rune(inside[1]))):
			return false
		case inside[0] == '\\':
			inside = inside[1:]
		}
	}
	return true
}

// hasAll reports whether every needed word is among those given.
func hasAll(given, needed []string) bool {
	return !slices.ContainsFunc(needed, func(n string) bool { return !slices.Contains(given, n) })
}

// engineKeys are the keys of falco.yaml that playbooks write (Falco 0.44), with
// those below each; a nil list is a key with a plain value.
var engineKeys = map[string][]string{
	"engine":                     {"kind", "modern_ebpf", "kmod", "replay", "nodriver"},
	"engine.modern_ebpf":         {"buf_size_preset", "cpus_for_each_buffer", "drop_failed_exit"},
	"engine.kmod":                {"buf_size_preset", "drop_failed_exit"},
	"base_syscalls":              {"custom_set", "repair", "all"},
	"syscall_event_drops":        {"threshold", "actions", "rate", "max_burst", "simulate_drops"},
	"syscall_event_timeouts":     {"max_consecutives"},
	"metrics":                    {"enabled", "interval", "output_rule", "output_file", "rules_counters_enabled", "resource_utilization_enabled", "state_counters_enabled", "kernel_event_counters_enabled", "kernel_event_counters_per_cpu_enabled", "libbpf_stats_enabled", "plugins_metrics_enabled", "jemalloc_stats_enabled", "convert_memory_to_mb", "include_empty_values"},
	"rules_files":                nil,
	"rules":                      nil,
	"plugins":                    {"name", "library_path", "init_config", "open_params"},
	"load_plugins":               nil,
	"watch_config_files":         nil,
	"priority":                   nil,
	"json_output":                nil,
	"json_include_tags_property": nil,
	"buffered_outputs":           nil,
	"rule_matching":              nil,
	"outputs_queue":              {"capacity"},
	"append_output":              {"match", "extra_output", "extra_fields", "suggested_output"},
	"append_output.match":        {"source", "rule", "tags"},
	"http_output":                {"enabled", "url", "user_agent", "insecure", "ca_cert", "ca_bundle", "ca_path", "mtls", "client_cert", "client_key", "echo", "compress_uploads", "keep_alive", "max_consecutive_timeouts"},
	"webserver":                  {"enabled", "threadiness", "listen_address", "listen_port", "k8s_healthz_endpoint", "prometheus_metrics_enabled", "ssl_enabled", "ssl_certificate"},
}

// falcoEngine reads a part of falco.yaml.
func falcoEngine(body string) (problems []string) {
	var tree map[string]any
	if err := strictYAML(body, &tree); err != nil {
		return []string{err.Error()}
	}
	var walk func(prefix string, m map[string]any, allowed []string)
	walk = func(prefix string, m map[string]any, allowed []string) {
		for _, key := range sortedKeys(m) {
			if !slices.Contains(allowed, key) {
				problems = append(problems, fmt.Sprintf("unknown key %q", prefix+key))
				continue
			}
			switch below := m[key].(type) {
			case map[string]any:
				walk(prefix+key+".", below, engineKeys[prefix+key])
			case []any:
				for _, item := range below {
					if entry, ok := item.(map[string]any); ok {
						walk(prefix+key+".", entry, engineKeys[prefix+key])
					}
				}
			}
		}
	}
	walk("", tree, sortedKeys(engineKeys))
	if engine, ok := tree["engine"].(map[string]any); ok && engine["kind"] != nil && !slices.Contains(engineKeys["engine"][1:], fmt.Sprint(engine["kind"])) {
		problems = append(problems, fmt.Sprintf("engine.kind %v is none of %q", engine["kind"], engineKeys["engine"][1:]))
	}
	return problems
}

// talonItem is an action or a rule of Falco Talon.
type talonItem struct {
	Action      string
	Rule        string
	Description string
	Actionner   string
	Parameters  map[string]any
	Continue    string
	DryRun      string   `yaml:"dry_run"`
	Ignore      string   `yaml:"ignore_errors"`
	Contexts    []string `yaml:"additional_contexts"`
	Notifiers   []string
	Output      *struct {
		Target     string
		Parameters map[string]string
	}
	Match struct {
		Rules    []string
		Fields   []string `yaml:"output_fields"`
		Priority string
		Source   string
		Tags     []string
	}
	Actions []talonItem
}

// talonFile reads a file of Falco Talon as its start does, which ends at the
// first thing that is wrong.
func talonFile(body string) (problems []string) {
	var items []talonItem
	if err := strictYAML(body, &items); err != nil {
		return []string{err.Error()}
	}
	named := map[string]talonItem{}
	for _, i := range items {
		if i.Rule == "" {
			named[i.Action] = i
		}
	}
	for _, i := range items {
		switch {
		case i.Rule == "" && i.Action == "":
			problems = append(problems, "neither a rule nor an action")
		case i.Rule == "":
			problems = append(problems, i.action(i)...)
		default:
			problems = append(problems, i.rule(named)...)
		}
	}
	return problems
}

func (r talonItem) rule(named map[string]talonItem) (out []string) {
	failf := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("rule %q: ", r.Rule)+fmt.Sprintf(format, args...))
	}
	if len(r.Actions) == 0 {
		failf("no action")
	}
	if p := r.Match.Priority; p != "" && !talonPriority.MatchString(p) {
		failf("priority %q", p)
	}
	for _, tags := range r.Match.Tags {
		for tag := range strings.SplitSeq(tags, ",") {
			if !talonTag.MatchString(strings.TrimSpace(tag)) {
				failf("tag %q", tag)
			}
		}
	}
	for _, fields := range r.Match.Fields {
		for field := range strings.SplitSeq(fields, ",") {
			if !talonField.MatchString(strings.TrimSpace(field)) {
				failf("output field %q", field)
			}
		}
	}
	for _, word := range []string{r.Continue, r.DryRun} {
		if word != "" && !talonBool.MatchString(word) {
			failf("%q is neither true nor false", word)
		}
	}
	for _, a := range r.Actions {
		out = append(out, a.action(named[a.Action])...)
	}
	return out
}

// action checks an action that may take what it lacks from the one of its name.
func (r talonItem) action(named talonItem) (out []string) {
	failf := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("action %q: ", r.Action)+fmt.Sprintf(format, args...))
	}
	who, parameters, output := r.Actionner, r.Parameters, r.Output
	if who == "" {
		who, parameters, output = named.Actionner, named.Parameters, named.Output
	}
	known, ok := talonActionners[who]
	if !ok {
		failf("actionner %q", who)
	}
	for _, p := range sortedKeys(parameters) {
		if !slices.Contains(known.parameters, p) {
			failf("parameter %q, which %s passes over", p, who)
		}
	}
	if !hasAll(sortedKeys(parameters), known.required) {
		failf("%s needs %q", who, known.required)
	}
	if output == nil && slices.Contains(talonOutput, who) {
		failf("%s needs an output", who)
	}
	if output != nil && (talonTargets[output.Target] == nil || len(output.Parameters) == 0) {
		failf("output %v", *output)
	}
	return out
}

const falcoGood = `
- rule: R
  exceptions:
    - name: n
      fields: [proc.name, fd.name]
      comps: [=, startswith]
      values:
        - ['"a"', '"b \"c\" (d)"']
  override: {exceptions: append}
`

const talonGood = `
- action: Label
  actionner: kubernetes:label
  parameters: {labels: {a: b}}
- rule: R
  match: {rules: [R], output_fields: ["k8s.ns.name=x"], priority: ">=Warning", tags: ["a, b"]}
  actions: [{action: Label}]
`

var falcoBites = []bite{
	{"falco", "a value without quotes of its own", falcoGood, strings.Replace(falcoGood, `'"a"'`, "a", 1), "Falco's quotes"},
	{"falco", "a quote inside", falcoGood, strings.Replace(falcoGood, `'"a"'`, `'"a" or "b"'`, 1), "Falco's quotes"},
	{"falco", "a comp too few", falcoGood, strings.Replace(falcoGood, "[=, startswith]", "[=]", 1), "1 comps for 2 fields"},
	{"falco", "a comp that reads a pattern", falcoGood, strings.Replace(falcoGood, "startswith", "regex", 1), `comp "regex"`},
	{"falco", "a row too short", falcoGood, strings.Replace(falcoGood, `['"a"', `, "[", 1), "a row of 1 values"},
	{"falco", "an override without a value", falcoGood, strings.Replace(falcoGood, "append}", "append, output: append}", 1), "override of output"},
	{"falco", "a value without an override", falcoGood, strings.Replace(falcoGood, "- rule: R", "- rule: R\n  output: x", 1), "output is given without"},
	{"falco", "an override that there is not", falcoGood, falcoGood + "- {rule: X, enabled: false, override: {enabled: append}}", "cannot be overridden"},
	{"falco", "a new rule that lacks something", falcoGood, falcoGood + "- {rule: X, condition: x}", "needs"},
	{"falco", "an unknown key", falcoGood, falcoGood + "- {rule: X, enabeld: false}", "enabeld"},
	{"falco", "a condition that does not end", falcoGood, falcoGood + "- {macro: m, condition: (x}", "bracket"},
	{"falco.yaml", "a key that there is not", "metrics: {enabled: true}", "metrics: {enable: true}", `unknown key "metrics.enable"`},
	{"falco.yaml", "a key of a plugin that there is not", "plugins: [{name: x, library_path: y}]", "plugins: [{name: x, path: y}]", `unknown key "plugins.path"`},
	{"falco.yaml", "a driver that there is not", "engine: {kind: kmod}", "engine: {kind: modern}", "engine.kind"},
	{"falco-talon", "a priority in capitals", talonGood, strings.Replace(talonGood, ">=Warning", "WARNING", 1), "priority"},
	{"falco-talon", "a tag with a dash", talonGood, strings.Replace(talonGood, "a, b", "a, T1-x/y", 1), "tag"},
	{"falco-talon", "a parameter that there is not", talonGood, strings.Replace(talonGood, "labels: {a: b}", "labels: {a: b}, force: true", 1), "passes over"},
	{"falco-talon", "a parameter that is missing", talonGood, strings.Replace(talonGood, "{labels: {a: b}}", "{level: pod}", 1), "needs"},
	{"falco-talon", "an action of no name", talonGood, strings.Replace(talonGood, "{action: Label}", "{action: Other}", 1), "actionner"},
	{"falco-talon", "a field with another comparison", talonGood, strings.Replace(talonGood, "name=x", "name>x", 1), "output field"},
	{"falco-talon", "no action", talonGood, strings.Replace(talonGood, "[{action: Label}]", "[]", 1), "no action"},
	{"helm", "a list", "a: b", "- a", "cannot unmarshal"},
}
