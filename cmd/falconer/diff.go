package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

// The forms that are compared, as they are called in what is printed.
const (
	aReport = "report"
	aTask   = "task"
)

// gist is what a comparison keeps of a report or task.
type gist struct {
	form                          string
	id, incident, previous, kind  string
	fingerprint, rule, sev, title string
	at                            time.Time
	// blind is the first that it says of dropped system calls, zero when nothing.
	blind time.Time
}

// published is a stored output; met is set when it was made again.
type published struct {
	gist
	seq uint64 // in the output stream
	sum [sha256.Size]byte
	met bool
}

// remade is an output that was made again and is not the same: was is what was
// published, if anything, and what says in what they differ.
type remade struct {
	gist
	was  *published
	what []string
}

// comparison holds what is made again against what was published.
type comparison struct {
	app      *app
	js       jetstream.JetStream
	from, to time.Time
	// cursors are where the workers were when the comparison began.
	cursors   []stream.Cursor
	published map[string]*published
	// partitions are those in which a fingerprint has a state.
	partitions map[string][]int
	lives      lives
	remade     []remade
	tally      tally
}

// compare folds all that is stored and shows what comes out otherwise than it was
// published, of what has its time between from and to.
func (a *app) compare(ctx context.Context, from, to time.Time) error {
	book, err := a.book()
	if err != nil {
		return err
	}
	nc, js, err := a.connect("replay")
	if err != nil {
		return err
	}
	defer nc.Close()
	c := a.comparison(js, from, to)
	// The cursors come first: what they stand for is among what is read after.
	if c.cursors, err = stream.Cursors(ctx, js); err != nil {
		return err
	}
	totals, found, err := c.run(ctx, book)
	if err != nil {
		return err
	}
	if err := a.printDifferences(found); err != nil {
		return err
	}
	a.sayTotals(totals)
	return c.tally.say(a)
}

func (a *app) comparison(js jetstream.JetStream, from, to time.Time) *comparison {
	return &comparison{
		app: a, js: js, from: from, to: to,
		published: map[string]*published{}, partitions: map[string][]int{}, lives: lives{}, tally: newTally(),
	}
}

// run reads what was published, makes it again up to the cursors, and returns the
// differences.
func (c *comparison) run(ctx context.Context, book processor.Book) (totals processor.Totals, found []difference, err error) {
	if err := stream.List(ctx, c.js, []string{subjects.Reports, subjects.Tasks, subjects.States}, c.know); err != nil {
		return totals, nil, err
	}
	part := stream.Raw{Upto: c.cursors}
	totals, err = c.app.refold(ctx, c.js, book, part, func(_ int, ch processor.Changes) error { return c.fold(ctx, ch) })
	if err != nil {
		return totals, nil, err
	}
	// The beginning of the stream comes last: more may have aged out meanwhile.
	raw, err := c.js.Stream(ctx, subjects.RawStream)
	if err != nil {
		return totals, nil, err
	}
	state := raw.CachedInfo().State
	cut := beginning{era: stream.Era(raw.CachedInfo().Created), first: state.FirstSeq, at: state.FirstTime}
	return totals, c.judge(cut, c.lives.uncertain(cut.cuts), time.Now().Add(-c.app.cfg.Retention)), nil
}

// know remembers an output or a state that is stored.
func (c *comparison) know(o stream.Output) error {
	if strings.HasPrefix(o.Subject, "falconer.incident.") {
		return c.knowState(o)
	}
	var v struct {
		ID, Incident, Previous, Kind, Fingerprint, Rule, Severity, Title string
		At, Created                                                      time.Time
		Labels                                                           struct{ Rule string }
		Occurrences                                                      processor.Occurrences
	}
	if err := decode(o, &v); err != nil {
		return err
	}
	p := &published{seq: o.Seq, sum: sha256.Sum256(o.Data), gist: gist{
		form: aReport, id: v.ID, incident: v.Incident, previous: v.Previous, kind: v.Kind,
		fingerprint: v.Fingerprint, rule: v.Rule, sev: v.Severity, title: v.Title, at: v.At,
		blind: firstBlind(v.Occurrences.Blind),
	}}
	if strings.HasPrefix(o.Subject, "falconer.task.") {
		p.form, p.rule, p.at = aTask, v.Labels.Rule, v.Created
	} else {
		c.lives.add(v.Fingerprint, "published", v.Incident, v.Occurrences.Opened, v.Occurrences.End, v.Kind == processor.KindClosed)
	}
	c.published[p.id] = p
	return nil
}

func (c *comparison) knowState(o stream.Output) error {
	partition, fingerprint, err := subjects.ParseState(o.Subject)
	if err != nil || len(o.Data) == 0 {
		return err
	}
	var in processor.Incident
	if err := decode(o, &in); err != nil {
		return err
	}
	c.partitions[fingerprint] = append(c.partitions[fingerprint], partition)
	c.lives.add(fingerprint, "published", in.ID, in.Opened, in.End, in.Closed)
	return nil
}

