package validity

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const networkPolicy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: quarantine, namespace: shop}
spec:
  podSelector: {matchLabels: {quarantine: falconer}}
  policyTypes: [Ingress, Egress]
  egress:
    - to: [{ipBlock: {cidr: 0.0.0.0/0, except: [192.0.2.1/32]}}]
      ports: [{protocol: TCP, port: 53}]
`

const admissionGood = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-host-network}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  variables: [{name: spec, expression: object.spec}]
  validations:
    - expression: "!has(object.spec.hostNetwork) || object.spec.hostNetwork == false || variables.spec.hostPID"
      message: no host network
`

const deploymentPatch = `
spec:
  template:
    spec:
      automountServiceAccountToken: false
      containers:
        - {name: web, securityContext: {capabilities: {drop: [NET_RAW]}}}
`

const roleGood = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: "system:reader", namespace: shop}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
`

const bindingGood = `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: web, namespace: shop}]
`

const ciliumGood = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: deny-peer, namespace: shop}
spec:
  endpointSelector: {}
  enableDefaultDeny: {egress: false}
  egressDeny: [{toCIDR: [192.0.2.1/32]}]
`

const kyvernoGood = `
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: not-privileged}
spec:
  background: true
  rules:
    - name: not-privileged
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate:
        failureAction: Audit
        message: none of those
        pattern: {spec: {containers: [{"=(securityContext)": {"=(privileged)": "false"}}]}}
`

const calicoGood = `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: deny-peer}
spec: {selector: all()}
`

const auditGood = `
apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: Metadata, resources: [{group: "", resources: [secrets]}]}]
`

const encryptionGood = `
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - secretbox: {keys: [{name: k, secret: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}]}
      - identity: {}
`

const kubeletGood = `
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
seccompDefault: true
`

const seccompGood = `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO",
  "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]}]}`

const composeGood = `services: {web: {security_opt: ["no-new-privileges:true"]}}`

const listGood = `
apiVersion: v1
kind: List
items: [{apiVersion: v1, kind: Namespace, metadata: {name: shop}}]
`

