package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

// listing is how one kind of output is listed, shown and followed.
type listing struct {
	noun   string // plural, the command's name
	header string
	// filters select on the server; severity is "*" or a word.
	filters func(severity string) []string
	// line is an output as a row; ok is false when it is not to be shown.
	line func(o stream.Output) (row string, ok bool, err error)
	// show is an output in full for a person.
	show func(o stream.Output) (string, error)
	// find selects the outputs that an id may mean.
	find func(id string) (filter []string, match func(o stream.Output) bool)
	// newest says that of several outputs of one incident the newest is meant.
	newest bool
	// severe says that --severity makes sense.
	severe bool
	// before, if any, is called when NATS is connected and before an output is read.
	before func(ctx context.Context, js jetstream.JetStream) error
	// beside, if any, returns what else to print as JSON where one is shown.
	beside func(o stream.Output) (v any, ok bool)
}

// outputCommand makes the commands "NOUN list", "NOUN show" and "NOUN follow".
func (a *app) outputCommand(short string, l listing) *cobra.Command {
	var severity string
	parent := &cobra.Command{Use: l.noun, Short: short}
	list := a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the stored " + l.noun,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.list(cmd.Context(), l, severity) },
	})
	follow := a.jsonFlag(&cobra.Command{
		Use: "follow", Short: "Print " + l.noun + " as they come, until Ctrl-C",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.follow(cmd.Context(), l, severity) },
	})
	show := a.jsonFlag(&cobra.Command{
		Use: "show ID", Short: "Show one in full; the beginning of an id is enough if it is the only one", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.show(cmd.Context(), l, args[0]) },
	})
	if l.severe {
		for _, c := range []*cobra.Command{list, follow} {
			c.Flags().StringVar(&severity, "severity", "", "only this severity: "+strings.Join(processor.Severities(), ", "))
			_ = c.RegisterFlagCompletionFunc("severity", cobra.FixedCompletions(processor.Severities(), cobra.ShellCompDirectiveNoFileComp))
		}
	}
	parent.AddCommand(list, show, follow)
	return parent
}

// severityToken is the subject's token for --severity.
func severityToken(s string) (string, error) {
	if s == "" {
		return "*", nil
	}
	if _, err := processor.ParseSeverity(s); err != nil {
		return "", misuse{fmt.Errorf("--severity: %w", err)}
	}
	return s, nil
}

// selecting connects, and returns what the severity leaves to read. The caller
// closes the connection.
func (a *app) selecting(ctx context.Context, l listing, severity string) (jetstream.JetStream, []string, error) {
	token, err := severityToken(severity)
	if err != nil {
		return nil, nil, err
	}
	js, err := a.reading(ctx, l)
	return js, l.filters(token), err
}

// reading connects to read what a listing is about. The caller closes the connection.
func (a *app) reading(ctx context.Context, l listing) (jetstream.JetStream, error) {
	nc, js, err := a.connect(l.noun)
	if err != nil || l.before == nil {
		return js, err
	}
	if err := l.before(ctx, js); err != nil {
		nc.Close()
		return nil, err
	}
	return js, nil
}

func (a *app) list(ctx context.Context, l listing, severity string) error {
	js, filters, err := a.selecting(ctx, l, severity)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	if !a.asJSON {
		fmt.Fprintln(w, l.header)
	}
	n := 0
	err = stream.List(ctx, js, filters, func(o stream.Output) error {
		row, ok, err := l.line(o)
		if err != nil || !ok {
			return err
		}
		n++
		if a.asJSON {
			_, err = fmt.Fprintf(a.out, "%s\n", o.Data)
			return err
		}
		_, err = fmt.Fprintln(w, row)
		return err
	})
	if err != nil {
		return err
	}
	if n == 0 {
		a.say("No %s yet.", l.noun)
	}
	if a.asJSON {
		return nil
	}
	return w.Flush()
}

