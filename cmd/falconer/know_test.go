package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

func TestVersion(t *testing.T) {
	require.Regexp(t, `^falconer \S+ \(commit \S+, go\S+, \S+/\S+, ATT&CK [0-9.]+, [0-9]+ playbooks\)\n$`, must(t, "version"))
	v := parse[versionInfo](t, must(t, "version", "--json"))[0]
	require.NotEmpty(t, v.Version)
	require.Positive(t, v.Playbooks)
	require.NotEmpty(t, v.Attack)
}

func TestSchemaPrintsWhatIsPublished(t *testing.T) {
	names := strings.Fields(must(t, "schema"))
	require.Equal(t, subjects.SchemaNames(), names)
	for _, name := range names {
		want, err := subjects.Schema(name)
		require.NoError(t, err)
		require.Equal(t, string(want), must(t, "schema", name))
		require.Equal(t, string(want), must(t, "schema", strings.TrimSuffix(name, ".v1")))
	}
}

func TestRulesListNamesEveryPlaybookAndWhereItStands(t *testing.T) {
	list := must(t, "rules", "list")
	require.Regexp(t, `(?m)^ID +VERSION +FOR +FILE +TITLE$`, list)
	require.Regexp(t, `(?m)^execution-from-dev-shm +\d+ +rule Execution from /dev/shm +playbooks/dev-shm\.yaml:\d+ +\S`, list)
	type playbook struct{ ID string }
	all := parse[playbook](t, must(t, "rules", "list", "--json"))
	require.Len(t, all, strings.Count(list, "\n")-1)
}

func TestRulesShowPrintsWhatLoadsAgain(t *testing.T) {
	got := must(t, "rules", "show", "execution-from-dev-shm")
	require.Regexp(t, `^# playbooks/dev-shm\.yaml:\d+ \(built-in\)\nplaybooks:\n  - id: execution-from-dev-shm\n`, got)
	require.Equal(t, got, must(t, "rules", "show", "execution FROM /dev/shm"), "by the name of the rule, in any case")
	require.True(t, json.Valid([]byte(must(t, "rules", "show", "execution-from-dev-shm", "--json"))))

	dir := t.TempDir()
	step := must(t, "rules", "show", "isolate-pod-network")
	require.Contains(t, must(t, "rules", "mitigations"), "isolate-pod-network")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "book.yaml"), []byte(got), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "step.yaml"), []byte(strings.ReplaceAll(step, "quarantine", "elsewhere")), 0o600))
	o := falconer(t, "rules", "lint", "--strict", dir)
	require.Equal(t, exitOK, o.code, o.out)
	o = falconer(t, "rules", "test", dir)
	require.Equal(t, exitOK, o.code, "%s: what built-in examples say of a step that is replaced no longer holds", o.out)
	require.Regexp(t, `\d+ examples passed, 0 failed; [1-9][0-9]* of them are yours\.`, o.err)

	o = falconer(t, "rules", "show", "nope")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, `no playbook, rule or mitigation "nope": see "falconer rules list" and "falconer rules mitigations"`)
}

func TestRulesExplainSaysWhyAnAlertGetsItsPlaybook(t *testing.T) {
	got := must(t, "rules", "explain", devShm)
	require.Contains(t, got, "execution-from-dev-shm")
	require.Equal(t, got, feeding(t, devShmAlert(t), "rules", "explain", "-").out)
	require.True(t, json.Valid([]byte(must(t, "rules", "explain", devShm, "--json"))))

	o := feeding(t, devShmAlert(t)+devShmAlert(t), "rules", "explain", "-")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, "one alert is wanted")
}

const myPlaybook = `playbooks:
  - id: %s
    version: 3
    title: My own words
    match: {rules: [Execution from /dev/shm]}
    category: mine
    meaning: It is ours.
    next: Ask us.
`

func TestAUsersPlaybookGoesBeforeTheBuiltIn(t *testing.T) {
	dir := folder(t, "mine.yaml", strings.Replace(myPlaybook, "%s", "mine", 1))
	require.Contains(t, must(t, "--rules", dir, "rules", "explain", devShm), "mine@3")
	require.Contains(t, must(t, "--rules", dir, "analyze", devShm), "# My own words in ")
	require.Regexp(t, `(?m)^mine +3 +rule Execution from /dev/shm +\S+mine\.yaml:2 +My own words$`, must(t, "--rules", dir, "rules", "list"))
}

func TestAFaultyPlaybookStopsEverythingThatNeedsIt(t *testing.T) {
	dir := folder(t, "mine.yaml", "playbooks:\n  - id: mine\n    verzion: 1\n")
	for _, command := range []string{"analyze " + devShm, "rules list", "rules show mine", "rules explain " + devShm, "rules test", "run", "demo", "replay"} {
		o := falconer(t, append([]string{"--rules", dir}, strings.Fields(command)...)...)
		require.Equal(t, exitFailed, o.code, command)
		require.Contains(t, o.err, dir+`/mine.yaml:3: unknown key "verzion"`, command)
		require.Contains(t, o.err, `did you mean "version"?`, command)
		require.Empty(t, o.out, command)
	}
	o := falconer(t, "rules", "lint", dir)
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.out, dir+`/mine.yaml:3: `)
}

func TestRulesLintAndTestOfASoundPlaybook(t *testing.T) {
	dir := folder(t, "mine.yaml", strings.NewReplacer("%s", "mine", "Execution from /dev/shm", "A rule of mine").Replace(myPlaybook))
	o := falconer(t, "rules", "lint", dir)
	require.Equal(t, exitOK, o.code, o.out)
	require.Contains(t, o.out, "warning: playbook mine has no examples")
	require.Regexp(t, `\d+ examples passed, 0 failed; \d+ of them are yours\.`, falconer(t, "rules", "test", dir).err)
}

func TestCompletionForEveryShell(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		require.Contains(t, must(t, "completion", shell), "falconer", shell)
	}
	require.Contains(t, must(t, "__complete", "reports", "list", "--severity", ""), "critical\nhigh\nmedium\nlow\ninfo\n")
	require.Contains(t, must(t, "__complete", "schema", ""), "report.v1\n")
	require.Contains(t, must(t, "__complete", "rules", "show", ""), "execution-from-dev-shm\n")
}
