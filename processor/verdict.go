package processor

import "time"

// A Book answers what the ledger asks about an alert. Package rules implements
// it from playbooks. Its methods must be pure functions of the alert, must not
// keep or change it, and may be called from several goroutines.
type Book interface {
	// Identity says which alerts are the same incident.
	Identity(a *Alert) Identity
	// Grade returns the severity that Judge would give, and nothing else. It is
	// asked for every alert and must be quick.
	Grade(a *Alert) Severity
	// Judge classifies the alert. It is asked for alerts that make a report.
	Judge(a *Alert) Verdict
	// Advise explains the alert and says what to do about it. It is asked once
	// per report.
	Advise(a *Alert) Advice
}

// Identity names what makes two alerts of one rule the same incident.
type Identity struct {
	// Version is raised when the meaning of Fields changes, so that incidents of
	// the old meaning are not continued.
	Version int
	// Fields are output field names, or one of the derived names that Derived
	// lists. Empty means DefaultIdentity.
	Fields []string
	// Idle is how long an incident waits for another alert before it closes;
	// zero means one hour.
	Idle time.Duration
	// Cap is how long an incident may stay open whatever comes; zero means 24 hours.
	Cap time.Duration
}

// Verdict is the classification of one alert.
type Verdict struct {
	Category   string         `json:"category"`
	Severity   Severity       `json:"severity"`
	Score      int            `json:"score"`
	Why        []Contribution `json:"why"`
	Techniques []Technique    `json:"techniques,omitempty"`
	// Stage is the ATT&CK tactic that the behaviour serves first, such as "execution".
	Stage string `json:"stage,omitempty"`
	// Confidence is high, medium or low: how well the playbook fits this alert.
	Confidence string `json:"confidence"`
	// Test says that the alert is a known test of Falco or of its pipeline.
	Test bool `json:"test,omitempty"`
	// Playbook names the entry that was used and its version, as "id@version".
	Playbook string `json:"playbook"`
	// Match says why this playbook was taken: rule, tag, technique, source or priority.
	Match string `json:"match"`
	// Notes report what is odd about the rule's tags.
	Notes []string `json:"notes,omitempty"`
}

// Contribution is one reason for a score.
type Contribution struct {
	Points int    `json:"points"`
	Reason string `json:"reason"`
}

// Technique is an ATT&CK technique that the behaviour is an instance of.
type Technique struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	URL     string   `json:"url"`
	Tactics []string `json:"tactics,omitempty"`
	// Origin says where the mapping comes from: "rule tag" or "playbook".
	Origin string `json:"origin"`
	// Why is the playbook's reason for it.
	Why string `json:"why,omitempty"`
}

// Advice is what a playbook has to say about one alert, filled from it.
type Advice struct {
	// Title is a short name for the behaviour, without values of the alert.
	Title string `json:"title"`
	// Meaning is paragraphs: what the behaviour is and why it matters here.
	Meaning   []Text     `json:"meaning"`
	Questions []Question `json:"questions,omitempty"`
	Benign    []Benign   `json:"benign,omitempty"`
	// Mitigations come in the order to take them.
	Mitigations []Mitigation `json:"mitigations,omitempty"`
	// Exception is Falco configuration that keeps a confirmed benign case from
	// alerting again; nil when the source has no sensible one.
	Exception *Config `json:"exception,omitempty"`
	// Next is the first thing to do, one sentence.
	Next Text `json:"next"`
}

// Question is a triage question, with the answer that the alert itself gives.
type Question struct {
	Ask    Text `json:"ask"`
	Answer Text `json:"answer,omitempty"`
}

// Benign is a harmless thing that the behaviour often is.
type Benign struct {
	Cause Text `json:"cause"`
	Tell  Text `json:"tell"`
	// Likely says that this alert bears the marks of this cause.
	Likely bool `json:"likely"`
}

// Risk says what a step may break.
type Risk string

// The risks, rising.
const (
	ReadOnly    Risk = "read-only"
	Reversible  Risk = "reversible"
	Destructive Risk = "destructive"
)

// Mitigation is one thing to do about an incident.
type Mitigation struct {
	// ID is stable across incidents: the task's idempotency key is made of it.
	ID          string    `json:"id"`
	Title       string    `json:"title"`
	Kind        TaskKind  `json:"kind"`
	Horizon     Horizon   `json:"horizon"`
	Description Text      `json:"description"`
	Commands    []Command `json:"commands,omitempty"`
	Configs     []Config  `json:"configs,omitempty"`
	Risk        Risk      `json:"risk"`
	Undo        Text      `json:"undo,omitempty"`
	// Needs are prerequisites: tools, rights, RBAC.
	Needs Text `json:"needs,omitempty"`
	// Blast says who notices when it is done.
	Blast Text `json:"blast,omitempty"`
	// Attack are the ATT&CK mitigations it is an instance of.
	Attack []Reference `json:"attack,omitempty"`
	// NoTask keeps the mitigation out of the ticket system.
	NoTask bool `json:"-"`
}

// Reference is an ATT&CK object by id, name and link.
type Reference struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	URL  string `json:"url"`
}

// Horizon is when a mitigation is due: at once, within days, or as design.
type Horizon string

// The horizons.
const (
	Now      Horizon = "now"
	ThisWeek Horizon = "week"
	ByDesign Horizon = "design"
)

// Command is a line to paste into a shell. It is built from an argument vector;
// values of the alert in it are quoted.
type Command struct {
	// Where is the place to run it: kubernetes, container, host, cloud, local or any.
	Where string `json:"where"`
	Line  string `json:"line"`
	// Explain says what the command does.
	Explain Text `json:"explain"`
	Risk    Risk `json:"risk"`
	// Ready is false when the alert lacks a value; Missing then names the fields,
	// and the line has a visible placeholder for each.
	Ready   bool     `json:"ready"`
	Missing []string `json:"missing,omitempty"`
}

// Config is configuration text for a named tool, valid for that tool.
type Config struct {
	// Tool is what reads it: falco, falco-talon, kubernetes, cilium, kyverno,
	// seccomp, apparmor, systemd, fstab, sysctl, auditd ...
	Tool string `json:"tool"`
	// Format is yaml, json or text.
	Format  string   `json:"format"`
	Body    string   `json:"body"`
	Explain Text     `json:"explain"`
	Ready   bool     `json:"ready"`
	Missing []string `json:"missing,omitempty"`
}

// basePoints by priority, from Emergency on.
var basePoints = [...]Contribution{
	{90, "Falco priority Emergency"},
	{85, "Falco priority Alert"},
	{75, "Falco priority Critical"},
	{60, "Falco priority Error"},
	{50, "Falco priority Warning"},
	{35, "Falco priority Notice"},
	{20, "Falco priority Informational"},
	{10, "Falco priority Debug"},
	{40, "Falco priority Unknown"},
}

// BasePoints is the score that an alert starts from by Falco's priority.
func BasePoints(p Priority) Contribution {
	return basePoints[min(max(p, 0), PriorityUnknown)]
}

// Score adds contributions up, holds the sum between 0 and 100, and grades it:
// critical from 80, high from 60, medium from 40, low from 20, else info.
func Score(why []Contribution) (int, Severity) {
	sum := 0
	for _, c := range why {
		sum += c.Points
	}
	sum = min(max(sum, 0), 100)
	return sum, Severity(min(sum/20, int(CriticalSeverity)))
}
