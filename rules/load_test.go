package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sound is a playbook without a fault; rows of TestLoadErrors add to it at its
// end or replace a line.
const sound = `playbooks:
  - id: shell
    version: 1
    title: A shell
    match: {rules: [R]}
    category: execution
    meaning: The command was {proc.cmdline}.
    next: Look.
`

func TestLoadErrors(t *testing.T) {
	type row struct{ old, new, want string }
	add := func(line, want string) row {
		return row{"    next: Look.\n", "    next: Look.\n    " + line + "\n", want}
	}
	for name, r := range map[string]row{
		"an unknown key": add(`mitigatons: []`, `p.yaml:9: unknown key "mitigatons" in playbook; did you mean "mitigations"? allowed: id, version, title,`),
		"a wrong type":   add(`adjust: {}`, `p.yaml:9: adjust: want a list, found a map`),

		"no id":                   {"id: shell", "id: \"\"", `p.yaml:2: playbook has no id`},
		"an id in another form":   {"id: shell", "id: A shell", `p.yaml:2: id "A shell": want lower-case letters and digits with single dashes between`},
		"no version":              {"version: 1", "version: 0", `p.yaml:3: version: want a number from 1`},
		"a title to be filled":    {"title: A shell", "title: Shell in {pod}", `p.yaml:4: title "Shell in {pod}": a title is one line without placeholders`},
		"no category":             {"    category: execution\n", "", `p.yaml:2: playbook "shell" has no category`},
		"no meaning":              {"    meaning: The command was {proc.cmdline}.\n", "", `p.yaml:2: playbook "shell" has no meaning`},
		"nothing to match":        {"match: {rules: [R]}", "match: {}", `p.yaml:5: match has 0 kinds of keys; want exactly one of rules, tags, sources, priorities, all`},
		"two kinds of match":      {"match: {rules: [R]}", "match: {rules: [R], tags: [x]}", `p.yaml:5: match has 2 kinds of keys`},
		"a rule twice":            {"match: {rules: [R]}", "match: {rules: [R, R]}", `p.yaml:5: match: "R" is empty or given twice`},
		"a tag ATT&CK knows not":  {"match: {rules: [R]}", "match: {tags: [T9999]}", `p.yaml:5: match: the tag T9999 is no id of ATT&CK Enterprise`},
		"an unknown priority":     {"match: {rules: [R]}", "match: {priorities: [Warn]}", `p.yaml:5: unknown priority "Warn"; allowed: Emergency, Alert,`},
		"all and more":            {"match: {rules: [R]}", "match: {all: true}", `p.yaml:2: category: a playbook for all alerts has only let, adjust, benign and examples`},
		"an open placeholder":     {"{proc.cmdline}", "{proc.cmdline", `p.yaml:7: placeholder "{proc.cmdline." has no closing brace; write {{ for a brace`},
		"a malformed placeholder": {"{proc.cmdline}", "{proc cmdline}", `p.yaml:7: "{proc cmdline}" is no placeholder`},
		"a slip of a name":        {"{proc.cmdline}", "{namespce}", `p.yaml:7: unknown placeholder "{namespce}"; did you mean {namespace}?`},
		"a let that is not there": {"{proc.cmdline}", "{let.file}", `p.yaml:7: unknown let "file"; known here: none`},

		"a negative window":           add(`identity: {version: 1, fields: [user], idle: -1h}`, `p.yaml:9: idle: -1h0m0s is negative`),
		"idle above the cap":          add(`identity: {idle: 2h, cap: 1h}`, `p.yaml:9: idle: 2h0m0s is longer than the cap of 1h0m0s`),
		"an empty identity field":     add(`identity: {fields: [user, ""]}`, `p.yaml:9: identity: a field is empty`),
		"an identity that is a let":   add(`identity: {fields: [let.file]}`, `p.yaml:9: identity: "let.file" is no output field and no derived name; derived: cluster, namespace,`),
		"an identity never repeating": add(`identity: {fields: [proc.pid]}`, `p.yaml:9: identity: "proc.pid" differs from event to event`),
		"an identity misspelt":        add(`identity: {fields: [worklod]}`, `p.yaml:9: identity: unknown name "worklod"; did you mean "workload"?`),

		"an unknown technique": add(`attack: [{id: T9999, why: x}]`, `p.yaml:9: attack: "T9999" is no technique and no tactic of ATT&CK`),
		"an unknown instead":   add(`attack: [{id: T1059, why: x, instead: T1}]`, `p.yaml:9: instead: "T1" is no technique of ATT&CK`),

		"a condition that is no expression": add(`adjust: [{when: 'f("x" ==', add: 1, why: x}]`, `p.yaml:9: condition "f(\"x\" ==": unexpected token`),
		"a condition with an unknown name":  add(`adjust: [{when: 'ruel == "x"', add: 1, why: x}]`, `p.yaml:9: condition "ruel == \"x\"": unknown name ruel (column 1)`),
		"a condition that is a string":      add(`adjust: [{when: 'rule', add: 1, why: x}]`, `p.yaml:9: condition "rule": expected bool, but got string`),
		"a condition that reads the clock":  add(`adjust: [{when: 'now().Hour() > 3', add: 1, why: x}]`, `p.yaml:9: condition "now().Hour() > 3": unknown name now`),
		"a condition with a bad regexp":     add(`adjust: [{when: 'rule matches "("', add: 1, why: x}]`, "p.yaml:9: condition \"rule matches \\\"(\\\"\": error parsing regexp: missing closing ): `(`"),
		"a condition with an unknown let":   add(`adjust: [{when: 'let("a") == ""', add: 1, why: x}]`, `p.yaml:9: unknown let "a"; known here: none`),
		"a condition that misspells a name": add(`adjust: [{when: 'has("namespce")', add: 1, why: x}]`, `p.yaml:9: unknown name "namespce"; did you mean "namespace"?`),
		"a number where a text is compared": add(`adjust: [{when: 'f("user.uid") == 0', add: 1, why: x}]`, `p.yaml:9: condition "f(\"user.uid\") == 0": invalid operation: == (mismatched types string and int)`),
		"an adjustment of nothing":          add(`adjust: [{when: 'true', why: x}]`, `p.yaml:9: adjust: add is 0; want points from -100 to 100 other than 0`),
		"an adjustment without reason":      add(`adjust: [{when: 'true', add: 1}]`, `p.yaml:9: adjust: why is ""; want one line without placeholders`),

		"a let without group":     add(`let: {a: {from: [proc.name], match: 'x'}}`, `p.yaml:9: let "a": the match has 0 groups in parentheses; want one`),
		"a let with a bad regexp": add(`let: {a: {from: [proc.name], match: '(x'}}`, "p.yaml:9: let \"a\": error parsing regexp: missing closing ): `(x`"),
		"a let from nothing":      add(`let: {a: {match: '(x)'}}`, `p.yaml:9: let "a" has no field to take from`),
		"a let with a bad name":   add(`let: {A-b: {from: [proc.name], match: '(x)'}}`, `p.yaml:9: let "A-b": want lower-case letters, digits and underscores`),

		"a test without condition":  add(`benign: [{cause: x, tell: y, test: true}]`, `p.yaml:9: benign: a cause that makes an alert a test, or that is for all alerts, needs a condition`),
		"a question about nothing":  add(`questions: [{answers: []}]`, `p.yaml:9: questions: nothing to ask`),
		"an unknown use":            add(`mitigations: [{use: look}]`, `p.yaml:9: use: no shared mitigation has the id "look"; there are: none`),
		"use and more":              add(`mitigations: [{use: look, title: x}]`, `p.yaml:9: use: "look" brings everything but because and when; leave the other keys out`),
		"an unknown kind":           add(`mitigations: [{id: m, title: M, kind: hardn, horizon: now, risk: read-only}]`, `p.yaml:9: unknown kind "hardn"; did you mean "harden"? allowed: investigate, contain, harden, tune`),
		"no horizon":                add(`mitigations: [{id: m, title: M, kind: tune, risk: read-only}]`, `p.yaml:9: horizon is missing; allowed: now, week, design`),
		"an unknown mitigation id":  add(`mitigations: [{id: m, title: M, kind: tune, horizon: now, risk: read-only, attack: [M9]}]`, `p.yaml:9: attack: "M9" is no mitigation of ATT&CK`),
		"a mitigation twice":        add(`mitigations: [{id: m, title: M, kind: tune, horizon: now, risk: read-only}, {id: m, title: M, kind: tune, horizon: now, risk: read-only}]`, `p.yaml:9: mitigation "m" is in this playbook twice`),
		"an exception without":      add(`exception: {why: x}`, `p.yaml:9: exception has no fields`),
		"an exception of a pattern": add(`exception: {fields: [proc.name], comps: [glob]}`, `p.yaml:9: unknown comp "glob"; allowed: =, ==, contains,`),
		"an exception of two minds": add(`exception: {fields: [proc.name], comps: [=, =]}`, `p.yaml:9: exception: 2 comps for 1 fields`),
		"an exception of a derived": add(`exception: {fields: [workload]}`, `p.yaml:9: exception: "workload" is no output field of Falco`),
		"an example of no alert":    add(`examples: [{name: x, alert: {output: x}, match: true}]`, `p.yaml:9: example "x": decoding alert: no rule`),
		"an example graded wrongly": add(`examples: [{name: x, alert: {rule: x}, severity: hihg}]`, `p.yaml:9: unknown severity "hihg"; did you mean "high"? allowed: critical, high, medium, low, info`),
	} {
		t.Run(name, func(t *testing.T) {
			file := strings.Replace(sound, r.old, r.new, 1)
			require.NotEqual(t, sound, file)
			_, err := readBook(t, map[string]string{"fallback.yaml": fallback, "p.yaml": file})
			require.ErrorContains(t, err, r.want)
		})
	}
}

