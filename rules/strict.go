package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFile is the largest YAML file that Decode reads, in bytes.
const MaxFile = 1 << 20

// Decode reads the YAML document data into the struct that into points to, and
// is strict about it: it is for files that we own the form of. Name stands for
// the file in errors.
//
// A key that the struct does not have is an error that says where it stands,
// what it may have meant and what is allowed:
//
//	falconer.yaml:12: unknown key "partitons" in config; did you mean "partitions"? allowed: nats, partitions
//
// So are a value of another type, a key given twice, a second document, a
// custom tag, an anchor, an alias or merge key, a file above MaxFile, and what
// an UnmarshalYAML or UnmarshalText method refuses. Every error of the file is
// reported, as a join of Problems, and into is filled as far as it went.
//
// Keys are those of the yaml struct tags, "inline" included. A string takes any
// scalar as it is spelled, a time.Duration wants Go's form such as "90m". A key
// with nothing after it is an error for a scalar and leaves a list, map, struct
// or pointer as it was. An empty document leaves all as it was, so that into
// may hold the defaults.
func Decode(name string, data []byte, into any) error {
	d := decoder{file: name, lines: map[any]int{}}
	d.decode(data, into)
	return join(d.problems)
}

// decoder walks a tree of YAML nodes along a Go type.
type decoder struct {
	file     string
	problems []*Problem
	// lines tells where a decoded value stood, by its address, or by entry for
	// the values of a map, which have none.
	lines map[any]int
}

// entry is the key of decoder.lines for one entry of a map.
type entry struct {
	of  uintptr
	key string
}

func (d *decoder) failf(line int, format string, args ...any) {
	d.problems = append(d.problems, &Problem{File: d.file, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (d *decoder) decode(data []byte, into any) {
	root := d.parse(data)
	if root == nil || !d.vet(root) {
		return
	}
	d.walk(root, reflect.ValueOf(into).Elem(), "the document")
}

var (
	syntaxError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)
	fromZero    = regexp.MustCompile(`^did not find expected (',' or|key|'-'|node|<)`)
)

// parse returns the root of the only document in data, or nil for an empty or
// broken one.
func (d *decoder) parse(data []byte) *yaml.Node {
	if len(data) > MaxFile {
		d.failf(0, "file of %d bytes; at most %d are read", len(data), MaxFile)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		d.syntax(err)
		return nil
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		d.failf(more.Line, "a second document; a file holds one")
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// syntax reports an error of the YAML parser, which knows its line only as text,
// and counts from 0 where what it expected was not there.
func (d *decoder) syntax(err error) {
	m := syntaxError.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(m[1])
	if line > 0 && fromZero.MatchString(m[2]) {
		line++
	}
	d.failf(line, "not valid YAML: %s", strings.TrimSpace(m[2]))
}

// vet refuses what has no place in our files wherever it stands, and reports
// whether the tree is fit to be walked.
func (d *decoder) vet(n *yaml.Node) bool {
	before := len(d.problems)
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.failf(n.Line, "anchors and aliases are not allowed: write the value out")
		return false
	case !plainTag(n.ShortTag()):
		d.failf(n.Line, "tag %s is not allowed", n.ShortTag())
	}
	if n.Kind == yaml.MappingNode {
		d.vetKeys(n)
	}
	for _, c := range n.Content {
		d.vet(c)
	}
	return len(d.problems) == before
}

func (d *decoder) vetKeys(n *yaml.Node) {
	seen := map[string]int{}
	for i := 0; i < len(n.Content); i += 2 {
		k := n.Content[i]
		switch first := seen[k.Value]; {
		case k.Kind != yaml.ScalarNode:
			d.failf(k.Line, "a key must be a word, found %s", kind(k))
		case k.Value == "<<":
			d.failf(k.Line, "merge keys are not allowed: write the keys out")
		case first != 0:
			d.failf(k.Line, "key %q is given twice, first on line %d", k.Value, first)
		}
		seen[k.Value] = k.Line
	}
}

func plainTag(tag string) bool {
	switch tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!map", "!!seq", "!!merge":
		return true
	}
	return false
}

// kind says what n is, for people.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.ShortTag() == "!!null" {
		return "nothing"
	}
	return strconv.Quote(cut(n.Value, 60))
}

// cut shortens s to at most n bytes for a message.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
