package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

// matching returns a playbook file with one playbook for each match.
func matching(matches map[string]string) string {
	var file strings.Builder
	file.WriteString("playbooks:\n")
	for _, id := range sortedKeys(matches) {
		fmt.Fprintf(&file, "  - {id: %s, version: 1, title: T, match: {%s}, category: c, meaning: M, next: N}\n", id, matches[id])
	}
	return file.String()
}

func TestPrecedence(t *testing.T) {
	builtin := matching(map[string]string{
		"b-rule": "rules: [R]", "b-plain": "tags: [pci]", "b-sub": "tags: [T1059.004]", "b-technique": "tags: [T1105]",
		"b-parent": "tags: [T1059]", "b-tactic": "tags: [mitre_execution]", "b-source": "sources: [k8s_audit]",
		"b-syscalls": "sources: [syscalls]", "b-retired": "tags: [T1562.001]",
	})
	user := matching(map[string]string{
		"u-rule": "rules: [U]", "u-plain": "tags: [team-a]", "u-technique": "tags: [T1105]", "u-source": "sources: [okta]",
		"u-priority": "priorities: [info]",
	})
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "user.yaml"), []byte(user), 0o600))
	book, err := readBook(t, map[string]string{"builtin.yaml": builtin, "fallback.yaml": fallback}, dir)
	require.NoError(t, err)
	for name, row := range map[string]struct {
		rule, source string
		tags         []string
		want, match  string
		confidence   string
	}{
		"a rule of the user goes before all":            {"U", "okta", []string{"team-a", "T1105"}, "u-rule", "rule", "high"},
		"a tag of the user goes before a built-in rule": {"R", "okta", []string{"team-a"}, "u-plain", "tag", "medium"},
		"so does a technique of the user":               {"R", "okta", []string{"T1105"}, "u-technique", "technique", "medium"},
		"a built-in rule goes before built-in tags":     {"R", "okta", []string{"pci", "T1059"}, "b-rule", "rule", "high"},
		"a rule's name is compared exactly":             {"r", "x", nil, "anything", "priority", "low"},
		"a plain tag goes before techniques":            {"", "x", []string{"T1059", "pci"}, "b-plain", "tag", "medium"},
		"a sub-technique goes before techniques":        {"", "x", []string{"T1059", "T1059.004"}, "b-sub", "technique", "medium"},
		"a technique goes before another's parent":      {"", "x", []string{"T1059.009", "T1059"}, "b-parent", "technique", "medium"},
		"a parent serves a sub-technique without one":   {"", "x", []string{"T1059.006"}, "b-parent", "technique", "medium"},
		"a technique goes before a tactic":              {"", "x", []string{"mitre_execution", "T1059"}, "b-parent", "technique", "medium"},
		"a tactic, in any spelling":                     {"", "x", []string{"TA0002-execution"}, "b-tactic", "tag", "medium"},
		"words behind an id do not matter":              {"", "x", []string{"T1059.004-unix-shell"}, "b-sub", "technique", "medium"},
		"a tactic that contradicts is not believed":     {"", "x", []string{"mitre_execution", "T1003"}, "anything", "priority", "low"},
		"tags go before sources":                        {"", "k8s_audit", []string{"pci"}, "b-plain", "tag", "medium"},
		"a source":                                      {"", "k8s_audit", []string{"nothing"}, "b-source", "source", "medium"},
		"a source of the user":                          {"", "okta", nil, "u-source", "source", "medium"},
		"syscalls is syscall":                           {"", "syscall", nil, "b-syscalls", "source", "medium"},
		"the priority is last":                          {"", "x", nil, "anything", "priority", "low"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &processor.Alert{Rule: row.rule, Source: row.source, Tags: row.tags, Priority: processor.Warning}
			v := book.Judge(a)
			require.Equal(t, row.want+"@1", v.Playbook)
			require.Equal(t, row.match, v.Match)
			require.Equal(t, row.confidence, v.Confidence)
			again := book.Judge(a)
			require.Equal(t, v, again, "the same alert gets the same verdict")
		})
	}
	t.Run("a priority of the user goes before the built-in one", func(t *testing.T) {
		require.Equal(t, "u-priority@1", book.Judge(&processor.Alert{Rule: "x", Priority: processor.Informational}).Playbook)
	})
	t.Run("an alert without anything has a playbook", func(t *testing.T) {
		require.Equal(t, "anything@1", book.Judge(&processor.Alert{Priority: processor.PriorityUnknown}).Playbook)
	})
}

func TestEveryPriorityNeedsAFallback(t *testing.T) {
	_, err := readBook(t, map[string]string{"p.yaml": matching(map[string]string{"a": "priorities: [Emergency, alert, CRITICAL, Error, Warning, Notice, info]"})})
	require.ErrorContains(t, err, "no playbook matches the priorities Debug, Unknown")
}
