package processor

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
	"time"
)

// page builds a Markdown page. Every value goes through CodeSpan, CodeCell,
// CodeBlock or Escape; nothing else writes one. It may be used again, and then has
// its room already.
type page struct {
	bytes.Buffer
	// steps are where each mitigation of the last report stands in it.
	steps []extent
}

// extent is a part of a text.
type extent struct{ from, to int }

func (e extent) of(s string) string { return s[e.from:e.to] }

func (p *page) line(parts ...string) {
	for _, s := range parts {
		p.WriteString(s)
	}
	p.WriteByte('\n')
}

func (p *page) heading(level int, text string) {
	if !bytes.HasSuffix(p.Bytes(), []byte("\n\n")) {
		p.line()
	}
	p.line("######"[:level], " ", text, "\n")
}

func (p *page) paragraphs(texts []Text) {
	for i, t := range texts {
		if i > 0 {
			p.line()
		}
		p.line(t.Markdown())
	}
}

func (p *page) bullets(texts []Text) {
	for _, t := range texts {
		p.line("- ", t.Markdown())
	}
}

// report writes the report for a person. The order of its sections is part of
// the contract; none is empty.
func (p *page) report(r *Report) string {
	p.Reset()
	p.steps = p.steps[:0]
	p.line("# ", Escape(r.Title))
	p.heading(2, "Summary")
	p.line(r.Summary.Markdown())
	p.heading(2, "Detailed Analysis")
	p.details(r)
	p.heading(2, "Potential Mitigation Strategies")
	p.mitigations(r.Advice.Mitigations)
	p.heading(2, "Is This a False Positive?")
	p.falsePositive(r.Advice)
	p.heading(2, "Conclusion")
	p.paragraphs(r.Conclusion)
	p.line("\n---\n\nIncident ", CodeSpan(r.Incident), ", report ", CodeSpan(r.Kind), ", fingerprint ", CodeSpan(r.Fingerprint),
		", playbook ", CodeSpan(r.Verdict.Playbook), " (by ", r.Verdict.Match, ").")
	return p.String()
}

func render(r *Report) string { return new(page).report(r) }

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
		p.line("- ", label, ": ", CodeSpan(f.Value), note)
	}
}

func (p *page) attack(v Verdict) {
	p.heading(3, "MITRE ATT&CK")
	if len(v.Techniques) == 0 {
		p.line("No technique is mapped: the rule's tags name none, and the playbook knows none that fits.")
	} else {
		p.line("| Technique | Name | Tactics | Why |\n|---|---|---|---|")
		for _, t := range v.Techniques {
			p.line("| [", t.ID, "](", t.URL, ") | ", Escape(t.Name), " | ", strings.Join(t.Tactics, ", "), " | ", cell(cmp.Or(t.Why, t.Origin)), " |")
		}
	}
	for _, n := range v.Notes {
		p.line("\n*Note:* ", Escape(n))
	}
}

// cell is Markdown of a playbook's as it stands in a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

func (p *page) score(r *Report) {
	p.heading(3, "Score")
	p.line("**", r.Severity.String(), "**, ", strconv.Itoa(r.Verdict.Score), " of 100. Category: ", r.Verdict.Category, ".\n")
	for _, c := range r.Verdict.Why {
		p.line("- ", signed(c.Points), " ", Escape(c.Reason))
	}
}

func signed(n int) string {
	if n < 0 {
		return strconv.Itoa(n)
	}
	return "+" + strconv.Itoa(n)
}

