package processor

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// Places where an alert can have happened, and so where a command against it
// can run.
const (
	Kubernetes = "kubernetes" // the alert names a pod
	Container  = "container"  // a container, but no pod
	Host       = "host"       // a process outside containers
	Cluster    = "cluster"    // the audit log of a Kubernetes API server
	Cloud      = "cloud"      // the log of another service: cloud account, SaaS, server
)

// Place says where the alert happened.
func Place(a *Alert) string {
	switch id := a.Fields["container.id"]; {
	case a.Source == "k8s_audit":
		return Cluster
	case a.Source != "syscall" && a.Source != SourceInternal && a.Source != "":
		return Cloud
	case a.first("k8s.pod.name", "k8smeta.pod.name") != "":
		return Kubernetes
	case id != "" && id != "host",
		a.Fields["container.name"] != "" && a.Fields["container.name"] != "host",
		a.Fields["container.image.repository"] != "":
		return Container
	}
	return Host
}

// DefaultIdentity is the workload: what most people would call "the same thing
// again" whichever replica, node or process id it came from.
func DefaultIdentity() []string {
	return []string{"cluster", "namespace", "workload", "executable", "user"}
}

// DerivedNames lists the names that Derive knows beside output fields.
func DerivedNames() []string {
	return []string{"cluster", "namespace", "pod", "workload", "container", "image", "host", "executable", "process", "user", "place"}
}

// Derive returns the value of an output field, or of a derived name, and
// whether the alert has it.
//
//	cluster     the first of the custom fields people use for it
//	namespace   Kubernetes namespace of the pod or of the audited object
//	pod         pod name
//	workload    pod name without its generated suffix, else image, else
//	            container name; for host processes the host name
//	container   container name, else container id
//	image       image repository with its tag
//	host        host name
//	executable  path of the executable, else process name
//	process     process name
//	user        user name, else numeric id; the actor in audit logs
//	place       kubernetes, container, host, cluster or cloud
func Derive(a *Alert, name string) (string, bool) {
	var v string
	switch name {
	case "cluster":
		v = a.first("cluster", "k8s.cluster.name", "cluster_name", "cluster.name", "clustername", "k8s_cluster_name")
	case "namespace":
		v = a.first("k8s.ns.name", "k8smeta.ns.name", "ka.target.namespace")
	case "pod":
		v = a.first("k8s.pod.name", "k8smeta.pod.name")
	case "workload":
		v = workload(a)
	case "container":
		v = a.first("container.name", "container.id")
	case "image":
		v = image(a)
	case "host":
		v = a.Hostname
	case "executable":
		v = a.first("proc.exepath", "proc.name")
	case "process":
		v = a.first("proc.name")
	case "user":
		v = a.first("user.name", "user.uid", "ka.user.name", "ct.user", "gcp.user", "okta.actor.name", "github.user", "gitlab.author_name", "salesforce.username", "azure.caller")
	case "place":
		v = Place(a)
	default:
		v, ok := a.Fields[name]
		return v, ok
	}
	return v, v != ""
}

func workload(a *Alert) string {
	switch Place(a) {
	case Kubernetes:
		return Workload(a.first("k8s.pod.name", "k8smeta.pod.name"))
	case Container:
		return a.first("container.image.repository", "container.name", "container.id")
	case Host:
		return a.Hostname
	}
	return a.first("ka.target.name")
}

func image(a *Alert) string {
	repo, tag := a.Fields["container.image.repository"], a.Fields["container.image.tag"]
	if repo != "" && tag != "" {
		return repo + ":" + tag
	}
	return repo
}

// Suffixes that Kubernetes generates: its safe alphabet has no vowels and no
// 0, 1 or 3, so that a word of the name itself is seldom taken for one
// (k8s.io/apimachinery/pkg/util/rand).
var (
	replicaSet  = regexp.MustCompile(`-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$`)
	cronJob     = regexp.MustCompile(`-[0-9]{8,11}-[bcdfghjklmnpqrstvwxz2456789]{5}$`)
	daemonSet   = regexp.MustCompile(`-[bcdfghjklmnpqrstvwxz2456789]{5}$`)
	statefulSet = regexp.MustCompile(`-[0-9]{1,4}$`)
)

// Workload returns a pod's name without the suffix that its controller made:
// Deployment, CronJob, DaemonSet or Job, StatefulSet.
func Workload(pod string) string {
	for _, suffix := range []*regexp.Regexp{replicaSet, cronJob, daemonSet, statefulSet} {
		if at := suffix.FindStringIndex(pod); at != nil && at[0] > 0 {
			return pod[:at[0]]
		}
	}
	return pod
}

// Fingerprint returns the 16 hex digits that all alerts of one incident share,
// and the identity values they are made of.
//
// An identity of nothing but the rule falls back to the host name, so that
// unrelated hosts are not merged unseen.
func Fingerprint(a *Alert, id Identity) (string, map[string]string) {
	fields := id.Fields
	if len(fields) == 0 {
		fields = DefaultIdentity()
	}
	values := make(map[string]string, len(fields))
	for _, name := range fields {
		if v, ok := Derive(a, name); ok {
			values[name] = v
		}
	}
	if len(values) == 0 && a.Hostname != "" {
		values["host"] = a.Hostname
	}
	// encoding/json writes map keys sorted, which makes the form canonical.
	canonical, _ := json.Marshal([]any{id.Version, a.Rule, a.Source, values})
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:8]), values
}

// eventHash identifies one event of the kernel or of an audit log: two alerts
// with the same hash are copies of one event, sent twice on the way. The uuid
// takes no part: falcosidekick makes a fresh one for each request.
func eventHash(a *Alert) uint64 {
	h := sha256.New()
	put := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	put(a.Hostname)
	put(a.Rule)
	put(a.Source)
	put(a.Time.String())
	for _, k := range sortedKeys(a.Fields) {
		put(k)
		put(a.Fields[k])
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Slug returns name as one lower-case token: every run outside a-z and 0-9
// becomes one underscore and those at the ends are cut, as falcosidekick does
// it. A name with nothing left becomes "rule_" and eight hex digits of its hash.
func Slug(name string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if gap && b.Len() > 0 {
				b.WriteByte('_')
			}
			gap = false
			b.WriteRune(r)
			continue
		}
		gap = true
	}
	if b.Len() == 0 {
		sum := sha256.Sum256([]byte(name))
		return "rule_" + hex.EncodeToString(sum[:4])
	}
	return b.String()
}
