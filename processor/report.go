package processor

import (
	"slices"
	"time"
)

// ReportSchema is the name and version of a report's form.
const ReportSchema = "report.v1"

// Kinds of reports. Thresholds are "x10", "x100" and so on; escalations are
// "escalated-1", "escalated-2" and so on.
const (
	KindOpened    = "opened"
	KindEscalated = "escalated-"
	KindClosed    = "closed"
	// KindOpen is a snapshot for offline use; it is never published.
	KindOpen = "open"
)

// Report is the analysis of an incident at one moment of its life. It is the
// same, byte for byte, for the same alerts and playbooks.
type Report struct {
	Schema string `json:"schema"`
	// ID is "<incident>/<kind>".
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	Incident    string    `json:"incident"`
	Fingerprint string    `json:"fingerprint"`
	Previous    string    `json:"previous,omitempty"`
	At          time.Time `json:"at"` // by the broker's clock
	Title       string    `json:"title"`
	Rule        string    `json:"rule"`
	Source      string    `json:"source"`
	Priority    Priority  `json:"priority"`
	Tags        []string  `json:"tags,omitempty"`
	Severity    Severity  `json:"severity"`
	Place       string    `json:"place"`
	Summary     Text      `json:"summary"`
	Verdict     Verdict   `json:"verdict"`
	// Sections hold the alert's fields under the headings of the report.
	Sections    []Section   `json:"sections"`
	Occurrences Occurrences `json:"occurrences"`
	// Gaps say what the alert does not show.
	Gaps       []Text            `json:"gaps,omitempty"`
	Identity   map[string]string `json:"identity,omitempty"`
	Advice     Advice            `json:"advice"`
	Conclusion []Text            `json:"conclusion"`
	// Markdown is the whole report for a person.
	Markdown string `json:"markdown"`
}

// Section is a heading and the facts under it.
type Section struct {
	Title string `json:"title"`
	Facts []Fact `json:"facts"`
}

// Fact is one output field of the alert.
type Fact struct {
	Label string `json:"label"`
	Field string `json:"field"`
	Value string `json:"value"`
	// Note explains a value that is not plain to everyone.
	Note string `json:"note,omitempty"`
}

// Occurrences are an incident's figures.
type Occurrences struct {
	Count      uint64     `json:"count"`
	Resent     uint64     `json:"resent"`
	Silenced   uint64     `json:"silenced,omitempty"`
	FirstEvent time.Time  `json:"first_event,omitzero"` // by the hosts' clocks
	LastEvent  time.Time  `json:"last_event,omitzero"`
	Opened     time.Time  `json:"opened"` // by the broker's clock
	Last       time.Time  `json:"last"`
	End        time.Time  `json:"end"`
	Seen       []Distinct `json:"seen,omitempty"`
	Samples    []Sample   `json:"samples"`
	// Blind are times in which Falco dropped system calls on a host of the incident,
	// while it was open or just before.
	Blind []Blindness `json:"blind,omitempty"`
}

// newReport makes a report but for its Markdown.
func newReport(in *Incident, a *Alert, kind string, at time.Time, v Verdict, advice Advice, blind []Blindness) Report {
	r := Report{
		Schema: ReportSchema, ID: in.ID + "/" + kind, Kind: kind, Incident: in.ID,
		Fingerprint: in.Fingerprint, Previous: in.Previous, At: at,
		Title: title(a, advice), Rule: a.Rule, Source: a.Source, Priority: a.Priority, Tags: a.Tags,
		Severity: in.Severity, Place: Place(a), Verdict: v, Sections: sections(a), Identity: in.Identity,
		Occurrences: Occurrences{
			Count: in.Count, Resent: in.Resent, Silenced: in.Silenced, FirstEvent: in.FirstEvent, LastEvent: in.LastEvent,
			Opened: in.Opened, Last: in.Last, End: in.End,
			Seen: cloneSeen(in.Seen), Samples: slices.Clone(in.Samples), Blind: blind,
		},
		Gaps: gaps(a, blind), Advice: advice,
	}
	r.Summary = summary(a, &r)
	r.Conclusion = conclusion(&r)
	return r
}

// cloneSeen copies what later alerts would write into.
func cloneSeen(seen []Distinct) []Distinct {
	out := slices.Clone(seen)
	for i := range out {
		out[i].Values = slices.Clone(out[i].Values)
	}
	return out
}

// Shrink makes a report that is too long to publish shorter by what can be had
// elsewhere: long values, and the mitigations' configuration.
func (r *Report) Shrink() {
	for i := range r.Sections {
		for j := range r.Sections[i].Facts {
			f := &r.Sections[i].Facts[j]
			f.Value = shorten(f.Value, 128)
		}
	}
	r.Advice.Mitigations, r.Advice.Exception = nil, nil
	r.Gaps = append(r.Gaps, Say("The report was too long to publish whole: values were cut and mitigations left out. They are in the tasks, and the alert is in the raw stream."))
	r.Markdown = render(r)
}
