package validity

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/itchyny/gojq"
	"github.com/jmespath/go-jmespath"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	fieldselector "k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/util/jsonpath"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/get"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"falconer/rules"
)

// programs say what is wrong with the arguments of programs that publish their
// parser: that of flags, or of the language that an argument is in.
var programs = map[string]func(arguments []string) []string{
	"kubectl": kubectlLine,
	"jq":      jqLine,
	"gh":      ghLine,
	"aws":     awsLine,
}

// TestGeneratedCommandsAreUnderstood is about every command line of every
// example's alert, and of real ones, once.
func TestGeneratedCommandsAreUnderstood(t *testing.T) {
	book, err := rules.Builtin()
	require.NoError(t, err)
	seen, counted := map[string]bool{}, map[string]int{}
	for from, of := range alerts(t, book) {
		for _, a := range of {
			for _, m := range book.Advise(a).Mitigations {
				for _, c := range m.Commands {
					if seen[c.Line] {
						continue
					}
					seen[c.Line] = true
					for _, words := range commandsOf(t, c.Line) {
						read, ok := programs[words[0]]
						if !ok {
							continue
						}
						counted[words[0]]++
						for _, problem := range read(words[1:]) {
							t.Errorf("%s, %s: %s\n%s", from, m.ID, problem, c.Line)
						}
					}
				}
			}
		}
	}
	t.Logf("commands by program: %v", counted)
	require.NotEmpty(t, counted)
}

// commandsOf returns the arguments of every command of a line.
func commandsOf(t *testing.T, line string) (out [][]string) {
	t.Helper()
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(line), "")
	require.NoError(t, err, line)
	syntax.Walk(file, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok {
			words, err := expand.Fields(&expand.Config{Env: expand.ListEnviron("HOME=/root")}, call.Args...)
			require.NoError(t, err, line)
			out = append(out, words)
		}
		return true
	})
	return out
}

// kubectlLine parses a line's flags as kubectl does, and the paths and selectors
// in them.
func kubectlLine(arguments []string) (problems []string) {
	root := kubectl.NewKubectlCommand(kubectl.KubectlOptions{IOStreams: genericiooptions.NewTestIOStreamsDiscard()})
	command, rest, err := root.Find(arguments)
	if err != nil {
		return []string{err.Error()}
	}
	if command.Name() == "plugin" || !command.Runnable() {
		return []string{fmt.Sprintf("kubectl has no command %q", arguments)}
	}
	if err := command.ParseFlags(rest); err != nil {
		return []string{err.Error()}
	}
	if command.HasSubCommands() && len(command.Flags().Args()) > 0 {
		return []string{fmt.Sprintf("kubectl %s has no command %q", command.Name(), command.Flags().Args()[0])}
	}
	problems = append(problems, selectors(command)...)
	if slices.Contains(aboutObjects, command.Name()) && command.Parent() == root {
		problems = append(problems, asked(command.Flags().Args())...)
	}
	if out := command.Flag("output"); out != nil {
		problems = append(problems, outputForm(command.Name(), out.Value.String())...)
	}
	return problems
}

func selectors(command *cobra.Command) (problems []string) {
	for flag, parse := range map[string]func(string) error{
		"selector":       func(s string) error { _, err := labels.Parse(s); return err },
		"field-selector": func(s string) error { _, err := fieldselector.ParseSelector(s); return err },
	} {
		if f := command.Flag(flag); f != nil && f.Value.String() != "" {
			if err := parse(filledIn(f.Value.String())); err != nil {
				problems = append(problems, fmt.Sprintf("--%s: %v", flag, err))
			}
		}
	}
	return problems
}

// aboutObjects are the commands whose first argument names resources.
var aboutObjects = []string{"get", "describe", "delete", "label", "annotate", "patch", "edit"}

// shortNames are what kubectl lets stand for a resource, with those of
// neighbours that playbooks ask for.
var shortNames = []string{
	"all", "cm", "crd", "csr", "cj", "cnp", "ds", "deploy", "ep", "ing", "limits", "netpol", "no", "ns", "po", "pod", "pv", "pvc", "quota", "rs", "sa", "sts", "svc",
	"crds", "customresourcedefinitions", "apiservices", "volumesnapshots",
	"ciliumendpoints", "ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies", "clusterpolicies", "policyreports", "clusterpolicyreports",
}

// asked checks the resources that an argument names: pods, pod/web, pods,services.
// Those of a named group are not looked at.
func asked(arguments []string) (problems []string) {
	if len(arguments) == 0 {
		return nil // they come from a file
	}
	names, _, _ := strings.Cut(arguments[0], "/")
	for name := range strings.SplitSeq(strings.ToLower(names), ",") {
		if !strings.ContainsAny(name, ".<") && !slices.Contains(shortNames, name) && !askable()[name] {
			problems = append(problems, fmt.Sprintf("no resource %q", name))
		}
	}
	return problems
}

// askable are the resources of Kubernetes, in the plural and in the singular.
var askable = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for kind := range kinds.AllKnownTypes() {
		plural, singular := meta.UnsafeGuessKindToResource(kind)
		out[plural.Resource], out[singular.Resource] = true, true
	}
	return out
})

var outputs = []string{"", "name", "json", "yaml", "wide", "kyaml"}

func outputForm(command, form string) []string {
	kind, text, _ := strings.Cut(form, "=")
	switch kind {
	case "jsonpath":
		path, err := get.RelaxedJSONPathExpression(text)
		if err == nil {
			err = jsonpath.New("").Parse(path)
		}
		if err != nil {
			return []string{err.Error()}
		}
	case "custom-columns":
		for column := range strings.SplitSeq(text, ",") {
			if header, path, ok := strings.Cut(column, ":"); !ok || header == "" || path == "" {
				return []string{fmt.Sprintf("column %q", column)}
			}
		}
	case "go-template":
	default:
		if !slices.Contains(outputs, form) {
			return []string{fmt.Sprintf("kubectl %s -o %s", command, form)}
		}
	}
	return nil
}

