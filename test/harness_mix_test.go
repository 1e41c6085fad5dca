//go:build unix

package test

import (
	"fmt"
	"hash/fnv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
)

// mix is an endless row of messages of every sort that Falconer tells apart:
// workloads that never rest and such that come in bursts, alerts of all
// severities, copies, alerts without a date, Falco's own snapshots, and poison.
// The i-th message is always the same.
type mix struct{}

// How the mix is made up.
const (
	mixRules  = 24
	mixSteady = 3    // workloads that never rest, two alerts of five
	mixGroup  = 20   // workloads that come in one burst
	mixGroups = 8    // bursts, until the first comes again
	mixTurn   = 1000 // messages while a burst lasts
)

// window is what a playbook of the mix says about an incident's length.
type window struct {
	version   int
	idle, cap time.Duration
	fields    []string
}

// mixWindows are for rules of even and of odd numbers.
var mixWindows = [2]window{
	{1, 2 * time.Second, 20 * time.Second, []string{"namespace", "workload", "process"}},
	{2, time.Second, 5 * time.Second, []string{"namespace", "workload"}},
}

const mixPlaybook = `
  - id: mixed-%d
    version: 1
    title: Mixed alert
    match: {rules: [%s]}
    identity: {version: %d, idle: %s, cap: %s, fields: [%s]}
    category: test
    adjust:
      - when: f("proc.cmdline") contains "--grave"
        add: 25
        why: the command says that it is grave
    meaning: "An alert of a load test: {proc.cmdline}."
    mitigations:
      - id: look
        title: Look at the pod
        kind: investigate
        horizon: now
        description: See what the pod does.
        commands:
          - where: kubernetes
            run: [kubectl, -n, "{k8s.ns.name}", get, pod, "{k8s.pod.name}", -o, yaml]
            explain: Prints the pod.
        risk: read-only
        needs: Read access to pods.
        blast: Nobody.
      - id: block
        title: Keep the pod from the network
        kind: contain
        horizon: week
        description: Whatever it is, it tells nobody.
        risk: reversible
        undo: Let it out again.
        needs: The right to write policies.
        blast: The workload's users.
      - id: shape
        title: Give the pod a shape in which it cannot do this
        kind: harden
        horizon: design
        description: What it may not do it will not do.
        risk: reversible
        undo: Roll the deployment back.
        needs: The right to deploy.
        blast: The workload's users.
    next: Look at the pod.
`

func mixRule(n int) string { return fmt.Sprintf("Mixed rule %02d", n) }

// writeMixPlaybooks writes the mix's playbooks into a folder of their own.
func writeMixPlaybooks(t *testing.T) string {
	t.Helper()
	text := "playbooks:"
	for odd, w := range mixWindows {
		var names []string
		for n := odd; n < mixRules; n += 2 {
			names = append(names, fmt.Sprintf("%q", mixRule(n)))
		}
		if odd == 0 {
			names = append(names, fmt.Sprintf("%q", ruleDrops))
		}
		text += fmt.Sprintf(mixPlaybook, odd, strings.Join(names, ", "), w.version, w.idle, w.cap, strings.Join(w.fields, ", "))
	}
	text += fmt.Sprintf(mixPlaybook, len(mixWindows), fmt.Sprintf("%q", processor.RuleLost), 1, 2*time.Second, 20*time.Second, "falconer.partition")
	return writeFile(t, "mix.yaml", text)
}

// scramble is a number that looks random and is the same for the same i.
func scramble(i int) int {
	h := fnv.New32a()
	fmt.Fprint(h, i)
	return int(h.Sum32() >> 1)
}

func (mix) workload(i int) int {
	if i%5 < 2 {
		return i % mixSteady
	}
	return mixSteady + i/mixTurn%mixGroups*mixGroup + scramble(i)%mixGroup
}

// words are the alert's priority and the end of its command: they decide about
// the severity, which so rises now and then.
func (mix) words(i int) (priority, command string) {
	switch r := scramble(i) / 64 % 1000; {
	case r < 4:
		return "Critical", " --grave"
	case r < 25:
		return "Error", ""
	case r < 120:
		return "Warning", ""
	case r < 900:
		return "Notice", ""
	case r < 970:
		return "Informational", ""
	}
	return "Debug", ""
}

const mixAlert = `{"uuid":"%08x-0000-4000-8000-%012x","output":"Mixed alert %d","priority":"%s","rule":"%s",%s"source":"syscall","output_fields":{"container.id":"%012x","container.image.repository":"registry.example/shop/%s","container.image.tag":"v1.%d","container.name":"app","evt.type":"execve","fd.name":null,"k8s.ns.name":"shop","k8s.pod.name":"%s","proc.cmdline":"%s","proc.exepath":"/srv/bin/tool","proc.name":"tool","proc.tty":0,"user.name":"%s","user.uid":1000},"hostname":"node-%02d","tags":["container","T1059","","mitre_execution","container"]}`

