package rules

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBuiltinPlaybooks loads the playbooks that are built in and runs their
// examples; each file is a test of its own:
//
//	go test ./rules -run 'TestBuiltinPlaybooks/playbooks/shell.yaml'
func TestBuiltinPlaybooks(t *testing.T) {
	book, err := loadAll(nil)
	require.NotNil(t, book)
	failures := map[string][]string{}
	for _, s := range book.sources {
		failures[s.name] = nil
	}
	for _, p := range Problems(err) {
		failures[p.File] = append(failures[p.File], p.Error())
	}
	for _, r := range book.Test() {
		for _, f := range r.Failures {
			failures[r.File] = append(failures[r.File], fmt.Sprintf("%s:%d: playbook %s, example %q: %s", r.File, r.Line, r.Playbook, r.Example, f))
		}
	}
	for _, file := range sortedKeys(failures) {
		t.Run(file, func(t *testing.T) {
			for _, f := range failures[file] {
				t.Error(f)
			}
		})
	}
}

// TestBuiltinPlaybooksLint wants no finding: a warning is a thing to mend.
func TestBuiltinPlaybooksLint(t *testing.T) {
	byFile := map[string][]Finding{}
	for _, f := range Lint() {
		if f.Level == "warning" {
			byFile[f.File] = append(byFile[f.File], f)
		}
	}
	for _, file := range sortedKeys(byFile) {
		t.Run(file, func(t *testing.T) {
			for _, f := range byFile[file] {
				t.Error(f)
			}
		})
	}
}
