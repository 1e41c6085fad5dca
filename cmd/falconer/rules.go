package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"falconer/processor"
	"falconer/rules"
)

func (a *app) rulesCommand() *cobra.Command {
	c := &cobra.Command{Use: "rules", Short: "List, show, check and explain playbooks"}
	lint := &cobra.Command{
		Use: "lint [DIR ...]", Short: "Find faults in playbooks, by file and line; without DIR, in those built in and yours",
		Long: "Find faults in playbooks. Errors are what a worker would refuse to start with; warnings are what a\nreader of the reports would miss. Exit code 1 if there is an error, or with --strict any finding.",
		Args: cobra.ArbitraryArgs,
	}
	strict := lint.Flags().Bool("strict", false, "fail on warnings too")
	lint.RunE = func(_ *cobra.Command, args []string) error { return a.lint(args, *strict) }
	test := &cobra.Command{
		Use: "test [DIR ...]", Short: "Run the example alerts of the playbooks; in DIR, of yours too", Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error { return a.testRules(args) },
	}
	c.AddCommand(
		a.jsonFlag(&cobra.Command{
			Use: "list", Short: "List the playbooks in use",
			RunE: func(*cobra.Command, []string) error { return a.listRules() },
		}),
		a.jsonFlag(&cobra.Command{
			Use: "show ID|RULE", Short: "Show a playbook or shared mitigation as it is written, to begin your own with", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completePlaybook,
			RunE: func(_ *cobra.Command, args []string) error { return a.showRule(args[0]) },
		}),
		a.jsonFlag(&cobra.Command{
			Use: "mitigations", Short: "List the mitigations that playbooks share",
			RunE: func(*cobra.Command, []string) error { return a.listMitigations() },
		}),
		&cobra.Command{
			Use: "examples ID|RULE", Short: "Print the example alerts of a playbook that it must match, one a line", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completePlaybook,
			Example: "  falconer rules examples port-forward | falconer analyze -",
			RunE:    func(_ *cobra.Command, args []string) error { return a.ruleExamples(args[0]) },
		},
		a.jsonFlag(lint),
		a.jsonFlag(test),
		&cobra.Command{
			Use: "new FILE|-", Short: "Begin a playbook from an alert, for you to finish", Args: cobra.ExactArgs(1),
			Example: "  mkdir playbooks\n  falconer rules new alert.json > playbooks/mine.yaml\n  falconer rules lint playbooks",
			RunE:    func(_ *cobra.Command, args []string) error { return a.newRule(args[0]) },
		},
		a.jsonFlag(&cobra.Command{
			Use: "coverage", Short: "Say which published Falco rules have a playbook of their own",
			Long: "Say which of the rules that the Falco organisation and the plugins in its registry publish have a playbook\nthat names them. Exit code 1 if one that Falco ships has none. --json prints which playbook it is.",
			RunE: func(*cobra.Command, []string) error { return a.coverage() },
		}),
		a.jsonFlag(&cobra.Command{
			Use: "explain FILE|-", Short: "Say which playbook an alert gets, why, and how its score comes about", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return a.explainRule(args[0]) },
		}),
	)
	return c
}

