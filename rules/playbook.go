package rules

import "time"

// File is the form of one playbook file. A file holds playbooks that belong
// together, and mitigations that several playbooks share.
type File struct {
	Playbooks   []Playbook   `yaml:"playbooks"`
	Mitigations []Mitigation `yaml:"mitigations"`
}

// Playbook is what Falconer knows about one behaviour.
//
// Prose in it may use Markdown and placeholders in braces: {proc.cmdline} is an
// output field, {let.name} a value taken out by Let, {your.name} something that
// the operator fills in, and {rule}, {source}, {hostname}, {priority}, {output}
// and the names that processor.Derive knows are there too. {name|default} gives
// a default. In prose a placeholder becomes a code span, in a command one quoted
// argument or part of one, in configuration a scalar. "{{" writes a brace.
//
// Conditions ("when") are expressions of github.com/expr-lang/expr over the
// variables and functions that the package's documentation lists.
type Playbook struct {
	// ID is the playbook's own name: lower case, digits, dashes; unique.
	ID string `yaml:"id"`
	// Version is raised with every change that shows in a report.
	Version int `yaml:"version"`
	// Title is a short name of the behaviour for people, without placeholders.
	Title string `yaml:"title"`
	Match Match  `yaml:"match"`
	// Identity and the windows; left out, the default identity and 1h/24h hold.
	Identity *Identity `yaml:"identity"`
	// Category is what ticket systems route by: a tactic of ATT&CK in words
	// (credential access), or one that is no attack (configuration, visibility).
	Category string `yaml:"category"`
	// Attack names ATT&CK techniques or tactics beyond, or instead of, the rule's tags.
	Attack []Mapping `yaml:"attack"`
	// Let takes named values out of fields, for use as {let.name}.
	Let map[string]Extract `yaml:"let"`
	// Adjust moves the score.
	Adjust []Adjustment `yaml:"adjust"`
	// Meaning is paragraphs (separated by an empty line) on what the behaviour
	// is, why an attacker does it, and what it means here.
	Meaning string `yaml:"meaning"`
	// Also adds a paragraph when a condition holds.
	Also []Statement `yaml:"also"`
	// Questions are for triage; an answer is given when the alert has it.
	Questions []Question `yaml:"questions"`
	Benign    []Benign   `yaml:"benign"`
	// Mitigations in the order to take them: look and preserve, contain, harden, tune.
	Mitigations []Mitigation `yaml:"mitigations"`
	// Exception is the ready Falco exception for a confirmed benign case.
	Exception *Exception `yaml:"exception"`
	// Next is the first thing to do, one sentence.
	Next string `yaml:"next"`
	// Examples are the playbook's tests.
	Examples []Example `yaml:"examples"`
}

// Match says which alerts a playbook is for. One kind of key only: rules, tags
// (a tag as written, or an ATT&CK technique or tactic id), sources, priorities,
// or all: true for what holds for every alert: such a playbook has lets,
// adjustments, benign causes with a condition, and examples, and nothing else.
//
// Former are names that the rules had in earlier versions of Falco: their alerts
// are matched like those of the rules.
type Match struct {
	Rules      []string `yaml:"rules"`
	Former     []string `yaml:"former"`
	Tags       []string `yaml:"tags"`
	Sources    []string `yaml:"sources"`
	Priorities []string `yaml:"priorities"`
	All        bool     `yaml:"all"`
}

// Identity is processor.Identity in YAML.
type Identity struct {
	Version int           `yaml:"version"`
	Fields  []string      `yaml:"fields"`
	Idle    time.Duration `yaml:"idle"`
	Cap     time.Duration `yaml:"cap"`
}

// Mapping is an ATT&CK id and the reason for it, which the report gives.
type Mapping struct {
	ID  string `yaml:"id"`
	Why string `yaml:"why"`
	// Instead replaces a tag's technique that does not fit, by its id.
	Instead string `yaml:"instead"`
}

// Extract takes the only group of a regular expression (RE2) out of the first
// of the fields that matches. (?:...) is a group that does not count.
type Extract struct {
	From  []string `yaml:"from"`
	Match string   `yaml:"match"`
}

// Adjustment adds points to the score when a condition holds.
type Adjustment struct {
	When string `yaml:"when"`
	Add  int    `yaml:"add"`
	Why  string `yaml:"why"`
}

