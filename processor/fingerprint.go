package processor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
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
func DefaultIdentity() []string { return slices.Clone(defaultIdentity[:]) }

var defaultIdentity = [...]string{"cluster", "namespace", "workload", "executable", "user"}

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

// Workload returns a pod's name without the suffix that its controller made:
//
//	Deployment   -<6 to 10 safe>-<5 safe>
//	CronJob      -<8 to 11 digits>-<5 safe>
//	DaemonSet    -<5 safe>, as a Job's
//	StatefulSet  -<1 to 4 digits>
//
// Kubernetes' safe alphabet has no vowels and no 0, 1 or 3, so that a word of the name
// itself is seldom taken for a suffix (k8s.io/apimachinery/pkg/util/rand).
func Workload(pod string) string {
	dash := strings.LastIndexByte(pod, '-')
	if dash <= 0 {
		return pod
	}
	switch last := pod[dash+1:]; {
	case len(last) == 5 && consists(last, safe):
		before := strings.LastIndexByte(pod[:dash], '-')
		middle := pod[before+1 : dash]
		switch n := len(middle); {
		case before <= 0:
		case n >= 6 && n <= 10 && consists(middle, safe), n >= 8 && n <= 11 && consists(middle, decimal):
			return pod[:before]
		}
		return pod[:dash]
	case len(last) >= 1 && len(last) <= 4 && consists(last, decimal):
		return pod[:dash]
	}
	return pod
}

func safe(c byte) bool    { return strings.IndexByte("bcdfghjklmnpqrstvwxz2456789", c) >= 0 }
func decimal(c byte) bool { return c >= '0' && c <= '9' }

func consists(s string, of func(byte) bool) bool {
	for i := range len(s) {
		if !of(s[i]) {
			return false
		}
	}
	return true
}

// fingerprint is 16 hex digits.
type fingerprint [16]byte

// Fingerprint returns the 16 hex digits that all alerts of one incident share,
// and the identity values they are made of.
//
// An identity of nothing but the rule falls back to the host name, so that
// unrelated hosts are not merged unseen.
func Fingerprint(a *Alert, id Identity) (string, map[string]string) {
	fp, values := identify(a, id)
	return string(fp[:]), values
}

func identify(a *Alert, id Identity) (fingerprint, map[string]string) {
	list := identityValues(nil, a, id)
	_, fp := fingerprintOf(nil, a, id.Version, list)
	return fp, valuesOf(list)
}

func valuesOf(list []field) map[string]string {
	values := make(map[string]string, len(list))
	for _, f := range list {
		values[f.name] = f.value
	}
	return values
}

// identityValues appends the values that an alert has of its identity, by name.
func identityValues(list []field, a *Alert, id Identity) []field {
	fields := id.Fields
	if len(fields) == 0 {
		fields = defaultIdentity[:]
	}
	for _, name := range fields {
		if v, ok := Derive(a, name); ok {
			list = append(list, field{name, v})
		}
	}
	if len(list) == 0 && a.Hostname != "" {
		list = append(list, field{"host", a.Hostname})
	}
	slices.SortFunc(list, func(a, b field) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(list, func(a, b field) bool { return a.name == b.name })
}

// fingerprintOf appends the canonical form of an identity to b, and returns its
// hash: the JSON of a list of version, rule, source and the values by name.
func fingerprintOf(b []byte, a *Alert, version int, values []field) ([]byte, fingerprint) {
	b = append(b, '[')
	b = strconv.AppendInt(b, int64(version), 10)
	b = appendJSON(append(b, ','), a.Rule)
	b = appendJSON(append(b, ','), a.Source)
	b = append(b, ",{"...)
	for i, f := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(append(appendJSON(b, f.name), ':'), f.value)
	}
	b = append(b, "}]"...)
	sum := sha256.Sum256(b)
	var fp fingerprint
	hex.Encode(fp[:], sum[:8])
	return b, fp
}

// appendJSON appends s as encoding/json writes it.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string can always be encoded
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// eventHash identifies one event of the kernel or of an audit log: two alerts
// with the same hash are copies of one event, sent twice on the way. The uuid
// takes no part: falcosidekick makes a fresh one for each request.
func eventHash(a *Alert) uint64 {
	list := make([]field, 0, len(a.Fields))
	for _, name := range sortedKeys(a.Fields) {
		list = append(list, field{name, a.Fields[name]})
	}
	_, hash := hashEvent(nil, a, list)
	return hash
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
