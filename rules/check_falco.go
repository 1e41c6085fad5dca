package rules

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What Falco's loader and its JSON schema accept (falcosecurity/falco,
// userspace/engine/rule_loader_reader.cpp and rule_json_schema.h, 0.44).
var (
	falcoItems = map[string][]string{
		"rule": {
			"rule", "desc", "condition", "output", "priority", "source", "enabled", "tags", "exceptions", "override",
			"append", "capture", "capture_duration", "warn_evttypes", "skip-if-unknown-filter",
		},
		"macro":                    {"macro", "condition", "append", "override"},
		"list":                     {"list", "items", "append", "override"},
		"required_engine_version":  {"required_engine_version"},
		"required_plugin_versions": {"required_plugin_versions"},
	}
	falcoAppend = map[string][]string{
		"rule":  {"condition", "output", "desc", "tags", "exceptions"},
		"macro": {"condition"},
		"list":  {"items"},
	}
	falcoReplace = map[string][]string{
		"rule": {
			"condition", "output", "desc", "priority", "tags", "exceptions", "enabled", "capture",
			"capture_duration", "warn_evttypes", "skip-if-unknown-filter",
		},
		"macro": {"condition"},
		"list":  {"items"},
	}
	falcoPriority = regexp.MustCompile(`^(EMERGENCY|ALERT|CRITICAL|ERROR|WARNING|NOTICE|INFO|INFORMATIONAL|DEBUG)$`)
	falcoVersion  = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	falcoName     = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	falcoComp     = regexp.MustCompile(`^(=|==|!=|<|<=|>|>=|exists|in|intersects|pmatch|glob|iglob|(contains|icontains|bcontains|startswith|bstartswith|endswith|regex)( (oneof|anyof|allof))?)$`)
)

// falco checks a list of Falco rules, macros and lists.
func (in *inspector) falco(n *yaml.Node) {
	if !in.isList(n, "the file") {
		return
	}
	for _, item := range n.Content {
		in.falcoItem(item)
	}
	in.falcoHoles(n, "")
}

func (in *inspector) falcoItem(item *yaml.Node) {
	kinds := slices.DeleteFunc(keys(item), func(k string) bool { return falcoItems[k] == nil })
	if len(kinds) != 1 {
		in.failf(item, "an item is exactly one of %s", strings.Join(sortedKeys(falcoItems), ", "))
		return
	}
	what := kinds[0]
	in.only(item, what, falcoItems[what]...)
	in.matches(get(item, "priority"), "priority", falcoPriority)
	in.matches(get(item, "required_engine_version"), "required_engine_version", falcoVersion)
	if get(item, "append") != nil {
		in.failf(item, "append is deprecated; use override")
	}
	in.each(item, "exceptions", in.falcoException)
	switch override := get(item, "override"); {
	case override != nil:
		in.falcoOverride(item, override, what)
	case what == "rule":
		in.falcoRule(item)
	case what == "macro":
		in.needs(item, what, "condition")
	case what == "list":
		in.needs(item, what, "items")
	}
}

func (in *inspector) falcoRule(item *yaml.Node) {
	if get(item, "enabled") != nil && get(item, "condition") == nil {
		in.failf(item, "to switch a rule off or on, add override: {enabled: replace}")
		return
	}
	in.needs(item, "a new rule (one without override)", "condition", "output", "desc", "priority")
}

// falcoOverride checks that every key given is overridden, in an allowed way,
// and every key overridden is given.
func (in *inspector) falcoOverride(item, override *yaml.Node, what string) {
	if !in.isMap(override, "override") || len(override.Content) == 0 {
		in.failf(override, "override needs at least one key")
		return
	}
	for i := 0; i < len(override.Content); i += 2 {
		key, how := override.Content[i], override.Content[i+1]
		allowed := falcoAppend[what]
		switch {
		case how.Value == "replace":
			allowed = falcoReplace[what]
		case how.Value != "append":
			in.failf(how, "%s", choice("override", how.Value, []string{"append", "replace"}))
			continue
		}
		if !slices.Contains(allowed, key.Value) {
			in.failf(key, "override: %q of a %s does not allow %s; allowed for: %s", key.Value, what, how.Value, strings.Join(allowed, ", "))
		}
		if get(item, key.Value) == nil {
			in.failf(key, "override names %q, but no value is given", key.Value)
		}
	}
	for _, key := range keys(item) {
		if key != what && key != "override" && key != "source" && get(override, key) == nil {
			in.failf(item, "%q is given, but override does not say append or replace for it", key)
		}
	}
}

func (in *inspector) falcoException(e *yaml.Node) {
	if !in.only(e, "exception", "name", "fields", "comps", "values") {
		return
	}
	in.needs(e, "exception", "name", "fields", "values")
	in.matches(get(e, "name"), "name", falcoName)
	fields, comps, values := get(e, "fields"), get(e, "comps"), get(e, "values")
	if fields == nil || fields.Kind != yaml.SequenceNode {
		return
	}
	if comps != nil && (comps.Kind != yaml.SequenceNode || len(comps.Content) != len(fields.Content)) {
		in.failf(comps, "exception: want one comp for each of the %d fields", len(fields.Content))
		return
	}
	for i := 0; comps != nil && i < len(comps.Content); i++ {
		in.matches(comps.Content[i], "comps", falcoComp)
	}
	if values == nil {
		return
	}
	for _, row := range values.Content {
		if row.Kind != yaml.SequenceNode || len(row.Content) != len(fields.Content) {
			in.failf(row, "exception: want rows of %d values, one for each field", len(fields.Content))
		}
		for _, v := range row.Content {
			in.falcoValue(v)
		}
	}
}

// falcoHoles decides how placeholders are filled. Falco pastes values of
// exceptions into the condition: they are given Falco's own quotes. Items of a
// list may only be plain. Conditions and outputs are languages of their own.
func (in *inspector) falcoHoles(n *yaml.Node, key string) {
	if in.filled(n) {
		switch key {
		case "values":
			in.config.quoted[n] = falcoString
		case "items":
			in.config.quoted[n] = plainOnly
		case "rule", "desc":
		default:
			in.failf(n, "a placeholder cannot stand in %s; it may in rule, desc, items and the values of an exception", key)
		}
	}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode {
			if i%2 == 1 {
				in.falcoHoles(child, n.Content[i-1].Value)
			}
			continue
		}
		in.falcoHoles(child, key)
	}
}

// falcoValue refuses a literal value that would change the condition that Falco
// pastes it into.
func (in *inspector) falcoValue(v *yaml.Node) {
	quotes := strings.HasPrefix(v.Value, `"`) || strings.HasPrefix(v.Value, "'")
	if v.Kind == yaml.ScalarNode && !in.filled(v) && !quotes && strings.ContainsAny(v.Value, "(),\"'=\n") {
		in.failf(v, "exception: value %q needs quotes of its own, as in '\"(true)\"'", v.Value)
	}
}
