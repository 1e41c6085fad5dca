package rules

import (
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"falconer/processor"
)

// Conditions are asked of every alert, and expr's machine puts each string that it
// touches on the heap. So what conditions are mostly made of is translated into
// functions, node by node: tests of texts and numbers, and, or, not. A condition
// with anything else in it is left to the machine as a whole. The functions give
// what the machine gives, and cannot fail.
type (
	truthFunc  func(r *reader) bool
	textFunc   func(r *reader) string
	numberFunc func(r *reader) int
)

// translator knows the constants that the machine's program has made.
type translator struct{ constants []any }

// truth translates a node that is true or false. It returns nil when it does not
// know how.
func (t translator) truth(node ast.Node) truthFunc {
	switch n := node.(type) {
	case *ast.BoolNode:
		return func(*reader) bool { return n.Value }
	case *ast.UnaryNode:
		return t.negation(n)
	case *ast.BinaryNode:
		return t.comparison(n)
	case *ast.CallNode:
		return t.test(n)
	}
	return nil
}

func (t translator) negation(n *ast.UnaryNode) truthFunc {
	of := t.truth(n.Node)
	if of == nil || n.Operator != "not" && n.Operator != "!" {
		return nil
	}
	return func(r *reader) bool { return !of(r) }
}

func (t translator) comparison(n *ast.BinaryNode) truthFunc {
	switch n.Operator {
	case "and", "&&", "or", "||":
		return t.junction(n)
	case "in":
		return t.membership(n)
	case "matches":
		return t.match(n)
	}
	if a, b := t.text(n.Left), t.text(n.Right); a != nil && b != nil {
		return t.comparisonOfTexts(n.Operator, a, b)
	}
	if a, b := t.whole(n.Left), t.whole(n.Right); a != nil && b != nil {
		return t.comparisonOfNumbers(n.Operator, a, b)
	}
	return nil
}

func (t translator) junction(n *ast.BinaryNode) truthFunc {
	a, b := t.truth(n.Left), t.truth(n.Right)
	switch {
	case a == nil || b == nil:
		return nil
	case n.Operator == "and" || n.Operator == "&&":
		return func(r *reader) bool { return a(r) && b(r) }
	}
	return func(r *reader) bool { return a(r) || b(r) }
}

// membership is "in" a list of constants, of which the compiler made a set.
func (t translator) membership(n *ast.BinaryNode) truthFunc {
	list, ok := n.Right.(*ast.ConstantNode)
	if !ok {
		return nil
	}
	switch set := list.Value.(type) {
	case map[string]struct{}:
		if of := t.text(n.Left); of != nil {
			return func(r *reader) bool { _, in := set[of(r)]; return in }
		}
	case map[int]struct{}:
		if of := t.whole(n.Left); of != nil {
			return func(r *reader) bool { _, in := set[of(r)]; return in }
		}
	}
	return nil
}

func (t translator) match(n *ast.BinaryNode) truthFunc {
	re := t.pattern(n.Right)
	if re == nil {
		return nil
	}
	clues := needed(re)
	if joined := t.joined(n.Left); joined != nil {
		return func(r *reader) bool { return clues.in(joined(r)) && re.Match(r.scratch) }
	}
	of := t.text(n.Left)
	if of == nil {
		return nil
	}
	// Most fields that are asked for are not there.
	ofNothing := re.MatchString("")
	return func(r *reader) bool {
		v := of(r)
		if v == "" {
			return ofNothing
		}
		return clues.inText(v) && re.MatchString(v)
	}
}

// pattern returns the regular expression that node is.
func (t translator) pattern(node ast.Node) *regexp.Regexp {
	source, ok := node.(*ast.StringNode)
	if !ok {
		return nil
	}
	for _, c := range t.constants {
		if re, ok := c.(*regexp.Regexp); ok && re.String() == source.Value {
			return re
		}
	}
	return nil
}

func (t translator) comparisonOfTexts(operator string, a, b textFunc) truthFunc {
	switch operator {
	case "==":
		return func(r *reader) bool { return a(r) == b(r) }
	case "!=":
		return func(r *reader) bool { return a(r) != b(r) }
	case "contains":
		return func(r *reader) bool { return strings.Contains(a(r), b(r)) }
	case "startsWith":
		return func(r *reader) bool { return strings.HasPrefix(a(r), b(r)) }
	case "endsWith":
		return func(r *reader) bool { return strings.HasSuffix(a(r), b(r)) }
	}
	return nil
}

func (t translator) comparisonOfNumbers(operator string, a, b numberFunc) truthFunc {
	switch operator {
	case "==":
		return func(r *reader) bool { return a(r) == b(r) }
	case "!=":
		return func(r *reader) bool { return a(r) != b(r) }
	case "<":
		return func(r *reader) bool { return a(r) < b(r) }
	case "<=":
		return func(r *reader) bool { return a(r) <= b(r) }
	case ">":
		return func(r *reader) bool { return a(r) > b(r) }
	case ">=":
		return func(r *reader) bool { return a(r) >= b(r) }
	}
	return nil
}

