//go:build unix

package test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// seenAlert is what the oracle reads from a stored message of the mix. It is
// read here once more, by code that has nothing of Falconer's.
type seenAlert struct {
	Rule     string         `json:"rule"`
	Priority string         `json:"priority"`
	Source   string         `json:"source"`
	Hostname string         `json:"hostname"`
	Time     time.Time      `json:"time"`
	Tags     []string       `json:"tags"`
	Fields   map[string]any `json:"output_fields"`
}

// readAlert returns nil for what is no alert.
func readAlert(data []byte) *seenAlert {
	a := &seenAlert{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if dec.Decode(a) != nil || dec.More() || a.Rule == "" {
		return nil
	}
	return a
}

func (a *seenAlert) field(name string) string {
	if a.Fields[name] == nil {
		return ""
	}
	return fmt.Sprint(a.Fields[name])
}

// tags are the alert's without empty ones and repeats.
func (a *seenAlert) tags() []string {
	tags := slices.DeleteFunc(slices.Sorted(slices.Values(a.Tags)), func(t string) bool { return t == "" })
	return slices.Compact(tags)
}

// window is that of the playbook for the alert's rule.
func (a *seenAlert) window() window {
	n, _ := strconv.Atoi(strings.TrimPrefix(a.Rule, "Mixed rule "))
	return mixWindows[n%2]
}

// derived is one of the values by which the playbooks tell incidents apart.
func (a *seenAlert) derived(name string) string {
	switch name {
	case "namespace":
		return a.field("k8s.ns.name")
	case "workload": // the pod's name without the suffix that the mix gives all pods
		name, _, _ := strings.Cut(a.field("k8s.pod.name"), "-7c9d8f6b5c-")
		return name
	case "process":
		return a.field("proc.name")
	case "image":
		return a.field("container.image.repository") + ":" + a.field("container.image.tag")
	}
	panic("the mix has no " + name)
}

// identity returns the values of the identity and the fingerprint: 16 digits of
// the hash of the identity's version, the rule, the source and the values.
func (a *seenAlert) identity() (fingerprint string, values map[string]string) {
	w := a.window()
	values = map[string]string{}
	for _, name := range w.fields {
		values[name] = a.derived(name)
	}
	text, _ := json.Marshal([]any{w.version, a.Rule, a.Source, values})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:16], values
}

// event is the same for the copies of one event, and empty for an alert that
// cannot be known as one.
func (a *seenAlert) event() string {
	if a.Time.IsZero() {
		return ""
	}
	text := fmt.Sprintf("%q %q %q %s", a.Hostname, a.Rule, a.Source, a.Time)
	for _, k := range slices.Sorted(maps.Keys(a.Fields)) {
		text += fmt.Sprintf(" %s=%q", k, a.field(k))
	}
	return text
}

// severities, rising.
var severities = []string{"info", "low", "medium", "high", "critical"}

// severity is the rank of the alert among severities: the points that Falco's
// priority gives, and 25 more for a grave command.
func (a *seenAlert) severity() int {
	points := map[string]int{
		"Emergency": 90, "Alert": 85, "Critical": 75, "Error": 60, "Warning": 50, "Notice": 35, "Informational": 20, "Debug": 10,
	}[a.Priority]
	if strings.Contains(a.field("proc.cmdline"), "--grave") {
		points += 25
	}
	return min(points/20, len(severities)-1)
}
