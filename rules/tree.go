package rules

import "go.yaml.in/yaml/v3"

// Tree is a piece of YAML kept as it is written: the order of its keys, its
// comments, and the spelling of its scalars. The zero Tree is absent.
type Tree struct{ node *yaml.Node }

// UnmarshalYAML keeps n.
func (t *Tree) UnmarshalYAML(n *yaml.Node) error {
	t.node = n
	return nil
}

// MarshalYAML returns what UnmarshalYAML kept.
func (t Tree) MarshalYAML() (any, error) { return t.node, nil }

// IsZero reports whether there is no tree.
func (t Tree) IsZero() bool { return t.node == nil }
