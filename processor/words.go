package processor

import (
	"fmt"
	"slices"
	"strings"
)

func title(a *Alert, advice Advice) string {
	where, _ := Derive(a, "workload")
	if ns, ok := Derive(a, "namespace"); ok {
		where = strings.TrimSuffix(ns+"/"+where, "/")
	}
	t := advice.Title
	if t == "" {
		t = a.Rule
	}
	if where != "" {
		return Visible(t + " in " + where)
	}
	if object := subject(a); object != "" && audited(a) {
		return Visible(t + ": " + shorten(object, 80))
	}
	return Visible(t)
}

// subject is what an audit log's entry is about, when it has a name.
func subject(a *Alert) string {
	return a.first("s3.bucket", "gcp.storage.bucket", "gcp.cloudsql.databaseId", "gcp.cloudfunctions.function", "github.repo.name",
		"okta.target.user.name", "okta.target.app.alternateid", "ct.request.functionname", "ct.request.username", "ct.request.groupname",
		"ct.request.name", "gitlab.entity_path", "gcp.projectId")
}

// summary says in a few sentences what, where, how grave and how often.
func summary(a *Alert, r *Report) Text {
	whose := "Falco's rule "
	if a.Rule == RuleLost {
		whose = "Falconer's own rule "
	}
	t := Text{
		{Text: whose},
		{a.Rule, true},
		{Text: fmt.Sprintf(" (priority **%s**, source ", a.Priority)},
		{a.Source, true},
		{Text: ") fired " + times(r.Occurrences.Count)},
	}
	t = append(t, whereText(a, r.Occurrences.Seen)...)
	if p, ok := Derive(a, "executable"); ok {
		t = append(t, Span{Text: ", for the executable "}, Span{p, true})
	}
	if u, ok := Derive(a, "user"); ok {
		t = append(t, Span{Text: " as user "}, Span{u, true})
	}
	if audited(a) && a.Hostname != "" {
		t = append(t, Span{Text: "; Falco on "}, Span{a.Hostname, true}, Span{Text: " saw it"})
	}
	t = append(t, Span{Text: fmt.Sprintf(". Falconer grades the incident **%s** (score %d of 100, confidence %s).",
		r.Severity, r.Verdict.Score, r.Verdict.Confidence)})
	if n := r.Occurrences.Silenced; n > 0 {
		t = append(t, Span{Text: fmt.Sprintf(" A silence kept %d more from counting.", n)})
	}
	if r.Verdict.Test {
		t = append(t, Span{Text: " It bears the marks of a known test, not of an attack."})
	}
	if r.Kind == KindClosed {
		t = append(t, Span{Text: " The incident is over: a further alert opens a new one."})
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

// audited reports whether the alert is of a log, and its host that of Falco.
func audited(a *Alert) bool {
	place := Place(a)
	return place == Cluster || place == Cloud
}

// whereText names the place of the alert that the report is made of, and how
// many other places the incident has seen.
func whereText(a *Alert, seen []Distinct) Text {
	ns, _ := Derive(a, "namespace")
	pod, _ := Derive(a, "pod")
	box, _ := Derive(a, "container")
	img, _ := Derive(a, "image")
	var t Text
	add := func(prose, v, kind string) {
		if v != "" {
			t = append(t, Span{Text: prose}, Span{v, true}, Span{Text: others(seen, kind)})
		}
	}
	switch Place(a) {
	case Kubernetes:
		add(" in pod ", pod, "pod")
		add(" of namespace ", ns, "")
	case Container:
		add(" in container ", box, "")
		add(" of image ", img, "image")
	case Cluster, Cloud:
		add(" in namespace ", ns, "")
	}
	if !audited(a) {
		add(" on host ", a.Hostname, "host")
	}
	return t
}

// others says how many values of a kind there are beside the one just named.
func others(seen []Distinct, kind string) string {
	i := slices.IndexFunc(seen, func(d Distinct) bool { return d.Kind == kind })
	switch {
	case i < 0 || len(seen[i].Values) < 2:
		return ""
	case seen[i].More:
		return fmt.Sprintf(" and at least %d others", len(seen[i].Values))
	case len(seen[i].Values) == 2:
		return " and one other"
	}
	return fmt.Sprintf(" and %d others", len(seen[i].Values)-1)
}

// gaps lists what the alert leaves open, so that nobody takes silence for a no.
func gaps(a *Alert, blind []Blindness) []Text {
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
	for _, b := range blind {
		out = append(out, Text{
			{Text: "Falco dropped system calls on "},
			{b.Host, true},
			{Text: fmt.Sprintf(" while this went on, or just before: at least %d, between %s and %s. Steps of this incident may be missing.", b.Drops, stamp(b.First), stamp(b.Last))},
		})
	}
	if a.Source == "syscall" && len(blind) == 0 {
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
	case r.Source == SourceInternal && r.Severity >= Medium:
		verdict = fmt.Sprintf("This is graded **%s**. It is about what can be seen, not about an attack: until it is mended, no news is not good news.", r.Severity)
	case r.Severity >= High:
		verdict = fmt.Sprintf("This is graded **%s**. Treat it as real until the questions above say otherwise.", r.Severity)
	case r.Severity == Medium:
		verdict = "This is graded **medium**. It needs an explanation today, by someone who knows what is behind it."
	default:
		verdict = fmt.Sprintf("This is graded **%s**. It is worth knowing about, and needs no haste.", r.Severity)
	}
	out := []Text{Say(verdict)}
	if len(r.Advice.Next) > 0 {
		out = append(out, append(Text{{Text: "**Next step:** "}}, r.Advice.Next...))
	}
	return out
}
