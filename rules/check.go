package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// knownTools are the readers of configuration whose form is checked, or that a
// misspelt name may have meant. Other tools may be named too.
var knownTools = []string{
	"falco", "falco-talon", "kubernetes", "kubernetes-patch", "cilium", "calico", "kyverno",
	"gatekeeper", "seccomp", "apparmor", "systemd", "fstab", "sysctl", "auditd",
}

var toolForm = regexp.MustCompile(`^[a-z0-9]+([-./][a-z0-9]+)*$`)

// check looks at configuration as the tool that it is for would.
func (c *compiler) check(cfg *Config, out *config) {
	switch {
	case !toolForm.MatchString(cfg.Tool):
		c.failf(&cfg.Tool, "tool %q: want the name of what reads the configuration, such as %s", cfg.Tool, strings.Join(knownTools, ", "))
		return
	case !slices.Contains(knownTools, cfg.Tool) && nearest(cfg.Tool, knownTools) != "":
		c.failf(&cfg.Tool, "%s", choice("tool", cfg.Tool, knownTools))
		return
	case out.format == "text":
		c.checkLines(cfg, out)
		return
	}
	(&inspector{c: c, config: out}).inspect()
}

// inspector looks at a tree of configuration.
type inspector struct {
	c      *compiler
	config *config
}

// inspect looks at the tree as the tool would.
func (in *inspector) inspect() {
	out := in.config
	switch out.tool {
	case "falco":
		in.falco(out.tree)
	case "falco-talon":
		in.talon(out.tree)
	case "kubernetes", "cilium", "calico", "kyverno", "gatekeeper":
		in.manifest(out.tree)
	case "kubernetes-patch":
		in.isMap(out.tree, "patch")
	case "seccomp":
		in.seccomp(out.tree)
	}
}

func (in *inspector) failf(n *yaml.Node, format string, args ...any) {
	in.c.failAt(n.Line, "%s: %s", in.config.tool, fmt.Sprintf(format, args...))
}

// filled reports whether n is filled from the alert, so that its value cannot
// be judged yet.
func (in *inspector) filled(n *yaml.Node) bool { return len(in.config.holes[n].names()) > 0 }

// get returns the value of key in the map n, or nil.
func get(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// keys returns the keys of the map n in order.
func keys(n *yaml.Node) []string {
	var out []string
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		out = append(out, n.Content[i].Value)
	}
	return out
}

func (in *inspector) isMap(n *yaml.Node, what string) bool {
	if n.Kind != yaml.MappingNode {
		in.failf(n, "%s: want a map, found %s", what, kind(n))
		return false
	}
	return true
}

func (in *inspector) isList(n *yaml.Node, what string) bool {
	if n.Kind != yaml.SequenceNode {
		in.failf(n, "%s: want a list, found %s", what, kind(n))
		return false
	}
	return true
}

// only checks that n is a map with no other keys than those allowed.
func (in *inspector) only(n *yaml.Node, what string, allowed ...string) bool {
	if !in.isMap(n, what) {
		return false
	}
	for i := 0; i < len(n.Content); i += 2 {
		if k := n.Content[i]; !slices.Contains(allowed, k.Value) {
			in.failf(k, "unknown key %q in %s; %sallowed: %s", k.Value, what, didYouMean(k.Value, allowed), strings.Join(allowed, ", "))
		}
	}
	return true
}

// needs checks that the map n has the keys.
func (in *inspector) needs(n *yaml.Node, what string, required ...string) {
	for _, k := range required {
		if get(n, k) == nil {
			in.failf(n, "%s needs the key %q", what, k)
		}
	}
}

// matches checks the form of a scalar that is not filled.
func (in *inspector) matches(n *yaml.Node, what string, form *regexp.Regexp) {
	if n == nil || in.filled(n) {
		return
	}
	if n.Kind != yaml.ScalarNode || !form.MatchString(n.Value) {
		in.failf(n, "%s: %s does not match %s", what, kind(n), form)
	}
}

// each calls fn for every item of the list under key, if there is one.
func (in *inspector) each(n *yaml.Node, key string, fn func(*yaml.Node)) {
	items := get(n, key)
	if items == nil || !in.isList(items, key) {
		return
	}
	for _, item := range items.Content {
		fn(item)
	}
}