func TestLoadErrorsOfCommandsAndConfiguration(t *testing.T) {
	step := func(line string) string {
		return sound + "    mitigations:\n      - {id: m, title: M, kind: tune, horizon: now, risk: read-only, " + line + "}\n"
	}
	for name, row := range map[string]struct{ line, want string }{
		"a command without run":       {`commands: [{explain: x}]`, `p.yaml:10: command without run`},
		"a place that is none":        {`commands: [{where: kubernets, run: [ls]}]`, `p.yaml:10: unknown where "kubernets"; did you mean "kubernetes"? allowed: kubernetes, container, host, cluster, cloud, local, any`},
		"a program from the alert":    {`commands: [{run: ["{proc.exepath}"]}]`, `p.yaml:10: the program itself must not come from the alert`},
		"a value inside a script":     {`commands: [{run: [sh, -c, "ls {fd.name}"]}]`, `p.yaml:10: a value of the alert inside the script of sh -c would be run; hand it over behind the script`},
		"a script in a container":     {`commands: [{run: [kubectl, exec, p, --, /bin/bash, -lc, "ls {fd.name}"]}]`, `p.yaml:10: a value of the alert inside the script of bash -lc would be run`},
		"a value inside a program":    {`commands: [{run: [sed, -n, "/{proc.name}/p", file]}]`, `p.yaml:10: a value of the alert inside the program of sed would be run`},
		"a value as a program":        {`commands: [{run: [jq, "{proc.name}"]}]`, `p.yaml:10: a value of the alert inside the program of jq would be run`},
		"a value inside a pipe":       {`commands: [{run: [ls], pipe: [[awk, "/{proc.name}/"]]}]`, `p.yaml:10: a value of the alert inside the program of awk would be run`},
		"a program behind sudo":       {`commands: [{run: [sudo, "{proc.exepath}"]}]`, `p.yaml:10: a value of the alert behind sudo would be run as a program`},
		"a program in a container":    {`commands: [{run: [kubectl, exec, p, --, "{proc.exepath}"]}]`, `p.yaml:10: a value of the alert behind -- would be run as a program`},
		"a pipe into a shell":         {`commands: [{run: [echo, "{proc.name}"], pipe: [[bash, -s]]}]`, `p.yaml:10: what comes through the pipe would be run by bash`},
		"an empty pipe":               {`commands: [{run: [ls], pipe: [[]]}]`, `p.yaml:10: an empty command; want a list of a program and its arguments`},
		"a config without body":       {`configs: [{tool: falco}]`, `p.yaml:10: config has 0 bodies; want exactly one of yaml, json, lines`},
		"a placeholder in a key":      {`configs: [{tool: x, yaml: {"{pod}": 1}}]`, `p.yaml:10: key "{pod}": a placeholder or brace may only stand in a value`},
		"an invisible character":      {`configs: [{tool: x, yaml: {a: "\u202e"}}]`, `p.yaml:10: a character that cannot be seen in`},
		"a tool nearly known":         {`configs: [{tool: kubernets, yaml: {a: b}}]`, `p.yaml:10: unknown tool "kubernets"; did you mean "kubernetes"? allowed:`},
		"a Falco file that is a map":  {`configs: [{tool: falco, yaml: {rule: x}}]`, `p.yaml:10: falco: the file: want a list, found a map`},
		"a Falco item of no kind":     {`configs: [{tool: falco, yaml: [{name: x}]}]`, `p.yaml:10: falco: an item is exactly one of list, macro, required_engine_version, required_plugin_versions, rule`},
		"a Falco key misspelt":        {`configs: [{tool: falco, yaml: [{rule: x, exeptions: []}]}]`, `p.yaml:10: falco: unknown key "exeptions" in rule; did you mean "exceptions"?`},
		"a Falco rule incomplete":     {`configs: [{tool: falco, yaml: [{rule: x, condition: y, desc: z, priority: INFO}]}]`, `p.yaml:10: falco: a new rule (one without override) needs the key "output"`},
		"a Falco rule just disabled":  {`configs: [{tool: falco, yaml: [{rule: x, enabled: false}]}]`, `p.yaml:10: falco: to switch a rule off or on, add override: {enabled: replace}`},
		"a Falco priority of Talon":   {`configs: [{tool: falco, yaml: [{rule: x, priority: Notice, override: {priority: replace}}]}]`, `p.yaml:10: falco: priority: "Notice" does not match`},
		"an override of nothing":      {`configs: [{tool: falco, yaml: [{rule: x, override: {condition: append}}]}]`, `p.yaml:10: falco: override names "condition", but no value is given`},
		"an override forgotten":       {`configs: [{tool: falco, yaml: [{rule: x, tags: [a], condition: and y, override: {condition: append}}]}]`, `p.yaml:10: falco: "tags" is given, but override does not say append or replace for it`},
		"an override not allowed":     {`configs: [{tool: falco, yaml: [{rule: x, enabled: false, override: {enabled: append}}]}]`, `p.yaml:10: falco: override: "enabled" of a rule does not allow append; allowed for: condition, output, desc, tags, exceptions`},
		"deprecated append":           {`configs: [{tool: falco, yaml: [{macro: x, condition: y, append: true}]}]`, `p.yaml:10: falco: append is deprecated; use override`},
		"an exception of other size":  {`configs: [{tool: falco, yaml: [{rule: x, exceptions: [{name: n, fields: [a.b], comps: [=, =], values: [[c]]}], override: {exceptions: append}}]}]`, `p.yaml:10: falco: exception: want one comp for each of the 1 fields`},
		"an exception value unquoted": {`configs: [{tool: falco, yaml: [{rule: x, exceptions: [{name: n, fields: [a.b], comps: [=], values: [["(c)"]]}], override: {exceptions: append}}]}]`, `p.yaml:10: falco: exception: value "(c)" needs quotes of its own`},
		"a value in a condition":      {`configs: [{tool: falco, yaml: [{rule: x, condition: "and not proc.name={proc.name}", override: {condition: append}}]}]`, `p.yaml:10: falco: a placeholder cannot stand in condition`},
		"an actionner Talon has not":  {`configs: [{tool: falco-talon, yaml: [{rule: x, actions: [{action: a, actionner: "kubernetes:labels"}]}]}]`, `p.yaml:10: falco-talon: unknown actionner "kubernetes:labels"; did you mean "kubernetes:label"?`},
		"a parameter Talon ignores":   {`configs: [{tool: falco-talon, yaml: [{rule: x, actions: [{action: a, actionner: "kubernetes:networkpolicy", parameters: {allow: [x]}}]}]}]`, `p.yaml:10: falco-talon: unknown key "allow" in parameters of kubernetes:networkpolicy; allowed: allow_cidr, allow_namespaces`},
		"a parameter Talon needs":     {`configs: [{tool: falco-talon, yaml: [{rule: x, actions: [{action: a, actionner: "kubernetes:label"}]}]}]`, `p.yaml:10: falco-talon: kubernetes:label needs the key "labels"`},
		"a priority Talon refuses":    {`configs: [{tool: falco-talon, yaml: [{rule: x, match: {priority: ">=INFO"}, actions: [{action: a, actionner: "kubernetes:cordon"}]}]}]`, `p.yaml:10: falco-talon: priority: ">=INFO" does not match`},
		"a tag Talon refuses":         {`configs: [{tool: falco-talon, yaml: [{rule: x, match: {tags: ["shell, NIST_800-53_AC-2"]}, actions: [{action: a, actionner: "kubernetes:cordon"}]}]}]`, `p.yaml:10: falco-talon: tag "NIST_800-53_AC-2" does not match`},
		"a field Talon refuses":       {`configs: [{tool: falco-talon, yaml: [{rule: x, match: {output_fields: ["evt_time=1"]}, actions: [{action: a, actionner: "kubernetes:cordon"}]}]}]`, `p.yaml:10: falco-talon: output field "evt_time=1" does not match`},
		"a source Talon never sees":   {`configs: [{tool: falco-talon, yaml: [{rule: x, match: {source: syscalls}, actions: [{action: a, actionner: "kubernetes:cordon"}]}]}]`, `p.yaml:10: falco-talon: source is compared exactly, and Falco sends syscall`},
		"an output Talon needs":       {`configs: [{tool: falco-talon, yaml: [{rule: x, actions: [{action: a, actionner: "kubernetes:tcpdump"}]}]}]`, `p.yaml:10: falco-talon: kubernetes:tcpdump needs an output`},
		"an action nobody defined":    {`configs: [{tool: falco-talon, yaml: [{rule: x, actions: [{action: a}]}]}]`, `p.yaml:10: falco-talon: action "a" has no actionner, and no action of that name is defined in this file`},
		"an object without kind":      {`configs: [{tool: kubernetes, yaml: {apiVersion: v1, metadata: {name: x}}}]`, `p.yaml:10: kubernetes: object needs the key "kind"`},
		"an object without name":      {`configs: [{tool: kubernetes, yaml: {apiVersion: v1, kind: Pod, metadata: {}}}]`, `p.yaml:10: kubernetes: metadata needs the key "name"`},
		"a name Kubernetes refuses":   {`configs: [{tool: kubernetes, yaml: {apiVersion: v1, kind: Pod, metadata: {name: A_b}}}]`, `p.yaml:10: kubernetes: metadata.name: "A_b" is not a name of Kubernetes (lower-case letters`},
		"a namespace with a dot":      {`configs: [{tool: calico, yaml: {apiVersion: v1, kind: Pod, metadata: {name: x, namespace: a.b}}}]`, `p.yaml:10: calico: metadata.namespace: "a.b" is not a name of a namespace`},
		"a label's key with a space":  {`configs: [{tool: gatekeeper, yaml: {apiVersion: v1, kind: Pod, metadata: {name: x, labels: {a b: c}}}}]`, `p.yaml:10: gatekeeper: labels: "a b" is no key of a label that Kubernetes takes`},
		"a label that is no text":     {`configs: [{tool: cilium, yaml: {apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {selector: {matchLabels: {"k8s:a": true}}}}}]`, `p.yaml:10: cilium: matchLabels.k8s:a: want text, found "true"; quote it`},
		"a label of a template":       {`configs: [{tool: kubernetes, yaml: {apiVersion: v1, kind: X, metadata: {name: x}, spec: {template: {metadata: {labels: {a: b/c}}}}}}]`, `p.yaml:10: kubernetes: labels.a: "b/c" is not a label's value`},
		"an old apiVersion":           {`configs: [{tool: kubernetes, yaml: {apiVersion: extensions/v1beta1, kind: NetworkPolicy, metadata: {name: x}, spec: {podSelector: {}}}}]`, `p.yaml:10: kubernetes: apiVersion of NetworkPolicy is networking.k8s.io/v1, not extensions/v1beta1`},
		"a deny NetworkPolicy lacks":  {`configs: [{tool: kubernetes, yaml: {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x}, spec: {podSelector: {}, egressDeny: []}}}]`, `p.yaml:10: kubernetes: unknown key "egressDeny" in spec of NetworkPolicy`},
		"a seccomp action misspelt":   {`configs: [{tool: seccomp, json: {defaultAction: SCMP_ACT_DENY}}]`, `p.yaml:10: seccomp: defaultAction: "SCMP_ACT_DENY" does not match`},
		"a sysctl without value":      {`configs: [{tool: sysctl, lines: ["kernel.yama.ptrace_scope"]}]`, `p.yaml:10: sysctl: line "kernel.yama.ptrace_scope" does not look like one of this format`},
		"a line break in a line":      {`configs: [{tool: sysctl, lines: ["a = 1\nb = 2"]}]`, `p.yaml:10: sysctl: a line has a line break in it`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readBook(t, map[string]string{"fallback.yaml": fallback, "p.yaml": step(row.line)})
			require.ErrorContains(t, err, row.want)
		})
	}
}

