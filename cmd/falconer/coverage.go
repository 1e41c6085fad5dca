package main

import (
	"fmt"
	"text/tabwriter"

	"falconer/rules"
)

// coverage prints how many of the published rules have a playbook, and which
// have none.
func (a *app) coverage() error {
	book, err := a.book()
	if err != nil {
		return err
	}
	all := book.Coverage()
	missing := 0
	for _, c := range all {
		if c.Playbook == "" && c.Kind == "upstream" {
			missing++
		}
		if a.asJSON {
			if err := a.printJSON(c); err != nil {
				return err
			}
		}
	}
	if !a.asJSON {
		if err := a.coverageTable(all); err != nil {
			return err
		}
	}
	if missing > 0 {
		a.say("%d rules that Falco ships have no playbook.", missing)
		return errSaid
	}
	return nil
}

// coverageTable sums up by kind and source, and names what is missing.
func (a *app) coverageTable(all []rules.Covered) error {
	type row struct{ rules, covered int }
	type key struct{ kind, source string }
	var order []key
	rows := map[key]*row{}
	for _, c := range all {
		k := key{c.Kind, c.Source}
		if rows[k] == nil {
			rows[k], order = &row{}, append(order, k)
		}
		rows[k].rules++
		if c.Playbook != "" {
			rows[k].covered++
		}
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tSOURCE\tRULES\tWITH A PLAYBOOK\t%")
	sum := row{}
	for _, k := range order {
		r := rows[k]
		sum.rules, sum.covered = sum.rules+r.rules, sum.covered+r.covered
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\n", k.kind, k.source, r.rules, r.covered, r.covered*100/r.rules)
	}
	fmt.Fprintf(w, "all\t\t%d\t%d\t%d\n", sum.rules, sum.covered, sum.covered*100/sum.rules)
	if err := w.Flush(); err != nil {
		return err
	}
	for _, c := range all {
		if c.Playbook == "" {
			fmt.Fprintf(a.out, "no playbook: %s rule %q of source %s\n", c.Kind, c.Rule, c.Source)
		}
	}
	return nil
}
