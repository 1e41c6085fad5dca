package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

// old writes files of alerts, each a name and its lines, and returns their paths.
func old(t *testing.T, files ...[]string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f[0])
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(f[1:], "")), 0o600))
		paths = append(paths, path)
	}
	return paths
}

func TestReplayOfFilesFoldsThemInTheOrderOfTheEvents(t *testing.T) {
	morning, noon := "2026-01-15T08:00:0", "2026-01-15T12:00:0"
	paths := old(t,
		[]string{"b.jsonl", at(t, noon+"2", "node-a"), at(t, morning+"1", "node-a"), "not an alert\n"},
		[]string{"a.jsonl", at(t, noon+"1", "node-a"), at(t, morning+"2", "node-a"), at(t, noon+"1", "node-b")},
	)
	o := falconer(t, append([]string{"replay", "--json"}, paths...)...)
	require.Equal(t, exitFailed, o.code, "one is no alert")
	require.Equal(t, o, falconer(t, append([]string{"replay", "--json"}, paths...)...), "on every run")
	require.Equal(t, o, falconer(t, "replay", "--json", paths[1], paths[0]), "in whatever order they are named")
	require.Contains(t, o.err, "6 alerts: 2 incidents, 4 reports,")

	var kinds []string
	var reports []processor.Report
	for line := range strings.Lines(o.out) {
		var form struct{ Schema, Subject, Kind string }
		require.NoError(t, json.Unmarshal([]byte(line), &form))
		name, _, _ := strings.Cut(form.Schema, ".")
		requireSchema(t, name, line)
		switch name {
		case "report":
			reports = append(reports, parse[processor.Report](t, line)...)
			kinds = append(kinds, form.Kind)
		case "dead":
			require.Equal(t, "b.jsonl line 3", form.Subject)
			kinds = append(kinds, "dead")
		}
	}
	require.Equal(t, []string{"opened", "dead", "closed", "opened", "closed"}, kinds)
	require.Equal(t, "2026-01-15T08:00:01Z", reports[0].At.Format("2006-01-02T15:04:05Z07:00"))
	require.EqualValues(t, 2, reports[1].Occurrences.Count)
	require.EqualValues(t, 3, reports[3].Occurrences.Count)
	require.Equal(t, reports[0].Incident, reports[2].Previous)
	require.True(t, strings.HasSuffix(reports[0].Incident, "-1-0"), "the first alert of all, in no stream")
	require.True(t, strings.HasSuffix(reports[2].Incident, "-4-0"))
}

func TestReplayOfFilesPrintsALineForEachReport(t *testing.T) {
	o := feeding(t, devShmAlert(t)+hostileAlert(t), "replay", "-")
	require.Equal(t, exitOK, o.code, o.err)
	require.Len(t, strings.Split(strings.TrimSpace(o.out), "\n"), 4, "opened and closed, twice")
	requireHarmless(t, o.out)
	o = feeding(t, devShmAlert(t)+hostile+"\n", "replay", "-")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, "standard input line 2: not understood: ")
	requireHarmless(t, o.err)
}

func TestReplayOfFilesThatAreNone(t *testing.T) {
	for name, want := range map[string]string{
		t.TempDir(): "is a folder", "no-such-file": "no-such-file: ", file(t, "empty", "\n"): "no alert in the input",
	} {
		o := falconer(t, "replay", name)
		require.Equal(t, exitFailed, o.code)
		require.Contains(t, o.err, want)
		require.Empty(t, o.out)
	}
}

// An alert is a digit, the hour of its event, and a letter that tells it apart; an
// alert without an hour has none.
func TestTheOrderOfOldAlerts(t *testing.T) {
	for name, row := range map[string]struct {
		files []string
		want  string
	}{
		"one file, sorted":                             {[]string{"1a 2b 3c"}, "1a 2b 3c"},
		"one file, not sorted":                         {[]string{"3a 1b 2c"}, "1b 2c 3a"},
		"of one time, as they stand":                   {[]string{"2b 2a 1c"}, "1c 2b 2a"},
		"across files":                                 {[]string{"1a 3b", "2c 4d"}, "1a 2c 3b 4d"},
		"of one time, in the order of the files":       {[]string{"1a 2b", "1c 2d"}, "1a 1c 2b 2d"},
		"without a time, after the one before":         {[]string{"3a b 1c d"}, "1c d 3a b"},
		"without a time, with others of that time":     {[]string{"1a b 2c", "1d e"}, "1a b 1d e 2c"},
		"without a time at the start, before the next": {[]string{"a 2b 1c", "1d"}, "1c 1d a 2b"},
		"a file without any time, at the start of all": {[]string{"2a 1b", "c d"}, "1b c d 2a"},
		"no time anywhere":                             {[]string{"a b", "c"}, "a b c"},
	} {
		t.Run(name, func(t *testing.T) {
			var files []oldFile
			for i, words := range row.files {
				f := oldFile{name: fmt.Sprint(i)}
				for word := range strings.FieldsSeq(words) {
					alert := oldAlert{data: []byte(word)}
					if word[0] <= '9' {
						alert.time = alert.time.AddDate(2000, 0, int(word[0]-'0'))
					}
					f.alerts = append(f.alerts, alert)
				}
				files = append([]oldFile{f}, files...)
			}
			var got []string
			for _, alert := range inOrder(files) {
				got = append(got, string(alert.data))
			}
			require.Equal(t, row.want, strings.Join(got, " "))
		})
	}
}
