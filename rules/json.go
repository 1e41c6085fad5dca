package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"

	"go.yaml.in/yaml/v3"

	"falconer/processor"
)

// encodeJSON writes a YAML tree as indented JSON with its keys in order.
func encodeJSON(n *yaml.Node) string {
	var compact, out bytes.Buffer
	writeJSON(&compact, n)
	if err := json.Indent(&out, compact.Bytes(), "", "  "); err != nil {
		return ""
	}
	return out.String() + "\n"
}

func writeJSON(b *bytes.Buffer, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i < len(n.Content); i += 2 {
			comma(b, i)
			writeText(b, n.Content[i].Value)
			b.WriteByte(':')
			writeJSON(b, n.Content[i+1])
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, c := range n.Content {
			comma(b, i)
			writeJSON(b, c)
		}
		b.WriteByte(']')
	default:
		writeScalar(b, n)
	}
}

func comma(b *bytes.Buffer, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
}

func writeScalar(b *bytes.Buffer, n *yaml.Node) {
	switch tag := n.ShortTag(); {
	case tag == "!!null":
		b.WriteString("null")
	case tag == "!!bool":
		b.WriteString(strings.ToLower(n.Value))
	case (tag == "!!int" || tag == "!!float") && json.Valid([]byte(n.Value)):
		b.WriteString(n.Value)
	default:
		writeText(b, n.Value)
	}
}

// writeText writes s as a JSON string in which all that cannot be seen is an
// escape.
func writeText(b *bytes.Buffer, s string) {
	if spelled(s) {
		b.WriteByte('"')
		b.WriteString(s)
		b.WriteByte('"')
		return
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string cannot fail
	for _, r := range strings.TrimSuffix(text.String(), "\n") {
		if processor.Visible(string(r)) == string(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(jsonEscape(r))
	}
}

func jsonEscape(r rune) string {
	if r1, r2 := utf16.EncodeRune(r); r > 0xFFFF {
		return fmt.Sprintf(`\u%04x\u%04x`, r1, r2)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