func (p *page) occurrences(r *Report) {
	o := r.Occurrences
	p.heading(3, "Occurrences")
	p.line("- **Count**: ", strconv.FormatUint(o.Count, 10))
	if o.Resent > 0 {
		p.line("- **Resent copies**: ", strconv.FormatUint(o.Resent, 10), " (the same event delivered again; not counted above)")
	}
	if o.Silenced > 0 {
		p.line("- **Silenced**: ", strconv.FormatUint(o.Silenced, 10), " (kept quiet by a silence; not counted above)")
	}
	if !o.FirstEvent.IsZero() {
		p.line("- **First seen**: ", stamp(o.FirstEvent))
		p.line("- **Last seen**: ", stamp(o.LastEvent))
	}
	closes := ", closes " + stamp(o.End) + " unless more comes"
	if r.Kind == KindClosed {
		closes = ", closed " + stamp(o.End)
	}
	if o.Opened.IsZero() { // offline, of an alert without a time
		p.line("- **Window**: not known, since no alert says when its event happened")
	} else {
		p.line("- **Window**: opened ", stamp(o.Opened), closes)
	}
	for _, b := range o.Blind {
		p.line("- **Blind**: Falco on ", CodeSpan(b.Host), " dropped at least ", strconv.FormatUint(b.Drops, 10), " system calls between ", stamp(b.First), " and ", stamp(b.Last))
	}
	for _, d := range o.Seen {
		p.line("- **Distinct ", d.Kind, "s**: ", distinct(d))
	}
	p.line("\n| Raw sequence | Event time | SHA-256 of the alert | What |\n|---|---|---|---|")
	for _, s := range o.Samples {
		p.line("| ", strconv.FormatUint(s.Seq, 10), " | ", stamp(s.Time), " | `", s.SHA256[:min(16, len(s.SHA256))], "…` | ", CodeCell(s.What), " |")
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
		p.line(strconv.Itoa(i+1), ". ", q.Ask.Markdown())
		if len(q.Answer) > 0 {
			p.line("   - From the alert: ", q.Answer.Markdown())
		}
	}
}

func (p *page) mitigations(list []Mitigation) {
	if len(list) == 0 {
		p.line("None is proposed for this report.")
	}
	for i := range list {
		p.heading(3, strconv.Itoa(i+1)+". "+Escape(list[i].Title))
		from := p.Len()
		p.mitigation(&list[i])
		p.steps = append(p.steps, extent{from, p.Len()})
	}
}

func (p *page) mitigation(m *Mitigation) {
	p.line(m.Description.Markdown(), "\n")
	for _, c := range m.Commands {
		p.command(c)
	}
	for _, c := range m.Configs {
		p.config(c)
	}
	p.line("- **When**: ", horizonWords[m.Horizon])
	p.line("- **Risk**: ", string(m.Risk))
	p.named("Undo", m.Undo)
	p.named("Needs", m.Needs)
	p.named("Who notices", m.Blast)
	if len(m.Attack) > 0 {
		links := make([]string, len(m.Attack))
		for i, a := range m.Attack {
			links[i] = "[" + a.ID + " " + Escape(a.Name) + "](" + a.URL + ")"
		}
		p.line("- **ATT&CK**: ", strings.Join(links, ", "))
	}
}

var horizonWords = map[Horizon]string{Now: "now", ThisWeek: "this week", ByDesign: "by design, when the workload is next changed"}

func (p *page) named(name string, t Text) {
	if len(t) > 0 {
		p.line("- **", name, "**: ", t.Markdown())
	}
}

func (p *page) command(c Command) {
	p.line("- **Command** (", string(c.Risk), ")", unready(c.Ready, c.Missing), ":\n")
	p.block("sh", c.Line)
	p.line("\n  ", c.Explain.Markdown(), "\n")
}

func (p *page) config(c Config) {
	p.line("- **Configuration** (", c.Tool, ")", unready(c.Ready, c.Missing), ":\n")
	p.block(c.Format, c.Body)
	p.line("\n  ", c.Explain.Markdown(), "\n")
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

// block writes a code block two spaces in, so that it belongs to its list item.
func (p *page) block(lang, body string) {
	for l := range strings.Lines(CodeBlock(lang, body)) {
		p.WriteString("  ")
		p.WriteString(l)
	}
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
		p.line("- ", mark, b.Cause.Markdown(), " *How to tell:* ", b.Tell.Markdown())
	}
	if a.Exception != nil {
		p.line("\n", exceptionWords[a.Exception.Ready], "\n")
		p.config(*a.Exception)
	}
}
