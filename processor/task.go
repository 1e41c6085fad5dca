package processor

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// TaskSchema is the name and version of a task's form.
const TaskSchema = "task.v1"

// TaskKind is what a task is for.
type TaskKind string

// The kinds, in the order in which they are done.
const (
	Investigate TaskKind = "investigate"
	Contain     TaskKind = "contain"
	Harden      TaskKind = "harden"
	Tune        TaskKind = "tune"
)

// Task is one mitigation of one incident, made for a ticket system.
type Task struct {
	Schema string `json:"schema"`
	// ID is "<incident>/task/<mitigation>".
	ID          string   `json:"id"`
	Incident    string   `json:"incident"`
	Fingerprint string   `json:"fingerprint"`
	Previous    string   `json:"previous,omitempty"`
	Mitigation  string   `json:"mitigation"`
	Title       string   `json:"title"`
	Kind        TaskKind `json:"kind"`
	Severity    Severity `json:"severity"`
	// Priority is 1 (do it first) to 5.
	Priority int       `json:"priority"`
	Horizon  Horizon   `json:"horizon"`
	Created  time.Time `json:"created"`
	Due      time.Time `json:"due"`
	// Body is Markdown for a ticket's text.
	Body  string `json:"body"`
	Steps []Step `json:"steps"`
	Risk  Risk   `json:"risk"`
	// Labels route a ticket: rule, source, category, namespace, workload, host,
	// cluster, technique. Absent ones are left out.
	Labels map[string]string `json:"labels"`
	// Assignee is a hint of who should take it, such as "owner of namespace shop".
	Assignee string `json:"assignee,omitempty"`
	// Key is the idempotency key: the same for every incident of one fingerprint
	// and mitigation, so that a returning incident finds its old ticket.
	Key string `json:"idempotency_key"`
}

// Step is one command to run or one configuration to apply.
type Step struct {
	Type    string   `json:"type"` // command or config
	Where   string   `json:"where,omitempty"`
	Tool    string   `json:"tool,omitempty"`
	Format  string   `json:"format,omitempty"`
	Text    string   `json:"text"`
	Explain Text     `json:"explain"`
	Risk    Risk     `json:"risk"`
	Ready   bool     `json:"ready"`
	Missing []string `json:"missing,omitempty"`
}

// Shrink makes a task that is too long to publish shorter: its steps go, and
// its text keeps the summary and says so. Text is never cut inside a line, where
// that would let a value out of its code span.
func (t *Task) Shrink() {
	t.Steps = []Step{}
	t.Body, _, _ = strings.Cut(t.Body, taskHeading)
	t.Body += "The task was too long to publish whole; its steps were left out.\n"
}

// maxTasks bounds the tasks of one incident.
const maxTasks = 16

// ticketed reports whether a mitigation is worth a ticket at this severity. What
// is only worth knowing gets none; what is low is looked at or tuned away, and
// not yet contained.
func (m *Mitigation) ticketed(s Severity) bool {
	switch {
	case m.NoTask || s == Info:
		return false
	case s == Low:
		return m.Kind == Investigate || m.Kind == Tune
	}
	return true
}

// newTasks makes the tasks that report r brings: one for each mitigation that is
// worth a ticket and has none yet. The report was written on p.
func newTasks(in *Incident, a *Alert, r *Report, p *page) []Task {
	var out []Task
	routes := labels(a, r)
	for i := range r.Advice.Mitigations {
		m := &r.Advice.Mitigations[i]
		if !m.ticketed(r.Severity) || slices.Contains(in.Tasks, m.ID) || len(in.Tasks)+len(out) >= maxTasks {
			continue
		}
		t := newTask(in, a, r, m)
		t.Labels = maps.Clone(routes)
		t.Body = p.task(r, m, p.steps[i].of(r.Markdown))
		out = append(slices.Grow(out, len(r.Advice.Mitigations)-i), t)
	}
	return out
}

func newTask(in *Incident, a *Alert, r *Report, m *Mitigation) Task {
	return Task{
		Schema: TaskSchema, ID: in.ID + "/task/" + m.ID, Incident: in.ID, Fingerprint: in.Fingerprint,
		Previous: in.Previous, Mitigation: m.ID, Title: taskTitle(a, m), Kind: m.Kind, Severity: r.Severity,
		Priority: taskPriority(r.Severity, m.Horizon), Horizon: m.Horizon, Created: r.At,
		Due: r.At.Add(dueIn(r.Severity, m.Horizon)), Steps: steps(m), Risk: m.Risk,
		Assignee: assignee(a), Key: in.Fingerprint + "/" + m.ID,
	}
}

func taskTitle(a *Alert, m *Mitigation) string {
	if where, ok := Derive(a, "workload"); ok {
		return Visible(m.Title + " (" + where + ")")
	}
	return Visible(m.Title)
}

// dueIn is how long a task of this severity and horizon may take.
func dueIn(s Severity, h Horizon) time.Duration {
	const day = 24 * time.Hour
	byHorizon := map[Horizon]time.Duration{ThisWeek: 7 * day, ByDesign: 30 * day}
	bySeverity := [...]time.Duration{Info: 30 * day, Low: 14 * day, Medium: 3 * day, High: day, CriticalSeverity: 4 * time.Hour}
	return max(bySeverity[s], byHorizon[h])
}

// taskPriority is 1 for what is critical and due now, up to 5.
func taskPriority(s Severity, h Horizon) int {
	p := 1 + int(CriticalSeverity-s)
	if h != Now {
		p++
	}
	return min(p, 5)
}

const taskHeading = "## What to Do\n\n"

// task writes the body of a task, whose steps stand in the report already.
func (p *page) task(r *Report, m *Mitigation, steps string) string {
	p.Reset()
	p.line(r.Summary.Markdown(), "\n")
	p.WriteString(taskHeading)
	p.WriteString(steps)
	p.line("\n---\n\nIncident ", CodeSpan(r.Incident), ", mitigation ", CodeSpan(m.ID), ". The report ", CodeSpan(r.ID), " explains the alert.")
	return p.String()
}

func steps(m *Mitigation) []Step {
	out := make([]Step, 0, len(m.Commands)+len(m.Configs))
	for _, c := range m.Commands {
		out = append(out, Step{Type: "command", Where: c.Where, Text: c.Line, Explain: c.Explain, Risk: c.Risk, Ready: c.Ready, Missing: c.Missing})
	}
	for _, c := range m.Configs {
		out = append(out, Step{Type: "config", Tool: c.Tool, Format: c.Format, Text: c.Body, Explain: c.Explain, Risk: m.Risk, Ready: c.Ready, Missing: c.Missing})
	}
	return out
}

func labels(a *Alert, r *Report) map[string]string {
	out := map[string]string{"rule": Slug(a.Rule), "source": Visible(a.Source), "category": r.Verdict.Category}
	for _, name := range []string{"cluster", "namespace", "workload", "host", "image"} {
		if v, ok := Derive(a, name); ok {
			out[name] = Visible(v)
		}
	}
	if len(r.Verdict.Techniques) > 0 {
		out["technique"] = r.Verdict.Techniques[0].ID
	}
	return out
}

func assignee(a *Alert) string {
	if ns, ok := Derive(a, "namespace"); ok {
		return Visible("owner of namespace " + ns)
	}
	if audited(a) {
		return ""
	}
	if a.Hostname != "" {
		return Visible("owner of host " + a.Hostname)
	}
	return ""
}
