package validity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	compose "github.com/compose-spec/compose-go/v2/schema"
	oci "github.com/opencontainers/runtime-spec/specs-go"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/apis/apiserver"
	apiserverinstall "k8s.io/apiserver/pkg/apis/apiserver/install"
	apiservervalidation "k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/apis/audit"
	auditinstall "k8s.io/apiserver/pkg/apis/audit/install"
	auditvalidation "k8s.io/apiserver/pkg/apis/audit/validation"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	kubelet "k8s.io/kubelet/config/v1beta1"
	sigsyaml "sigs.k8s.io/yaml"
)

// components are the types of what the control plane and the kubelet are
// configured with.
var components = func() *runtime.Scheme {
	s := runtime.NewScheme()
	apiserverinstall.Install(s)
	auditinstall.Install(s)
	must(kubelet.AddToScheme(s))
	return s
}()

// component reads the configuration of a component as the component does: its
// type, strictly, and then its own validation where that is published.
func component(body string) []string {
	codecs := serializer.NewCodecFactory(components, serializer.EnableStrict)
	_, kind, err := codecs.UniversalDeserializer().Decode([]byte(body), nil, nil)
	if err != nil {
		return []string{err.Error()}
	}
	if kind.Group == kubelet.GroupName {
		return nil // its validation is part of the kubelet, which publishes no more
	}
	object, _, err := codecs.UniversalDecoder().Decode([]byte(body), nil, nil)
	if err != nil {
		return []string{err.Error()}
	}
	switch o := object.(type) {
	case *audit.Policy:
		problems := texts(auditvalidation.ValidatePolicy(o))
		for i, rule := range o.Rules {
			for _, r := range rule.Resources {
				problems = append(problems, resources(fmt.Sprintf("rules[%d]", i), []string{r.Group}, r.Resources)...)
			}
		}
		return problems
	case *apiserver.EncryptionConfiguration:
		return texts(apiservervalidation.ValidateEncryptionConfiguration(o, false))
	case *apiserver.AuthenticationConfiguration:
		return texts(apiservervalidation.ValidateAuthenticationConfiguration(authenticationcel.NewDefaultCompiler(), o, nil))
	}
	return nil
}

var (
	seccompActions = []oci.LinuxSeccompAction{oci.ActKill, oci.ActKillProcess, oci.ActKillThread, oci.ActTrap, oci.ActErrno, oci.ActTrace, oci.ActAllow, oci.ActLog, oci.ActNotify}
	seccompOps     = []oci.LinuxSeccompOperator{oci.OpNotEqual, oci.OpLessThan, oci.OpLessEqual, oci.OpEqualTo, oci.OpGreaterEqual, oci.OpGreaterThan, oci.OpMaskedEqual}
)

// seccomp reads a profile.
func seccomp(body string) (problems []string) {
	var profile oci.LinuxSeccomp
	dec := json.NewDecoder(bytes.NewReader([]byte(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&profile); err != nil {
		return []string{err.Error()}
	}
	failf := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if !slices.Contains(seccompActions, profile.DefaultAction) {
		failf("defaultAction %q", profile.DefaultAction)
	}
	for _, call := range profile.Syscalls {
		if len(call.Names) == 0 || !slices.Contains(seccompActions, call.Action) {
			failf("syscalls: %v: %q", call.Names, call.Action)
		}
		for _, arg := range call.Args {
			if arg.Index > 5 || !slices.Contains(seccompOps, arg.Op) {
				failf("syscalls: %v: argument %d %q", call.Names, arg.Index, arg.Op)
			}
		}
	}
	return problems
}

// composeFile reads a Compose file by the schema of the specification.
func composeFile(body string) []string {
	data, err := sigsyaml.YAMLToJSONStrict([]byte(body))
	if err != nil {
		return []string{err.Error()}
	}
	tree := map[string]any{}
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return []string{err.Error()}
	}
	if err := compose.Validate(tree); err != nil {
		return []string{err.Error()}
	}
	return nil
}
