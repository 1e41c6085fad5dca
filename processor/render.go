package processor

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// page builds a Markdown page. Every value goes through CodeSpan, CodeCell,
// CodeBlock or Escape; nothing else writes one.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) heading(level int, text string) {
	if !strings.HasSuffix(p.String(), "\n\n") {
		p.line("")
	}
	p.line("%s %s\n", strings.Repeat("#", level), text)
}

func (p *page) paragraphs(texts []Text) {
	for i, t := range texts {
		if i > 0 {
			p.line("")
		}
		p.line("%s", t.Markdown())
	}
}

func (p *page) bullets(texts []Text) {
	for _, t := range texts {
		p.line("- %s", t.Markdown())
	}
}

// render writes the report for a person. The order of its sections is part of
// the contract; none is empty.
func render(r *Report) string {
	p := &page{}
	p.line("# %s", Escape(r.Title))
	p.heading(2, "Summary")
	p.line("%s", r.Summary.Markdown())
	p.heading(2, "Detailed Analysis")
	p.details(r)
	p.heading(2, "Potential Mitigation Strategies")
	p.mitigations(r.Advice.Mitigations)
	p.heading(2, "Is This a False Positive?")
	p.falsePositive(r.Advice)
	p.heading(2, "Conclusion")
	p.paragraphs(r.Conclusion)
	p.line("\n---\n\nIncident %s, report %s, fingerprint %s, playbook %s (by %s).",
		CodeSpan(r.Incident), CodeSpan(r.Kind), CodeSpan(r.Fingerprint), CodeSpan(r.Verdict.Playbook), r.Verdict.Match)
	return p.String()
}

func (p *page) details(r *Report) {
	for i, s := range r.Sections {
		p.heading(3, s.Title)
		p.facts(s.Facts)
		if i == 0 {
			p.heading(3, "What This Means")
			p.paragraphs(r.Advice.Meaning)
		}
	}
	if len(r.Sections) == 0 {
		p.heading(3, "What This Means")
		p.paragraphs(r.Advice.Meaning)
	}
	p.attack(r.Verdict)
	p.score(r)
	p.occurrences(r)
	p.heading(3, "What the Alert Does Not Show")
	if len(r.Gaps) == 0 {
		p.line("Nothing that Falco's rule asks for is missing.")
	}
	p.bullets(r.Gaps)
	if len(r.Advice.Questions) > 0 {
		p.heading(3, "Questions to Answer")
		p.questions(r.Advice.Questions)
	}
}

func (p *page) facts(facts []Fact) {
	for _, f := range facts {
		note := ""
		if f.Note != "" {
			note = " (" + f.Note + ")"
		}
		label := "**" + Escape(f.Label) + "**"
		if f.Label == f.Field { // nobody has given it a name
			label = CodeSpan(f.Field)
		}
		p.line("- %s: %s%s", label, CodeSpan(f.Value), note)
	}
}

func (p *page) attack(v Verdict) {
	p.heading(3, "MITRE ATT&CK")
	if len(v.Techniques) == 0 {
		p.line("No technique is mapped: the rule's tags name none, and the playbook knows none that fits.")
	} else {
		p.line("| Technique | Name | Tactics | Why |\n|---|---|---|---|")
		for _, t := range v.Techniques {
			p.line("| [%s](%s) | %s | %s | %s |", t.ID, t.URL, Escape(t.Name), strings.Join(t.Tactics, ", "), cell(cmp.Or(t.Why, t.Origin)))
		}
	}
	for _, n := range v.Notes {
		p.line("\n*Note:* %s", Escape(n))
	}
}

// cell is Markdown of a playbook's as it stands in a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

func (p *page) score(r *Report) {
	p.heading(3, "Score")
	p.line("**%s**, %d of 100. Category: %s.\n", r.Severity, r.Verdict.Score, r.Verdict.Category)
	for _, c := range r.Verdict.Why {
		p.line("- %+d %s", c.Points, Escape(c.Reason))
	}
}

