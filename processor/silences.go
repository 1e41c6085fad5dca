package processor

import (
	"slices"
	"time"
)

// SilencesSchema is the name and version of a partition's stored list of silences.
const SilencesSchema = "silences.v1"

// keepOver is how long a silence is remembered when its time is over: as long as
// the raw stream keeps alerts by default, so that a replay of those knows it.
const keepOver = 72 * time.Hour

// Silences are those that a partition knows of, in the order in which they took
// effect, and for a while when their time is over. Times of blindness are kept
// beside them: they too are the same in every partition.
type Silences struct {
	Schema string          `json:"schema"`
	List   []SilenceRecord `json:"list"`
	Blind  []Blindness     `json:"blind,omitempty"`
	// Refused counts orders that could not be followed; Refusal is why the last was not.
	Refused uint64 `json:"refused,omitempty"`
	Refusal string `json:"refusal,omitempty"`
}

// SilenceRecord is a silence and what became of it in one partition.
type SilenceRecord struct {
	Silence
	// Seq is the place in the raw stream behind which it holds, Since the broker's
	// time there.
	Seq   uint64    `json:"seq"`
	Since time.Time `json:"since"`
	// Count is how many alerts it has silenced here, Last when the newest of them.
	Count uint64    `json:"count"`
	Last  time.Time `json:"last,omitzero"`
	Ended *Ending   `json:"ended,omitempty"`
}

// Ending says who ended a silence before its time, where and why.
type Ending struct {
	Seq    uint64    `json:"seq"`
	At     time.Time `json:"at"`
	Author string    `json:"author"`
	Reason string    `json:"reason"`
}

// Active reports whether the silence holds at a time.
func (r *SilenceRecord) Active(at time.Time) bool { return r.Ended == nil && at.Before(r.Until) }

// clone is a copy that later orders do not change.
func (s Silences) clone() Silences {
	s.Schema, s.List, s.Blind = SilencesSchema, slices.Clone(s.List), slices.Clone(s.Blind)
	return s
}

// any reports whether a silence may hold at a time.
func (s *Silences) any(at time.Time) bool {
	return slices.ContainsFunc(s.List, func(r SilenceRecord) bool { return r.Active(at) })
}

// silencing finds the first silence that holds for the alert, or nil.
func (s *Silences) silencing(a *Alert, severity Severity, at time.Time) *SilenceRecord {
	for i := range s.List {
		if r := &s.List[i]; r.Active(at) && r.Matches(a, severity) {
			return r
		}
	}
	return nil
}

// obey follows an order to silence. An order that cannot be followed changes
// nothing but the count of those; all partitions come to the same end.
func (s *Silences) obey(m Message, at time.Time) {
	s.List = slices.DeleteFunc(s.List, func(r SilenceRecord) bool { return !at.Before(r.Until.Add(keepOver)) })
	o, err := parseOrder(m.Data)
	switch {
	case err != nil:
		s.refuse(err.Error())
	case o.Expire != nil:
		s.expire(o.Expire, m.Seq, at)
	default:
		s.add(*o.Add, m.Seq, at)
	}
}

func (s *Silences) refuse(why string) {
	s.Refused++
	s.Refusal = Visible(shorten(why, maxReasonBytes))
}

// add begins a silence. One that is known already, ended by hand or not, stays as
// it is until its time is over.
func (s *Silences) add(order Silence, seq uint64, at time.Time) {
	s.makeRoom(order.ID, at)
	known := slices.ContainsFunc(s.List, func(r SilenceRecord) bool { return r.ID == order.ID })
	switch {
	case known:
	case !at.Before(order.Until):
		s.refuse("silence " + order.ID + " was over before it began")
	case order.Until.After(at.Add(MaxSilence)):
		s.refuse("silence " + order.ID + " lasts too long")
	case len(s.List) >= maxSilences:
		s.refuse("silence " + order.ID + ": there are too many")
	default:
		s.List = append(s.List, SilenceRecord{Silence: order, Seq: seq, Since: at})
	}
}

// makeRoom forgets of those whose time is over the one of the same id, and the
// first when the list is full.
func (s *Silences) makeRoom(id string, at time.Time) {
	over := func(r SilenceRecord) bool { return !at.Before(r.Until) }
	s.List = slices.DeleteFunc(s.List, func(r SilenceRecord) bool { return over(r) && r.ID == id })
	if i := slices.IndexFunc(s.List, over); i >= 0 && len(s.List) >= maxSilences {
		s.List = slices.Delete(s.List, i, i+1)
	}
}

func (s *Silences) expire(order *Expiry, seq uint64, at time.Time) {
	i := slices.IndexFunc(s.List, func(r SilenceRecord) bool { return r.ID == order.ID && at.Before(r.Until) })
	switch {
	case i < 0:
		s.refuse("no silence " + order.ID + " to expire")
	case s.List[i].Ended == nil:
		s.List[i].Ended = &Ending{Seq: seq, At: at, Author: order.Author, Reason: order.Reason}
	}
}