func TestLoadReportsEveryErrorOfEveryFile(t *testing.T) {
	_, err := readBook(t, map[string]string{
		"a.yaml": strings.Replace(sound, "version: 1", "version: -1", 1),
		"b.yaml": "playbooks: []\nmitigation: []\n",
		"c.yaml": strings.Replace(sound, "[R]", "[T]", 1),
	})
	require.EqualError(t, err, strings.Join([]string{
		`a.yaml:3: version: want a number from 1, which is raised with every change that shows in a report`,
		`b.yaml:2: unknown key "mitigation" in playbook file; did you mean "mitigations"? allowed: playbooks, mitigations`,
		`c.yaml:2: playbook "shell" is there twice; first in a.yaml:2`,
		`playbooks: no playbook matches the priorities Emergency, Alert, Critical, Error, Warning, Notice, Informational, Debug, Unknown: an alert that no other playbook is for would be left without one`,
	}, "\n"))
}

func TestLoadErrorsBetweenPlaybooks(t *testing.T) {
	with := func(text string, oldnew ...string) string { return strings.NewReplacer(oldnew...).Replace(text) }
	shared := "playbooks: []\nmitigations:\n  - {id: m, title: M, kind: tune, horizon: now, risk: read-only}\n"
	all := "playbooks:\n  - id: everywhere\n    version: 1\n    title: All\n    match: {all: true}\n    let: {a: {from: [proc.name], match: '(x)'}}\n"
	letLine := "    let: {own: {from: [proc.name], match: '(x)'}}\n"
	for name, row := range map[string]struct{ p, q, want string }{
		"a rule in two playbooks": {
			sound, with(sound, "id: shell", "id: other"),
			`q.yaml:5: match: rule "R" is playbook "shell"'s already, in p.yaml:2`,
		},
		"two spellings of one tag": {
			with(sound, "rules: [R]", "tags: [T1059]"), with(sound, "id: shell", "id: other", "rules: [R]", "tags: [T1059-shells]"),
			`q.yaml:5: match: technique "T1059-shells" is playbook "shell"'s already, in p.yaml:2`,
		},
		"an id twice": {
			sound, with(sound, "[R]", "[S]"),
			`q.yaml:2: playbook "shell" is there twice; first in p.yaml:2`,
		},
		"a shared mitigation twice": {
			shared, shared,
			`q.yaml:3: shared mitigation "m" is there twice; first in p.yaml:3`,
		},
		"a let for all alerts, twice": {
			all, with(all, "everywhere", "always"),
			`q.yaml:6: let "a" is there for all alerts already`,
		},
		"because in a shared mitigation": {
			sound, with(shared, "id: m", "id: m, because: x"),
			`q.yaml:3: use and because belong into the list of a playbook`,
		},
		"a let of another playbook": {
			sound + letLine, with(sound, "[R]", "[S]", "id: shell", "id: other", "{proc.cmdline}", "{let.own}"),
			`q.yaml:7: unknown let "own"; known here: none`,
		},
		"a let in a shared mitigation": {
			sound + letLine, with(shared, "title: M", "title: M, description: '{let.own}'"),
			`q.yaml:3: unknown let "own"; known here: none`,
		},
		"an unknown use, nearly right": {
			with(shared, "id: m", "id: look"), sound + "    mitigations: [{use: loook}]\n",
			`q.yaml:9: use: no shared mitigation has the id "loook"; did you mean "look"? there are: look`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readBook(t, map[string]string{"fallback.yaml": fallback, "p.yaml": row.p, "q.yaml": row.q})
			require.ErrorContains(t, err, row.want)
		})
	}
}

