package rules

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"falconer/processor"
)

func onlyConfig(t testing.TB, b *Book, a *processor.Alert) processor.Config {
	t.Helper()
	m := b.Advise(a).Mitigations
	require.Len(t, m, 1)
	require.Len(t, m[0].Configs, 1)
	return m[0].Configs[0]
}

func TestConfigYAML(t *testing.T) {
	b := stepBook(t, `configs: [{tool: kubernetes, explain: 'For {pod}.', yaml: {
		apiVersion: v1, kind: Pod, metadata: {name: "{pod}", namespace: "{namespace|default}", labels: {plain: word, yes: "true"}, annotations: {brace: "{{x}"}},
		spec: {port: 53, deep: [{value: !!int "{fd.rport}"}, true, null], seen: ["{proc.name|nobody}"]}}}]`)
	c := onlyConfig(t, b, alert(map[string]string{"k8s.pod.name": "123", "fd.rport": "443"}))
	require.Equal(t, `{apiVersion: v1, kind: Pod, metadata: {name: "123", namespace: "default", labels: {plain: word, yes: "true"}, annotations: {brace: "{x}"}}, spec: {port: 53, deep: [{value: 443}, true, null], seen: ["nobody"]}}
`, c.Body, "a value is a string in double quotes, unless the playbook says that it is a number")
	require.True(t, c.Ready)
	require.Equal(t, "yaml", c.Format)
	require.Equal(t, "For `123`.", c.Explain.Markdown())

	c = onlyConfig(t, b, alert(map[string]string{"k8s.pod.name": "p", "proc.name": "a\nb: c", "fd.rport": "443; x"}))
	require.Contains(t, c.Body, `seen: ["a\nb: c"]`)
	require.Contains(t, c.Body, `value: "<fd.rport>"`)
	require.False(t, c.Ready)
	require.Equal(t, []string{"fd.rport"}, c.Missing)
	require.Contains(t, c.Explain.Plain(), "The value of `fd.rport` is not a number: look at it and fill it in by hand.")
}

func TestConfigKeepsTheOrderAndCommentsOfThePlaybook(t *testing.T) {
	b := bookOf(t, sound+`    mitigations:
      - id: m
        title: M
        kind: tune
        horizon: now
        risk: reversible
        configs:
          - tool: kubernetes-patch
            yaml:
              # Zeal before order.
              zeal: "{pod}"
              alpha: # with care
                - b
                - a
              text: |
                two
                lines
`)
	require.Equal(t, `# Zeal before order.
zeal: "p"
alpha: # with care
  - b
  - a
text: |
  two
  lines
`, onlyConfig(t, b, alert(map[string]string{"k8s.pod.name": "p"})).Body)
}

func TestConfigJSON(t *testing.T) {
	b := stepBook(t, `configs: [{tool: seccomp, json: {defaultAction: SCMP_ACT_ALLOW, flags: [], syscalls: [{names: [ptrace, "{evt.type}"], action: SCMP_ACT_ERRNO, errnoRet: 1, comment: "{proc.cmdline}"}]}}]`)
	c := onlyConfig(t, b, alert(map[string]string{"evt.type": "a\"b<c>\u202e\x7f\U000e0001", "proc.cmdline": "x"}))
	// The text is compared, not the value: order and escapes matter.
	require.Equal(t, strings.TrimPrefix(`
{
  "defaultAction": "SCMP_ACT_ALLOW",
  "flags": [],
  "syscalls": [
    {
      "names": [
        "ptrace",
        "a\"b<c>\u202e\u007f\udb40\udc01"
      ],
      "action": "SCMP_ACT_ERRNO",
      "errnoRet": 1,
      "comment": "x"
    }
  ]
}
`, "\n"), c.Body)
	require.Equal(t, "json", c.Format)
	require.True(t, json.Valid([]byte(c.Body)))
}

func TestConfigLines(t *testing.T) {
	b := stepBook(t, `configs: [{tool: auditd, lines: ["# watch one file", "-w {fd.name} -p wa -k falconer"]}]`)
	c := onlyConfig(t, b, alert(map[string]string{"fd.name": "/etc/a-b_c.d"}))
	require.Equal(t, "# watch one file\n-w /etc/a-b_c.d -p wa -k falconer\n", c.Body)
	require.Equal(t, "text", c.Format)
	require.True(t, c.Ready)
	for _, value := range []string{"/etc/a b", "/etc/x\n-D", "a#b", "é", "$x", "a'b", "a\\b"} {
		c = onlyConfig(t, b, alert(map[string]string{"fd.name": value}))
		require.Equal(t, "# watch one file\n-w <fd.name> -p wa -k falconer\n", c.Body, "%q", value)
		require.False(t, c.Ready)
		require.Equal(t, []string{"fd.name"}, c.Missing)
	}
}

