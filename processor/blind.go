package processor

import (
	"slices"
	"strconv"
	"time"
)

// Falco says at most every half minute that it has dropped system calls. Which
// incidents are the poorer for it is a question of host and time, so every
// partition reads these alerts, and remembers them for its own.

// Blindness is a time in which the Falco of a host has dropped system calls.
type Blindness struct {
	Host string `json:"host"`
	// First and Last are the broker's times of the first and the last alert about it.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Drops is how many calls the alerts speak of: each tells of one second only.
	Drops uint64 `json:"drops"`
	// Alerts is how many alerts there were.
	Alerts uint64 `json:"alerts"`
}

// Bounds of what a partition remembers of it.
const (
	maxBlind = 128
	// Drops further apart are two times of blindness.
	blindGap = 10 * time.Minute
	// An incident that opens so long after the last of them may have lost its beginning.
	blindLead = 2 * time.Minute
)

// blind notes an alert about drops. What is over for longer than an incident may
// be open is forgotten, and the oldest when there is no room.
func (s *Silences) blind(a *Alert, at time.Time) bool {
	drops, _ := strconv.ParseUint(a.Fields["n_drops"], 10, 64)
	if a.Rule != RuleDrops || a.Hostname == "" || drops == 0 {
		return false
	}
	s.Blind = slices.DeleteFunc(slices.Clone(s.Blind), func(b Blindness) bool { return at.Sub(b.Last) > DefaultCap+blindLead })
	host := shorten(a.Hostname, maxSampleB)
	i := slices.IndexFunc(s.Blind, func(b Blindness) bool { return b.Host == host && at.Sub(b.Last) <= blindGap })
	if i < 0 {
		s.Blind = append(s.Blind, Blindness{Host: host, First: at})
		i = len(s.Blind) - 1
	}
	b := s.Blind[i]
	b.Last, b.Drops, b.Alerts = at, b.Drops+drops, b.Alerts+1
	// The newest stand last.
	s.Blind = append(slices.Delete(s.Blind, i, i+1), b)
	s.Blind = s.Blind[max(0, len(s.Blind)-maxBlind):]
	return true
}

// during returns the times of blindness that overlap an incident up to a time, on
// the hosts that it has seen.
func (s *Silences) during(in *Incident, upto time.Time) (out []Blindness) {
	i := slices.IndexFunc(in.Seen, func(d Distinct) bool { return d.Kind == "host" })
	if i < 0 {
		return nil
	}
	from := in.Opened.Add(-blindLead)
	for _, b := range s.Blind {
		if !b.Last.Before(from) && !b.First.After(upto) && slices.Contains(in.Seen[i].Values, b.Host) {
			out = append(out, b)
		}
	}
	return out
}

// notice remembers what the alert says about drops.
func (l *Ledger) notice(a *Alert) {
	if l.silences.blind(a, l.cur.Time) {
		l.out.Silences = &l.silences
	}
}