func (p *page) occurrences(r *Report) {
	o := r.Occurrences
	p.heading(3, "Occurrences")
	p.line("- **Count**: %d", o.Count)
	if o.Resent > 0 {
		p.line("- **Resent copies**: %d (the same event delivered again; not counted above)", o.Resent)
	}
	if o.Silenced > 0 {
		p.line("- **Silenced**: %d (kept quiet by a silence; not counted above)", o.Silenced)
	}
	if !o.FirstEvent.IsZero() {
		p.line("- **First seen**: %s", stamp(o.FirstEvent))
		p.line("- **Last seen**: %s", stamp(o.LastEvent))
	}
	closes := "closes %s unless more comes"
	if r.Kind == KindClosed {
		closes = "closed %s"
	}
	if o.Opened.IsZero() { // offline, of an alert without a time
		p.line("- **Window**: not known, since no alert says when its event happened")
	} else {
		p.line("- **Window**: opened %s, "+closes, stamp(o.Opened), stamp(o.End))
	}
	for _, b := range o.Blind {
		p.line("- **Blind**: Falco on %s dropped at least %d system calls between %s and %s", CodeSpan(b.Host), b.Drops, stamp(b.First), stamp(b.Last))
	}
	for _, d := range o.Seen {
		p.line("- **Distinct %ss**: %s", d.Kind, distinct(d))
	}
	p.line("\n| Raw sequence | Event time | SHA-256 of the alert | What |\n|---|---|---|---|")
	for _, s := range o.Samples {
		p.line("| %d | %s | `%.16s…` | %s |", s.Seq, stamp(s.Time), s.SHA256, CodeCell(s.What))
	}
}

func distinct(d Distinct) string {
	spans := make([]string, len(d.Values))
	for i, v := range d.Values {
		spans[i] = CodeSpan(v)
	}
	out := strings.Join(spans, ", ")
	if d.More {
		out += " and more"
	}
	return out
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.UTC().Format("2006-01-02 15:04:05.000 UTC")
}

func (p *page) questions(questions []Question) {
	for i, q := range questions {
		p.line("%d. %s", i+1, q.Ask.Markdown())
		if len(q.Answer) > 0 {
			p.line("   - From the alert: %s", q.Answer.Markdown())
		}
	}
}

func (p *page) mitigations(list []Mitigation) {
	if len(list) == 0 {
		p.line("None is proposed for this report.")
	}
	for i := range list {
		p.heading(3, fmt.Sprintf("%d. %s", i+1, Escape(list[i].Title)))
		p.mitigation(&list[i])
	}
}

func (p *page) mitigation(m *Mitigation) {
	p.line("%s\n", m.Description.Markdown())
	for _, c := range m.Commands {
		p.command(c)
	}
	for _, c := range m.Configs {
		p.config(c)
	}
	p.line("- **When**: %s", horizonWords[m.Horizon])
	p.line("- **Risk**: %s", m.Risk)
	p.named("Undo", m.Undo)
	p.named("Needs", m.Needs)
	p.named("Who notices", m.Blast)
	if len(m.Attack) > 0 {
		links := make([]string, len(m.Attack))
		for i, a := range m.Attack {
			links[i] = fmt.Sprintf("[%s %s](%s)", a.ID, Escape(a.Name), a.URL)
		}
		p.line("- **ATT&CK**: %s", strings.Join(links, ", "))
	}
}

var horizonWords = map[Horizon]string{Now: "now", ThisWeek: "this week", ByDesign: "by design, when the workload is next changed"}

func (p *page) named(name string, t Text) {
	if len(t) > 0 {
		p.line("- **%s**: %s", name, t.Markdown())
	}
}

func (p *page) command(c Command) {
	p.line("- **Command** (%s)%s:\n", c.Risk, unready(c.Ready, c.Missing))
	p.WriteString(indent(CodeBlock("sh", c.Line)))
	p.line("\n  %s\n", c.Explain.Markdown())
}

func (p *page) config(c Config) {
	p.line("- **Configuration** (%s)%s:\n", c.Tool, unready(c.Ready, c.Missing))
	p.WriteString(indent(CodeBlock(c.Format, c.Body)))
	p.line("\n  %s\n", c.Explain.Markdown())
}

func unready(ready bool, missing []string) string {
	if ready {
		return ""
	}
	spans := make([]string, len(missing))
	for i, m := range missing {
		spans[i] = CodeSpan(m)
	}
	return " — *not ready: fill in " + strings.Join(spans, ", ") + "*"
}

// indent sets a block two spaces in, so that it belongs to its list item.
func indent(block string) string {
	lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
	return "  " + strings.Join(lines, "\n  ") + "\n"
}

// exceptionWords introduce the Falco exception, by whether it is ready.
var exceptionWords = map[bool]string{
	true:  "Once it is confirmed to be harmless, this keeps such cases from alerting again:",
	false: "Once it is confirmed to be harmless, an exception can keep such cases from alerting again. As it stands this one would silence more than this case, so narrow it first:",
}

func (p *page) falsePositive(a Advice) {
	if len(a.Benign) == 0 {
		p.line("No harmless cause is known for this behaviour.")
	}
	for _, b := range a.Benign {
		mark := ""
		if b.Likely {
			mark = "**likely here**: "
		}
		p.line("- %s%s *How to tell:* %s", mark, b.Cause.Markdown(), b.Tell.Markdown())
	}
	if a.Exception != nil {
		p.line("\n%s\n", exceptionWords[a.Exception.Ready])
		p.config(*a.Exception)
	}
}