func TestConfigNamesOnlyWhatKubernetesTakes(t *testing.T) {
	long := strings.Repeat("a", 64)
	for place, row := range map[string]struct{ yaml, takes, refuses, why string }{
		"metadata.name":      {`kind: Pod, metadata: {name: "q-{proc.name}"}`, "a.b-c", "a_b", "is no name that Kubernetes takes"},
		"as a whole":         {`kind: Pod, metadata: {name: "{proc.name}.{user.name|x}"}`, "a", "a.", "is no name that Kubernetes takes"},
		"name of a role":     {`kind: Role, apiVersion: rbac.authorization.k8s.io/v1, metadata: {name: "{proc.name}"}`, "system:A_b", "a/b", "is no name that Kubernetes takes"},
		"metadata.namespace": {`kind: Pod, metadata: {name: x, namespace: "{proc.name}"}`, "a-b", "a.b", "is no namespace that Kubernetes takes"},
		"metadata.labels":    {`kind: Pod, metadata: {name: x, labels: {app: "{proc.name}"}}`, "a_B.c", "-a", "is no value that Kubernetes takes for a label"},
		"label too long":     {`kind: Pod, metadata: {name: x, labels: {app: "{proc.name}"}}`, long[1:], long, "is no value that Kubernetes takes for a label"},
		"matchLabels":        {`kind: Service, metadata: {name: x}, spec: [{podSelector: {matchLabels: {app: "{proc.name}"}}}]`, "a", "a b", "is no value that Kubernetes takes for a label"},
		"template":           {`kind: Deployment, apiVersion: apps/v1, metadata: {name: x}, spec: {template: {metadata: {labels: {app: "{proc.name}"}}}}`, "a", "a:b", "is no value that Kubernetes takes for a label"},
		"object in a list":   {`kind: List, metadata: {name: x}, items: [{apiVersion: v1, kind: Pod, metadata: {name: "{proc.name}"}}]`, "a", "A", "is no name that Kubernetes takes"},
	} {
		t.Run(place, func(t *testing.T) {
			if !strings.Contains(row.yaml, "apiVersion: ") || strings.Contains(row.yaml, "items") {
				row.yaml = "apiVersion: v1, " + row.yaml
			}
			b := stepBook(t, `configs: [{tool: kubernetes, yaml: {`+row.yaml+`}}]`)
			c := onlyConfig(t, b, alert(map[string]string{"proc.name": row.takes}))
			require.True(t, c.Ready, c.Body)
			require.Contains(t, c.Body, row.takes)
			c = onlyConfig(t, b, alert(map[string]string{"proc.name": row.refuses}))
			require.Equal(t, []string{"proc.name"}, c.Missing)
			require.Contains(t, c.Body, "<proc.name>")
			require.Contains(t, c.Explain.Plain(), "The value of `proc.name` "+row.why)
			c = onlyConfig(t, b, alert(nil))
			require.NotContains(t, c.Explain.Plain(), "The value of", "an absent value is missing, not refused")
		})
	}
}

func TestConfigLeavesPatternsAlone(t *testing.T) {
	b := stepBook(t, `configs: [{tool: kyverno, yaml: {apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: x}, spec: {rules: [{validate: {pattern: {metadata: {labels: {"=(app)": "?*"}}}}}]}}}]`)
	require.True(t, onlyConfig(t, b, alert(nil)).Ready)
}

func TestConfigForFalcoGetsFalcosQuotes(t *testing.T) {
	b := stepBook(t, `configs: [{tool: falco, yaml: [
		{rule: "{rule}", exceptions: [{name: n, fields: [proc.cmdline], comps: [=], values: [["{proc.cmdline}"]]}], override: {exceptions: append}},
		{list: known, items: ["{proc.name}"], override: {items: append}}]}]`)
	c := onlyConfig(t, b, alert(map[string]string{"proc.cmdline": `sh -c "(true)"`, "proc.name": "a)"}))
	require.Contains(t, c.Body, `values: [["\"sh -c \\\"(true)\\\"\""]]`)
	require.Contains(t, c.Body, `items: ["<proc.name>"]`)
	require.Equal(t, []string{"proc.name"}, c.Missing)
}

// exceptionFile is the form of a Falco file with one exception.
type exceptionFile []struct {
	Rule       string `yaml:"rule"`
	Exceptions []struct {
		Name   string     `yaml:"name"`
		Fields []string   `yaml:"fields"`
		Comps  []string   `yaml:"comps"`
		Values [][]string `yaml:"values"`
	} `yaml:"exceptions"`
	Override map[string]string `yaml:"override"`
}

const withException = sound + `    exception: {fields: [container.image.repository, proc.cmdline, user.uid], comps: ["=", startswith, "="], why: 'The build of {container.image.repository}.'}
`

