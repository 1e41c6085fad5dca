package rules

import (
	"bytes"
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
	var b strings.Builder
	b.WriteString(frame.text[0])
	for i, hole := range frame.holes {
		// Comments and an anchor of the hole stand in the frame.
		n := yaml.Node{Kind: hole.Kind, Tag: hole.Tag, Style: hole.Style, Value: hole.Value}
		fillScalar(&n, c.holes[hole], c.quoted[hole], r, f)
		b.WriteString(c.encodeScalar(&n))
		b.WriteString(frame.text[i+1])
	}
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
	if n.Style == yaml.DoubleQuotedStyle && spelled(n.Value) {
		return `"` + n.Value + `"`
	}
	return strings.TrimSuffix(encodeYAML(n), "\n")
}

// spelled reports whether all of s stands for itself in double quotes, in YAML and
// in JSON: printable ASCII without quotes and backslashes.
func spelled(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
