package rules

import (
	"maps"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"falconer/processor"
)

// truth is what can be said of a condition without an alert.
type truth int

const (
	unknown truth = iota
	never
	always
)

func (t truth) not() truth {
	switch t {
	case never:
		return always
	case always:
		return never
	}
	return unknown
}

func truthOf(yes bool) truth {
	if yes {
		return always
	}
	return never
}

// settled warns of conditions whose outcome is the same for every alert that the
// playbook is for.
func (l *linter) settled(p *playbook, alerts []*processor.Alert) {
	cases := p.cases(alerts)
	for _, c := range p.conditions() {
		l.line = c.line
		switch c.outcome(cases) {
		case never:
			l.warnf(nil, "condition %q never holds for the alerts of this playbook", cut(c.source, 60))
		case always:
			l.warnf(nil, "condition %q holds for every alert of this playbook; leave it out", cut(c.source, 60))
		}
	}
}

// cases returns what the variables rule and place can be for the playbook's
// alerts. Those that can be anything are left out.
func (p *playbook) cases(alerts []*processor.Alert) []map[string]string {
	out := []map[string]string{{}}
	out = times(out, "rule", slices.Concat(p.Match.Rules, p.Match.Former))
	return times(out, "place", p.places(alerts))
}

// times gives every case each of the values; none leaves the cases as they are.
func times(cases []map[string]string, name string, values []string) []map[string]string {
	if len(values) == 0 {
		return cases
	}
	var out []map[string]string
	for _, value := range values {
		for _, c := range cases {
			c = maps.Clone(c)
			c[name] = value
			out = append(out, c)
		}
	}
	return out
}

// outcome returns whether the condition comes out the same in all cases.
func (c *condition) outcome(cases []map[string]string) truth {
	renamed, err := renameLet(c.source)
	if err != nil {
		return unknown
	}
	tree, err := parser.Parse(renamed)
	if err != nil {
		return unknown
	}
	first := fold(tree.Node, cases[0])
	if slices.ContainsFunc(cases[1:], func(known map[string]string) bool { return fold(tree.Node, known) != first }) {
		return unknown
	}
	return first
}

// fold evaluates the part of an expression that rests on constants and on what is
// known of the variables.
func fold(n ast.Node, known map[string]string) truth {
	switch n := n.(type) {
	case *ast.BoolNode:
		return truthOf(n.Value)
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return fold(n.Node, known).not()
		}
	case *ast.BinaryNode:
		return foldBinary(n, known)
	}
	return unknown
}

func foldBinary(n *ast.BinaryNode, known map[string]string) truth {
	switch n.Operator {
	case "and", "&&":
		return both(fold(n.Left, known), fold(n.Right, known))
	case "or", "||":
		return both(fold(n.Left, known).not(), fold(n.Right, known).not()).not()
	}
	left, ok := knownWord(n.Left, known)
	if !ok {
		return unknown
	}
	options, ok := constants(n.Right)
	if !ok {
		return unknown
	}
	switch n.Operator {
	case "==", "in":
		return truthOf(slices.Contains(options, left))
	case "!=":
		return truthOf(!slices.Contains(options, left))
	}
	return unknown
}

func both(a, b truth) truth {
	switch {
	case a == never || b == never:
		return never
	case a == always && b == always:
		return always
	}
	return unknown
}

// knownWord returns the text that n stands for, if that is known.
func knownWord(n ast.Node, known map[string]string) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IdentifierNode:
		v, ok := known[n.Value]
		return v, ok
	}
	return "", false
}

// constants returns the texts that n, a text or a list of them, consists of.
func constants(n ast.Node) ([]string, bool) {
	list, ok := n.(*ast.ArrayNode)
	if !ok {
		s, ok := n.(*ast.StringNode)
		if !ok {
			return nil, false
		}
		return []string{s.Value}, true
	}
	var out []string
	for _, item := range list.Nodes {
		s, ok := item.(*ast.StringNode)
		if !ok {
			return nil, false
		}
		out = append(out, s.Value)
	}
	return out, true
}
