package rules

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	gmtext "github.com/yuin/goldmark/text"

	"falconer/processor"
	"falconer/subjects"
)

// arrival is when the alert comes: any time will do, since the ledger has no clock.
var arrival = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// pages lets a ledger make report and tasks of the alert, and returns what is
// wrong with their subjects, their JSON and their Markdown.
func pages(b *Book, data []byte) (out []string) {
	l := processor.NewLedger(processor.Options{Book: b, Era: "0"})
	l.Fold(processor.Message{Seq: 1, Time: arrival, Subject: "falco.x.y", Data: data}, 1000)
	ch := l.Take()
	for i := range ch.Reports {
		r := &ch.Reports[i]
		if name, err := subjects.ParseReport(subjects.Report(r.Severity.String(), processor.Slug(r.Rule), r.Incident, r.Kind)); err != nil || name.Incident != r.Incident {
			out = append(out, fmt.Sprintf("report %s has no subject: %v", r.ID, err))
		}
		out = append(out, form(processor.ReportSchema, r)...)
		out = append(out, markdown(r.Markdown, stepsOf(r))...)
	}
	for i := range ch.Tasks {
		t := &ch.Tasks[i]
		if _, err := subjects.ParseTask(subjects.Task(t.Severity.String(), string(t.Kind), t.Incident, taskName(t))); err != nil {
			out = append(out, fmt.Sprintf("task %s has no subject: %v", t.ID, err))
		}
		out = append(out, form(processor.TaskSchema, t)...)
		var blocks []string
		for _, s := range t.Steps {
			blocks = append(blocks, s.Text)
		}
		out = append(out, markdown(t.Body, blocks)...)
	}
	return out
}

func taskName(t *processor.Task) string { return t.ID[strings.LastIndexByte(t.ID, '/')+1:] }

// stepsOf lists what stands in the code blocks of a report, in order.
func stepsOf(r *processor.Report) (blocks []string) {
	for _, m := range r.Advice.Mitigations {
		for _, c := range m.Commands {
			blocks = append(blocks, c.Line)
		}
		for _, c := range m.Configs {
			blocks = append(blocks, c.Body)
		}
	}
	if r.Advice.Exception != nil {
		blocks = append(blocks, r.Advice.Exception.Body)
	}
	return blocks
}

var compiledForms = sync.OnceValue(func() map[string]*jsonschema.Schema {
	out := map[string]*jsonschema.Schema{}
	for _, name := range []string{processor.ReportSchema, processor.TaskSchema} {
		data, err := subjects.Schema(name)
		if err != nil {
			panic(err)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
		if err != nil {
			panic(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource(name, doc); err != nil {
			panic(err)
		}
		out[name] = c.MustCompile(name)
	}
	return out
})

// form holds the JSON of an output against its schema.
func form(schema string, v any) []string {
	data, err := json.Marshal(v)
	if err != nil {
		return []string{err.Error()}
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err == nil {
		err = compiledForms()[schema].Validate(doc)
	}
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", schema, err)}
	}
	return nil
}

// heading are the headings that a page has beside its title and its mitigations.
var heading = regexp.MustCompile(`^([0-9]+\. .*|Summary|Detailed Analysis|Event Details|What This Means|File|Network|User and Group|` +
	`Container and Kubernetes|Kubernetes Request|Cloud Identity and Request|Other Fields|MITRE ATT&CK|Score|Occurrences|` +
	`What the Alert Does Not Show|Questions to Answer|Potential Mitigation Strategies|Is This a False Positive\?|Conclusion|What to Do)$`)

// markdown reads a page as a reader's program does and returns what there is
// that no page of ours has. Blocks are what its code blocks must hold.
func markdown(page string, blocks []string) (out []string) {
	failf := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for line := range strings.SplitSeq(page, "\n") {
		if visibleLine(line) != line {
			failf("the page hides something: %q", line)
		}
	}
	src := []byte(page)
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote)).Parser().Parse(gmtext.NewReader(src))
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.CodeSpan:
			return ast.WalkSkipChildren, nil
		case *ast.Heading:
			if title := string(n.Lines().Value(src)); n.Level > 1 && !heading.MatchString(title) {
				failf("a heading %q", title)
			}
		case *ast.Link:
			if !strings.HasPrefix(string(n.Destination), "https://attack.mitre.org/") {
				failf("a link to %q", n.Destination)
			}
		case *ast.FencedCodeBlock:
			body := string(n.Lines().Value(src))
			if len(blocks) == 0 || strings.TrimRight(body, "\n") != strings.TrimRight(blocks[0], "\n") {
				failf("a code block %q", body)
				return ast.WalkStop, nil
			}
			blocks = blocks[1:]
		case *ast.AutoLink, *ast.Image, *ast.RawHTML, *ast.HTMLBlock, *ast.Blockquote:
			failf("a %s", n.Kind())
		case *ast.CodeBlock:
			failf("a code block without a fence: %q", n.Lines().Value(src))
		}
		return ast.WalkContinue, nil
	})
	if len(blocks) > 0 {
		failf("%d code blocks are missing", len(blocks))
	}
	return out
}
