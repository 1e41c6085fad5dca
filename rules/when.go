package rules

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
	"github.com/expr-lang/expr/vm"

	"falconer/processor"
)

// condition is a compiled "when". The nil condition always holds.
type condition struct {
	source  string
	program *vm.Program // for expr's machine; nil where there is a translation
	quick   truthFunc   // the translation, which gives what the machine gives
	asked   []string    // names of fields and lets that it looks up
	line    int         // where it stands in its file
}

// lookups finds the names that an expression asks f, has, num and let for; a
// let's name gets its prefix.
type lookups struct{ names []string }

// Visit implements ast.Visitor.
func (l *lookups) Visit(node *ast.Node) {
	call, ok := (*node).(*ast.CallNode)
	if !ok || len(call.Arguments) == 0 {
		return
	}
	callee, ok := call.Callee.(*ast.IdentifierNode)
	arg, isText := call.Arguments[0].(*ast.StringNode)
	if !ok || !isText {
		return
	}
	switch callee.Value {
	case "f", "has", "num":
		l.names = append(l.names, arg.Value)
	case letCall:
		l.names = append(l.names, "let."+arg.Value)
	}
}

// letCall is what let( becomes before compiling: to expr, let is a keyword.
const letCall = "Let"

// compileCondition turns an expression into a condition.
func compileCondition(source string, options []expr.Option) (*condition, error) {
	asked := &lookups{}
	program, err := compileProgram(source, slices.Concat(options, []expr.Option{expr.Patch(asked)}))
	if err != nil {
		return nil, err
	}
	c := &condition{source: source, asked: slices.Compact(asked.names)}
	if c.quick = (translator{program.Constants}).truth(program.Node()); c.quick == nil {
		c.program = program
	}
	return c, nil
}

func compileProgram(source string, options []expr.Option) (*vm.Program, error) {
	renamed, err := renameLet(source)
	if err != nil {
		return nil, describe(err)
	}
	program, err := expr.Compile(renamed, options...)
	if err != nil {
		return nil, describe(err)
	}
	return program, nil
}

// renameLet writes let( as Let(, which has the same length, so that positions
// in errors stay right.
func renameLet(source string) (string, error) {
	tokens, err := lexer.Lex(file.NewSource(source))
	if err != nil {
		return "", err
	}
	runes := []rune(source)
	for i, t := range tokens[:len(tokens)-1] {
		if t.Is(lexer.Operator, "let") && tokens[i+1].Is(lexer.Bracket, "(") {
			copy(runes[t.From:], []rune(letCall))
		}
	}
	return string(runes), nil
}

// describe returns an error of expr on one line, with its position.
func describe(err error) error {
	var at *file.Error
	if !errors.As(err, &at) {
		return err
	}
	message := strings.ReplaceAll(at.Message, letCall, "let")
	if at.Line > 1 {
		return fmt.Errorf("%s (line %d, column %d of the condition)", message, at.Line, at.Column+1)
	}
	return fmt.Errorf("%s (column %d)", message, at.Column+1)
}

// impure are the builtins of expr that read a clock or a time zone, or whose
// result has no fixed order.
func impure() []string {
	return []string{"now", "date", "duration", "timezone", "keys", "values", "toPairs"}
}

// conditionOptions describe the environment of conditions to the compiler.
func conditionOptions() []expr.Option {
	options := []expr.Option{expr.Env((&reader{}).newEnv()), expr.AsBool(), expr.WarnOnAny()}
	for _, name := range impure() {
		options = append(options, expr.DisableBuiltin(name))
	}
	return append(options, helpers()...)
}

// newEnv returns the variables and functions of conditions. The functions read
// the alert that r holds when they are called.
func (r *reader) newEnv() map[string]any {
	return map[string]any{
		"rule": "", "source": "", "priority": "", "hostname": "", "output": "", "place": "",
		"tags":  []string(nil),
		"f":     func(name string) string { v, _ := r.value(name); return v },
		"has":   func(name string) bool { _, ok := r.value(name); return ok },
		"num":   func(name string) int { v, _ := r.value(name); return number(v) },
		letCall: r.let,
	}
}

// set makes r read alert a.
func (r *reader) set(a *processor.Alert) {
	r.alert, r.notes, r.place, r.filled = a, nil, "", false
	clear(r.taken)
}

// where is the place of the alert.
func (r *reader) where() string {
	if r.place == "" {
		r.place = processor.Place(r.alert)
	}
	return r.place
}

// fill puts the alert into env, once.
func (r *reader) fill() {
	if r.filled {
		return
	}
	a := r.alert
	r.env["rule"], r.env["source"], r.env["priority"] = a.Rule, a.Source, a.Priority.String()
	r.env["hostname"], r.env["output"], r.env["tags"] = a.Hostname, a.Output, a.Tags
	r.env["place"], r.filled = r.where(), true
}

// number returns v as a whole number, or -1.
func number(v string) int {
	if v == "" {
		return -1 // without an error, which would be made
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n > math.MaxInt {
		return -1
	}
	return int(n)
}

// holds evaluates the condition. One that fails does not hold, and is noted.
func (c *condition) holds(r *reader) bool {
	if c == nil {
		return true
	}
	yes, err := c.eval(r)
	if err != nil {
		r.notes = append(r.notes, fmt.Sprintf("the condition %q could not be evaluated: %v", c.source, err))
	}
	return yes
}

func (c *condition) eval(r *reader) (bool, error) {
	if c.quick != nil {
		return c.quick(r), nil
	}
	r.fill()
	out, err := r.vm.Run(c.program, r.env)
	if err != nil {
		return false, describe(err)
	}
	yes, _ := out.(bool)
	return yes, nil
}