func TestException(t *testing.T) {
	b := bookOf(t, withException)
	a := alert(map[string]string{"container.image.repository": "docker.io/acme/builder", "proc.cmdline": `sh -c (true) "x" \`, "user.uid": "0"})
	c := b.Advise(a).Exception
	require.Equal(t, `- rule: R
  exceptions:
    - name: falconer_shell_c605f02c
      fields: [container.image.repository, proc.cmdline, user.uid]
      comps: ['=', startswith, '=']
      values:
        - ['"docker.io/acme/builder"', '"sh -c (true) \"x\" \\"', '"0"']
  override:
    exceptions: append
`, c.Body)
	require.Equal(t, "falco", c.Tool)
	require.True(t, c.Ready)
	require.Equal(t, "The build of docker.io/acme/builder.", c.Explain.Plain())

	a.Fields["user.uid"] = "1"
	require.NotContains(t, b.Advise(a).Exception.Body, "falconer_shell_c605f02c", "another exception of the rule has another name")

	delete(a.Fields, "proc.cmdline")
	c = b.Advise(a).Exception
	require.Contains(t, c.Body, "fields: [container.image.repository, user.uid]")
	require.False(t, c.Ready, "it would silence more than this case")
	require.Equal(t, []string{"proc.cmdline"}, c.Missing)
	require.Contains(t, c.Explain.Plain(), "The alert has no usable value for `proc.cmdline`, so this exception is wider than it should be")

	a.Fields = nil
	c = b.Advise(a).Exception
	require.False(t, c.Ready)
	require.Contains(t, c.Body, "'<proc.cmdline>'")

	a.Source = processor.SourceInternal
	require.Nil(t, b.Advise(a).Exception, "Falco's alerts about itself have no exceptions")
	require.Nil(t, bookOf(t, sound).Advise(alert(nil)).Exception)
}

func TestExceptionOfARuleWithAHostileName(t *testing.T) {
	b := bookOf(t, strings.NewReplacer("rules: [R]", "priorities: [Warning]").Replace(withException))
	for _, name := range hostile {
		a := alert(map[string]string{"user.uid": "0"})
		a.Rule = "x" + name
		if !utf8.ValidString(name) {
			continue
		}
		var file exceptionFile
		require.NoError(t, yaml.Unmarshal([]byte(b.Advise(a).Exception.Body), &file))
		require.Equal(t, a.Rule, file[0].Rule)
	}
}

// unquote reads a quoted string of Falco's condition language.
func unquote(t testing.TB, s string) string {
	t.Helper()
	require.True(t, len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"', s)
	inner := s[1 : len(s)-1]
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		require.NotEqual(t, byte('"'), inner[i], s)
		if inner[i] != '\\' {
			b.WriteByte(inner[i])
			continue
		}
		i++
		plain, ok := map[byte]byte{'\\': '\\', '"': '"', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}[inner[i]]
		require.True(t, ok, s)
		b.WriteByte(plain)
	}
	return b.String()
}

// FuzzYAML checks that whatever a value is, it is read back from YAML, JSON and
// a Falco exception as it was, and nothing else is there.
func FuzzYAML(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	b := bookOf(f, withException+`    mitigations:
      - {id: m, title: M, kind: tune, horizon: now, risk: reversible, configs: [
          {tool: x, yaml: {a: "{proc.cmdline}", b: ["p {proc.cmdline} s", word]}}, {tool: x, json: {a: "{proc.cmdline}", b: ["p {proc.cmdline} s", word]}}]}
`)
	f.Fuzz(func(t *testing.T, s string) {
		advice := b.Advise(alert(map[string]string{"proc.cmdline": s}))
		want, ready := s, s != "" && utf8.ValidString(s)
		if !ready {
			want = "<proc.cmdline>"
		}
		type tree struct {
			A string   `yaml:"a" json:"a"`
			B []string `yaml:"b" json:"b"`
		}
		for i, decode := range []func([]byte, any) error{yaml.Unmarshal, json.Unmarshal} {
			c := advice.Mitigations[0].Configs[i]
			var got tree
			require.NoError(t, decode([]byte(c.Body), &got), c.Body)
			require.Equal(t, tree{want, []string{"p " + want + " s", "word"}}, got, c.Body)
			require.Equal(t, ready, c.Ready)
			visible(t, c.Body)
		}
		var file exceptionFile
		require.NoError(t, yaml.Unmarshal([]byte(advice.Exception.Body), &file), advice.Exception.Body)
		visible(t, advice.Exception.Body)
		require.False(t, advice.Exception.Ready && !ready)
		if ready {
			require.Equal(t, s, unquote(t, file[0].Exceptions[0].Values[0][0]))
		}
	})
}

func visible(t testing.TB, body string) {
	t.Helper()
	for line := range strings.SplitSeq(body, "\n") {
		require.Equal(t, processor.Visible(line), line)
	}
}
