package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
			got = append(got, strings.ReplaceAll(f.String(), file, "user.yaml"))
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
		`user.yaml:31: warning: a sentence stands in playbook careless too (user.yaml:12): "This paragraph is long enough to be worth telling apart from..."`,
		`user.yaml:41: warning: no playbook uses the shared mitigation idle`,
	} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, strings.Join(got, "\n"), "playbook copy has no")
}

// careful is a file without findings. The rows of TestLintFindings each change it.
const careful = `playbooks:
  - id: careful
    version: 1
    title: Careful
    match: {rules: [Careful rule]}
    category: execution
    adjust: [{when: 'num("user.uid") == 0', add: 5, why: root}]
    meaning: Something happened.
    also: [{when: 'has("fd.name")', say: It was a file.}]
    questions:
      - ask: What?
        answers:
          - {when: 'has("fd.name")', say: "{fd.name}"}
          - {say: "{proc.name}"}
          - {say: Nobody knows.}
    benign: [{cause: x, tell: y}]
    mitigations:
      - {use: look}
      - id: own
        title: Own
        kind: harden
        horizon: now
        risk: read-only
        description: Look.
        needs: Eyes.
        blast: Nobody.
        commands: [{where: host, run: [ls], explain: x}]
        configs: [{where: kubernetes container host, tool: kubernetes, explain: x, yaml: {apiVersion: v1, kind: Pod, metadata: {name: "{proc.name}"}}}]
    next: Look.
    examples:
      - {name: one, match: true, alert: {rule: Careful rule, source: syscall, output_fields: {fd.name: /x, proc.name: sh, user.uid: 0}}}
      - {name: two, alert: {rule: Another rule}}
mitigations:
  - {id: look, title: Look, kind: investigate, horizon: now, risk: read-only, description: Look., needs: Eyes., blast: Nobody., commands: [{where: host, run: [ls], explain: x}]}
`

// another is a playbook to put behind careful's own.
const another = `
  - id: another
    version: 1
    title: Another
    match: {rules: [Another rule]}
    category: execution
    meaning: Another thing happened.
    next: Look.
    questions: [{ask: "What?"}]
    benign: [{cause: x, tell: y}]
    mitigations: [{use: look}]
    examples:
      - {name: one, match: true, alert: {rule: Another rule, source: syscall}}
      - {name: two, alert: {rule: Careful rule}}
mitigations:
`