// jqTakes are jq's options by how many arguments follow them.
var jqTakes = map[string]int{"--arg": 2, "--argjson": 2, "--slurpfile": 2, "--rawfile": 2, "--indent": 1, "-L": 1, "-f": 1, "--from-file": 1}

var jqOption = regexp.MustCompile(`^(-[rcnsSeRjaCM]+|--(raw-output|compact-output|null-input|slurp|sort-keys|exit-status|raw-input|tab|stream|seq|join-output))$`)

// jqLine compiles the program among jq's arguments, with the variables that it is
// handed.
func jqLine(arguments []string) []string {
	variables := []string{"$ENV", "$__loc__", "$ARGS"}
	for i := 0; i < len(arguments); i++ {
		takes, ok := jqTakes[arguments[i]]
		switch {
		case ok && i+takes >= len(arguments):
			return []string{arguments[i] + " lacks an argument"}
		case ok && takes == 2:
			variables = append(variables, "$"+arguments[i+1])
			i += takes
		case ok:
			i += takes
		case jqOption.MatchString(arguments[i]):
		case strings.HasPrefix(arguments[i], "-"):
			return []string{"jq has no option " + arguments[i]}
		default:
			return jqProgram(arguments[i], variables...)
		}
	}
	return []string{"jq without a program"}
}

func jqProgram(program string, variables ...string) []string {
	query, err := gojq.Parse(program)
	if err == nil {
		_, err = gojq.Compile(query, gojq.WithVariables(variables), gojq.WithEnvironLoader(func() []string { return nil }))
	}
	if err != nil {
		return []string{fmt.Sprintf("jq %q: %v", program, err)}
	}
	return nil
}

// ghLine compiles the programs that gh runs on its answers.
func ghLine(arguments []string) (problems []string) {
	for i, argument := range arguments {
		if flag, value, ok := strings.Cut(argument, "="); ok && flag == "--jq" {
			problems = append(problems, jqProgram(value)...)
		}
		if (argument == "--jq" || argument == "-q") && i+1 < len(arguments) {
			problems = append(problems, jqProgram(arguments[i+1])...)
		}
	}
	return problems
}

// awsLine compiles the expressions that aws reads its answers by.
func awsLine(arguments []string) (problems []string) {
	if len(arguments) < 2 || strings.HasPrefix(arguments[0], "-") || strings.HasPrefix(arguments[1], "-") {
		return []string{"aws wants a service and an operation first"}
	}
	for i, argument := range arguments {
		if argument != "--query" || i+1 == len(arguments) {
			continue
		}
		if _, err := jmespath.Compile(arguments[i+1]); err != nil {
			problems = append(problems, fmt.Sprintf("--query %s: %v", arguments[i+1], err))
		}
	}
	return problems
}

// TestProgramsBite gives every reader a command that its program would refuse.
func TestProgramsBite(t *testing.T) {
	for name, row := range map[string]struct{ good, bad, problem string }{
		"a command that kubectl has not":    {"kubectl get pods", "kubectl fetch pods", "unknown command"},
		"a flag that kubectl has not":       {"kubectl get pods --all-namespaces", "kubectl get pods --every-namespace", "unknown flag"},
		"a flag of another command":         {"kubectl logs web --since=1h", "kubectl get pods --since=1h", "unknown flag"},
		"a duration that is none":           {"kubectl logs web --since=1h", "kubectl logs web --since=1day", "invalid argument"},
		"a subcommand that kubectl has not": {"kubectl rollout undo deployment/web", "kubectl rollout back deployment/web", "no command"},
		"a resource that there is not":      {"kubectl get pods,svc -A", "kubectl get pods,servces -A", "no resource"},
		"a path that does not end":          {"kubectl get pods -o 'jsonpath={.items[*].metadata.name}'", "kubectl get pods -o 'jsonpath={.items[*.metadata.name}'", "unterminated"},
		"an output that kubectl has not":    {"kubectl get pods -o json", "kubectl get pods -o jsonl", "-o jsonl"},
		"a column without a path":           {"kubectl get pods -o custom-columns=N:.metadata.name", "kubectl get pods -o custom-columns=N", "column"},
		"a selector that is none":           {"kubectl get pods -l a=b", "kubectl get pods -l 'a=b c'", "--selector"},
		"a selector of fields that is none": {"kubectl get pods --field-selector a.b=c", "kubectl get pods --field-selector a.b", "--field-selector"},
		"a program that does not end":       {"jq -r '.a[]'", "jq -r '.a['", "unexpected"},
		"a function that jq has not":        {"jq '.a | length'", "jq '.a | lengths'", "function not defined"},
		"a variable that jq is not handed":  {"jq --arg a x '.b == $a'", "jq --arg a x '.b == $c'", "variable not defined"},
		"an option that jq has not":         {"jq -rc .", "jq -rx .", "no option"},
		"a program of gh":                   {"gh api user --jq .login", "gh api user --jq '.login |'", "unexpected"},
		"an expression of aws":              {"aws iam list-users --query 'Users[].Arn'", "aws iam list-users --query 'Users[.Arn'", "--query"},
		"aws without an operation":          {"aws iam list-users", "aws --output text", "a service"},
	} {
		t.Run(name, func(t *testing.T) {
			check := func(line string) []string {
				words := commandsOf(t, line)[0]
				return programs[words[0]](words[1:])
			}
			require.Empty(t, check(row.good), "what is right")
			require.Contains(t, strings.Join(check(row.bad), "\n"), row.problem)
		})
	}
}
