// Package doctor looks at all that Falconer needs of NATS, and says what is wrong
// and what to do.
//
// It fills a chart first and judges it then: the checks are functions of the chart
// alone, so that each can be tried without a server.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/subjects"
)

// Level says how grave a finding is.
type Level string

// The levels, from good to bad.
const (
	OK    Level = "ok"    // as it must be
	Note  Level = "note"  // good to know, or could not be looked at
	Warn  Level = "warn"  // will be wrong if it goes on
	Wrong Level = "wrong" // alerts are lost, wait, or will not be understood
)

// Finding is one thing that the doctor has found.
type Finding struct {
	Level Level `json:"level"`
	// Check names what was looked at.
	Check string `json:"check"`
	Found string `json:"found"`
	// Next is what to do about it: a command or a setting. It is empty when
	// nothing is to be done.
	Next string `json:"next,omitempty"`
}

// Config is what Diagnose needs. JS is required.
type Config struct {
	// JS is on a connection of the doctor's own: Diagnose takes over its error
	// handler, where the server's refusals come in.
	JS jetstream.JetStream
	// Layout is what the workers are given; see stream.Setup.
	Layout subjects.Layout
	// Reopen is the workers' reopen window. Zero means processor.DefaultReopen.
	Reopen time.Duration
	// Observe is how long to watch what moves. Zero means three seconds.
	Observe time.Duration
	// Now is the clock of this machine. Nil means time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	c.Reopen = cmp.Or(c.Reopen, processor.DefaultReopen)
	c.Observe = cmp.Or(c.Observe, 3*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Diagnose looks at all that Falconer needs of NATS, and at how the work goes,
// and says what it found, causes before consequences. It stores nothing and
// changes nothing. It blocks while it observes; what the server does not answer
// costs a few seconds more. When ctx ends, it says what it knows.
func Diagnose(ctx context.Context, cfg Config) []Finding {
	c := newChart(cfg.withDefaults())
	defer c.asker.leave()
	c.fill(ctx)
	return c.judge(checks())
}

// check is one thing to look at: what must be known for it, and what it finds
// then.
type check struct {
	name  string
	needs []need
	run   func(*chart) []Finding
}

// need tells why something is not known, or nil.
type need func(*chart) error

func checks() []check {
	return []check{
		{"connection", nil, (*chart).connection},
		{"server", nil, (*chart).serverVersion},
		{"jetstream", nil, (*chart).jetStream},
		{"permissions", []need{working}, (*chart).permissions},
		{"streams", []need{working}, (*chart).settings},
		{"replicas", []need{rawMade}, (*chart).replicas},
		{"clock", []need{theTime}, (*chart).clock},
		{"source", nil, (*chart).source},
		{"alerts", []need{rawStream, alertsRead}, (*chart).arrival},
		{"loops", []need{working, allStreams}, (*chart).loops},
		{"subjects", []need{outputStream, statusKnown, statesRead}, (*chart).spread},
		{"retention", []need{rawStream}, (*chart).retention},
		{"headroom", []need{outputStream}, (*chart).headroom},
		{"account", []need{working, accountKnown}, (*chart).limits},
		{"workers", []need{statusKnown}, (*chart).workers},
		{"partitions", []need{statusKnown}, (*chart).partitions},
		{"backlog", []need{rawStream, statusKnown}, (*chart).backlog},
		{"lost alerts", []need{statusKnown}, (*chart).lost},
		{"dead letters", []need{outputStream, deadRead}, (*chart).deadLetters},
		{"totals", []need{statusKnown}, (*chart).totals},
		{"consumers", []need{rawStream}, (*chart).consumers},
	}
}

// judge runs the checks. Those that lack something are told of together, once
// for each thing that is lacking.
func (c *chart) judge(table []check) []Finding {
	var out []Finding
	var reasons []string
	unchecked := map[string]Finding{}
	for _, k := range table {
		err := c.lacks(k)
		if err == nil {
			out = append(out, named(k.name, k.run(c))...)
			continue
		}
		why := err.Error()
		f, known := unchecked[why]
		if !known {
			reasons = append(reasons, why)
			f = unseen(err)
		}
		f.Check = strings.TrimPrefix(f.Check+", "+k.name, ", ")
		if errors.Is(err, errSilent) {
			f.Check = "all else"
		}
		unchecked[why] = f
	}
	for _, why := range reasons {
		f := unchecked[why]
		f.Found, f.Check = f.Check+": "+f.Found, "not checked"
		out = append(out, f)
	}
	return out
}

func (c *chart) lacks(k check) error {
	for _, need := range k.needs {
		if err := need(c); err != nil {
			return err
		}
	}
	return nil
}

func named(name string, findings []Finding) []Finding {
	for i := range findings {
		findings[i].Check = name
	}
	return findings
}

// Worst returns the gravest level among the findings.
func Worst(findings []Finding) Level {
	order := []Level{OK, Note, Warn, Wrong}
	worst := 0
	for _, f := range findings {
		worst = max(worst, slices.Index(order, f.Level))
	}
	return order[worst]
}

func ok(found string) []Finding { return []Finding{{Level: OK, Found: found}} }

func note(found, next string) Finding { return Finding{Level: Note, Found: found, Next: next} }

func warn(found, next string) Finding { return Finding{Level: Warn, Found: found, Next: next} }

func wrong(found, next string) Finding { return Finding{Level: Wrong, Found: found, Next: next} }
