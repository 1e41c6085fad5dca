package processor

import (
	"fmt"
	"slices"
	"strings"
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
	FirstEvent time.Time  `json:"first_event,omitzero"` // by the hosts' clocks
	LastEvent  time.Time  `json:"last_event,omitzero"`
	Opened     time.Time  `json:"opened"` // by the broker's clock
	Last       time.Time  `json:"last"`
	End        time.Time  `json:"end"`
	Seen       []Distinct `json:"seen,omitempty"`
	Samples    []Sample   `json:"samples"`
}

func newReport(in *Incident, kind string, at time.Time, v Verdict, advice Advice) Report {
	a := in.Evidence
	r := Report{
		Schema: ReportSchema, ID: in.ID + "/" + kind, Kind: kind, Incident: in.ID,
		Fingerprint: in.Fingerprint, Previous: in.Previous, At: at,
		Title: title(a, advice), Rule: a.Rule, Source: a.Source, Priority: a.Priority, Tags: a.Tags,
		Severity: in.Severity, Place: Place(a), Verdict: v, Sections: sections(a), Identity: in.Identity,
		Occurrences: Occurrences{
			Count: in.Count, Resent: in.Resent, FirstEvent: in.FirstEvent, LastEvent: in.LastEvent,
			Opened: in.Opened, Last: in.Last, End: in.End,
			Seen: cloneSeen(in.Seen), Samples: slices.Clone(in.Samples),
		},
		Gaps: gaps(a), Advice: advice,
	}
	r.Summary = summary(a, &r)
	r.Conclusion = conclusion(&r)
	r.Markdown = render(&r)
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

func title(a *Alert, advice Advice) string {
	where, _ := Derive(a, "workload")
	if ns, ok := Derive(a, "namespace"); ok && where != "" {
		where = ns + "/" + where
	}
	t := advice.Title
	if t == "" {
		t = a.Rule
	}
	if where == "" {
		return Visible(t)
	}
	return Visible(t + " in " + where)
}

// summary says in a few sentences what, where, how grave and how often.
func summary(a *Alert, r *Report) Text {
	t := Text{
		{Text: "Falco's rule "}, {a.Rule, true},
		{Text: fmt.Sprintf(" (priority **%s**, source ", a.Priority)}, {a.Source, true},
		{Text: ") fired " + times(r.Occurrences.Count)},
	}
	t = append(t, whereText(a)...)
	if p, ok := Derive(a, "executable"); ok {
		t = append(t, Span{Text: ", for the executable "}, Span{p, true})
	}
	if u, ok := Derive(a, "user"); ok {
		t = append(t, Span{Text: " as user "}, Span{u, true})
	}
	t = append(t, Span{Text: fmt.Sprintf(". Falconer grades the incident **%s** (score %d of 100, confidence %s).",
		r.Severity, r.Verdict.Score, r.Verdict.Confidence)})
	if r.Verdict.Test {
		t = append(t, Span{Text: " It bears the marks of a known test, not of an attack."})
	}
	if r.Kind == KindClosed {
		t = append(t, Span{Text: " The incident is over: no further alert came within its window."})
	}
	if r.Previous != "" {
		t = append(t, Span{Text: " It returns after the incident "}, Span{r.Previous, true}, Span{Text: "."})
	}
	return t
}

func times(n uint64) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func whereText(a *Alert) Text {
	ns, _ := Derive(a, "namespace")
	pod, _ := Derive(a, "pod")
	box, _ := Derive(a, "container")
	img, _ := Derive(a, "image")
	var t Text
	add := func(prose, v string) {
		if v != "" {
			t = append(t, Span{Text: prose}, Span{v, true})
		}
	}
	switch Place(a) {
	case Kubernetes:
		add(" in pod ", pod)
		add(" of namespace ", ns)
	case Container:
		add(" in container ", box)
		add(" of image ", img)
	case Cloud:
		add(" in namespace ", ns)
	}
	add(" on host ", a.Hostname)
	return t
}

// gaps lists what the alert leaves open, so that nobody takes silence for a no.
func gaps(a *Alert) []Text {
	var out []Text
	list := func(prose string, names []string, after string) {
		if len(names) == 0 {
			return
		}
		t := Text{{Text: prose}}
		for i, n := range names[:min(len(names), 20)] {
			if i > 0 {
				t = append(t, Span{Text: ", "})
			}
			t = append(t, Span{n, true})
		}
		if len(names) > 20 {
			t = append(t, Span{Text: fmt.Sprintf(" and %d more", len(names)-20)})
		}
		out = append(out, append(t, Span{Text: after}))
	}
	list("Fields that Falco could not fill: ", a.Absent, ".")
	list("Cut on the way, so the end is not known: ", a.Cut, ".")
	if a.Source == "syscall" && Place(a) == Host && a.Fields["container.id"] == "" {
		out = append(out, Say("The alert does not say whether the process ran in a container; it is treated as a process of the host."))
	}
	for _, n := range a.Notes {
		out = append(out, Say(strings.ToUpper(n[:1])+n[1:]+"."))
	}
	if a.Source == "syscall" {
		out = append(out, Say("Falco reports what it saw. If it dropped system calls at the time, earlier or later steps may be missing: look for *Falco internal: syscall event drop* on the same host."))
	}
	return out
}

// conclusion gives the verdict and the next step.
func conclusion(r *Report) []Text {
	var verdict string
	likely := slices.ContainsFunc(r.Advice.Benign, func(b Benign) bool { return b.Likely })
	switch {
	case r.Verdict.Test:
		verdict = "This is most likely a **test**. Confirm that someone ran it on purpose; if nobody did, treat it as real."
	case likely:
		verdict = fmt.Sprintf("This is graded **%s**, and it looks like one of the harmless causes above. Confirm which before closing it.", r.Severity)
	case r.Severity >= High:
		verdict = fmt.Sprintf("This is graded **%s**. Treat it as an intrusion until the questions above say otherwise.", r.Severity)
	case r.Severity == Medium:
		verdict = "This is graded **medium**. It needs an explanation by someone who knows the workload, today."
	default:
		verdict = fmt.Sprintf("This is graded **%s**. It is worth knowing about, and needs no haste.", r.Severity)
	}
	out := []Text{Say(verdict)}
	if len(r.Advice.Next) > 0 {
		out = append(out, append(Text{{Text: "**Next step:** "}}, r.Advice.Next...))
	}
	return out
}
