package rules

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

var update = flag.Bool("update", false, "write the golden files anew")

const severitiesHead = `# Every example alert, how it is graded, and why: the table to argue with. Written by
# "go test ./rules -run Severities -update"; a change here is a change of grades, and is
# to be read as one.
`

// TestSeverities holds the grade of every example alert, with the contributions that
// lead to it, against testdata/severities.txt.
func TestSeverities(t *testing.T) {
	book := builtin(t)
	var rows []string
	for _, v := range victims(book) {
		a, err := v.example.alert()
		require.NoError(t, err)
		rows = append(rows, severityRow(v, a, book.Judge(a)))
	}
	slices.Sort(rows)
	got := severitiesHead + strings.Join(rows, "")
	const golden = "testdata/severities.txt"
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err, "run the test with -update to write it")
	require.Equal(t, string(want), got, "grades have changed: read the differences, and run the test with -update")
}

func severityRow(v victim, a *processor.Alert, verdict processor.Verdict) string {
	test := ""
	if verdict.Test {
		test = ", a test"
	}
	return fmt.Sprintf("\n%s: %s\n  %s of %s\n  %s %d%s = %s\n", v.playbook.ID, v.example.Name, a.Rule, a.Source,
		verdict.Severity, verdict.Score, test, sum(verdict.Why))
}

// A score is the sum of what is said, between 0 and 100; more of Falco's priority
// never makes an alert less grave; and no single circumstance decides alone.
func TestScoresAreBoundedAndMonotone(t *testing.T) {
	book := builtin(t)
	for _, v := range victims(book) {
		a, err := v.example.alert()
		require.NoError(t, err)
		last := -1
		for p := processor.Debug; p >= processor.Emergency; p-- {
			a.Priority = p
			verdict := book.Judge(a)
			total := 0
			for _, c := range verdict.Why {
				total += c.Points
			}
			require.Equal(t, min(max(total, 0), 100), verdict.Score, v.playbook.ID)
			if verdict.Playbook != v.playbook.label {
				break // it is for a priority, and another one's turn now
			}
			require.GreaterOrEqual(t, verdict.Score, last, "%s, example %q: priority %s", v.playbook.ID, v.example.Name, p)
			last = verdict.Score
		}
	}
	for _, p := range book.playbooks {
		for _, c := range p.adjust {
			require.LessOrEqual(t, max(c.Points, -c.Points), 50, "%s: %s", p.ID, c.Reason)
		}
	}
}
