package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"falconer/processor"
)

// command is a compiled Command.
type command struct {
	aim
	vectors []vector
	to      template
	explain template
	risk    processor.Risk
}

// vector is one program and its arguments.
type vector []argument

// argument is one argument, and how its values may look.
type argument struct {
	template
	// plain lets only values of plainValue in: the argument is in a language of
	// its own, where quoting for the shell does not help.
	plain bool
	// quoted is the argument as a word of the line when no alert changes it.
	quoted string
}

// plainValue is what a value may look like where nothing could quote it.
var plainValue = regexp.MustCompile(`^[A-Za-z0-9._/:@=+,-]+$`)

// fileName is what a value may look like in the name of a file to write.
var fileName = regexp.MustCompile(`^[A-Za-z0-9_@=+,:-][A-Za-z0-9._@=+,:-]*$`)

// filling gathers what came up while something was filled.
type filling struct {
	missing []string
	notes   []string
}

func (f *filling) miss(name string) {
	if !slices.Contains(f.missing, name) {
		f.missing = append(f.missing, name)
	}
}

// refuse makes the thing not ready because of the value of a placeholder.
func (f *filling) refuse(name, why string) string {
	f.miss(name)
	if note := fmt.Sprintf("The value of `%s` %s: look at it and fill it in by hand.", name, why); !slices.Contains(f.notes, note) {
		f.notes = append(f.notes, note)
	}
	return "<" + name + ">"
}

// explained returns the explanation with the notes behind it.
func (f *filling) explained(t template, r *reader) processor.Text {
	text, _ := t.text(r)
	for _, n := range f.notes {
		if len(text) > 0 {
			n = " " + n
		}
		text = append(text, processor.Span{Text: n})
	}
	return text
}

// fill builds the line for the alert that r reads.
func (c *command) fill(r *reader) processor.Command {
	f := &filling{}
	words := make([]string, len(c.vectors))
	for i, v := range c.vectors {
		words[i] = v.fill(r, f)
	}
	line := strings.Join(words, " | ")
	if len(c.to) > 0 {
		line += " > " + quote(c.file(r, f))
	}
	return processor.Command{
		Where:   whereOf(c.where, r.alert),
		Line:    line,
		Explain: f.explained(c.explain, r),
		Risk:    c.risk,
		Ready:   len(f.missing) == 0,
		Missing: f.missing,
	}
}

func (v vector) fill(r *reader, f *filling) string {
	words := make([]string, len(v))
	// guarded is true behind "--" as long as only operands follow that are
	// values: behind another word the guard may have been for another program,
	// as in "kubectl exec pod -- cat FILE".
	guarded := false
	for i, a := range v {
		if a.quoted != "" {
			words[i], guarded = a.quoted, a.quoted == "--"
			continue
		}
		text, fromValue := a.fill(r, f, guarded)
		words[i] = quote(text)
		guarded = text == "--" && !fromValue || guarded && fromValue
	}
	return strings.Join(words, " ")
}

// fill returns the argument's text and whether it begins with a value.
func (a argument) fill(r *reader, f *filling, guarded bool) (string, bool) {
	var b strings.Builder
	fromValue := false
	for _, p := range a.pieces(r) {
		text := p.text
		switch {
		case !p.ready:
			f.miss(p.name)
		case p.name == "":
		case strings.ContainsRune(text, 0):
			text = f.refuse(p.name, "holds a NUL character, which no argument can")
		case a.plain && !plainValue.MatchString(text):
			text = f.refuse(p.name, "has characters that mean something in this argument")
		case b.Len() == 0 && text[0] == '-' && !guarded:
			text = f.refuse(p.name, "begins with a dash and would be read as an option")
		}
		fromValue = fromValue || b.Len() == 0 && p.name != ""
		b.WriteString(text)
	}
	return b.String(), fromValue
}

// file returns the name of the file to write. A value in it cannot lead to
// another directory.
func (c *command) file(r *reader, f *filling) string {
	return c.to.only(fileName, "is not fit for the name of a file", r, f)
}

// only fills a template where nothing can quote a value: those that do not look
// like allowed are refused, with why.
func (t template) only(allowed *regexp.Regexp, why string, r *reader, f *filling) string {
	var b strings.Builder
	for _, p := range t.pieces(r) {
		text := p.text
		switch {
		case !p.ready:
			f.miss(p.name)
		case p.name != "" && !allowed.MatchString(text):
			text = f.refuse(p.name, why)
		}
		b.WriteString(text)
	}
	return b.String()
}

// aim is what a step is for: the places, of which none means all, and a condition.
type aim struct {
	where []string
	when  *condition
}

// meets reports whether the step is of use for the alert that r reads, which
// happened at place.
func (a aim) meets(place string, r *reader) bool { return here(a.where, place) && a.when.holds(r) }

// here reports whether something that is meant for the places where is of use
// for an alert that happened at place.
func here(where []string, place string) bool {
	return len(where) == 0 || slices.Contains(where, place) || slices.Contains(where, "any") || slices.Contains(where, "local")
}

// whereOf returns the place to name in the output.
func whereOf(where []string, a *processor.Alert) string {
	switch place := processor.Place(a); {
	case slices.Contains(where, place):
		return place
	case len(where) > 0:
		return where[0]
	}
	return "any"
}
