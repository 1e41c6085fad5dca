package processor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWorkload(t *testing.T) {
	for _, row := range []struct{ name, pod, want string }{
		{"a Deployment's pod", "web-7c5ddbdf54-x2v9k", "web"},
		{"a Deployment's pod with a short hash", "user-5c8d59b4-vbrht", "user"},
		{"a Deployment whose name has dashes and digits", "cart-v2-db-7c5ddbdf54-x2v9k", "cart-v2-db"},
		{"a CronJob's pod", "backup-28374650-7xk2p", "backup"},
		{"a DaemonSet's pod", "falco-7pvrx", "falco"},
		{"a Job's pod", "pi-5rwd7", "pi"},
		{"a StatefulSet's pod", "redis-0", "redis"},
		{"a StatefulSet's pod past nine", "kafka-broker-12", "kafka-broker"},
		{"a pod that nobody controls", "alpine", "alpine"},
		{"a name of words", "web-server", "web-server"},
		{"a word with a vowel is no suffix", "my-nginx", "my-nginx"},
		{"a suffix of letters that Kubernetes never makes", "web-7c5ddbdf54-aeiou", "web-7c5ddbdf54-aeiou"},
		{"a year stays no suffix of its own size", "archive-20260301", "archive-20260301"},
		{"nothing but a suffix", "-7pvrx", "-7pvrx"},
		{"only the last suffix of an indexed Job is known", "pi-0-x7xkq", "pi-0"},
		{"no pod", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) { require.Equal(t, row.want, Workload(row.pod)) })
	}
}

func TestPlace(t *testing.T) {
	for _, row := range []struct {
		name, source string
		fields       map[string]string
		want         string
	}{
		{"a pod", "syscall", map[string]string{"k8s.pod.name": "web-0", "container.id": "ac7c5359a04b"}, Kubernetes},
		{"a pod by k8smeta", "syscall", map[string]string{"k8smeta.pod.name": "web-0"}, Kubernetes},
		{"a container by its id", "syscall", map[string]string{"container.id": "ac7c5359a04b"}, Container},
		{"a container by its name", "syscall", map[string]string{"container.name": "web"}, Container},
		{"a container by its image", "syscall", map[string]string{"container.image.repository": "alpine"}, Container},
		{"a namespace alone is no pod", "syscall", map[string]string{"k8s.ns.name": "shop"}, Host},
		{"the word host", "syscall", map[string]string{"container.id": "host", "container.name": "host"}, Host},
		{"no fields", "syscall", nil, Host},
		{"Falco about itself", "internal", nil, Host},
		{"a source unknown", "", nil, Host},
		{"an audit log", "k8s_audit", map[string]string{"ka.target.name": "web"}, Cluster},
		{"an audit log that names a pod", "k8s_audit", map[string]string{"k8s.pod.name": "web"}, Cluster},
		{"any plugin", "okta", nil, Cloud},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.want, Place(&Alert{Source: row.source, Fields: row.fields}))
		})
	}
}

func TestDerive(t *testing.T) {
	pod := &Alert{Source: "syscall", Hostname: "node-1", Fields: map[string]string{
		"k8s.ns.name": "shop", "k8s.pod.name": "web-7c5ddbdf54-x2v9k", "container.name": "web", "container.id": "ac7c5359a04b",
		"container.image.repository": "alpine", "container.image.tag": "3.20", "proc.name": "sh", "proc.exepath": "/bin/busybox",
		"user.name": "root", "user.uid": "0", "k8s_cluster_name": "prod",
	}}
	host := &Alert{Source: "syscall", Hostname: "node-1", Fields: map[string]string{"proc.name": "sh", "user.uid": "0", "container.id": "host"}}
	box := &Alert{Source: "syscall", Hostname: "node-1", Fields: map[string]string{"container.id": "ac7c5359a04b"}}
	audit := &Alert{Source: "k8s_audit", Hostname: "falco-0", Fields: map[string]string{"ka.target.namespace": "kube-system", "ka.target.name": "admin", "ka.user.name": "eve"}}
	for _, row := range []struct {
		name    string
		alert   *Alert
		derived string
		want    string
	}{
		{"the cluster, by what people call it", pod, "cluster", "prod"},
		{"the pod's namespace", pod, "namespace", "shop"},
		{"the pod", pod, "pod", "web-7c5ddbdf54-x2v9k"},
		{"the pod's workload", pod, "workload", "web"},
		{"the container's name before its id", pod, "container", "web"},
		{"the image with its tag", pod, "image", "alpine:3.20"},
		{"the path before the name", pod, "executable", "/bin/busybox"},
		{"the process", pod, "process", "sh"},
		{"the user's name before the id", pod, "user", "root"},
		{"the place", pod, "place", "kubernetes"},
		{"an output field by its own name", pod, "user.uid", "0"},
		{"a host's workload is the host", host, "workload", "node-1"},
		{"the name where there is no path", host, "executable", "sh"},
		{"the id where there is no name", host, "user", "0"},
		{"no pod on a host", host, "pod", ""},
		{"no image without a repository", host, "image", ""},
		{"a container's workload without image and name is its id", box, "workload", "ac7c5359a04b"},
		{"the audited object's namespace", audit, "namespace", "kube-system"},
		{"the audited object is the workload", audit, "workload", "admin"},
		{"the actor is the user", audit, "user", "eve"},
		{"an unknown name", pod, "no.such.field", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			v, ok := Derive(row.alert, row.derived)
			require.Equal(t, row.want, v)
			require.Equal(t, row.want != "", ok)
		})
	}
}