func TestLoadDirectories(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("one.yaml", sound)
	write("README.md", "no playbook")
	write(".hidden.yaml", "no playbook")
	book := testBook(t, dir)
	require.Len(t, book.Playbooks(), 2)
	_, info, ok := book.Playbook("shell")
	require.True(t, ok)
	require.Equal(t, Info{
		ID: "shell", Version: 1, Title: "A shell", Category: "execution", Match: Match{Rules: []string{"R"}},
		Layer: "user", File: filepath.Join(dir, "one.yaml"), Line: 2,
	}, info)

	write("two.yml", "playbooks: 3\n")
	_, err := readBook(t, map[string]string{"fallback.yaml": fallback}, dir)
	require.EqualError(t, err, filepath.Join(dir, "two.yml")+`:1: playbooks: want a list, found "3"`)

	_, err = readBook(t, map[string]string{"fallback.yaml": fallback}, filepath.Join(dir, "none"))
	require.EqualError(t, err, filepath.Join(dir, "none")+": no such file or directory")

	big := filepath.Join(dir, "two.yml")
	require.NoError(t, os.WriteFile(big, make([]byte, MaxFile+1), 0o600))
	_, err = readBook(t, map[string]string{"fallback.yaml": fallback}, dir)
	require.EqualError(t, err, big+": file of 1048577 bytes; at most 1048576 are read")
}

func TestUserReplacesById(t *testing.T) {
	dir := t.TempDir()
	user := "mitigations:\n  - {id: look, title: Ours, kind: tune, horizon: now, risk: read-only}\n" +
		strings.Replace(strings.Replace(sound, "[R]", "[S]", 1), "title: A shell", "title: Our shell", 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "user.yaml"), []byte(user), 0o600))
	builtin := "mitigations:\n  - {id: look, title: Theirs, kind: tune, horizon: now, risk: read-only}\n" + sound + "    mitigations: [{use: look}]\n" +
		strings.NewReplacer("playbooks:\n", "", "id: shell", "id: other", "[R]", "[O]").Replace(sound) + "    mitigations: [{use: look}]\n"
	book, err := readBook(t, map[string]string{"fallback.yaml": fallback, "p.yaml": builtin}, dir)
	require.NoError(t, err)
	a := alert(nil)
	require.Equal(t, "anything", strings.Split(book.Judge(a).Playbook, "@")[0], "the built-in playbook with the id of the user's is gone")
	a.Rule = "O"
	require.Equal(t, "Ours", book.Advise(a).Mitigations[0].Title, "the user's shared mitigation serves built-in playbooks too")
}