func (a *app) follow(ctx context.Context, l listing, severity string) error {
	js, filters, err := a.selecting(ctx, l, severity)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	a.say("Waiting for %s; Ctrl-C ends it.", l.noun)
	return stream.Follow(ctx, js, filters, false, func(o stream.Output) error {
		row, ok, err := l.line(o)
		if err != nil || !ok {
			return err
		}
		if a.asJSON {
			row = string(o.Data)
		}
		_, err = fmt.Fprintln(a.out, strings.ReplaceAll(row, "\t", "  "))
		return err
	})
}

// show prints the one output that the id means.
func (a *app) show(ctx context.Context, l listing, id string) error {
	filter, match := l.find(id)
	if filter == nil || id == "" {
		return misuse{fmt.Errorf("%q is no id of %s: see \"falconer %s list\"", id, l.noun, l.noun)}
	}
	js, err := a.reading(ctx, l)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	found, err := gather(ctx, js, l, filter, match)
	if err != nil {
		return err
	}
	if l.newest && !a.asJSON && sameIncident(found) {
		found = found[len(found)-1:]
	}
	switch {
	case len(found) == 0:
		return fmt.Errorf("no %s with id %q: it may have expired; see \"falconer %s list\"", l.noun, id, l.noun)
	case len(found) > 1 && !a.asJSON:
		return a.ambiguous(l, id, found)
	}
	for _, o := range found {
		if err := a.showOne(l, o); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) showOne(l listing, o stream.Output) error {
	if !a.asJSON {
		text, err := l.show(o)
		if err != nil {
			return err
		}
		_, err = io.WriteString(a.out, text)
		return err
	}
	if _, err := fmt.Fprintf(a.out, "%s\n", o.Data); err != nil || l.beside == nil {
		return err
	}
	if v, ok := l.beside(o); ok {
		return a.printJSON(v)
	}
	return nil
}

// sameIncident reports whether the outputs' ids name one incident.
func sameIncident(found []stream.Output) bool {
	for _, o := range found {
		if incident, _, _ := strings.Cut(o.ID, "/"); !strings.HasPrefix(found[0].ID, incident+"/") {
			return false
		}
	}
	return len(found) > 0
}

func gather(ctx context.Context, js jetstream.JetStream, l listing, filter []string, match func(stream.Output) bool) ([]stream.Output, error) {
	var found []stream.Output
	err := stream.List(ctx, js, filter, func(o stream.Output) error {
		if _, ok, err := l.line(o); err != nil || !ok || !match(o) {
			return err
		}
		found = append(found, o)
		return nil
	})
	return found, err
}

func (a *app) ambiguous(l listing, id string, found []stream.Output) error {
	for _, o := range found {
		row, _, err := l.line(o)
		if err != nil {
			return err
		}
		a.say("%s", strings.ReplaceAll(row, "\t", "  "))
	}
	return fmt.Errorf("%q may mean any of the %d %s above: give more of the id", id, len(found), l.noun)
}

// prefixed matches outputs whose id begins so.
func prefixed(id string) func(stream.Output) bool {
	return func(o stream.Output) bool { return strings.HasPrefix(o.ID, id) }
}

func (a *app) reportsCommand() *cobra.Command {
	return a.outputCommand("List, show and follow analysis reports", listing{
		noun: "reports", header: "TIME\tSEVERITY\tKIND\tCOUNT\tTITLE\tID", severe: true, newest: true,
		filters: func(sev string) []string { return []string{"falconer.report." + sev + ".>"} },
		line: func(o stream.Output) (string, bool, error) {
			var r processor.Report
			err := decode(o, &r)
			return reportRow(&r), true, err
		},
		show: func(o stream.Output) (string, error) {
			var r processor.Report
			err := decode(o, &r)
			return r.Markdown, err
		},
		find: func(id string) ([]string, func(stream.Output) bool) {
			return []string{subjects.Reports}, prefixed(id)
		},
	})
}

func reportRow(r *processor.Report) string {
	title := r.Title
	if r.Verdict.Match != "rule" { // a playbook for many rules, whose title fits all of them
		title = r.Rule + ": " + title
	}
	return fmt.Sprintf("%s\t%s\t%s\t%d\t%s\t%s", clock(r.At), r.Severity, r.Kind, r.Occurrences.Count, brief(title), r.ID)
}

// reportLine prints a report as a line, or as JSON.
func (a *app) reportLine(r *processor.Report) error {
	if a.asJSON {
		data, err := stream.ReportBody(r)
		if err == nil {
			_, err = fmt.Fprintf(a.out, "%s\n", data)
		}
		return err
	}
	_, err := fmt.Fprintln(a.out, strings.ReplaceAll(reportRow(r), "\t", "  "))
	return err
}

// taskLine prints a task if it is to be JSON.
func (a *app) taskLine(t *processor.Task) error {
	if !a.asJSON {
		return nil
	}
	data, err := stream.TaskBody(t)
	if err == nil {
		_, err = fmt.Fprintf(a.out, "%s\n", data)
	}
	return err
}

func (a *app) tasksCommand() *cobra.Command {
	return a.outputCommand("List, show and follow mitigation tasks", listing{
		noun: "tasks", header: "DUE\tSEVERITY\tPRIO\tKIND\tRISK\tTITLE\tID", severe: true,
		filters: func(sev string) []string { return []string{"falconer.task." + sev + ".>"} },
		line: func(o stream.Output) (string, bool, error) {
			var t processor.Task
			err := decode(o, &t)
			return fmt.Sprintf("%s\t%s\t%d\t%s\t%s\t%s\t%s", clock(t.Due), t.Severity, t.Priority, t.Kind, t.Risk, brief(t.Title), t.ID), true, err
		},
		show: func(o stream.Output) (string, error) {
			var t processor.Task
			err := decode(o, &t)
			return fmt.Sprintf("# %s\n\n%s, priority %d, due %s\n\n%s", processor.Escape(t.Title), t.Severity, t.Priority, clock(t.Due), t.Body), err
		},
		find: func(id string) ([]string, func(stream.Output) bool) {
			return []string{subjects.Tasks}, prefixed(id)
		},
	})
}

func (a *app) incidentsCommand() *cobra.Command {
	var closed bool
	c := a.outputCommand("List, show and follow incidents", listing{
		noun: "incidents", header: "LAST\tSEVERITY\tSTATE\tCOUNT\tRULE\tID",
		filters: func(string) []string { return []string{subjects.States} },
		line: func(o stream.Output) (string, bool, error) {
			if len(o.Data) == 0 {
				return "", false, nil
			}
			var in processor.Incident
			err := decode(o, &in)
			state := "open"
			switch {
			case in.Closed:
				state = "closed"
			case in.Count == 0:
				state = "silenced"
			}
			return fmt.Sprintf("%s\t%s\t%s\t%d\t%s\t%s", clock(in.Last), in.Severity, state, in.Count, brief(in.Rule), in.ID), closed || !in.Closed, err
		},
		show: showIncident,
		find: func(id string) ([]string, func(stream.Output) bool) {
			closed = true
			return []string{subjects.States}, func(o stream.Output) bool {
				var in processor.Incident
				return decode(o, &in) == nil && strings.HasPrefix(in.ID, id)
			}
		},
	})
	for _, sub := range c.Commands() {
		if sub.Name() != "show" {
			sub.Flags().BoolVar(&closed, "closed", false, "closed ones too, while they are remembered")
		}
	}
	return c
}

func showIncident(o stream.Output) (string, error) {
	var in processor.Incident
	if err := decode(o, &in); err != nil {
		return "", err
	}
	data, err := stream.EncodeJSON(in)
	if err != nil {
		return "", err
	}
	var indented bytes.Buffer
	err = json.Indent(&indented, append(data, '\n'), "", "  ")
	return indented.String(), err
}

func decode(o stream.Output, into any) error {
	if err := json.Unmarshal(o.Data, into); err != nil {
		return errors.Join(fmt.Errorf("%s holds what this falconer cannot read", o.Subject), err)
	}
	return nil
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// brief makes hostile text fit one cell of a table.
func brief(s string) string {
	s = processor.Visible(s)
	if r := []rune(s); len(r) > 60 {
		return string(r[:59]) + "…"
	}
	return s
}
