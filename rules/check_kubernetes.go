package rules

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// manifests are the kinds that playbooks write, with their present version.
var manifests = map[string]string{
	"Pod": "v1", "Namespace": "v1", "ServiceAccount": "v1", "ConfigMap": "v1", "LimitRange": "v1", "ResourceQuota": "v1",
	"Deployment": "apps/v1", "DaemonSet": "apps/v1", "StatefulSet": "apps/v1", "ReplicaSet": "apps/v1",
	"CronJob": "batch/v1", "Job": "batch/v1", "NetworkPolicy": "networking.k8s.io/v1",
	"Role": "rbac.authorization.k8s.io/v1", "ClusterRole": "rbac.authorization.k8s.io/v1",
	"RoleBinding": "rbac.authorization.k8s.io/v1", "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
	"ValidatingAdmissionPolicy":        "admissionregistration.k8s.io/v1",
	"ValidatingAdmissionPolicyBinding": "admissionregistration.k8s.io/v1",
	"CiliumNetworkPolicy":              "cilium.io/v2", "CiliumClusterwideNetworkPolicy": "cilium.io/v2",
	"ClusterPolicy": "kyverno.io/v1", "GlobalNetworkPolicy": "projectcalico.org/v3",
	"ConstraintTemplate": "templates.gatekeeper.sh/v1",
}

// specs are the keys that may stand under spec.
var specs = map[string][]string{
	"NetworkPolicy": {"podSelector", "policyTypes", "ingress", "egress"},
	"CiliumNetworkPolicy": {
		"endpointSelector", "nodeSelector", "ingress", "ingressDeny", "egress", "egressDeny", "labels",
		"description", "enableDefaultDeny", "log",
	},
}

// bare configuration of a component has a kind but no metadata.
var component = regexp.MustCompile(`(^|\.)(config|audit)\.k8s\.io/`)

// manifest checks a Kubernetes object, or a list of them.
func (in *inspector) manifest(n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		in.failf(n, "want one object, found a list; write a configuration for each, or kind: List")
		return
	}
	if !in.isMap(n, "object") {
		return
	}
	in.needs(n, "object", "apiVersion", "kind")
	version, what := get(n, "apiVersion"), get(n, "kind")
	if version == nil || what == nil {
		return
	}
	if !component.MatchString(version.Value) {
		in.metadata(n)
		in.names(n)
	}
	in.kindOf(version, what)
	if want, ok := manifests[what.Value]; ok && version.Value != want && !strings.HasSuffix(version.Value, "calico.org/v3") {
		in.failf(version, "apiVersion of %s is %s, not %s", what.Value, want, version.Value)
	}
	spec := get(n, "spec")
	allowed := specs[what.Value]
	if strings.HasPrefix(version.Value, "projectcalico") || allowed == nil {
		return
	}
	if spec == nil {
		in.failf(n, "%s needs the key \"spec\"", what.Value)
		return
	}
	in.only(spec, "spec of "+what.Value, allowed...)
	if what.Value == "NetworkPolicy" {
		in.networkPolicy(spec)
	}
}

// others are kinds of the API groups that manifests has, which playbooks may write too.
var others = []string{
	"Service", "Secret", "PersistentVolume", "PersistentVolumeClaim", "Endpoints", "Event", "Node", "List", "ControllerRevision",
	"Ingress", "IngressClass", "ReplicationController", "PodTemplate", "Binding",
	"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
	"Policy", "CleanupPolicy", "ClusterCleanupPolicy", "NetworkSet", "GlobalNetworkSet", "HostEndpoint", "Tier",
}

// kindOf refuses a kind that a group of Kubernetes' own does not have.
func (in *inspector) kindOf(version, what *yaml.Node) {
	if _, ok := manifests[what.Value]; ok || in.filled(what) || slices.Contains(others, what.Value) {
		return
	}
	for _, v := range manifests {
		if v == version.Value {
			near := didYouMean(what.Value, slices.Concat(sortedKeys(manifests), others))
			in.failf(what, "%s has no kind %q; %swrite another tool's name if it is not for Kubernetes", version.Value, what.Value, near)
			return
		}
	}
}

