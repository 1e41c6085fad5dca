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

// What is begun from any alert must load, and be taken for that alert: what is
// left is to write, and the linter lists it.
func TestSkeletonOfEveryExampleLoads(t *testing.T) {
	book := builtin(t)
	dir := t.TempDir()
	seen := map[string]bool{}
	for i, v := range victims(book) {
		if underRace && i%10 != 0 {
			continue
		}
		a, err := v.example.alert()
		require.NoError(t, err)
		if seen[processor.Slug(a.Rule)] {
			continue
		}
		seen[processor.Slug(a.Rule)] = true
		text, err := Skeleton(a, processor.Redaction{Level: processor.RedactStandard})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, processor.Slug(a.Rule)+".yaml"), []byte(text), 0o600))
	}
	require.Greater(t, len(seen), 20)
	mine, err := Load(dir)
	require.NoError(t, err)
	begun := 0
	for _, r := range mine.Test() {
		if strings.HasPrefix(r.File, dir) {
			begun++
			require.Empty(t, r.Failures, r.File)
		}
	}
	require.Equal(t, 2*len(seen), begun)
	for _, f := range Lint(dir) {
		require.Equal(t, "warning", f.Level, f)
	}
}

func TestSkeletonOfHostileAlerts(t *testing.T) {
	dir := t.TempDir()
	for i, s := range hostile {
		rule := fmt.Sprintf("R%d %s", i, s)
		a := &processor.Alert{Rule: rule, Source: "syscall", Hostname: s, Tags: []string{"T1059", "x" + s}, Fields: map[string]string{"proc.cmdline": s, "user.name": "u" + s, "user.uid": "0"}}
		text, err := Skeleton(a, processor.Redaction{Level: processor.RedactStandard})
		if err != nil {
			require.ErrorContains(t, err, "UTF-8")
			continue
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), []byte(text), 0o600))
	}
	_, err := Load(dir)
	require.NoError(t, err)
}

func TestSkeletonHidesSecrets(t *testing.T) {
	a := &processor.Alert{Rule: "R", Source: "syscall", Fields: map[string]string{"proc.cmdline": "mysql -phunter2"}}
	text, err := Skeleton(a, processor.Redaction{Level: processor.RedactStandard})
	require.NoError(t, err)
	require.NotContains(t, text, "hunter2")
}
