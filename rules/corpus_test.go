package rules

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"falconer/processor"
	"falconer/test/corpus"
)

// TestCorpus judges real alerts. Every command must be one that a shell reads as
// one pipe of simple commands, and every configuration must parse.
func TestCorpus(t *testing.T) {
	alerts := realAlerts(t)
	book := builtin(t)
	matched := map[string]int{}
	for _, a := range alerts {
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
	for _, l := range corpus.Lines(t, "alerts-dev.jsonl") {
		if a, err := processor.Decode(l.Alert); err == nil {
			out = append(out, a)
		}
	}
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
