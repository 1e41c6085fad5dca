package validity

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	admission "k8s.io/api/admissionregistration/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/version"
	plugin "k8s.io/apiserver/pkg/admission/plugin/cel"
	apicel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
)

var (
	usesVariable = regexp.MustCompile(`\bvariables\.([a-zA-Z_][a-zA-Z0-9_]*)`)
	celName      = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// admissionPolicy compiles the expressions of a policy as the API server does, in
// its own environment, once for each kind that the policy is about: a field that
// none of them has is an error.
func admissionPolicy(p *admission.ValidatingAdmissionPolicy) (problems []string) {
	if p.Spec.MatchConstraints == nil || len(p.Spec.MatchConstraints.ResourceRules) == 0 {
		return []string{"spec.matchConstraints: a policy needs resourceRules"}
	}
	if len(p.Spec.Validations)+len(p.Spec.AuditAnnotations) == 0 {
		problems = append(problems, "spec: a policy needs validations or auditAnnotations")
	}
	for _, r := range p.Spec.MatchConstraints.ResourceRules {
		if len(r.APIGroups) == 0 || len(r.APIVersions) == 0 || len(r.Resources) == 0 || len(r.Operations) == 0 {
			problems = append(problems, "spec.matchConstraints: a rule needs apiGroups, apiVersions, resources and operations")
		}
	}
	known := map[string]bool{}
	check := func(expression string, want *cel.Type) {
		for _, m := range usesVariable.FindAllStringSubmatch(expression, -1) {
			if !known[m[1]] {
				problems = append(problems, fmt.Sprintf("%q: no variable %q before it", expression, m[1]))
			}
		}
		problems = append(problems, compiles(expression, want, constrained(p), p.Spec.ParamKind != nil)...)
	}
	for _, v := range p.Spec.Variables {
		check(v.Expression, nil)
		known[v.Name] = celName.MatchString(v.Name)
	}
	for _, c := range p.Spec.MatchConditions {
		check(c.Expression, cel.BoolType)
	}
	for _, v := range p.Spec.Validations {
		check(v.Expression, cel.BoolType)
		if v.MessageExpression != "" {
			check(v.MessageExpression, cel.StringType)
		}
		if strings.Contains(v.Message, "\n") {
			problems = append(problems, "a message of more than one line")
		}
	}
	for _, a := range p.Spec.AuditAnnotations {
		check(a.ValueExpression, nil)
	}
	return problems
}

// compiles returns what is wrong with an expression, which is nothing when it is
// right for one of the kinds.
func compiles(expression string, want *cel.Type, objects []*apicel.DeclType, params bool) []string {
	var problem string
	for _, object := range objects {
		env := environmentFor(object, params)
		ast, issues := env.Compile(expression)
		switch {
		case issues != nil:
			problem = fmt.Sprintf("%q: %s", expression, issues)
		case want != nil && !ast.OutputType().IsExactType(want) && !ast.OutputType().IsExactType(cel.DynType):
			problem = fmt.Sprintf("%q: makes a %s, not a %s", expression, ast.OutputType(), want)
		default:
			return nil
		}
	}
	return []string{problem}
}

var environments sync.Map

// environmentFor is that of the API server for a policy about such objects; for
// nil they may have any field.
func environmentFor(object *apicel.DeclType, params bool) *cel.Env {
	key := fmt.Sprint(object.TypeName(), params)
	if env, ok := environments.Load(key); ok {
		return env.(*cel.Env)
	}
	request, namespace := plugin.BuildRequestType(), plugin.BuildNamespaceType()
	types, of := []*apicel.DeclType{request, namespace}, cel.DynType
	if object.IsObject() {
		types, of = append(types, object), object.CelType()
	}
	options := []cel.EnvOption{
		cel.Variable(plugin.ObjectVarName, of), cel.Variable(plugin.OldObjectVarName, of),
		cel.Variable(plugin.RequestVarName, request.CelType()), cel.Variable(plugin.NamespaceVarName, namespace.CelType()),
		cel.Variable("variables", cel.DynType), cel.Variable("authorizer", library.AuthorizerType),
	}
	if params {
		options = append(options, cel.Variable(plugin.ParamsVarName, cel.DynType))
	}
	set, err := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0), EnvOptions: options, DeclTypes: types,
	})
	must(err)
	env, err := set.Env(environment.NewExpressions)
	must(err)
	environments.Store(key, env)
	return env
}

// connected are what a request to a subresource has for its object.
var connected = map[string]any{
	"pods/exec": core.PodExecOptions{}, "pods/attach": core.PodAttachOptions{}, "pods/portforward": core.PodPortForwardOptions{},
	"pods/ephemeralcontainers": core.Pod{}, "pods/status": core.Pod{}, "nodes/proxy": core.NodeProxyOptions{},
}

// constrained returns the types of the objects that the policy is about.
func constrained(p *admission.ValidatingAdmissionPolicy) (out []*apicel.DeclType) {
	for _, rule := range p.Spec.MatchConstraints.ResourceRules {
		for _, name := range rule.Resources {
			switch object, ok := connected[name]; {
			case ok:
				out = append(out, declared(reflect.TypeOf(object)))
			default:
				out = append(out, resourceType(rule.Rule, name))
			}
		}
	}
	return out
}

// resourceType finds the type behind a name such as pods; dyn is for all others.
func resourceType(rule admission.Rule, name string) *apicel.DeclType {
	for kind, t := range kinds.AllKnownTypes() {
		plural, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Kind: kind.Kind, Group: kind.Group, Version: kind.Version})
		if plural.Resource == name && slices.Contains(rule.APIGroups, kind.Group) && (slices.Contains(rule.APIVersions, kind.Version) || slices.Contains(rule.APIVersions, "*") && kind.Version == "v1") {
			return declared(t)
		}
	}
	return apicel.DynType
}

// declared makes CEL's type of a Go type by its JSON keys.
func declared(t reflect.Type) *apicel.DeclType {
	switch t {
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime]():
		return apicel.TimestampType
	case reflect.TypeFor[resource.Quantity](), reflect.TypeFor[intstr.IntOrString](), reflect.TypeFor[metav1.FieldsV1]():
		return apicel.DynType
	case reflect.TypeFor[[]byte]():
		return apicel.BytesType
	}
	switch t.Kind() {
	case reflect.Pointer:
		return declared(t.Elem())
	case reflect.Slice:
		return apicel.NewListType(declared(t.Elem()), -1)
	case reflect.Map:
		return apicel.NewMapType(apicel.StringType, declared(t.Elem()), -1)
	case reflect.Struct:
		return apicel.NewObjectType(strings.ReplaceAll(t.PkgPath(), "/", ".")+"."+t.Name(), fields(t))
	case reflect.Bool:
		return apicel.BoolType
	case reflect.Int, reflect.Int32, reflect.Int64:
		return apicel.IntType
	case reflect.String:
		return apicel.StringType
	}
	return apicel.DynType
}

func fields(t reflect.Type) map[string]*apicel.DeclField {
	out := map[string]*apicel.DeclField{}
	for f := range t.Fields() {
		name, inline, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && (f.Anonymous || inline == "inline"):
			maps.Copy(out, fields(f.Type))
		case name != "" && name != "-":
			out[name] = apicel.NewDeclField(name, declared(f.Type), false, nil, nil)
		}
	}
	return out
}
