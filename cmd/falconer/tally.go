package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// verdict is what a comparison says of one output.
type verdict int

const (
	same verdict = iota
	changed
	anew
	gone
	verdicts
)

func (v verdict) String() string { return [verdicts]string{"same", "changed", "new", "gone"}[v] }

// counts are how many there are of each verdict.
type counts [verdicts]int

func (c counts) String() string {
	words := make([]string, verdicts)
	for v := range verdicts {
		words[v] = fmt.Sprintf("%d %s", c[v], v)
	}
	return strings.Join(words, ", ")
}

// tally is the sum of a comparison.
type tally struct {
	forms map[string]*counts
	// incidents count the outputs of each.
	incidents map[string]*counts
	// left counts by reason and form what cannot be compared.
	left map[string]map[string]int
}

func newTally() tally {
	return tally{forms: map[string]*counts{aReport: {}, aTask: {}}, incidents: map[string]*counts{}, left: map[string]map[string]int{}}
}

func (t tally) count(g gist, v verdict) {
	t.forms[g.form][v]++
	if t.incidents[g.incident] == nil {
		t.incidents[g.incident] = &counts{}
	}
	t.incidents[g.incident][v]++
}

// leave counts an output that cannot be compared.
func (t tally) leave(g gist, reason string) {
	if t.left[reason] == nil {
		t.left[reason] = map[string]int{}
	}
	t.left[reason][g.form]++
}

// summed returns the verdicts of the incidents: new or gone is one of which
// everything is, same one of which nothing differs.
func (t tally) summed() (sum counts) {
	for _, c := range t.incidents {
		switch all := c[same] + c[changed] + c[anew] + c[gone]; all {
		case c[same]:
			sum[same]++
		case c[anew]:
			sum[anew]++
		case c[gone]:
			sum[gone]++
		default:
			sum[changed]++
		}
	}
	return sum
}

// say says the sums, and fails if there are differences.
func (t tally) say(a *app) error {
	reports, tasks := t.forms[aReport], t.forms[aTask]
	a.say("Reports    %s\nTasks      %s\nIncidents  %s", reports, tasks, t.summed())
	for _, reason := range slices.Sorted(maps.Keys(t.left)) {
		left := t.left[reason]
		a.say("Cannot be compared: %s: %d reports, %d tasks.", reason, left[aReport], left[aTask])
	}
	for _, c := range []*counts{reports, tasks} {
		if c[changed]+c[anew]+c[gone] > 0 {
			return errSaid
		}
	}
	return nil
}