func (in *inspector) metadata(n *yaml.Node) {
	meta := get(n, "metadata")
	if meta == nil {
		in.failf(n, "object needs the key \"metadata\"")
		return
	}
	if in.only(meta, "metadata", "name", "namespace", "labels", "annotations") {
		in.needs(meta, "metadata", "name")
	}
}

// networkPolicy checks what people get wrong: there is no deny rule, and a
// missing selector selects nothing but an error.
func (in *inspector) networkPolicy(spec *yaml.Node) {
	in.needs(spec, "spec of NetworkPolicy", "podSelector")
	for direction, peer := range map[string]string{"ingress": "from", "egress": "to"} {
		in.each(spec, direction, func(rule *yaml.Node) {
			in.only(rule, direction, peer, "ports")
			in.each(rule, peer, func(p *yaml.Node) { in.only(p, peer, "ipBlock", "namespaceSelector", "podSelector") })
			in.each(rule, "ports", func(p *yaml.Node) { in.only(p, "ports", "protocol", "port", "endPort") })
		})
	}
}

var (
	seccompAction = regexp.MustCompile(`^SCMP_ACT_(KILL|KILL_PROCESS|KILL_THREAD|TRAP|ERRNO|TRACE|ALLOW|LOG|NOTIFY)$`)
	seccompOp     = regexp.MustCompile(`^SCMP_CMP_(NE|LT|LE|EQ|GE|GT|MASKED_EQ)$`)
)

// seccomp checks a profile of the OCI runtime specification.
func (in *inspector) seccomp(n *yaml.Node) {
	if !in.only(n, "profile", "defaultAction", "defaultErrnoRet", "architectures", "archMap", "flags", "listenerPath", "listenerMetadata", "syscalls") {
		return
	}
	in.needs(n, "profile", "defaultAction")
	in.matches(get(n, "defaultAction"), "defaultAction", seccompAction)
	in.each(n, "syscalls", func(s *yaml.Node) {
		in.only(s, "syscalls", "names", "action", "errnoRet", "args", "comment", "includes", "excludes")
		in.needs(s, "syscalls", "names", "action")
		in.matches(get(s, "action"), "action", seccompAction)
		in.each(s, "args", func(a *yaml.Node) {
			in.only(a, "args", "index", "value", "valueTwo", "op")
			in.matches(get(a, "op"), "op", seccompOp)
		})
	})
}

// lineForms are what a line of a text format looks like.
var lineForms = map[string]*regexp.Regexp{
	"fstab":   regexp.MustCompile(`^(\S+\s+){3}\S+(\s+[0-9]\s+[0-9])?$`),
	"sysctl":  regexp.MustCompile(`^-?[a-z0-9_./-]+\s*=\s*\S.*$`),
	"auditd":  regexp.MustCompile(`^-[aADdwWfbrek]( |$)`),
	"systemd": regexp.MustCompile(`^(\[[A-Z][A-Za-z]+\]|[A-Z][A-Za-z0-9]+=.*)$`),
}

// checkLines checks text, with a letter in the place of every placeholder.
func (c *compiler) checkLines(cfg *Config, out *config) {
	form := lineForms[cfg.Tool]
	for i, t := range out.lines {
		var b strings.Builder
		for _, p := range t {
			if p.name != "" {
				p.text = "x"
			}
			b.WriteString(p.text)
		}
		line := strings.TrimSpace(b.String())
		switch {
		case strings.ContainsAny(line, "\n\r\x00"):
			c.failf(&cfg.Lines[i], "%s: a line has a line break in it", cfg.Tool)
		case form == nil || line == "" || line[0] == '#':
		case !form.MatchString(line):
			c.failf(&cfg.Lines[i], "%s: line %q does not look like one of this format (%s)", cfg.Tool, line, form)
		}
	}
}
