package rules

import (
	"bytes"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// frame is the document of a configuration as its encoder writes it, but for the
// scalars that are filled. It is made once: all that an alert changes are scalars,
// and how one is written does not depend on where it stands, as no line is folded.
type frame struct {
	text  []string     // before, between and after the holes
	holes []*yaml.Node // scalars of the configuration's tree, in order
}

// newFrame has the encoder write the tree with a mark that stands nowhere else in
// the place of each hole, and cuts the text there.
func (c *config) newFrame() frame {
	var f frame
	mark := "hole"
	for text := c.encode(c.tree); strings.Contains(text, mark); {
		mark += "s"
	}
	marked := c.copyTree(c.tree, func(out, hole *yaml.Node) {
		out.Tag, out.Style, out.Value = "!!str", yaml.DoubleQuotedStyle, mark
		f.holes = append(f.holes, hole)
	})
	f.text = strings.Split(c.encode(marked), `"`+mark+`"`)
	return f
}

// fillFrame writes the document for the alert that r reads.
func (c *config) fillFrame(r *reader, f *filling) string {
	frame := c.frame()
	scalars := make([]string, len(frame.holes))
	for i, hole := range frame.holes {
		// Comments and an anchor of the hole stand in the frame.
		n := yaml.Node{Kind: hole.Kind, Tag: hole.Tag, Style: hole.Style, Value: hole.Value}
		fillScalar(&n, c.holes[hole], c.quoted[hole], r, f)
		scalars[i] = c.encodeScalar(&n)
	}
	return splice(frame.text, scalars)
}

// splice puts the scalars where the text was cut.
func splice(text, scalars []string) string {
	var b strings.Builder
	for i, s := range scalars {
		b.WriteString(text[i])
		b.WriteString(s)
	}
	b.WriteString(text[len(scalars)])
	return b.String()
}

func (c *config) encode(n *yaml.Node) string {
	if c.format == "json" {
		return encodeJSON(n)
	}
	return encodeYAML(n)
}

// encodeScalar writes a scalar as encode does within a document.
func (c *config) encodeScalar(n *yaml.Node) string {
	if c.format == "json" {
		var b bytes.Buffer
		writeScalar(&b, n)
		return b.String()
	}
	return scalarYAML(n)
}

// scalarYAML writes a scalar as the encoder does where a block may stand. What is
// plain to see is not worth an encoder.
func scalarYAML(n *yaml.Node) string {
	switch {
	case n.Style == yaml.DoubleQuotedStyle && spelled(n.Value):
		return `"` + n.Value + `"`
	case n.Style == yaml.SingleQuotedStyle && printable(n.Value):
		return "'" + strings.ReplaceAll(n.Value, "'", "''") + "'"
	case n.Style == 0 && n.Tag == "!!str" && phrase.MatchString(n.Value):
		return n.Value
	}
	return strings.TrimSuffix(encodeYAML(n), "\n")
}

// phrase is words that YAML can take for nothing but a string.
var phrase = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*[ _][A-Za-z0-9 _]*[A-Za-z0-9]$`)

// spelled reports whether all of s stands for itself in double quotes, in YAML and
// in JSON: printable ASCII without quotes and backslashes.
func spelled(s string) bool { return printable(s) && !strings.ContainsAny(s, `"\`) }

// printable reports whether s is printable ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