func (a *app) completePlaybook(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	book, err := a.load(a.cfg.Rules...)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, p := range book.Playbooks() {
		ids = append(ids, p.ID)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) listRules() error {
	book, err := a.book()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	if !a.asJSON {
		fmt.Fprintln(w, "ID\tVERSION\tFOR\tFILE\tTITLE")
	}
	for _, p := range book.Playbooks() {
		if a.asJSON {
			err = a.printJSON(p)
		} else {
			_, err = fmt.Fprintf(w, "%s\t%d\t%s\t%s:%d\t%s\n", p.ID, p.Version, brief(matchWords(p.Match)), p.File, p.Line, brief(p.Title))
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// matchWords says for which alerts a playbook is.
func matchWords(m rules.Match) string {
	switch {
	case m.All:
		return "every alert (adjustments only)"
	case len(m.Rules) > 0:
		return "rule " + strings.Join(m.Rules, ", ")
	case len(m.Tags) > 0:
		return "tag " + strings.Join(m.Tags, ", ")
	case len(m.Sources) > 0:
		return "source " + strings.Join(m.Sources, ", ")
	}
	return "priority " + strings.Join(m.Priorities, ", ")
}

// showRule prints a playbook, or a step that playbooks share, as it is written.
func (a *app) showRule(name string) error {
	book, err := a.book()
	if err != nil {
		return err
	}
	if id, ok := findPlaybook(book, name); ok {
		name = id
	}
	w, ok, err := book.Written(name)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("no playbook, rule or mitigation %q: see \"falconer rules list\" and \"falconer rules mitigations\"", name)
	case a.asJSON:
		return a.printJSON(w)
	}
	fmt.Fprintf(a.out, "# %s:%d (%s)\n%s", w.File, w.Line, w.Layer, w.Text)
	return nil
}

// listMitigations prints the steps that playbooks share.
func (a *app) listMitigations() error {
	book, err := a.book()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	if !a.asJSON {
		fmt.Fprintln(w, "ID\tTITLE\tFILE")
	}
	for _, m := range book.Mitigations() {
		if a.asJSON {
			err = a.printJSON(m)
		} else {
			_, err = fmt.Fprintf(w, "%s\t%s\t%s:%d\n", m.ID, brief(m.Title), m.File, m.Line)
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// findPlaybook returns the id of the playbook with the id, or of the one that names
// the rule.
func findPlaybook(book *rules.Book, name string) (string, bool) {
	for _, info := range book.Playbooks() {
		is := func(rule string) bool { return strings.EqualFold(rule, name) }
		if info.ID == name || slices.ContainsFunc(info.Match.Rules, is) || slices.ContainsFunc(info.Match.Former, is) {
			return info.ID, true
		}
	}
	return "", false
}

// ruleExamples prints the alerts that a playbook must match.
func (a *app) ruleExamples(name string) error {
	book, err := a.book()
	if err != nil {
		return err
	}
	id, ok := findPlaybook(book, name)
	if !ok {
		return fmt.Errorf("no playbook and no rule %q: see \"falconer rules list\"", name)
	}
	p, _, _ := book.Playbook(id)
	for _, e := range p.Examples {
		if !e.Match {
			continue
		}
		if err := a.printJSON(e.Alert); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) lint(dirs []string, strict bool) error {
	found := rules.Lint(slices.Concat(a.cfg.Rules, dirs)...)
	if len(a.cfg.Rules)+len(dirs) > 0 {
		a.say("Checked %s.", strings.Join(slices.Concat(a.cfg.Rules, dirs), ", "))
	}
	errs := 0
	for _, f := range found {
		if f.Level == "error" {
			errs++
		}
		if a.asJSON {
			if err := a.printJSON(f); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(a.out, f)
	}
	a.say("%d errors, %d warnings.", errs, len(found)-errs)
	if errs > 0 || strict && len(found) > 0 {
		return errSaid
	}
	return nil
}

func (a *app) testRules(dirs []string) error {
	a.cfg.Rules = append(a.cfg.Rules, dirs...)
	book, err := a.book()
	if err != nil {
		return err
	}
	failed, mine, results := 0, 0, book.Test()
	for _, r := range results {
		if r.Layer == "user" {
			mine++
		}
		if len(r.Failures) > 0 {
			failed++
		}
		if a.asJSON {
			if err := a.printJSON(r); err != nil {
				return err
			}
			continue
		}
		for _, f := range r.Failures {
			fmt.Fprintf(a.out, "%s:%d: %s, %s: %s\n", r.File, r.Line, r.Playbook, r.Example, f)
		}
	}
	a.say("%d examples passed, %d failed; %d of them are yours.", len(results)-failed, failed, mine)
	if failed > 0 {
		return errSaid
	}
	return nil
}

// newRule prints the beginning of a playbook.
func (a *app) newRule(name string) error {
	alert, err := a.oneAlert(name)
	if err != nil {
		return err
	}
	text, err := rules.Skeleton(alert, a.redaction())
	if err != nil {
		return err
	}
	a.say("Write what is marked TODO; \"falconer rules lint DIR\" lists it, and rules/GUIDE.md shows how.")
	_, err = io.WriteString(a.out, text)
	return err
}

// oneAlert reads a file with a single alert.
func (a *app) oneAlert(name string) (*processor.Alert, error) {
	in, _, err := a.open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, processor.MaxAlertBytes+1))
	if err != nil {
		return nil, err
	}
	alert, err := processor.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (one alert is wanted)", name, err)
	}
	return alert, nil
}

func (a *app) explainRule(name string) error {
	book, err := a.book()
	if err != nil {
		return err
	}
	alert, err := a.oneAlert(name)
	if err != nil {
		return err
	}
	e := book.Explain(alert)
	if a.asJSON {
		return a.printJSON(e)
	}
	_, err = io.WriteString(a.out, e.String())
	return err
}