func TestDerivedNamesAreDerived(t *testing.T) {
	full := mustDecode(t, alertJSON(shellRule, epoch, fields{"container.image.tag": "3.20"}))
	full.Fields["cluster_name"] = "prod"
	for _, name := range DerivedNames() {
		require.NotContains(t, full.Fields, name)
		_, ok := Derive(full, name)
		require.True(t, ok, name)
	}
	for _, name := range DefaultIdentity() {
		require.Contains(t, DerivedNames(), name)
	}
}

// Fingerprints are in stored states and in tickets: they must never change by
// accident. The values are the first 16 hex digits of SHA-256 over
//
//	[1,"Terminal shell in container","syscall",{"executable":"/bin/busybox","namespace":"shop","user":"daemon","workload":"web"}]
//	[1,"Rule of no identity","syscall",{"host":"node-1"}]
//	[1,"Rule of no identity","syscall",{}]
func TestFingerprintIsPinned(t *testing.T) {
	fp, values := Fingerprint(mustDecode(t, alertJSON(shellRule, epoch, nil)), Identity{Version: 1})
	require.Equal(t, "a48a839587a87f9b", fp)
	require.Equal(t, map[string]string{"executable": "/bin/busybox", "namespace": "shop", "user": "daemon", "workload": "web"}, values)

	id := Identity{Version: 1, Fields: []string{"no.such.field"}}
	fp, values = Fingerprint(mustDecode(t, alertJSON(nothing, epoch, nil)), id)
	require.Equal(t, "bf0fc4775574ad5d", fp, "an identity without values falls back to the host")
	require.Equal(t, map[string]string{"host": "node-1"}, values)

	fp, values = Fingerprint(mustDecode(t, alertJSON(nothing, epoch, fields{"hostname": nil})), id)
	require.Equal(t, "4a26e1e75cc223e5", fp)
	require.Empty(t, values)
}

func TestFingerprint(t *testing.T) {
	base := mustDecode(t, alertJSON(shellRule, epoch, nil))
	want, _ := Fingerprint(base, Identity{Version: 1})
	for _, row := range []struct {
		name string
		over fields
		id   Identity
		same bool
	}{
		{"another replica is the same", fields{"k8s.pod.name": "web-7c5ddbdf54-zzzzz"}, Identity{Version: 1}, true},
		{"another revision of the workload is the same", fields{"k8s.pod.name": "web-66b9ddbdf4-x2v9k"}, Identity{Version: 1}, true},
		{"another node is the same", fields{"hostname": "node-2"}, Identity{Version: 1}, true},
		{"another command line is the same", fields{"proc.cmdline": "sh -c id", "proc.pid": 7}, Identity{Version: 1}, true},
		{"another output text is the same", fields{"output": "other"}, Identity{Version: 1}, true},
		{"another time is the same", fields{"evt.time": 1, "time": nil}, Identity{Version: 1}, true},
		{"the default identity by its names is the same", nil, Identity{Version: 1, Fields: DefaultIdentity()}, true},
		{"the order of the names does not matter", nil, Identity{Version: 1, Fields: []string{"user", "executable", "workload", "namespace", "cluster"}}, true},
		{"another user is another", fields{"user.name": "root"}, Identity{Version: 1}, false},
		{"another executable is another", fields{"proc.exepath": "/bin/bash"}, Identity{Version: 1}, false},
		{"another namespace is another", fields{"k8s.ns.name": "bank"}, Identity{Version: 1}, false},
		{"another workload is another", fields{"k8s.pod.name": "api-7c5ddbdf54-x2v9k"}, Identity{Version: 1}, false},
		{"another source is another", fields{"source": "k8s_audit"}, Identity{Version: 1}, false},
		{"another rule is another", fields{"rule": "Shell"}, Identity{Version: 1}, false},
		{"a raised version is another", nil, Identity{Version: 2}, false},
		{"a cluster is another than none", fields{"k8s.cluster.name": "prod"}, Identity{Version: 1}, false},
		{"an absent field is another than an empty identity", fields{"user.name": nil, "user.uid": nil}, Identity{Version: 1}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			fp, _ := Fingerprint(mustDecode(t, alertJSON(shellRule, epoch, row.over)), row.id)
			require.Regexp(t, `^[0-9a-f]{16}$`, fp)
			require.Equal(t, row.same, fp == want)
		})
	}
}