// findings lints files, which are given by name, together, and returns what there
// is to say about each. The ids and rules in them are told apart by suffixes,
// since a run over the built-in playbooks takes its time.
func findings(t *testing.T, files map[string]string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	names := map[string]string{}
	for i, name := range sortedKeys(files) {
		own := fmt.Sprintf("-x%d", i)
		file := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		names[file] = name
		text := regexp.MustCompile(`\b(careful|another|look|Careful rule|Another rule)\b`).ReplaceAllString(files[name], "${1}"+own)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	got := map[string]string{}
	for _, f := range Lint(dir) {
		if name, mine := names[f.File]; mine {
			text := strings.ReplaceAll(f.String(), f.File, "user.yaml")
			got[name] += regexp.MustCompile(`-x[0-9]+\b`).ReplaceAllString(text, "") + "\n"
		}
	}
	return got
}

func TestLintFindings(t *testing.T) {
	short := strings.Repeat("It was here. ", 7)
	sentence := "This sentence about {proc.name|a program} is longer than sixty characters in all."
	again := strings.Replace(sentence, "This", "One more", 1)
	once := strings.Replace(sentence, "This", "A", 1)
	rows := map[string]struct {
		edits []string // old and new text in turn
		want  string
	}{
		"a careful file": {nil, ""},
		"a step that is said only to look": {
			[]string{"commands: [{where: host, run: [ls], explain: x}]\n        configs", "commands: [{where: host, run: [kubectl, delete, pod/x], explain: x}]\n        configs"},
			"user.yaml:27: warning: mitigation own: kubectl delete pod/x is said to be read-only, and changes something",
		},
		"a line in place of a program": {
			[]string{"commands: [{where: host, run: [ls], explain: x}]\n        configs", "commands: [{where: host, run: ['cat /etc/passwd | grep x'], explain: x}]\n        configs"},
			`user.yaml:27: warning: mitigation own: "cat /etc/passwd | grep x" is one word to the shell; write the program and each argument apart, and pipes with pipe`,
		},
		"a category spelt in another way": {
			[]string{"category: execution", "category: executions"},
			"user.yaml:6: warning: category \"executions\" is none that the others have; did you mean \"execution\"? used: collection, command and control, configuration, control plane, credential access, defense evasion, discovery, execution, exfiltration, impact, initial access, lateral movement, persistence, policy violation, privilege escalation, reconnaissance, resource development, software supply chain, test, unknown, visibility",
		},
		"an answer behind one that always holds": {
			[]string{`{say: "{proc.name}"}`, `{say: "{proc.name|it}"}`},
			"user.yaml:15: warning: never reached: the answer in line 14 is given whenever this one could be",
		},
		"an answer behind one with the same condition": {
			[]string{`{say: "{proc.name}"}`, `{when: 'has("fd.name")', say: "{fd.name}, {proc.name}"}`},
			"user.yaml:14: warning: never reached: the answer in line 13 is given whenever this one could be",
		},
		"an answer that needs fewer values is reached": {
			[]string{`{when: 'has("fd.name")', say: "{fd.name}"}`, `{say: "{fd.name}, {proc.name}"}`}, "",
		},
		"an answer under a condition that always holds is not the last": {
			[]string{`{say: "{proc.name}"}`, `{when: 'place != "cloud"', say: It.}`},
			"user.yaml:14: warning: condition \"place != \\\"cloud\\\"\" holds for every alert of this playbook; leave it out",
		},
		"a condition that rests on another place": {
			[]string{`num("user.uid") == 0`, `num("user.uid") == 0 and not (place in ["host", "container", "kubernetes"])`},
			"user.yaml:7: warning: condition \"num(\\\"user.uid\\\") == 0 and not (place in [\\\"host\\\", \\\"container\\\",...\" never holds for the alerts of this playbook",
		},
		"a condition that rests on another rule": {
			[]string{`num("user.uid") == 0`, `rule == "Careful" or rule in ["x"]`},
			"user.yaml:7: warning: condition \"rule == \\\"Careful\\\" or rule in [\\\"x\\\"]\" never holds for the alerts of this playbook",
		},
		"a condition that some alerts meet": {
			[]string{`num("user.uid") == 0`, `place == "host" or num("user.uid") == 0`}, "",
		},
		"a command for a place of other alerts": {
			[]string{`commands: [{where: host, run: [ls], explain: x}]
        configs`, `commands: [{where: cluster cloud, run: [ls], explain: x}]
        configs`},
			"user.yaml:27: warning: mitigation own: command is never shown: no alert of these rules has the place cluster or cloud",
		},
		"a configuration for a place of other alerts": {
			[]string{`where: kubernetes container host`, `where: cloud`},
			"user.yaml:28: warning: mitigation own: configuration is never shown: no alert of these rules has the place cloud",
		},
		"a command for the reader's own machine": {
			[]string{`configs: [{where: kubernetes container host`, `configs: [{where: local`}, "",
		},
		"a place that internal alerts have not": {
			[]string{`source: syscall`, `source: internal`}, "",
		},
		"a command for hosts in a playbook for the audit log": {
			[]string{`source: syscall`, `source: k8s_audit`},
			"user.yaml:27: warning: mitigation own: command is never shown: no alert of these rules has the place host",
		},
		"a shared mitigation that has nothing for the place": {
			[]string{`source: syscall`, `source: aws_cloudtrail`},
			"user.yaml:18: warning: mitigation look shows no step here: no alert of these rules has the place host",
		},
		"a shared command for which nobody has the place": {
			[]string{`commands: [{where: host, run: [ls], explain: x}]}
`, `commands: [{where: host, run: [ls], explain: x}, {where: cloud, run: [ls], explain: x}]}
`},
			"user.yaml:34: warning: mitigation look: command is never shown: no alert of the playbooks that use it has the place cloud",
		},
		"a mitigation whose condition no example meets": {
			[]string{`title: Own`, "title: Own\n        when: num(\"user.uid\") == 7"},
			"user.yaml:19: warning: mitigation own is never shown: no example meets its condition",
		},
		"a use whose condition no example meets": {
			[]string{`{use: look}`, `{use: look, when: 'num("user.uid") == 7'}`},
			"user.yaml:18: warning: mitigation look is never shown: no example meets its condition",
		},
		"a playbook whose examples another takes": {
			[]string{`match: {rules: [Careful rule]}`, `match: {tags: [careful]}`},
			"user.yaml:5: warning: playbook careful is never taken: its examples go to source-syscall",
		},
		"a use in a playbook for tags under a condition that another playbook's example meets": {
			[]string{
				`match: {rules: [Careful rule]}`, "match: {tags: [careful]}", `rule: Careful rule, source: syscall`, `rule: x, tags: [careful]`,
				`{use: look}`, `{use: look, when: has("ka.user.name")}`,
			}, "",
		},
		"a use in a playbook for tags under a condition that no example meets": {
			[]string{
				`match: {rules: [Careful rule]}`, "match: {tags: [careful]}", `rule: Careful rule, source: syscall`, `rule: x, tags: [careful]`,
				`{use: look}`, `{use: look, when: f("ka.user.name") == "Careful rule"}`,
			}, "user.yaml:18: warning: mitigation look is never shown: no example meets its condition",
		},
		"a name that Kubernetes refuses in every example": {
			[]string{`proc.name: sh`, `proc.name: S_h`},
			"user.yaml:28: warning: mitigation own: configuration is never ready: The value of `proc.name` is no name that Kubernetes takes: " +
				"look at it and fill it in by hand. (filled for example \"one\" of playbook careful)",
		},
		"a value that the tool refuses": {
			[]string{`tool: kubernetes, explain: x, yaml: {apiVersion: v1, kind: Pod, metadata: {name: "{proc.name}"}}`, `tool: seccomp, explain: x, json: {defaultAction: "{proc.name}"}`},
			"user.yaml:28: warning: mitigation own: seccomp: defaultAction: \"sh\" does not match",
		},
		"a line that the tool refuses": {
			[]string{
				`tool: kubernetes, explain: x, yaml: {apiVersion: v1, kind: Pod, metadata: {name: "{proc.name}"}}`, `tool: sysctl, explain: x, lines: ["net.{proc.name} = 1"]`,
				`proc.name: sh`, `proc.name: SH`,
			},
			"user.yaml:28: warning: mitigation own: sysctl: line \"net.SH = 1\" does not look like one of this format",
		},
		"a sentence of another playbook, wrapped in another way": {
			[]string{
				"Something happened.", "It was. " + sentence, "\nmitigations:\n", strings.ReplaceAll(another, "Another thing happened.", "|\n      "+strings.ReplaceAll(sentence, " is ", "\n      is  ")),
			},
			"user.yaml:38: warning: a sentence stands in playbook careful too (user.yaml:8): \"This sentence about {proc.name|a program} is longer than six...\"",
		},
		"a sentence of a shared mitigation": {
			[]string{"Something happened.", again, "description: Look., needs: Eyes., blast: Nobody., c", "description: '" + again + "', needs: Eyes., blast: Nobody., c"},
			"user.yaml:34: warning: a sentence stands in playbook careful too (user.yaml:8):",
		},
		"a paragraph of short sentences": {
			[]string{"Something happened.", short, "\nmitigations:\n", strings.ReplaceAll(another, "Another thing happened.", short)},
			"user.yaml:38: warning: a paragraph stands in playbook careful too (user.yaml:8): \"It was here.",
		},
		"a short sentence of another playbook": {
			[]string{"Something happened.", short[:38], "\nmitigations:\n", strings.ReplaceAll(another, "Another thing happened.", short[:38])}, "",
		},
		"a sentence twice in one playbook": {[]string{"Something happened.", once, "say: It was a file.", "say: '" + once + "'"}, ""},
		"needs and blast like those of another": {
			[]string{"needs: Eyes., blast: Nobody., c", "needs: '" + sentence + "', blast: Nobody., c", "needs: Eyes.\n        blast: Nobody.", "needs: '" + sentence + "'\n        blast: Nobody."}, "",
		},
	}
	files := map[string]string{}
	for name, row := range rows {
		files[name] = careful
		for i := 0; i < len(row.edits); i += 2 {
			require.Contains(t, files[name], row.edits[i], name)
			files[name] = strings.Replace(files[name], row.edits[i], row.edits[i+1], 1)
		}
	}
	got := findings(t, files)
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			if row.want == "" {
				require.Empty(t, got[name])
				return
			}
			require.Contains(t, got[name], row.want)
		})
	}
}

func TestLintReportsWhatLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "user.yaml"), []byte("playbook: []\n"), 0o600))
	require.Contains(t, Lint(dir), Finding{
		File: filepath.Join(dir, "user.yaml"), Line: 1, Level: "error",
		Message: `unknown key "playbook" in playbook file; did you mean "playbooks"? allowed: playbooks, mitigations`,
	})
}

func TestLintOfAFaultyFile(t *testing.T) {
	got := findings(t, map[string]string{"": strings.Replace(careful, `, yaml: {apiVersion: v1, kind: Pod, metadata: {name: "{proc.name}"}}`, "", 1)})
	require.Contains(t, got[""], "config has 0 bodies", "and it is not filled")
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
