package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"falconer/processor"
	"falconer/subjects"
)

// listing is which subjects the outputs' stream holds of a kind. The server names
// the first 100,000 and counts the rest, which bounds what a look may cost.
type listing struct {
	named []string
	total int
	err   error
}

func (c *chart) listed(ctx context.Context, filter string) listing {
	got, err := call[struct {
		Total int `json:"total"`
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}](ctx, c.asker, "STREAM.INFO."+subjects.OutputStream, fmt.Sprintf(`{"subjects_filter":%q}`, filter))
	if err != nil {
		return listing{err: err}
	}
	return listing{named: slices.Sorted(maps.Keys(got.State.Subjects)), total: got.Total}
}

// readStates lists the incident states, and learns the rule of one that is kept
// in several partitions.
func (c *chart) readStates(ctx context.Context) {
	c.states = c.listed(ctx, subjects.States)
	fingerprint, partitions := example(c.spreadOut())
	for _, p := range partitions {
		m, err := c.asker.fetch(ctx, subjects.OutputStream, fmt.Sprintf(`{"last_by_subj":%q}`, subjects.State(p, fingerprint)))
		var in processor.Incident
		if err == nil && m != nil && json.Unmarshal(m.Data, &in) == nil { // a state that is forgotten is empty
			c.spreadRule = in.Rule
		}
	}
}

// spreadOut returns the fingerprints that have states in several partitions, and
// these. What lies beyond the last partition is left of a FALCO that had more.
func (c *chart) spreadOut() map[string][]int {
	in := map[string][]int{}
	for _, subject := range c.states.named {
		p, fingerprint, err := subjects.ParseState(subject)
		if err == nil && p < len(c.second.status.Partitions) {
			in[fingerprint] = append(in[fingerprint], p)
		}
	}
	maps.DeleteFunc(in, func(_ string, partitions []int) bool { return len(partitions) < 2 })
	return in
}

// example is the same one of them each time, or nothing.
func example(spread map[string][]int) (fingerprint string, partitions []int) {
	for fp := range spread {
		if fingerprint == "" || fp < fingerprint {
			fingerprint = fp
		}
	}
	return fingerprint, spread[fingerprint]
}

// spread tells of rules whose alerts come under several subjects, and so into
// several partitions: each opens incidents of its own there.
func (c *chart) spread() []Finding {
	spread, looked := c.spreadOut(), len(c.states.named)
	part := ""
	if looked < c.states.total {
		part = fmt.Sprintf(" (of %s the first %d were looked at)", count(c.states.total, "state"), looked)
	}
	fingerprint, partitions := example(spread)
	switch {
	case fingerprint == "" && part != "":
		return []Finding{note("no incident is known to be kept in several partitions"+part, "")}
	case fingerprint == "":
		return ok("each incident is kept in one partition (" + count(looked, "state") + " looked at)")
	}
	if c.spreadRule != "" {
		fingerprint += " of rule " + processor.Visible(c.spreadRule)
	}
	return []Finding{warn(
		fmt.Sprintf("alerts of one rule come under several subjects, so that several partitions open incidents of the same: %s, such as %s in %s%s",
			count(len(spread), "fingerprint"), fingerprint, numbers(partitions), part),
		"let all that publish use falco.<priority>.<rule>, the default of falcosidekick (NATS_SUBJECTTEMPLATE), unless FALCO was just made anew with more partitions; what is kept apart is gone "+span(processor.DefaultCap+c.cfg.Reopen)+" later")}
}