// fold takes what a part of the raw stream has made again.
func (c *comparison) fold(ctx context.Context, ch processor.Changes) error {
	for i := range ch.Reports {
		r := &ch.Reports[i]
		c.lives.add(r.Fingerprint, "replayed", r.Incident, r.Occurrences.Opened, r.Occurrences.End, r.Kind == processor.KindClosed)
		data, err := stream.ReportBody(r)
		if err == nil {
			err = c.meet(ctx, data, gist{
				form: aReport, id: r.ID, incident: r.Incident, previous: r.Previous, kind: r.Kind,
				fingerprint: r.Fingerprint, rule: r.Rule, sev: r.Severity.String(), title: r.Title, at: r.At,
			})
		}
		if err != nil {
			return err
		}
	}
	for i := range ch.Tasks {
		t := &ch.Tasks[i]
		data, err := stream.TaskBody(t)
		if err == nil {
			err = c.meet(ctx, data, gist{
				form: aTask, id: t.ID, incident: t.Incident, previous: t.Previous, kind: string(t.Kind),
				fingerprint: t.Fingerprint, rule: t.Labels["rule"], sev: t.Severity.String(), title: t.Title, at: t.Created,
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// meet compares an output that was made again with the published one.
func (c *comparison) meet(ctx context.Context, data []byte, g gist) error {
	was := c.published[g.id]
	if was == nil {
		c.remade = append(c.remade, remade{gist: g})
		return nil
	}
	was.met = true
	if was.sum == sha256.Sum256(data) {
		if c.within(g.at) {
			c.tally.count(g, same)
		}
		return nil
	}
	old, err := stream.Body(ctx, c.js, was.seq)
	if err != nil {
		return err
	}
	what, err := whatChanged(old, data)
	c.remade = append(c.remade, remade{gist: g, was: was, what: what})
	return err
}

func (c *comparison) within(at time.Time) bool {
	return (c.from.IsZero() || !at.Before(c.from)) && (c.to.IsZero() || !at.After(c.to))
}

// later reports whether a published output was committed after the comparison
// began, so that it could not be made again.
func (c *comparison) later(g gist) bool {
	return slices.ContainsFunc(c.partitions[g.fingerprint], func(p int) bool {
		if p >= len(c.cursors) {
			return false
		}
		cur := c.cursors[p]
		if g.form == aReport && g.kind == processor.KindClosed {
			return cmp.Or(g.at.Compare(cur.Mark.End), cmp.Compare(g.incident, cur.Mark.ID)) > 0
		}
		return g.at.After(cur.Time)
	})
}

// difference is one line of what is shown.
type difference struct {
	Difference string    `json:"difference"` // new, changed or gone
	Form       string    `json:"form"`       // report or task
	ID         string    `json:"id"`
	Severity   string    `json:"severity"`
	Title      string    `json:"title"`
	At         time.Time `json:"at"`
	What       []string  `json:"what,omitempty"`
}

// judge returns the differences, by time, and counts what is none. Expiry is
// when outputs were published that expire now.
func (c *comparison) judge(cut beginning, uncertain map[string]bool, expiry time.Time) (out []difference) {
	add := func(g gist, v verdict, what []string) {
		c.tally.count(g, v)
		out = append(out, difference{v.String(), g.form, g.id, g.sev, g.title, g.at, what})
	}
	for _, r := range c.remade {
		v, at := anew, r.at
		if r.was != nil {
			v, at = changed, r.was.at
		}
		reason := incomparable(r.gist, r.was, cut, uncertain)
		switch {
		case !c.within(r.at) && !c.within(at):
		case reason != "":
			c.tally.leave(r.gist, reason)
		case v == anew && r.at.Before(expiry):
			c.tally.leave(r.gist, hasExpired)
		default:
			add(r.gist, v, r.what)
		}
	}
	for _, p := range c.published {
		if p.met || !c.within(p.at) || c.later(p.gist) {
			continue
		}
		if reason := incomparable(p.gist, nil, cut, uncertain); reason != "" {
			c.tally.leave(p.gist, reason)
			continue
		}
		add(p.gist, gone, nil)
	}
	slices.SortFunc(out, func(a, b difference) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return out
}

func (a *app) printDifferences(found []difference) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, d := range found {
		if a.asJSON {
			if err := a.printJSON(d); err != nil {
				return err
			}
			continue
		}
		what := strings.Join(d.What, "; ")
		if d.What == nil {
			what = d.Severity + ", " + brief(d.Title)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", d.Difference, d.Form, processor.Visible(d.ID), what)
	}
	return w.Flush()
}
