package validity

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	snapshot "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	admission "k8s.io/api/admissionregistration/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	sigsyaml "sigs.k8s.io/yaml"
)

// kinds are the types of Kubernetes, and of what is shipped beside it.
var kinds = func() *runtime.Scheme {
	s := runtime.NewScheme()
	must(scheme.AddToScheme(s))
	must(snapshot.AddToScheme(s))
	return s
}()

func must(err error) {
	if err != nil {
		panic(err)
	}
}

var strict = serializer.NewCodecFactory(kinds, serializer.EnableStrict).UniversalDeserializer()

// manifests reads one object, or several with --- between.
func manifests(body string) (problems []string) {
	docs, err := documents(body)
	if err != nil {
		return []string{err.Error()}
	}
	for _, doc := range docs {
		problems = append(problems, manifest(doc)...)
	}
	return problems
}

// documents are what kubectl makes of a file: objects as JSON. A key that is given
// twice is an error.
func documents(body string) (out [][]byte, err error) {
	files := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(body)))
	for {
		file, err := files.Read()
		if errors.Is(err, io.EOF) && len(out) > 0 {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading YAML: %w", err)
		}
		doc, err := sigsyaml.YAMLToJSONStrict(file)
		if err != nil {
			return nil, err
		}
		out = append(out, doc)
	}
}

// manifest reads an object through the type that its API group publishes, or
// against the schema of its custom resource.
func manifest(doc []byte) []string {
	var is metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &is); err != nil {
		return []string{err.Error()}
	}
	kind := is.GroupVersionKind()
	if kind.Kind == "List" && kind.Version == "v1" {
		return list(doc)
	}
	if !kinds.Recognizes(kind) {
		return custom(kind, doc)
	}
	object, _, err := strict.Decode(doc, nil, nil)
	if err != nil {
		return []string{err.Error()}
	}
	return append(named(object), typed(object)...)
}

// list reads the objects of a list.
func list(doc []byte) (problems []string) {
	var l core.List
	if err := sigsyaml.UnmarshalStrict(doc, &l); err != nil {
		return []string{err.Error()}
	}
	for _, item := range l.Items {
		problems = append(problems, manifest(item.Raw)...)
	}
	return problems
}

// named checks names, labels and annotations.
func named(object runtime.Object) (problems []string) {
	m, err := meta.Accessor(object)
	if err != nil {
		return []string{err.Error()}
	}
	kind := object.GetObjectKind().GroupVersionKind()
	var form apivalidation.ValidateNameFunc = apivalidation.NameIsDNSSubdomain
	switch {
	case kind.Group == rbac.GroupName:
		form = roleName
	case kind.Kind == "Namespace":
		form = apivalidation.NameIsDNSLabel
	case kind.Kind == "Service":
		form = apivalidation.NameIsDNS1035Label
	}
	if m.GetName() == "" {
		problems = append(problems, "metadata.name: required")
	}
	return append(problems, texts(apivalidation.ValidateObjectMetaAccessor(m, m.GetNamespace() != "", form, field.NewPath("metadata")))...)
}

// roleName is the form of names of roles and bindings: what may stand in a path.
func roleName(name string, _ bool) []string {
	if name == "." || name == ".." || strings.ContainsAny(name, "/%") {
		return []string{"cannot stand in a path"}
	}
	return nil
}

func texts(errs field.ErrorList) (out []string) {
	for _, err := range errs {
		out = append(out, err.Error())
	}
	return out
}

// typed checks what the types leave open: words of which there are few, numbers
// of networks, selectors and expressions.
func typed(object runtime.Object) (problems []string) {
	walk(reflect.ValueOf(object), "", func(at string, v any) {
		problems = append(problems, value(at, v)...)
	})
	switch o := object.(type) {
	case *admission.ValidatingAdmissionPolicy:
		problems = append(problems, admissionPolicy(o)...)
	case *admission.ValidatingAdmissionPolicyBinding:
		if o.Spec.PolicyName == "" || len(o.Spec.ValidationActions) == 0 {
			problems = append(problems, "spec: a binding needs policyName and validationActions")
		}
	case *rbac.ClusterRoleBinding:
		problems = append(problems, binding(o.RoleRef, o.Subjects, "ClusterRole")...)
	case *rbac.RoleBinding:
		problems = append(problems, binding(o.RoleRef, o.Subjects, "Role", "ClusterRole")...)
	}
	return problems
}