// test translates a call of a function that is true or false.
func (t translator) test(n *ast.CallNode) truthFunc {
	name := callee(n)
	if asked, ok := constantArgument(n); ok && name == "has" {
		of := t.field(asked)
		return func(r *reader) bool { return of(r) != "" }
	}
	if name == "containsAny" {
		if fn := t.containsAny(n); fn != nil {
			return fn
		}
	}
	args := make([]textFunc, len(n.Arguments))
	for i, a := range n.Arguments {
		if args[i] = t.text(a); args[i] == nil {
			return nil
		}
	}
	if fn := testHelper(name); fn != nil && len(args) == 1 {
		return func(r *reader) bool { return fn(args[0](r)) }
	}
	if fn := listHelper(name); fn != nil && len(args) > 1 {
		return anyOf(fn, args[0], args[1:])
	}
	return nil
}

func anyOf(fn func(s, each string) bool, of textFunc, list []textFunc) truthFunc {
	return func(r *reader) bool {
		s := of(r)
		return slices.ContainsFunc(list, func(each textFunc) bool { return fn(s, each(r)) })
	}
}

// containsAny translates the call when its first argument is put together.
func (t translator) containsAny(n *ast.CallNode) truthFunc {
	joined := t.joined(n.Arguments[0])
	if joined == nil {
		return nil
	}
	var list clues
	for _, a := range n.Arguments[1:] {
		word, ok := a.(*ast.StringNode)
		if !ok {
			return nil
		}
		list = append(list, []byte(word.Value))
	}
	return func(r *reader) bool { return list.in(joined(r)) }
}

// joined translates a text that is put together with "+". The function puts it
// into r.scratch, where no text of its own has to be made.
func (t translator) joined(node ast.Node) func(r *reader) []byte {
	if n, ok := node.(*ast.BinaryNode); !ok || n.Operator != "+" {
		return nil
	}
	parts := t.parts(node)
	if parts == nil {
		return nil
	}
	return func(r *reader) []byte {
		r.scratch = r.scratch[:0]
		for _, part := range parts {
			r.scratch = append(r.scratch, part(r)...)
		}
		return r.scratch
	}
}

func (t translator) parts(node ast.Node) []textFunc {
	if n, ok := node.(*ast.BinaryNode); ok && n.Operator == "+" {
		a, b := t.parts(n.Left), t.parts(n.Right)
		if a == nil || b == nil {
			return nil
		}
		return slices.Concat(a, b)
	}
	if of := t.text(node); of != nil {
		return []textFunc{of}
	}
	return nil
}

// text translates a node that is a text, as truth does.
func (t translator) text(node ast.Node) textFunc {
	switch n := node.(type) {
	case *ast.StringNode:
		return func(*reader) string { return n.Value }
	case *ast.IdentifierNode:
		return t.variable(n.Value)
	case *ast.CallNode:
		return t.textCall(n)
	case *ast.BuiltinNode:
		if of := t.text(n.Arguments[0]); n.Name == "lower" && of != nil {
			return func(r *reader) string { return strings.ToLower(of(r)) }
		}
	case *ast.BinaryNode:
		if a, b := t.text(n.Left), t.text(n.Right); n.Operator == "+" && a != nil && b != nil {
			return func(r *reader) string { return a(r) + b(r) }
		}
	}
	return nil
}

func (t translator) variable(name string) textFunc {
	switch name {
	case "rule":
		return func(r *reader) string { return r.alert.Rule }
	case "source":
		return func(r *reader) string { return r.alert.Source }
	case "priority":
		return func(r *reader) string { return r.alert.Priority.String() }
	case "hostname":
		return func(r *reader) string { return r.alert.Hostname }
	case "output":
		return func(r *reader) string { return r.alert.Output }
	case "place":
		return (*reader).where
	}
	return nil
}

func (t translator) textCall(n *ast.CallNode) textFunc {
	name := callee(n)
	asked, constant := constantArgument(n)
	switch {
	case constant && name == "f":
		return t.field(asked)
	case constant && name == letCall:
		return func(r *reader) string { return r.let(asked) }
	}
	if fn := textHelper(name); fn != nil && len(n.Arguments) == 1 {
		if of := t.text(n.Arguments[0]); of != nil {
			return func(r *reader) string { return fn(of(r)) }
		}
	}
	return nil
}

// field returns what looks up a name: at once when it can only be a field.
func (t translator) field(name string) textFunc {
	known := slices.Concat(alertNames(), processor.DerivedNames())
	if name == "" || slices.Contains(known, name) || strings.HasPrefix(name, "let.") || strings.HasPrefix(name, yours) {
		return func(r *reader) string { v, _ := r.value(name); return v }
	}
	return func(r *reader) string { return r.alert.Fields[name] }
}

// whole translates a node that is a whole number, as truth does.
func (t translator) whole(node ast.Node) numberFunc {
	switch n := node.(type) {
	case *ast.IntegerNode:
		return func(*reader) int { return n.Value }
	case *ast.UnaryNode:
		if of := t.whole(n.Node); n.Operator == "-" && of != nil {
			return func(r *reader) int { return -of(r) }
		}
	case *ast.CallNode:
		if asked, ok := constantArgument(n); ok && callee(n) == "num" {
			of := t.field(asked)
			return func(r *reader) int { return number(of(r)) }
		}
	}
	return nil
}

func callee(n *ast.CallNode) string {
	if id, ok := n.Callee.(*ast.IdentifierNode); ok {
		return id.Value
	}
	return ""
}

// constantArgument returns the argument of a call that has only one, which is a
// text in quotes.
func constantArgument(n *ast.CallNode) (string, bool) {
	if len(n.Arguments) != 1 {
		return "", false
	}
	s, ok := n.Arguments[0].(*ast.StringNode)
	if !ok {
		return "", false
	}
	return s.Value, true
}
