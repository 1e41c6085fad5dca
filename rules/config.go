package rules

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"falconer/processor"
)

// config is a compiled Config.
type config struct {
	aim
	tool    string
	tree    *yaml.Node // of yaml or json
	format  string
	holes   map[*yaml.Node]template // scalars of tree that are filled
	quoted  map[*yaml.Node]manner   // and how, beside as YAML strings
	frame   func() frame            // of tree, made when it is first filled
	lines   []template
	explain template
}

// manner is what becomes of a value before it is put into a YAML string.
type manner int

const (
	asIs          manner = iota
	falcoString          // the whole scalar gets Falco's quotes
	plainOnly            // only values of plainValue come in
	objectName           // the whole scalar must be a name that Kubernetes takes
	pathName             // likewise, for roles and bindings
	namespaceName        // likewise, for a namespace
	labelValue           // likewise, for the value of a label
)

// fill builds the configuration for the alert that r reads.
func (c *config) fill(r *reader) processor.Config {
	f := &filling{}
	out := processor.Config{Tool: c.tool, Format: c.format}
	if c.format == "text" {
		out.Body = c.fillLines(r, f)
	} else {
		out.Body = c.fillFrame(r, f)
	}
	out.Explain = f.explained(c.explain, r)
	out.Ready, out.Missing = len(f.missing) == 0, f.missing
	return out
}

// fillTree returns a copy of n with its placeholders filled.
func (c *config) fillTree(n *yaml.Node, r *reader, f *filling) *yaml.Node {
	return c.copyTree(n, func(out, hole *yaml.Node) {
		fillScalar(out, c.holes[hole], c.quoted[hole], r, f)
	})
}

// copyTree returns a copy of n in which fill has written the holes.
func (c *config) copyTree(n *yaml.Node, fill func(out, hole *yaml.Node)) *yaml.Node {
	out := *n
	if _, ok := c.holes[n]; ok {
		fill(&out, n)
	}
	out.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		out.Content[i] = c.copyTree(child, fill)
	}
	return &out
}

var digits = regexp.MustCompile(`^[0-9]{1,18}$`)

// fillScalar writes the template's text into n: as a string in double quotes,
// or as a number where the playbook says !!int and the value is one.
func fillScalar(n *yaml.Node, t template, how manner, r *reader, f *filling) {
	asNumber := n.ShortTag() == "!!int"
	var b strings.Builder
	for _, p := range t.pieces(r) {
		text := p.text
		switch {
		case !p.ready:
			f.miss(p.name)
		case p.name == "":
		case asNumber && !digits.MatchString(text):
			text = f.refuse(p.name, "is not a number")
		case how == plainOnly && !plainValue.MatchString(text):
			text = f.refuse(p.name, "has characters that mean something to the tool")
		case !utf8.ValidString(text):
			text = f.refuse(p.name, "is not valid UTF-8, which YAML and JSON must be")
		}
		b.WriteString(text)
	}
	n.Value = b.String()
	switch form, ok := nameForms[how]; {
	case how == falcoString:
		n.Value = falcoQuote(n.Value)
	case ok && !form.takes(t.judged(r)):
		n.Value = t.refuseAll(form.why, r, f)
	}
	if asNumber && digits.MatchString(n.Value) {
		n.Style = 0
		return
	}
	n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
}

// judged fills the template to be judged as a whole: an absent value, which the
// reader of the alert has to fill in, stands as a letter that fits everywhere.
func (t template) judged(r *reader) string {
	var b strings.Builder
	for _, p := range t.pieces(r) {
		if !p.ready {
			p.text = "x"
		}
		b.WriteString(p.text)
	}
	return b.String()
}

// refuseAll fills the template without any value of the alert, for the reason why.
func (t template) refuseAll(why string, r *reader, f *filling) string {
	var b strings.Builder
	for _, p := range t.pieces(r) {
		if p.name != "" && p.ready {
			p.text = f.refuse(p.name, why)
		}
		b.WriteString(p.text)
	}
	return b.String()
}

// fillLines fills a format that has no quoting we could rely on: only plain
// values come in.
func (c *config) fillLines(r *reader, f *filling) string {
	var b strings.Builder
	for _, line := range c.lines {
		b.WriteString(line.only(plainValue, "has characters that mean something in this format", r, f))
		b.WriteByte('\n')
	}
	return b.String()
}

// encodeYAML writes the tree. What cannot be seen stands as an escape: values
// are in double quotes, where YAML reads these escapes back.
func encodeYAML(n *yaml.Node) string {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return fmt.Sprintf("# cannot be written as YAML: %q\n", err)
	}
	lines := strings.Split(b.String(), "\n")
	for i, l := range lines {
		lines[i] = visibleLine(l)
	}
	return strings.Join(lines, "\n")
}

// visibleLine shows what cannot be seen, but leaves tabs: only the playbook's
// own text has any, a value's stand as escapes already.
func visibleLine(l string) string {
	cells := strings.Split(l, "\t")
	for i, c := range cells {
		cells[i] = processor.Visible(c)
	}
	return strings.Join(cells, "\t")
}