// TestReadersBite gives every reader a configuration that its tool takes, and the
// same with one thing in it that its tool would refuse.
func TestReadersBite(t *testing.T) {
	for name, row := range map[string]struct{ tool, good, from, to, problem string }{
		"a misspelt key":                      {"kubernetes", networkPolicy, "podSelector", "podselector", "podselector"},
		"a key in a wrong place":              {"kubernetes", networkPolicy, "ipBlock: {cidr: 0.0.0.0/0, except", "cidr: 0.0.0.0/0, ipBlock: {except", "unknown field"},
		"a key given twice":                   {"kubernetes", networkPolicy, "spec:", "spec: {podSelector: {}}\nspec:", "already"},
		"a direction that there is not":       {"kubernetes", networkPolicy, "[Ingress,", "[ingress,", "no direction"},
		"a network that is an address":        {"kubernetes", networkPolicy, "192.0.2.1/32", "192.0.2.1", "no network"},
		"a network with bits of a host":       {"kubernetes", networkPolicy, "192.0.2.1/32", "192.0.2.1/24", "no network"},
		"a protocol that there is not":        {"kubernetes", networkPolicy, "protocol: TCP", "protocol: tcp", "none of"},
		"a name in capitals":                  {"kubernetes", networkPolicy, "name: quarantine,", "name: Quarantine,", "metadata.name"},
		"a label that is none":                {"kubernetes", networkPolicy, "quarantine: falconer", "quarantine: a/b", "matchLabels"},
		"a version that there is not":         {"kubernetes", networkPolicy, "networking.k8s.io/v1", "networking.k8s.io/v2", "no type or schema"},
		"a type that is another":              {"kubernetes", networkPolicy, "[{protocol", "[{endPort: many, protocol", "endPort"},
		"a capability with its prefix":        {"kubernetes-patch", deploymentPatch, "NET_RAW", "CAP_NET_RAW", "without CAP_"},
		"a patch with a misspelt key":         {"kubernetes-patch", deploymentPatch, "automountServiceAccountToken", "automountServiceaccountToken", "as a Deployment"},
		"a name in a list":                    {"kubernetes", listGood, "shop", "Shop", "metadata.name"},
		"an object of a component":            {"kubernetes", networkPolicy, "networking.k8s.io/v1\nkind: NetworkPolicy", "audit.k8s.io/v1\nkind: Policy", "no type or schema"},
		"egress of a policy about ingress":    {"kubernetes", networkPolicy, "[Ingress, Egress]", "[Ingress]", "about ingress"},
		"a container without a name":          {"kubernetes-patch", deploymentPatch, "name: web, ", "", "by which it is merged"},
		"a verb that there is not":            {"kubernetes", roleGood, "[get]", "[read]", "verb"},
		"a resource of another group":         {"kubernetes", roleGood, "[pods]", "[deployments]", "no resource"},
		"a resource in the singular":          {"kubernetes", admissionGood, "resources: [pods]", "resources: [pod]", "no resource"},
		"a resource that is not audited":      {"kube-apiserver", auditGood, "[secrets]", "[secret]", "no resource"},
		"a kind that Kyverno never sees":      {"kyverno", kyvernoGood, "kinds: [Pod]", "kinds: [Pods]", "no kind"},
		"a role without verbs":                {"kubernetes", roleGood, ", verbs: [get]", "", "needs verbs"},
		"a name with a slash":                 {"kubernetes", roleGood, "system:reader", "system/reader", "metadata.name"},
		"an account without its namespace":    {"kubernetes", bindingGood, "name: web, namespace: shop", "name: web", "subjects"},
		"a role of a kind that there is not":  {"kubernetes", bindingGood, "kind: Role,", "kind: Roles,", "roleRef"},
		"an expression that does not parse":   {"kubernetes", admissionGood, "!has(", "!has((", "Syntax error"},
		"an expression of another type":       {"kubernetes", admissionGood, "!has(object.spec.hostNetwork) || object.spec.hostNetwork == false || variables.spec.hostPID", "object.metadata.name", "makes a string"},
		"a field that the kind does not have": {"kubernetes", admissionGood, "!has(object.spec.hostNetwork)", "!has(object.spec.hostNetwrok)", "undefined field"},
		"a variable that there is not":        {"kubernetes", admissionGood, "variables.spec", "variables.specs", "no variable"},
		"a function that there is not":        {"kubernetes", admissionGood, "!has(object", "!exists(object", "undeclared reference"},
		"no constraints":                      {"kubernetes", admissionGood, "operations: [CREATE], ", "", "a rule needs"},
		"a misspelt key of Cilium":            {"cilium", ciliumGood, "toCIDR", "toCidr", "unknown field"},
		"a network that is none for Cilium":   {"cilium", ciliumGood, "192.0.2.1/32", "nowhere", "toCIDR"},
		"a type that is another for Cilium":   {"cilium", ciliumGood, "egress: false", "egress: no one", "egress"},
		"a policy of no namespace":            {"cilium", ciliumGood, ", namespace: shop", "", "metadata.namespace"},
		"a misspelt key of Kyverno":           {"kyverno", kyvernoGood, "background", "backgrounds", "unknown field"},
		"an action that Kyverno has not":      {"kyverno", kyvernoGood, "Audit", "Warn", "Unsupported value"},
		"a pattern that no pod can have":      {"kyverno", kyvernoGood, "=(privileged)", "=(privilege)", "has no privilege"},
		"a list where there is none":          {"kyverno", kyvernoGood, `[{"=(securityContext)": {"=(privileged)": "false"}}]`, `{"=(securityContext)": []}`, "has no"},
		"no spec for Calico":                  {"calico", calicoGood, "spec:", "specs:", "spec: required"},
		"an audit level that there is not":    {"kube-apiserver", auditGood, "Metadata", "Meta", "rules[0].level"},
		"a misspelt key of the audit policy":  {"kube-apiserver", auditGood, "rules:", "rule:", "unknown field"},
		"a key that is too short":             {"kube-apiserver", encryptionGood, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AAAA", "secret"},
		"a misspelt key of the kubelet":       {"kubelet", kubeletGood, "seccompDefault", "seccompDefaults", "unknown field"},
		"an action of no kernel":              {"seccomp", seccompGood, "SCMP_ACT_ALLOW", "ALLOW", "defaultAction"},
		"a misspelt key of a profile":         {"seccomp", seccompGood, "names", "name", "unknown field"},
		"a comparison that there is not":      {"seccomp", seccompGood, "SCMP_CMP_EQ", "EQ", "argument 0"},
		"a misspelt key of Compose":           {"compose", composeGood, "security_opt", "security_opts", "security_opts"},
	} {
		t.Run(name, func(t *testing.T) {
			read := readers[row.tool]
			require.Empty(t, read(row.good), "what is right")
			require.Contains(t, row.good, row.from)
			bad := strings.Replace(row.good, row.from, row.to, 1)
			require.Contains(t, strings.Join(read(bad), "\n"), row.problem)
		})
	}
}
