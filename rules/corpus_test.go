package rules

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"falconer/processor"
)

// TestCorpus judges real alerts. Every command must be one that a shell reads as
// one pipe of simple commands, and every configuration must parse.
func TestCorpus(t *testing.T) {
	if os.Getenv("FALCONER_CORPUS") == "" {
		t.Skip("FALCONER_CORPUS names no folder with real alerts")
	}
	book := builtin(t)
	matched := map[string]int{}
	for _, a := range realAlerts(t) {
		v := book.Judge(a)
		require.Empty(t, notesOf(v), a.Rule)
		matched[v.Match]++
		checkAdvice(t, book.Advise(a))
	}
	t.Logf("alerts by kind of match: %v", matched)
}

// realAlerts returns the alerts beside the project that can be understood.
func realAlerts(t *testing.T) (out []*processor.Alert) {
	t.Helper()
	f, err := os.Open(filepath.Join(os.Getenv("FALCONER_CORPUS"), "alerts-dev.jsonl"))
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var row struct{ Alert json.RawMessage }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		if a, err := processor.Decode(row.Alert); err == nil {
			out = append(out, a)
		}
	}
	require.NoError(t, lines.Err())
	return out
}

func checkAdvice(t *testing.T, advice processor.Advice) {
	t.Helper()
	configs := []processor.Config{}
	for _, m := range advice.Mitigations {
		for _, c := range m.Commands {
			commands, _ := parse(t, c.Line)
			require.NotEmpty(t, commands)
			require.Equal(t, c.Ready, len(c.Missing) == 0)
		}
		configs = append(configs, m.Configs...)
	}
	if advice.Exception != nil {
		configs = append(configs, *advice.Exception)
	}
	for _, c := range configs {
		var tree any
		switch c.Format {
		case "yaml":
			require.NoError(t, yaml.Unmarshal([]byte(c.Body), &tree), c.Body)
		case "json":
			require.NoError(t, json.Unmarshal([]byte(c.Body), &tree), c.Body)
		}
	}
}
