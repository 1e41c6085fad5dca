package processor

import "time"

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
