package rules

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

func TestTemplates(t *testing.T) {
	a := alert(map[string]string{
		"proc.cmdline": "sh -c `x`", "proc.aname[2]": "nginx", "k8s.pod.label[app.kubernetes.io/name]": "cart",
		"k8s.pod.name": "cart-0", "evt.empty": "", "your.account": "mallory", "custom": "c",
	})
	lets := map[string]*extract{
		"file": {from: []string{"no.such.field", "proc.cmdline"}, match: mustMatch(`^(\w+)`)},
		"none": {from: []string{"proc.cmdline"}, match: mustMatch(`(zzz)`)},
	}
	for text, row := range map[string]struct {
		want     string
		complete bool
	}{
		"no placeholder":                          {"no placeholder", true},
		"ran {proc.cmdline}.":                     {"ran `` sh -c `x` ``.", true},
		"{proc.aname[2]} of {workload}":           {"`nginx` of `cart`", true},
		"{k8s.pod.label[app.kubernetes.io/name]}": {"`cart`", true},
		"{rule} {source} {hostname} {priority}":   {"`R` `syscall` `node-1` `Warning`", true},
		"{custom}":                                {"`c`", true},
		"{let.file}, {let.none}":                  {"`sh`, (not in the alert)", false},
		"in {k8s.ns.name}":                        {"in (not in the alert)", false},
		"in {k8s.ns.name|the namespace}":          {"in the namespace", true},
		"in {k8s.ns.name|the\n  namespace}":       {"in the namespace", true},
		"in {k8s.ns.name|}.":                      {"in .", true},
		"in {k8s.pod.name|the pod}":               {"in `cart-0`", true},
		"{evt.empty}":                             {"(not in the alert)", false},
		"{your.account}":                          {"(not in the alert)", false},
		"{{x} and {{{{.Name}}":                    {"{x} and {{.Name}}", true},
		"{{{k8s.pod.name}":                        {"{`cart-0`", true},
		"}":                                       {"}", true},
		"":                                        {"", true},
	} {
		t.Run(text, func(t *testing.T) {
			tpl, err := parseTemplate(text)
			require.NoError(t, err)
			r := newReader()
			r.set(a)
			r.scope = &scope{own: lets}
			got, complete := tpl.text(r)
			require.Equal(t, row.want, got.Markdown())
			require.Equal(t, row.complete, complete)
		})
	}
}

func mustMatch(pattern string) *regexp.Regexp { return regexp.MustCompile(pattern) }

func TestTemplatesThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"{":                  `placeholder "{" has no closing brace; write {{ for a brace`,
		"a {b":               `placeholder "{b" has no closing brace`,
		"{a{b}}":             `placeholder "{a{b}}" has no closing brace`,
		"{}":                 `"{}" is no placeholder: want {output.field}`,
		"{ a.b }":            `"{ a.b }" is no placeholder`,
		"{.spec.nodeName}":   `"{.spec.nodeName}" is no placeholder`,
		"{proc.aname[2}":     `"{proc.aname[2}" is no placeholder`,
		"{contianer}":        `unknown placeholder "{contianer}"; did you mean {container}?`,
		"{prioritty|x}":      `unknown placeholder "{prioritty|x}"; did you mean {priority}?`,
		"{a.b|a\n\nb} and c": `has no closing brace`,
	} {
		t.Run(text, func(t *testing.T) {
			_, err := parseTemplate(text)
			require.ErrorContains(t, err, want)
		})
	}
}

func TestHalfAValueIsNoneForCommandsAndConfiguration(t *testing.T) {
	a := alert(map[string]string{"fd.name": "/very/long", "proc.cmdline": "curl -H " + processor.Redacted, "proc.name": "curl"})
	a.Cut = []string{"fd.name"}
	r := newReader()
	r.set(a)
	r.scope = &scope{own: map[string]*extract{"file": {from: []string{"fd.name"}, match: mustMatch(`(.*)`)}}}
	for name, want := range map[string]bool{"fd.name": false, "proc.cmdline": false, "proc.name": true, "let.file": false} {
		_, ok := r.value(name)
		require.True(t, ok, name)
		_, ok = r.exact(name)
		require.Equal(t, want, ok, name)
	}
}