// Statement is a paragraph under a condition.
type Statement struct {
	When string `yaml:"when"`
	Say  string `yaml:"say"`
}

// Question is asked in triage. The first answer whose condition holds, and
// whose placeholders all have values, is given.
type Question struct {
	Ask     string      `yaml:"ask"`
	Answers []Statement `yaml:"answers"`
}

// Benign is a harmless cause. When its condition holds the report calls it
// likely; with test, which needs a condition, it calls the alert a test.
type Benign struct {
	Cause string `yaml:"cause"`
	Tell  string `yaml:"tell"`
	When  string `yaml:"when"`
	Test  bool   `yaml:"test"`
}

// Mitigation is one thing to do. In a playbook's list it may name a shared one
// with use, say why it helps here with because, and narrow it with when. A shared
// mitigation knows no lets but those of playbooks for all alerts.
type Mitigation struct {
	Use     string `yaml:"use"`
	Because string `yaml:"because"`

	ID          string    `yaml:"id"`
	Title       string    `yaml:"title"`
	When        string    `yaml:"when"`
	Kind        string    `yaml:"kind"`    // investigate, contain, harden, tune
	Horizon     string    `yaml:"horizon"` // now, week, design
	Description string    `yaml:"description"`
	Commands    []Command `yaml:"commands"`
	Configs     []Config  `yaml:"configs"`
	Risk        string    `yaml:"risk"` // read-only, reversible, destructive
	Undo        string    `yaml:"undo"`
	Needs       string    `yaml:"needs"`
	Blast       string    `yaml:"blast"`
	Attack      []string  `yaml:"attack"` // M1038 ...
	Task        *bool     `yaml:"task"`   // false: not worth a ticket
}

// Command is an argument vector. Where says for which places it is meant, with
// spaces between; it is shown only for alerts of such a place: kubernetes (the
// alert names a pod), container (a container, no pod), host (neither), cluster
// (the audit log of a Kubernetes API), cloud (other sources); any, local (the reader's own machine) and nothing at all are
// for every place. More vectors in Pipe follow with "|"; To redirects the last
// one's output to a file.
type Command struct {
	Where   string     `yaml:"where"`
	When    string     `yaml:"when"`
	Run     []string   `yaml:"run"`
	Pipe    [][]string `yaml:"pipe"`
	To      string     `yaml:"to"`
	Explain string     `yaml:"explain"`
	Risk    string     `yaml:"risk"` // left out: the mitigation's
}

// Config is configuration for a tool: exactly one of YAML or JSON as a tree whose
// scalars may hold placeholders, or lines of text for formats that have no tree.
// A scalar with a placeholder is written as a string; !!int "{fd.rport}" as a
// number. For the tools falco, falco-talon, kubernetes, cilium, calico, kyverno,
// gatekeeper and seccomp the tree is checked for validity, for fstab, sysctl,
// auditd and systemd the lines; a fragment of an object is a kubernetes-patch.
type Config struct {
	Tool    string   `yaml:"tool"`
	Where   string   `yaml:"where"`
	When    string   `yaml:"when"`
	YAML    Tree     `yaml:"yaml"`
	JSON    Tree     `yaml:"json"`
	Lines   []string `yaml:"lines"`
	Explain string   `yaml:"explain"`
}

// Exception names the fields that together describe the benign case; comps are
// Falco's operators, "=" where left out; those that take the value for a pattern
// are not allowed. It is emitted only with values that the alert has.
type Exception struct {
	Name   string   `yaml:"name"`
	Fields []string `yaml:"fields"`
	Comps  []string `yaml:"comps"`
	Why    string   `yaml:"why"`
}

// Example is an alert and what must come of it.
type Example struct {
	Name  string         `yaml:"name"`
	Alert map[string]any `yaml:"alert"`
	// Match is whether the playbook must be the one taken or, for one that is for
	// all alerts, whether it must have something to say.
	Match bool `yaml:"match"`
	// Severity, Test and Contains are checked when given; Contains are pieces of
	// the plain text of verdict and advice: see Plain.
	Severity string   `yaml:"severity"`
	Test     *bool    `yaml:"test"`
	Contains []string `yaml:"contains"`
	Lacks    []string `yaml:"lacks"`
}
