package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const careless = `playbooks:
  - id: careless
    version: 1
    title: Careless
    match: {rules: [Careless rule]}
    category: execution
    let:
      unused: {from: [proc.name], match: '(x)'}
    adjust:
      - {add: 5, why: always}
      - {when: 'has("proc.cmdlnie")', add: 5, why: never}
    meaning: |
      TODO: say what it means.

      This paragraph is long enough to be worth telling apart from any other paragraph in the book.
    next: Look at {proc.cmdlnie}.
    mitigations:
      - id: wipe
        title: Wipe
        kind: contain
        horizon: now
        risk: destructive
        commands:
          - {run: [find, /tmp, -name, x, -delete]}
          - {run: [rm, -rf, --, "{fd.name}"], explain: x}
  - id: copy
    version: 1
    title: Copy
    match: {rules: [Copied rule]}
    category: execution
    meaning: This paragraph is long enough to be worth telling apart from any other paragraph in the book.
    next: Look.
    benign: [{cause: x, tell: y}]
    questions: [{ask: "What?"}]
    mitigations: [{use: look}]
    examples:
      - {name: one, match: true, alert: {rule: Copied rule, output_fields: {fd.name: /x}}}
      - {name: two, alert: {rule: Another rule}}
mitigations:
  - {id: look, title: Look, kind: investigate, horizon: now, risk: read-only, description: Look., needs: Eyes., blast: Nobody.}
  - {id: idle, title: Idle, kind: investigate, horizon: now, risk: read-only, description: Look., needs: Eyes., blast: Nobody.}
`

func TestLint(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "user.yaml")
	require.NoError(t, os.WriteFile(file, []byte(careless), 0o600))
	var got []string
	for _, f := range Lint(dir) {
		if strings.HasPrefix(f.File, dir) {
			got = append(got, strings.Replace(f.String(), file, "user.yaml", 1))
		}
	}
	for _, want := range []string{
		`user.yaml:2: warning: playbook careless has no examples`,
		`user.yaml:2: warning: playbook careless has no benign`,
		`user.yaml:2: warning: playbook careless has no questions`,
		`user.yaml:8: warning: let unused is never used`,
		`user.yaml:10: warning: adjust: without a condition these points are added always; the rule's priority is the place for that`,
		`user.yaml:11: warning: condition "has(\"proc.cmdlnie\")": no example of any playbook has a value for proc.cmdlnie`,
		`user.yaml:12: warning: unfinished: TODO`,
		`user.yaml:16: warning: placeholder {proc.cmdlnie}: no example of any playbook has a value for it`,
		`user.yaml:18: warning: mitigation wipe destroys something before anything was looked at`,
		`user.yaml:18: warning: mitigation wipe has no undo, and is not read-only`,
		`user.yaml:18: warning: mitigation wipe has no description`,
		`user.yaml:24: warning: mitigation wipe: command without explain`,
		`user.yaml:24: warning: mitigation wipe: find with -delete or -exec changes whatever it finds; name the one file`,
		`user.yaml:25: warning: mitigation wipe: rm of a whole directory that the alert names`,
		`user.yaml:31: warning: a paragraph stands in playbook careless word for word: "This paragraph is long enough to be worth telling apart from..."`,
		`user.yaml:41: warning: no playbook uses the shared mitigation idle`,
	} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, strings.Join(got, "\n"), "playbook copy has no")
}

func TestLintReportsWhatLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "user.yaml"), []byte("playbook: []\n"), 0o600))
	require.Contains(t, Lint(dir), Finding{
		File: filepath.Join(dir, "user.yaml"), Line: 1, Level: "error",
		Message: `unknown key "playbook" in playbook file; did you mean "playbooks"? allowed: playbooks, mitigations`,
	})
}

func TestExamples(t *testing.T) {
	book := bookOf(t, strings.Replace(judged, "    next: Look.\n", `    next: Look.
    examples:
      - {name: right, match: true, severity: medium, test: false, contains: [It ran], lacks: [kubectl], alert: {rule: R, priority: Warning}}
      - {name: wrong, match: false, severity: low, test: true, contains: [kubectl], lacks: [It ran], alert: {rule: R, priority: Warning}}
      - {name: fails, match: true, alert: {rule: R, priority: Warning, tags: [a]}}
`, 1)+`  - id: elsewhere
    version: 1
    title: Elsewhere
    match: {all: true}
    adjust: [{when: 'f("user.uid") == "0"', add: 1, why: root}]
    examples:
      - {name: fires, match: true, alert: {rule: x, output_fields: {user.uid: 0}}}
      - {name: is silent, alert: {rule: x}}
      - {name: should be silent, alert: {rule: x, output_fields: {user.uid: 0}}}
`)
	results := book.Test()
	require.Len(t, results, 6)
	failures := map[string][]string{}
	for _, r := range results {
		failures[r.Example] = r.Failures
	}
	note := `the condition "tags[5] == \"x\"" could not be evaluated: index out of range: 5`
	for i, f := range failures["right"] {
		require.Contains(t, f, note, i)
	}
	require.Equal(t, "match: want false, got true: playbook shell@3 was taken by rule", failures["wrong"][0])
	require.Equal(t, "severity: want low, got medium: score 50 = +50 Falco priority Warning", failures["wrong"][1])
	require.Equal(t, "test: want true, got false", failures["wrong"][2])
	require.Equal(t, `contains: "kubectl" is nowhere in the advice`, failures["wrong"][3])
	require.Equal(t, `lacks: "It ran" is in the advice`, failures["wrong"][4])
	require.Contains(t, failures["fails"][0], note)
	require.Contains(t, failures["should be silent"][0], "match: want false, got true: playbook anything@1 was taken by priority")
	require.NotContains(t, failures["fires"], "match")
}

func TestExplain(t *testing.T) {
	book := bookOf(t, judged)
	a := alert(map[string]string{"user.uid": "0", "proc.cmdline": "sh \x1b[31mevil"})
	a.Tags = []string{"T1059", "T9999"}
	e := book.Explain(a)
	require.Len(t, e.Candidates, 2)
	require.Equal(t, "shell@3", e.Candidates[0].Playbook)
	require.True(t, e.Candidates[0].Taken)
	require.Equal(t, "a user rule goes before a built-in priority", e.Candidates[1].Why)
	require.Equal(t, map[string]string{"last": "\x1b[31mevil"}, e.Lets)
	require.Equal(t, Condition{
		Playbook: "everywhere", For: "+20 an evil end", When: `let("last") == "evil"`, Holds: false, Saw: map[string]string{"let.last": "\x1b[31mevil"},
	}, e.Conditions[1])
	require.NotEmpty(t, e.Conditions[2].Error)
	text := e.String()
	require.NotContains(t, text, "\x1b", "values cannot speak to the terminal")
	for _, piece := range []string{
		"* shell@3 (user rule \"R\"", "- anything@1 (built-in priority \"Warning\"", "let.last = \"\\x1b[31mevil\"",
		"* everywhere: +15 root", "- everywhere: +20 an evil end", "techniques T1059 Command and Scripting Interpreter", "+15 root",
	} {
		require.Contains(t, text, piece)
	}
}
