package validity

import (
	"context"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	cilium "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2"
	kyverno "github.com/kyverno/kyverno/cmd/cli/kubectl-kyverno/data"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensions1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// unpublished are the groups of which no module within reach has types or
// schemas: their objects are held to the shape that every object has.
var unpublished = []string{"projectcalico.org", "crd.projectcalico.org", "templates.gatekeeper.sh", "constraints.gatekeeper.sh"}

// definition is a version of a custom resource.
type definition struct {
	structure *structural.Structural
	validator validation.SchemaValidator
	rules     *cel.Validator
	cluster   bool
}

// definitions are those that the modules of Cilium and Kyverno carry.
var definitions = sync.OnceValue(func() map[schema.GroupVersionKind]*apiextensions1.CustomResourceDefinition {
	out := map[schema.GroupVersionKind]*apiextensions1.CustomResourceDefinition{}
	policies, err := kyverno.Crds()
	must(err)
	for _, folder := range []fs.FS{cilium.EmbedFS, policies} {
		files, err := fs.Glob(folder, "*.yaml")
		must(err)
		for _, file := range files {
			data, err := fs.ReadFile(folder, file)
			must(err)
			crd := &apiextensions1.CustomResourceDefinition{}
			must(yaml.Unmarshal(data, crd))
			for _, v := range crd.Spec.Versions {
				out[schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}] = crd
			}
		}
	}
	return out
})

var defined sync.Map

// define makes the definition of the kind, or nil when nobody publishes it.
func define(kind schema.GroupVersionKind) *definition {
	if d, ok := defined.Load(kind); ok {
		return d.(*definition)
	}
	crd := definitions()[kind]
	if crd == nil {
		return nil
	}
	at := slices.IndexFunc(crd.Spec.Versions, func(v apiextensions1.CustomResourceDefinitionVersion) bool { return v.Name == kind.Version })
	var is apiextensions.CustomResourceValidation
	must(apiextensions1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(crd.Spec.Versions[at].Schema, &is, nil))
	structure, err := structural.NewStructural(is.OpenAPIV3Schema)
	must(err)
	validator, _, err := validation.NewSchemaValidator(is.OpenAPIV3Schema)
	must(err)
	d := &definition{structure, validator, cel.NewValidator(structure, true, celconfig.PerCallLimit), crd.Spec.Scope == apiextensions1.ClusterScoped}
	defined.Store(kind, d)
	return d
}