func binding(ref rbac.RoleRef, subjects []rbac.Subject, roles ...string) (problems []string) {
	if ref.APIGroup != rbac.GroupName || !slices.Contains(roles, ref.Kind) || ref.Name == "" {
		problems = append(problems, fmt.Sprintf("roleRef: %v", ref))
	}
	for _, s := range subjects {
		account := s.Kind == rbac.ServiceAccountKind
		if s.Name == "" || account != (s.Namespace != "") || account == (s.APIGroup == rbac.GroupName) {
			problems = append(problems, fmt.Sprintf("subjects: %v", s))
		}
	}
	return problems
}

// words are the values of types that the Go types leave open.
var words = map[string][]string{
	"v1.NetworkPolicy.PolicyType":    {"Ingress", "Egress"},
	"v1.Protocol":                    {"TCP", "UDP", "SCTP"},
	"v1.FailurePolicyType":           {"Fail", "Ignore"},
	"v1.MatchPolicyType":             {"Exact", "Equivalent"},
	"v1.OperationType":               {"*", "CREATE", "UPDATE", "DELETE", "CONNECT"},
	"v1.ScopeType":                   {"*", "Cluster", "Namespaced"},
	"v1.ValidationAction":            {"Deny", "Warn", "Audit"},
	"v1.ParameterNotFoundActionType": {"Allow", "Deny"},
	"v1.SeccompProfileType":          {"RuntimeDefault", "Localhost", "Unconfined"},
	"v1.AppArmorProfileType":         {"RuntimeDefault", "Localhost", "Unconfined"},
	"v1.PullPolicy":                  {"Always", "IfNotPresent", "Never"},
	"v1.RestartPolicy":               {"Always", "OnFailure", "Never"},
	"v1.DNSPolicy":                   {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"},
	"v1.StorageMedium":               {"", "Memory", "HugePages"},
	"v1.ServiceType":                 {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"},
	"v1.TaintEffect":                 {"NoSchedule", "PreferNoSchedule", "NoExecute"},
	"v1.ProcMountType":               {"Default", "Unmasked"},
	"v1.PersistentVolumeAccessMode":  {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"},
	"v1.LimitType":                   {"Pod", "Container", "PersistentVolumeClaim"},
	"v1.PathType":                    {"Exact", "Prefix", "ImplementationSpecific"},
}

var verbs = []string{
	"*", "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind", "escalate", "impersonate", "approve", "sign", "use",
	"attest",
}

// resources checks that one of the groups has each of the resources. Groups that
// we have no types of may have any.
func resources(at string, groups, names []string) (problems []string) {
	if slices.ContainsFunc(groups, func(g string) bool { return g == "*" || !kinds.IsGroupRegistered(g) }) {
		return nil
	}
	for _, name := range names {
		name, _, _ = strings.Cut(name, "/")
		if name == "*" || slices.ContainsFunc(groups, func(g string) bool { return plurals()[schema.GroupResource{Group: g, Resource: name}] }) {
			continue
		}
		problems = append(problems, fmt.Sprintf("%s: no resource %q in %q", at, name, groups))
	}
	return problems
}

// plurals are the names under which kinds are asked for.
var plurals = sync.OnceValue(func() map[schema.GroupResource]bool {
	// A few have no kind of their own, or one of another name.
	out := map[schema.GroupResource]bool{{Resource: "users"}: true, {Resource: "groups"}: true}
	for kind := range kinds.AllKnownTypes() {
		plural, _ := meta.UnsafeGuessKindToResource(kind)
		out[plural.GroupResource()] = true
	}
	return out
})

// value checks one value by its type.
func value(at string, v any) []string {
	failf := func(format string, args ...any) []string {
		return []string{at + ": " + fmt.Sprintf(format, args...)}
	}
	switch v := v.(type) {
	case networking.PolicyType:
		if !slices.Contains(words["v1.NetworkPolicy.PolicyType"], string(v)) {
			return failf("%q is no direction", v)
		}
	case networking.IPBlock:
		for _, cidr := range append([]string{v.CIDR}, v.Except...) {
			if p, err := netip.ParsePrefix(cidr); err != nil || p.Masked() != p {
				return failf("%q is no network", cidr)
			}
		}
	case metav1.LabelSelector:
		return texts(metavalidation.ValidateLabelSelector(&v, metavalidation.LabelSelectorValidationOptions{}, field.NewPath(at)))
	case core.Capability:
		if v != "ALL" && (strings.HasPrefix(string(v), "CAP_") || strings.ToUpper(string(v)) != string(v)) {
			return failf("%q: capabilities stand without CAP_ and in capitals", v)
		}
	case networking.NetworkPolicySpec:
		if len(v.PolicyTypes) > 0 && len(v.Egress) > 0 && !slices.Contains(v.PolicyTypes, networking.PolicyTypeEgress) {
			return failf("egress rules of a policy that is about ingress")
		}
	case core.Container:
		if v.Name == "" {
			return failf("a container has a name, by which it is merged")
		}
	case core.VolumeMount:
		if v.Name == "" || v.MountPath == "" {
			return failf("a mount has the name of its volume and a path")
		}
	case admission.Rule:
		return resources(at, v.APIGroups, v.Resources)
	case rbac.PolicyRule:
		for _, verb := range v.Verbs {
			if !slices.Contains(verbs, verb) {
				return failf("verb %q", verb)
			}
		}
		if problems := resources(at, v.APIGroups, v.Resources); problems != nil {
			return problems
		}
		if len(v.Verbs) == 0 || len(v.NonResourceURLs) == 0 && (len(v.APIGroups) == 0 || len(v.Resources) == 0) {
			return failf("a rule needs verbs, and groups with resources or URLs")
		}
	}
	allowed, few := words[reflect.TypeOf(v).String()]
	if text := fmt.Sprint(v); few && text != "" && !slices.Contains(allowed, text) {
		return failf("%q is none of %q", text, allowed)
	}
	return nil
}

// walk calls look for every value below v, with where it stands.
func walk(v reflect.Value, at string, look func(at string, v any)) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walk(v.Elem(), at, look)
		}
		return
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				walk(v.Field(i), at+"."+f.Name, look)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), fmt.Sprintf("%s[%d]", at, i), look)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			walk(v.MapIndex(key), fmt.Sprintf("%s[%v]", at, key), look)
		}
	}
	if v.CanInterface() {
		look(at, v.Interface())
	}
}

