//go:build unix

package test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// prediction is an output as the oracle expects it: where, and the fields that
// it can know.
type prediction struct {
	id, subject string
	fields      any
}

// reportFields are a report's without its texts.
type reportFields struct {
	ID          string            `json:"id"`
	Kind        string            `json:"kind"`
	Incident    string            `json:"incident"`
	Fingerprint string            `json:"fingerprint"`
	Previous    string            `json:"previous"`
	At          time.Time         `json:"at"`
	Rule        string            `json:"rule"`
	Source      string            `json:"source"`
	Priority    string            `json:"priority"`
	Tags        []string          `json:"tags"`
	Severity    string            `json:"severity"`
	Place       string            `json:"place"`
	Identity    map[string]string `json:"identity"`
	Occurrences occurrenceFields  `json:"occurrences"`
}

type occurrenceFields struct {
	Count      uint64           `json:"count"`
	Resent     uint64           `json:"resent"`
	Silenced   uint64           `json:"silenced"`
	FirstEvent time.Time        `json:"first_event"`
	LastEvent  time.Time        `json:"last_event"`
	Opened     time.Time        `json:"opened"`
	Last       time.Time        `json:"last"`
	End        time.Time        `json:"end"`
	Seen       []distinctFields `json:"seen"`
	Samples    []sampleFields   `json:"samples"`
}

type sampleFields struct {
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	SHA256 string    `json:"sha256"`
	What   string    `json:"what"`
}

type distinctFields struct {
	Kind   string   `json:"kind"`
	Values []string `json:"values"`
	More   bool     `json:"more"`
}

// taskFields are a task's without its texts.
type taskFields struct {
	ID          string            `json:"id"`
	Incident    string            `json:"incident"`
	Fingerprint string            `json:"fingerprint"`
	Previous    string            `json:"previous"`
	Mitigation  string            `json:"mitigation"`
	Title       string            `json:"title"`
	Kind        string            `json:"kind"`
	Severity    string            `json:"severity"`
	Priority    int               `json:"priority"`
	Horizon     string            `json:"horizon"`
	Created     time.Time         `json:"created"`
	Due         time.Time         `json:"due"`
	Risk        string            `json:"risk"`
	Labels      map[string]string `json:"labels"`
	Assignee    string            `json:"assignee"`
	Key         string            `json:"idempotency_key"`
}

// deadFields are a dead letter's without the reason, which must be there.
type deadFields struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Subject string    `json:"subject"`
	Size    int       `json:"size"`
	SHA256  string    `json:"sha256"`
	Raw     []byte    `json:"raw"`
}

// mixTask is a mitigation of the mix's playbook.
type mixTask struct{ id, title, kind, horizon, risk string }

var mixTasks = []mixTask{
	{"look", "Look at the pod", "investigate", "now", "read-only"},
	{"block", "Keep the pod from the network", "contain", "week", "reversible"},
	{"shape", "Give the pod a shape in which it cannot do this", "harden", "design", "reversible"},
}

// due reports whether the severity of that rank is worth the task: none at info,
// only looking at low.
func (task mixTask) due(rank int) bool { return rank > 1 || rank == 1 && task.kind == "investigate" }

func (in *oracleIncident) predictReport(kind string, at time.Time) prediction {
	f, a := in.f, in.evidence
	f.ID, f.Kind, f.At, f.Severity, f.Place = f.Incident+"/"+kind, kind, at, severities[in.rank], "kubernetes"
	f.Rule, f.Source, f.Priority, f.Tags = a.Rule, a.Source, a.Priority, a.tags()
	f.Occurrences.Samples = slices.Clone(f.Occurrences.Samples)
	f.Occurrences.Seen = slices.Clone(f.Occurrences.Seen)
	for i := range f.Occurrences.Seen {
		f.Occurrences.Seen[i].Values = slices.Clone(f.Occurrences.Seen[i].Values)
	}
	return prediction{f.ID, strings.Join([]string{"falconer.report", f.Severity, slug(a.Rule), f.Incident, kind}, "."), f}
}

func (in *oracleIncident) predictTask(task mixTask, at time.Time) prediction {
	const day = 24 * time.Hour
	a := in.evidence
	f := taskFields{
		ID: in.f.Incident + "/task/" + task.id, Incident: in.f.Incident, Fingerprint: in.f.Fingerprint, Previous: in.f.Previous,
		Mitigation: task.id, Title: task.title + " (" + a.derived("workload") + ")", Kind: task.kind, Severity: severities[in.rank],
		Priority: 5 - in.rank, Horizon: task.horizon, Created: at, Risk: task.risk, Key: in.f.Fingerprint + "/" + task.id,
		Assignee: "owner of namespace " + a.derived("namespace"),
		Labels: map[string]string{
			"rule": slug(a.Rule), "source": a.Source, "category": "test", "namespace": a.derived("namespace"),
			"workload": a.derived("workload"), "host": a.Hostname, "image": a.derived("image"), "technique": "T1059",
		},
	}
	if task.horizon != "now" {
		f.Priority = min(f.Priority+1, 5)
	}
	within := []time.Duration{30 * day, 14 * day, 3 * day, day, 4 * time.Hour}[in.rank]
	f.Due = at.Add(max(within, map[string]time.Duration{"week": 7 * day, "design": 30 * day}[task.horizon]))
	return prediction{f.ID, strings.Join([]string{"falconer.task", f.Severity, task.kind, f.Incident, task.id}, "."), f}
}

func predictDead(m rawMessage) prediction {
	sum := sha256.Sum256(m.data)
	id := fmt.Sprintf("dead/%d-%s", m.seq, era(m.born))
	return prediction{id, fmt.Sprintf("falconer.dead.%d.%s", m.seq, era(m.born)), deadFields{m.seq, m.at, m.origin(), len(m.data), hex.EncodeToString(sum[:]), m.data}}
}

// differs says in which fields an output is not as predicted, or nothing.
func (p prediction) differs(o output) (out []string) {
	if o.subject != p.subject {
		out = append(out, fmt.Sprintf("%s: subject is %s, want %s", p.id, o.subject, p.subject))
	}
	var got any
	switch p.fields.(type) {
	case reportFields:
		got = decoded[reportFields](o.data)
	case taskFields:
		got = decoded[taskFields](o.data)
	case deadFields:
		got = decoded[deadFields](o.data)
		if decoded[struct{ Reason string }](o.data).Reason == "" {
			out = append(out, p.id+": no reason is given")
		}
	}
	return append(out, fieldDiff(p.id, fieldsOf(got), fieldsOf(p.fields))...)
}

func decoded[T any](data []byte) (v T) {
	if err := json.Unmarshal(data, &v); err != nil {
		panic(fmt.Sprintf("%s: %v", data, err))
	}
	return v
}

// fieldsOf is a value as a tree, in which times of one moment are the same.
func fieldsOf(v any) map[string]any {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return decoded[map[string]any](text)
}

// fieldDiff compares trees, field by field.
func fieldDiff(path string, got, want map[string]any) (out []string) {
	for k := range want {
		if g, ok := got[k].(map[string]any); ok {
			if w, ok := want[k].(map[string]any); ok {
				out = append(out, fieldDiff(path+": "+k, g, w)...)
				continue
			}
		}
		if g, w := fmt.Sprint(got[k]), fmt.Sprint(want[k]); g != w {
			out = append(out, fmt.Sprintf("%s: %s is %.300s, want %.300s", path, k, g, w))
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			out = append(out, fmt.Sprintf("%s: %s is %.300v, want nothing", path, k, got[k]))
		}
	}
	slices.Sort(out)
	return out
}