// custom reads a custom resource as the API server would that has its
// definition: nothing that is unknown, the schema, and the schema's rules.
func custom(kind schema.GroupVersionKind, doc []byte) []string {
	object := map[string]any{}
	if err := yaml.Unmarshal(doc, &object); err != nil {
		return []string{err.Error()}
	}
	u := &unstructured.Unstructured{Object: object}
	d := define(kind)
	switch {
	case d == nil && slices.Contains(unpublished, kind.Group):
		return shape(u)
	case d == nil:
		return []string{fmt.Sprintf("no type or schema for %s: add its module, or say that nobody publishes it", kind)}
	}
	problems := texts(apivalidation.ValidateObjectMetaAccessor(u, !d.cluster, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata")))
	problems = append(problems, texts(validation.ValidateCustomResource(nil, object, d.validator))...)
	if d.rules != nil {
		errs, _ := d.rules.Validate(context.Background(), nil, d.structure, object, nil, celconfig.RuntimeCELCostBudget)
		problems = append(problems, texts(errs)...)
	}
	problems = append(problems, policyPatterns(u)...)
	unknown := pruning.PruneWithOptions(object, d.structure, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, at := range unknown {
		problems = append(problems, "unknown field "+at)
	}
	return problems
}

// shape is what every object has.
func shape(u *unstructured.Unstructured) (problems []string) {
	for _, key := range sortedKeys(u.Object) {
		if !slices.Contains([]string{"apiVersion", "kind", "metadata", "spec"}, key) {
			problems = append(problems, "unknown field "+key)
		}
	}
	if _, ok := u.Object["spec"].(map[string]any); !ok {
		problems = append(problems, "spec: required")
	}
	return append(problems, texts(apivalidation.ValidateObjectMetaAccessor(u, u.GetNamespace() != "", apivalidation.NameIsDNSSubdomain, field.NewPath("metadata")))...)
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// anchor is Kyverno's way to make a key of a pattern conditional.
var anchor = regexp.MustCompile(`^[=^+<X]?\((.*)\)$`)

// policyPatterns holds the patterns of a Kyverno policy, which its schema leaves
// open, to the keys of the kinds that they are for.
func policyPatterns(u *unstructured.Unstructured) (problems []string) {
	if u.GroupVersionKind().Group != "kyverno.io" {
		return nil
	}
	rules, _, _ := unstructured.NestedSlice(u.Object, "spec", "rules")
	for _, r := range rules {
		rule, _ := r.(map[string]any)
		patterns := patternsOf(rule)
		types, unknown := kindsOf(rule)
		problems = append(problems, unknown...)
		for _, kind := range types {
			for _, p := range patterns {
				problems = append(problems, foreignKeys(kind, p, "pattern")...)
			}
		}
	}
	return problems
}

func patternsOf(rule map[string]any) (out []any) {
	if p, ok, _ := unstructured.NestedFieldNoCopy(rule, "validate", "pattern"); ok {
		out = append(out, p)
	}
	if several, ok, _ := unstructured.NestedSlice(rule, "validate", "anyPattern"); ok {
		out = append(out, several...)
	}
	if p, ok, _ := unstructured.NestedFieldNoCopy(rule, "mutate", "patchStrategicMerge"); ok {
		out = append(out, p)
	}
	return out
}

// kindsOf returns the types of the kinds that a rule matches, and what it calls
// kinds that nobody has. Those of a named group are not looked at.
func kindsOf(rule map[string]any) (out []reflect.Type, problems []string) {
	for _, name := range matched(rule) {
		found := strings.ContainsAny(name, "*/")
		for kind, t := range kinds.AllKnownTypes() {
			if kind.Kind == name && kind.Version == "v1" {
				out, found = append(out, t), true
			}
		}
		if !found {
			problems = append(problems, "match: no kind "+name)
		}
	}
	return out, problems
}

// matched returns the kinds that a rule names.
func matched(rule map[string]any) (out []string) {
	for _, of := range []string{"any", "all"} {
		filters, _, _ := unstructured.NestedSlice(rule, "match", of)
		for _, f := range filters {
			filter, _ := f.(map[string]any)
			names, _, _ := unstructured.NestedStringSlice(filter, "resources", "kinds")
			out = append(out, names...)
		}
	}
	return out
}

// foreignKeys returns the keys of a tree that the type does not have.
func foreignKeys(t reflect.Type, tree any, at string) (problems []string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := tree.(type) {
	case []any:
		if t.Kind() != reflect.Slice {
			return []string{at + ": a list, where " + t.String() + " stands"}
		}
		for _, item := range v {
			problems = append(problems, foreignKeys(t.Elem(), item, at)...)
		}
	case map[string]any:
		for _, k := range sortedKeys(v) {
			key := k
			if m := anchor.FindStringSubmatch(k); m != nil {
				key = m[1]
			}
			of, ok := element(t, key)
			if !ok {
				problems = append(problems, fmt.Sprintf("%s: %s has no %s", at, t, key))
				continue
			}
			problems = append(problems, foreignKeys(of, v[k], at+"."+key)...)
		}
	}
	return problems
}

// element returns the type of what stands under the key.
func element(t reflect.Type, key string) (reflect.Type, bool) {
	switch t.Kind() {
	case reflect.Map:
		return t.Elem(), true
	case reflect.Struct:
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == key && name != "" {
				return f.Type, true
			}
			if name == "" && f.Anonymous {
				if of, ok := element(f.Type, key); ok {
					return of, true
				}
			}
		}
	}
	return nil, false
}