func TestFingerprintNeverMergesHostsUnseen(t *testing.T) {
	id := Identity{Version: 1, Fields: []string{"no.such.field"}}
	one, _ := Fingerprint(mustDecode(t, alertJSON(nothing, epoch, nil)), id)
	two, _ := Fingerprint(mustDecode(t, alertJSON(nothing, epoch, fields{"hostname": "node-2"})), id)
	require.NotEqual(t, one, two)
}

// Values cannot be moved from one field to another, or to the rule, without
// changing the fingerprint.
func TestFingerprintIsUnambiguous(t *testing.T) {
	seen := map[string]string{}
	id := Identity{Fields: []string{"a.x", "b.x"}}
	for _, rule := range []string{"r", `r","syscall`, `r"`} {
		for _, f := range []map[string]string{{"a.x": "1"}, {"b.x": "1"}, {"a.x": "1", "b.x": ""}, {"a.x": `1","b.x":"2`}, {"a.x": "1", "b.x": "2"}} {
			fp, _ := Fingerprint(&Alert{Rule: rule, Source: "syscall", Fields: f}, id)
			me := fmt.Sprintf("%q %q", rule, f)
			require.Empty(t, seen[fp], me)
			seen[fp] = me
		}
	}
}

func TestEventHash(t *testing.T) {
	base := fields{"uuid": "5d8f4f3e-6a3c-4c7e-9d3a-0b8f6b1c2d3e"}
	want := eventHash(mustDecode(t, alertJSON(shellRule, epoch, base)))
	for _, row := range []struct {
		name string
		over fields
		same bool
	}{
		{"the uuid is falcosidekick's and takes no part", fields{"uuid": "00000000-0000-4000-8000-000000000000"}, true},
		{"falcosidekick's word for the source takes no part", fields{"source": "syscalls"}, true},
		{"output, tags and priority follow from the rule", fields{"output": "x", "tags": []string{""}, "priority": "INFO"}, true},
		{"a field without a value takes no part", fields{"fd.name": "<NA>"}, true},
		{"another nanosecond is another event", fields{"time": epoch.Add(1).Format(time.RFC3339Nano)}, false},
		{"another host is another event", fields{"hostname": "node-2"}, false},
		{"another field is another event", fields{"proc.pid": 7}, false},
		{"another value is another event", fields{"proc.cmdline": "sh -c id"}, false},
		{"another rule is another event", fields{"rule": "Shell"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := eventHash(mustDecode(t, alertJSON(shellRule, epoch, merge(base, row.over))))
			require.Equal(t, row.same, got == want)
		})
	}
}

// The names are those that falcosidekick was seen to make of the same rules.
func TestSlug(t *testing.T) {
	for name, want := range map[string]string{
		"Terminal shell in container":                                     "terminal_shell_in_container",
		"Redirect STDOUT/STDIN to Network Connection in Container":        "redirect_stdout_stdin_to_network_connection_in_container",
		"Execution from /dev/shm":                                         "execution_from_dev_shm",
		"Polkit Local Privilege Escalation Vulnerability (CVE-2021-4034)": "polkit_local_privilege_escalation_vulnerability_cve_2021_4034",
		"Container Drift Detected (open+create)":                          "container_drift_detected_open_create",
		"User has been moved from suspended status in OKTA.":              "user_has_been_moved_from_suspended_status_in_okta",
		"port-forward":                       "port_forward",
		"Falco internal: syscall event drop": "falco_internal_syscall_event_drop",
		"my.rule.v2":                         "my_rule_v2",
		"evil > * rule":                      "evil_rule",
		"Ünïcode Rule É":                     "n_code_rule",
		"İstanbul":                           "istanbul",
		"\u212aELVIN":                        "kelvin",
		"ルールA":                               "a",
		"":                                   "rule_e3b0c442",
		">":                                  "rule_62b67e1f",
		"*":                                  "rule_684888c0",
		"日本語のルール":                            "rule_fe04e073",
		"\x00\xff a \n b":                    "a_b",
	} {
		require.Equal(t, want, Slug(name), "%q", name)
	}
}
