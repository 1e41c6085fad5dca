package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMisuseIsExitCodeTwoAndSaysWhatToDo(t *testing.T) {
	for args, want := range map[string]string{
		"nope":                             `unknown command "nope"`,
		"analyse x":                        "analyze",
		"rn":                               "run",
		"--nope":                           "unknown flag: --nope",
		"analyze --nope x":                 "unknown flag: --nope",
		"analyze":                          "falconer analyze: accepts 1 arg(s), received 0",
		"analyze a b":                      "accepts 1 arg(s), received 2",
		"run now":                          "falconer run: ",
		"version 2":                        "falconer version: ",
		"reports":                          "which of follow, list, show?",
		"reports lst":                      `unknown command "lst"`,
		"reports show":                     "accepts 1 arg(s), received 0",
		"reports list --severity grave":    `unknown severity "grave": want critical, high, medium, low or info`,
		"tasks follow --severity grave":    `unknown severity "grave"`,
		"dead show x":                      `"x" is no id of dead: see "falconer dead list"`,
		"dead replay":                      `give dead letters, as in "falconer dead list", or --all`,
		"dead replay 1 --all":              "or --all",
		"dead replay x":                    `"x" is no dead letter: see "falconer dead list"`,
		"dead replay 0":                    `"0" is no dead letter`,
		"bench --mix storm,calm":           `no mix "calm": want one of storm, mixed, mixed-scattered, unique`,
		"bench --workers 0":                "--workers has 0: want 1 to 64",
		"bench --workers two":              `invalid argument "two" for "--workers"`,
		"bench --alerts 0":                 "--alerts is 0: want 1 to 50000000",
		"bench --rate=-1":                  "--rate is -1: want 0 to 1000000",
		"bench --for 1ms":                  "--for is 1ms: want 1s to 1h",
		"bench --repeat 0":                 "--repeat is 0: want at least 1",
		"bench --replicas 3":               "--replicas 3 needs a cluster: name yours with --nats",
		"bench --source-stream MINE":       "--source-stream is not for the bench",
		"completion":                       "which of bash, fish, powershell, zsh?",
		"completion tcsh":                  `unknown command "tcsh"`,
		"rules":                            "which of",
		"rules show":                       "accepts 1 arg(s), received 0",
		"schema nope":                      `no schema "nope": want one of dead.v1, incident.v1, replayed.v1, report.v1, silence.v1, task.v1`,
		"replay --from 6h --to 12h":        "--to 12h is before --from 6h",
		"replay --from yesterday":          `--from is "yesterday": want a time such as`,
		"replay --from=-6h":                `--from is "-6h": want a time such as`,
		"replay --diff x.jsonl":            "--diff, --from and --to are for the raw stream: leave them out, or the files",
		"replay --to 1h -":                 "leave them out, or the files",
		"version --retention soon":         `invalid argument "soon" for "--retention"`,
		"version --retention 1s":           "retention is 1s: want at least 1m",
		"version --reopen 1ms":             "reopen is 1ms: want at least 1s",
		"version --redact some":            `redact is "some": want off or standard or strict`,
		"version --log-level loud":         `log-level is "loud": want trace, debug, info, warn or error`,
		"version --log-format xml":         `log-format is "xml": want auto or json or console`,
		"version --partitions 257":         "partitions is 257: want 1 to 256",
		"version --replicas 2":             "replicas is 2: want 1, 3 or 5",
		"version --source-stream FALCONER": "source stream is FALCONER, which is Falconer's own",
		"version --raw-max-age 1s --log-format ascii": "raw max age is 1s: want at least 1m",
	} {
		t.Run(args, func(t *testing.T) {
			o := falconer(t, strings.Fields(args)...)
			require.Equal(t, exitMisuse, o.code, o.err)
			require.Contains(t, o.err, want)
			require.True(t, strings.HasPrefix(o.err, "falconer: "), o.err)
			require.Empty(t, o.out)
		})
	}
}

func TestHelpIsAResult(t *testing.T) {
	for _, args := range []string{"", "--help", "help", "analyze --help", "help analyze", "rules --help", "completion --help"} {
		o := falconer(t, strings.Fields(args)...)
		require.Equal(t, exitOK, o.code, args)
		require.Contains(t, o.out, "Usage:", args)
		require.Empty(t, o.err, args)
	}
	all := must(t, "--help")
	for _, command := range []string{"run", "demo", "analyze", "replay", "setup", "status", "doctor", "reports", "incidents", "tasks", "dead", "rules", "schema", "version", "completion", "bench"} {
		require.Regexp(t, `(?m)^  `+command+` +\S`, all)
	}
	require.NotContains(t, all, "bench-", "what a bench starts is nobody else's to start")
}

// NATS is looked for where nobody listens.
func TestWithoutNATSEveryCommandSaysWhatToDo(t *testing.T) {
	for _, command := range []string{
		"run", "replay", "setup", "status", "reports list", "reports follow", "reports show x", "incidents list", "tasks list", "dead list", "bench",
	} {
		t.Run(command, func(t *testing.T) {
			o := falconer(t, append([]string{"--nats", "nats://me:secret@127.0.0.1:1"}, strings.Fields(command)...)...)
			require.Equal(t, exitFailed, o.code)
			require.Contains(t, o.err, "no NATS at nats://…@127.0.0.1:1: is it running, and reachable from here? (--nats)")
			require.NotContains(t, o.err, "secret", "a password is never shown")
			require.Empty(t, o.out)
		})
	}
}

func TestCredentialsThatAreNotThere(t *testing.T) {
	o := falconer(t, "--nats", "nats://127.0.0.1:1", "--creds", "no-such.creds", "status")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, "no-such.creds")
}
