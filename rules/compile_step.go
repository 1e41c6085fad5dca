package rules

import (
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"falconer/processor"
)

func places() []string {
	return []string{processor.Kubernetes, processor.Container, processor.Host, processor.Cluster, processor.Cloud, "local", "any"}
}

// where reads a list of places that spaces divide.
func (c *compiler) where(text *string) []string {
	words := strings.Fields(*text)
	for _, w := range words {
		if !slices.Contains(places(), w) {
			c.failf(text, "%s", choice("where", w, places()))
		}
	}
	return words
}

func (c *compiler) aim(where, when *string) aim { return aim{c.where(where), c.when(when)} }

func (c *compiler) command(cmd *Command, risk string) *command {
	out := &command{aim: c.aim(&cmd.Where, &cmd.When), explain: c.text(&cmd.Explain), risk: processor.Risk(risk)}
	if cmd.Risk != "" {
		c.word("risk", &cmd.Risk, risks()...)
		out.risk = processor.Risk(cmd.Risk)
	}
	if len(cmd.Run) == 0 {
		c.failf(cmd, "command without run")
		return out
	}
	out.vectors = append(out.vectors, c.vector(&cmd.Run, cmd.Run))
	for i := range cmd.Pipe {
		v := c.vector(&cmd.Pipe[i], cmd.Pipe[i])
		if err := vetPipe(v); err != nil {
			c.failf(&cmd.Pipe[i], "%v", err)
		}
		out.vectors = append(out.vectors, v)
	}
	if cmd.To != "" {
		out.to = c.template(&cmd.To, cmd.To)
	}
	return out
}

func (c *compiler) vector(address any, args []string) vector {
	v := make(vector, len(args))
	for i := range args {
		if strings.ContainsRune(args[i], 0) {
			c.failf(&args[i], "an argument cannot hold a NUL character")
		}
		v[i].template = c.template(&args[i], args[i])
		if text, ok := v[i].literalText(); ok {
			v[i].quoted = quote(text)
		}
	}
	if err := vetVector(v); err != nil {
		c.failf(address, "%v", err)
	}
	return v
}

func (c *compiler) config(cfg *Config) *config {
	defer c.inside(cfg)()
	out := &config{
		aim: c.aim(&cfg.Where, &cfg.When), tool: cfg.Tool, explain: c.text(&cfg.Explain),
		holes: map[*yaml.Node]template{}, quoted: map[*yaml.Node]manner{},
	}
	out.frame = sync.OnceValue(out.newFrame)
	if forms := countTrue(!cfg.YAML.IsZero(), !cfg.JSON.IsZero(), len(cfg.Lines) > 0); forms != 1 {
		c.failf(cfg, "config has %d bodies; want exactly one of yaml, json, lines", forms)
		return out
	}
	switch {
	case len(cfg.Lines) > 0:
		out.format = "text"
		for i := range cfg.Lines {
			out.lines = append(out.lines, c.template(&cfg.Lines[i], cfg.Lines[i]))
		}
	case !cfg.JSON.IsZero():
		out.format, out.tree = "json", cfg.JSON.node
	default:
		out.format, out.tree = "yaml", cfg.YAML.node
	}
	c.tree(out, out.tree)
	c.check(cfg, out)
	return out
}

func countTrue(all ...bool) int {
	n := 0
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

// tree finds the placeholders in the scalars of a tree.
func (c *compiler) tree(cfg *config, n *yaml.Node) {
	if n == nil {
		return
	}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			c.treeKey(child)
			continue
		}
		c.tree(cfg, child)
	}
	if n.Kind != yaml.ScalarNode {
		return
	}
	if visible := strings.ReplaceAll(n.Value, "\n", ""); visibleLine(visible) != visible {
		c.failAt(n.Line, "a character that cannot be seen in %q", n.Value)
	}
	if !strings.Contains(n.Value, "{") {
		return
	}
	before := c.line
	c.line = n.Line
	t := c.template(n, n.Value)
	c.line = before
	cfg.holes[n] = t
}

func (c *compiler) treeKey(k *yaml.Node) {
	if strings.Contains(k.Value, "{") {
		c.failAt(k.Line, "key %q: a placeholder or brace may only stand in a value", k.Value)
	}
}

func (c *compiler) failAt(line int, format string, args ...any) {
	before := c.line
	c.line = line
	c.failf(nil, format, args...)
	c.line = before
}

func (c *compiler) exception(p *Playbook) *exception {
	e := p.Exception
	if e == nil {
		return nil
	}
	out := &exception{name: e.Name, fields: e.Fields, comps: e.Comps, why: c.text(&e.Why)}
	if out.name == "" {
		out.name = p.ID
	}
	if len(e.Fields) == 0 {
		c.failf(e, "exception has no fields")
	}
	for i, f := range e.Fields {
		if !strings.Contains(f, ".") || strings.HasPrefix(f, "let.") || !placeholderName.MatchString(f) {
			c.failf(&e.Fields[i], "exception: %q is no output field of Falco", f)
		}
	}
	switch {
	case len(e.Comps) == 0:
		out.comps = slices.Repeat([]string{"="}, len(e.Fields))
	case len(e.Comps) != len(e.Fields):
		c.failf(e, "exception: %d comps for %d fields; want one for each, or none for = throughout", len(e.Comps), len(e.Fields))
		out.comps = slices.Repeat([]string{"="}, len(e.Fields))
	}
	for i := range e.Comps {
		c.word("comp", &e.Comps[i], exceptionComps...)
	}
	return out
}