// alert is the i-th alert as that sender publishes it. Every 151st has no date.
func (x mix) alert(i, sender int) (subject string, data []byte) {
	w := x.workload(i)
	rule, name := mixRule(w%mixRules), fmt.Sprintf("mix-%03d", w)
	pod := name + "-7c9d8f6b5c-" + []string{"x2k4p", "v8bqz", "mm5tw"}[i%3]
	priority, grave := x.words(i)
	when := fmt.Sprintf(`"time":%q,`, loadBegan.Add(time.Duration(i)*time.Millisecond).Format(time.RFC3339Nano))
	if i%151 == 150 {
		when = ""
	}
	command := fmt.Sprintf("tool --number %d%s", i, grave)
	user := fmt.Sprintf("user-%02d", scramble(i)%14)
	data = fmt.Appendf(nil, mixAlert, sender, i, i, priority, rule, when, w, name, i%3, pod, command, user, i%12)
	return "falco." + strings.ToLower(priority) + "." + slug(rule), data
}

// stray is what the i-th message is when it is no alert of a workload, or empty.
func (mix) stray(i int) (subject string, data []byte) {
	switch {
	case i%97 == 96:
		p := []struct{ subject, data string }{
			{"falco.notice.mixed_rule_03", `{"rule":"Mixed rule 03","output_fields":{"proc.name":"to`},
			{"falco.notice.text", "no alert at all"},
			{"falco.odd", `{"priority":"Notice"}`},
			{"falco.error.a.b.c", "\x1b[31m\x00\xff"},
		}[i/97%4]
		return p.subject, fmt.Append([]byte(p.data), " ", i)
	case i%199 == 198:
		return "falco.informational.falco_internal_metrics_snapshot", fmt.Appendf(nil,
			`{"rule":"Falco internal: metrics snapshot","priority":"Informational","source":"internal","output":"Falco metrics snapshot","hostname":"node-%02d","output_fields":{"falco.num_evts":%d}}`, i%12, i)
	}
	return "", nil
}

// drop is Falco's word now and then that it has dropped system calls, in the form
// of the workload's alerts. Partitions that do not count it read it too.
func (x mix) drop(i int) (subject string, data []byte) {
	if i%211 != 210 {
		return "", nil
	}
	_, data = x.alert(i, 0)
	text := strings.Replace(string(data), `"source":"syscall"`, `"source":"internal"`, 1)
	text = strings.Replace(text, mixRule(x.workload(i)%mixRules), ruleDrops, 1)
	text = strings.Replace(text, `"proc.tty":0`, fmt.Sprintf(`"n_drops":"%d"`, i%90), 1)
	return "falco.debug." + slug(ruleDrops), []byte(text)
}

// ruleDrops is the name that Falco gives its alerts about dropped system calls.
const ruleDrops = "Falco internal: syscall event drop"

// order is an order to silence now and then, or to end the silence before its
// time, or empty. Until when it silences depends on the time, and nothing else here.
func (mix) order(i int, now time.Time) (subject string, data []byte) {
	switch {
	case i%1400 == 700:
		matcher := []string{"rule=" + mixRule(i/1400%mixRules), "workload=mix-001", "severity=low"}[i/1400%3]
		return fmt.Sprintf("falconer.silence.%08x", i), fmt.Appendf(nil,
			`{"schema":"silence.v1","add":{"id":"%08x","matchers":[%q],"author":"mix","reason":"a test","until":%q}}`, i, matcher, now.Add(4*time.Second).UTC().Format(time.RFC3339Nano))
	case i%2800 == 2800-500:
		return fmt.Sprintf("falconer.silence.%08x", i-200), fmt.Appendf(nil,
			`{"schema":"silence.v1","expire":{"id":"%08x","author":"mix","reason":"enough"}}`, i-200)
	}
	return "", nil
}

// messages are what is published as the i-th: one message, or an alert and its copy.
func (x mix) messages(i int) (out []*nats.Msg) {
	put := func(sender int, subject string, data []byte) {
		m := nats.NewMsg(subject)
		m.Data = data
		m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("mix-%d-%d", i, sender))
		out = append(out, m)
	}
	if subject, data := x.order(i, time.Now()); subject != "" {
		put(0, subject, data)
		return out
	}
	if subject, data := x.stray(i); subject != "" {
		put(0, subject, data)
		return out
	}
	if subject, data := x.drop(i); subject != "" {
		put(0, subject, data)
		return out
	}
	subject, data := x.alert(i, 0)
	put(0, subject, data)
	if copied(i) {
		subject, data = x.alert(i, 1)
		put(1, subject, data)
	}
	return out
}
