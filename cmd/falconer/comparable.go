package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"falconer/processor"
)

// Why an output cannot be compared.
const (
	beganBefore = "began before the oldest stored alert"
	knewBefore  = "about system calls that Falco dropped before the oldest stored alert"
	isAboutLoss = "about alerts that were lost before they were read"
	hasExpired  = "older than outputs are kept (--retention), so it may have expired"
)

// beginning is where the raw stream begins.
type beginning struct {
	era   string
	first uint64
	at    time.Time // by the broker's clock
}

// blinds reports whether an output says of dropped system calls what nobody can
// know who has only what is stored.
func (b beginning) blinds(g gist) bool { return !g.blind.IsZero() && g.blind.Before(b.at) }

// firstBlind is the first of the times in which Falco dropped system calls.
func firstBlind(times []processor.Blindness) (first time.Time) {
	for _, b := range times {
		if first.IsZero() || b.First.Before(first) {
			first = b.First
		}
	}
	return first
}

// cuts reports whether an incident began before the beginning, or in another life
// of the stream. Its id says where: fingerprint, first sequence, era.
func (b beginning) cuts(incident string) bool {
	part := strings.Split(incident, "-")
	if len(part) != 3 || part[2] != b.era {
		return true
	}
	seq, err := strconv.ParseUint(part[1], 36, 64)
	return err != nil || seq < b.first
}

// incomparable says why an output cannot be compared, or nothing. Was is its
// published counterpart: nil for what is new or gone.
func incomparable(g gist, was *published, cut beginning, uncertain map[string]bool) string {
	doubt := func(incident string) bool { return incident != "" && (cut.cuts(incident) || uncertain[incident]) }
	switch {
	case processor.Slug(g.rule) == processor.Slug(processor.RuleLost): // does not follow from what is stored; tasks have the slug
		return isAboutLoss
	case doubt(g.incident), was != nil && g.previous != was.previous && (doubt(g.previous) || doubt(was.previous)):
		return beganBefore
	case was != nil && cut.blinds(was.gist):
		return knewBefore
	}
	return ""
}

// life is how long an incident was open; end is zero while it is.
type life struct {
	id          string
	opened, end time.Time
}

// lives are those of each fingerprint, published and replayed ones apart.
type lives map[string]map[string]life

// add notes what one report or state says of an incident's life.
func (ls lives) add(fingerprint, world, id string, opened, end time.Time, closed bool) {
	if ls[fingerprint] == nil {
		ls[fingerprint] = map[string]life{}
	}
	key := world + " " + id
	l := ls[fingerprint][key]
	if l.id, l.opened = id, opened; closed {
		l.end = end
	}
	ls[fingerprint][key] = l
}

// uncertain returns the incidents whose beginning the missing alerts have decided.
// One that was cut folds alerts which a replay, that does not know of it, takes
// for the beginning of another; and so on, until there is a moment at which
// neither has the fingerprint open.
func (ls lives) uncertain(cut func(incident string) bool) map[string]bool {
	out := map[string]bool{}
	for _, of := range ls {
		var until time.Time
		endless := false
		for _, l := range byBeginning(of) {
			if !cut(l.id) && !endless && !l.opened.Before(until) {
				continue
			}
			out[l.id] = true
			endless = endless || l.end.IsZero()
			if l.end.After(until) {
				until = l.end
			}
		}
	}
	return out
}

func byBeginning(of map[string]life) []life {
	out := make([]life, 0, len(of))
	for _, l := range of {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b life) int {
		return cmp.Or(a.opened.Compare(b.opened), cmp.Compare(a.id, b.id), a.end.Compare(b.end))
	})
	return out
}
