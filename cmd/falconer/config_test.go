package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/rules"
)

// folder makes a folder with one file.
func folder(t testing.TB, name, text string) string {
	t.Helper()
	return filepath.Dir(file(t, name, text))
}

// The setting is where NATS is: what was used shows in the error.
func TestTheLaterSettingWins(t *testing.T) {
	config := file(t, "falconer.yaml", "nats: nats://127.0.0.1:1\n")
	other := file(t, "other.yaml", "nats: nats://127.0.0.1:4\n")
	for name, row := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"file":                        {nil, []string{"--config", config}, "127.0.0.1:1"},
		"variable before file":        {map[string]string{"FALCONER_NATS": "nats://127.0.0.1:2"}, []string{"--config", config}, "127.0.0.1:2"},
		"flag before variable":        {map[string]string{"FALCONER_NATS": "nats://127.0.0.1:2"}, []string{"--config", config, "--nats", "nats://127.0.0.1:3"}, "127.0.0.1:3"},
		"flag before file":            {nil, []string{"--nats", "nats://127.0.0.1:3", "-c", config}, "127.0.0.1:3"},
		"file named by a variable":    {map[string]string{"FALCONER_CONFIG": config}, nil, "127.0.0.1:1"},
		"flag names another file":     {map[string]string{"FALCONER_CONFIG": config}, []string{"--config", other}, "127.0.0.1:4"},
		"flag behind the command too": {nil, []string{"--nats", "nats://127.0.0.1:3"}, "127.0.0.1:3"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range row.env {
				t.Setenv(key, value)
			}
			o := falconer(t, append([]string{"status"}, row.args...)...)
			require.Equal(t, exitFailed, o.code)
			require.Contains(t, o.err, "no NATS at nats://"+row.want)
		})
	}
}

func TestFoldersWithPlaybooksFromEverySource(t *testing.T) {
	config := file(t, "falconer.yaml", "rules: [by-file, by-file-too]\n")
	require.Equal(t, []string(nil), foldersUsed(t))
	require.Equal(t, []string{"by-file", "by-file-too"}, foldersUsed(t, "--config", config))
	require.Equal(t, []string{"a", "b", "c"}, foldersUsed(t, "--config", config, "--rules", "a,b", "--rules", "c"))
	t.Setenv("FALCONER_RULES", "by-env,by-env-too")
	require.Equal(t, []string{"by-env", "by-env-too"}, foldersUsed(t, "--config", config))
	require.Equal(t, []string{"by-flag"}, foldersUsed(t, "--config", config, "--rules", "by-flag"))
}

// foldersUsed returns where a command looks for playbooks.
func foldersUsed(t *testing.T, args ...string) (used []string) {
	t.Helper()
	a := &app{in: strings.NewReader(""), out: io.Discard, err: io.Discard, cfg: defaults()}
	a.load = func(dirs ...string) (*rules.Book, error) { used = dirs; return remember() }
	require.Equal(t, exitOK, a.execute(t.Context(), append([]string{"rules", "list"}, args...)))
	return used
}

func TestAFileThatIsNotSoundIsNamedWithLineAndHint(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"unknown key":          {"log_level: debug\nretentoin: 1h\n", `falconer.yaml:2: unknown key "retentoin" in config; did you mean "retention"? allowed: nats, creds,`},
		"a flag's spelling":    {"log-level: debug\n", `falconer.yaml:1: unknown key "log-level" in config; did you mean "log_level"?`},
		"no duration":          {"retention: soon\n", `falconer.yaml:1: retention: want a duration such as 90s, 30m or 24h, found "soon"`},
		"no number":            {"\npartitions: many\n", "falconer.yaml:2: partitions: want"},
		"no list":              {"rules: {a: b}\n", "falconer.yaml:1: rules: want"},
		"no YAML":              {"nats: [\n", "falconer.yaml:"},
		"a key twice":          {"nats: a\nnats: b\n", "falconer.yaml:2: "},
		"a value out of range": {"retention: 1s\n", "retention is 1s: want at least 1m"},
	} {
		t.Run(name, func(t *testing.T) {
			o := falconer(t, "--config", file(t, "falconer.yaml", row.text), "version")
			require.NotEqual(t, exitOK, o.code)
			require.Contains(t, o.err, row.want)
			require.Empty(t, o.out)
		})
	}
	o := falconer(t, "--config", "no-such.yaml", "version")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, "reading the configuration: open no-such.yaml: no such file")
}

func TestAnEmptyFileIsNoFault(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing yet\n"} {
		must(t, "--config", file(t, "falconer.yaml", text), "schema")
	}
}

func TestAVariableThatIsNotSoundIsNamed(t *testing.T) {
	t.Setenv("FALCONER_RETENTION", "soon")
	o := falconer(t, "version")
	require.NotEqual(t, exitOK, o.code)
	require.Contains(t, o.err, `FALCONER_RETENTION is "soon"`)
	require.Empty(t, o.out)
}