// patched are the kinds that a patch without kind may be for, likely ones first.
var patched = []schema.GroupVersionKind{
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"},
	{Group: "apps", Version: "v1", Kind: "StatefulSet"},
	{Group: "batch", Version: "v1", Kind: "CronJob"},
	{Version: "v1", Kind: "ServiceAccount"},
	{Version: "v1", Kind: "Pod"},
	{Version: "v1", Kind: "Service"},
	{Version: "v1", Kind: "Namespace"},
	{Version: "v1", Kind: "Node"},
	{Version: "v1", Kind: "ConfigMap"},
	{Version: "v1", Kind: "Secret"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingWebhookConfiguration"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
}

// directive is what a strategic merge is told in an object: $patch: delete.
var directive = regexp.MustCompile(`"\$patch":"(delete|replace|merge)",?`)

// patch reads a fragment of an object of some kind: of the one that it names, or
// of the first that has all its keys. What is wrong is told of the kind that
// takes most of it.
func patch(body string) []string {
	docs, err := documents(body)
	if err != nil {
		return []string{err.Error()}
	}
	var is metav1.TypeMeta
	if err := yaml.Unmarshal(docs[0], &is); err != nil {
		return []string{err.Error()}
	}
	docs[0] = directive.ReplaceAll(docs[0], nil)
	candidates := patched
	if is.Kind != "" {
		candidates = []schema.GroupVersionKind{is.GroupVersionKind()}
	}
	var least []string
	kind := ""
	for i := range candidates {
		object, _, err := strict.Decode(docs[0], &candidates[i], nil)
		if err == nil {
			return typed(object)
		}
		if problems := strings.Split(err.Error(), ", "); least == nil || len(problems) < len(least) {
			least, kind = problems, candidates[i].Kind
		}
	}
	return append(least, "as a "+kind)
}
