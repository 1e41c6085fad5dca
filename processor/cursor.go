package processor

import "time"

// Cursor says how far a ledger has come. Stored together with the outputs, it
// makes their publication exact.
type Cursor struct {
	// Seq and RawTime are the sequence and broker time of the last folded message.
	Seq     uint64    `json:"seq"`
	RawTime time.Time `json:"raw_time,omitzero"`
	// Time is the highest broker time seen: the ledger's clock.
	Time time.Time `json:"time,omitzero"`
	// Mark is the last incident closed. An open state at or below it is a stale
	// revision of one that has closed.
	Mark   Mark   `json:"mark,omitzero"`
	Totals Totals `json:"totals"`
}

// Totals count what became of every alert: In = Reported + Merged + Resent +
// Silenced + Internal + Dead, always.
type Totals struct {
	In       uint64 `json:"in"`       // alerts taken from the stream
	Reported uint64 `json:"reported"` // caused at least one report
	Merged   uint64 `json:"merged"`   // counted by an incident, no report due
	Resent   uint64 `json:"resent"`   // copies of an event counted before
	Internal uint64 `json:"internal"` // Falco's metrics snapshots
	Dead     uint64 `json:"dead"`     // could not be understood
	Silenced uint64 `json:"silenced"` // counted by an incident, kept quiet by a silence

	Opened  uint64 `json:"opened"` // incidents
	Closed  uint64 `json:"closed"` // incidents
	Reports uint64 `json:"reports"`
	Tasks   uint64 `json:"tasks"`

	// Gaps counts the times that the raw stream dropped messages before they were
	// read; at most Lost alerts were among them. They are not in In.
	Gaps uint64 `json:"gaps"`
	Lost uint64 `json:"lost"`
}

// Add returns the sum of t and o.
func (t Totals) Add(o Totals) Totals {
	return Totals{
		t.In + o.In, t.Reported + o.Reported, t.Merged + o.Merged, t.Resent + o.Resent, t.Internal + o.Internal,
		t.Dead + o.Dead, t.Silenced + o.Silenced, t.Opened + o.Opened, t.Closed + o.Closed, t.Reports + o.Reports, t.Tasks + o.Tasks,
		t.Gaps + o.Gaps, t.Lost + o.Lost,
	}
}

// Balanced reports whether every alert taken is accounted for.
func (t Totals) Balanced() bool {
	return t.In == t.Reported+t.Merged+t.Resent+t.Silenced+t.Internal+t.Dead
}

// Changes are what became of the messages folded since the last Take. They must
// be stored together, or not at all.
type Changes struct {
	Cursor Cursor
	// Incidents are the states to store, in the order of their fingerprints.
	// They are the ledger's own: encode them before the next Fold.
	Incidents []*Incident
	// Forgotten are fingerprints whose stored state, if any, is to be dropped.
	Forgotten []string
	// Silences is the list to store, nil when it has not changed.
	Silences *Silences
	Reports  []Report
	Tasks    []Task
	Dead     []DeadLetter
}
