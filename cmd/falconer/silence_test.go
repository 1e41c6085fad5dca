package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"falconer/processor/broker/brokertest"
	"falconer/processor/stream"
)

func TestSilenceFromBeginningToEnd(t *testing.T) {
	l := startLive(t)
	require.Contains(t, l.run("silence", "list").err, "No silences.")
	o := l.run("silence", "add", "rule=Execution from /dev/shm", "k8s.ns.name=shop", "--for", "2h", "--reason", "a drill", "--author", "blue \x1b[31mteam")
	require.Equal(t, exitOK, o.code, o.err)
	id := strings.TrimSpace(o.out)
	require.Contains(t, o.err, "Silenced from sequence 1 of FALCO on, until ")

	l.publish(attack(t, "web-1"))
	require.Contains(t, l.must("status"), "1 taken = 0 reported + 0 merged + 0 resent + 1 silenced + 0 internal + 0 dead")
	require.Contains(t, l.must("incidents", "list"), "silenced")
	require.Contains(t, l.run("reports", "list").err, "No reports yet.")
	list := l.must("silence", "list")
	require.Regexp(t, id+` .* holds +1 +rule=Execution from /dev/shm, k8s.ns.name=shop +blue .*team +a drill`, list)
	require.NotContains(t, list, "\x1b")
	require.Len(t, parse[stream.Silence](t, l.must("silence", "list", "--json")), 1)

	require.Contains(t, l.run("silence", "expire", id, "--reason", "over").err, "ends at sequence 3 of FALCO")
	until(t, "the silence to end", func() bool { return !strings.Contains(l.run("silence", "list").out, id) })
	require.Contains(t, l.must("silence", "list", "--over"), "ended")
	require.Contains(t, l.run("silence", "expire", id).err, "was ended by")
	o = l.run("silence", "expire", "0123abcd")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, `no silence "0123abcd"`)
}

func TestSilenceMisuse(t *testing.T) {
	for line, want := range map[string]string{
		"add":                                     "requires at least 1 arg",
		"add rule=x":                              "say how long",
		"add rule=x --for 1h":                     "without reason",
		"add rule=x --for 1h --until x":           "not both",
		"add rule=x --for -1h --reason r":         "want a time to come",
		"add rule=x --for 9000h --reason r":       "belongs into a Falco exception",
		"add rule=x --until 2020-01-01T00:00:00Z": "which is over",
		"add rule=x --until tomorrow":             "want a time such as",
		"add rule --for 1h --reason r":            "is no matcher",
		"add rule=~( --for 1h --reason r":         "missing closing )",
		"add rule=~.* --for 1h --reason r":        "nearly all",
		"expire":                                  "accepts 1 arg",
	} {
		o := falconer(t, append([]string{"silence"}, strings.Fields(line)...)...)
		require.Equal(t, exitMisuse, o.code, "%s: %s", line, o.err)
		require.Contains(t, o.err, want, line)
	}
}

const silencesYAML = `silences:
  - matchers: ["rule=Terminal shell in container", "k8s.ns.name=ci"]
    author: platform
    reason: builds open shells
    until: 2099-01-02T03:04:05Z
`

func TestRunBeginsTheSilencesOfAFileOnce(t *testing.T) {
	// 2099 is further than a silence may last: the file of the test is made anew.
	text := strings.Replace(silencesYAML, "2099-01-02T03:04:05Z", time.Now().Add(time.Hour).UTC().Format(time.RFC3339), 1)
	text += strings.ReplaceAll(strings.TrimPrefix(silencesYAML, "silences:\n"), "2099", "2020")
	file := filepath.Join(t.TempDir(), "silences.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	b := brokertest.Start(t)
	js := brokertest.JetStream(t, b)
	for _, id := range []string{"worker-1", "worker-2"} {
		_, words := background(t, "run", "--nats", b.URL(), "--id", id, "--silences", file)
		until(t, "the worker to have begun the silences, and the silence", func() bool {
			list, err := stream.ListSilences(t.Context(), js)
			return strings.Contains(words.String(), "working") && err == nil && len(list) == 1 && list[0].Partitions == list[0].Of
		})
	}
	st, err := stream.Inspect(t.Context(), js)
	require.NoError(t, err)
	require.EqualValues(t, 1, st.Raw.LastSeq, "one order, and none for what is over")
}

func TestAFileOfSilencesWithFaultsStopsTheStart(t *testing.T) {
	for text, want := range map[string]string{
		"silences:\n  - matchers: [rule=x]\n    authors: me\n":                                                 `silences.yaml:3: unknown key "authors"`,
		strings.Replace(silencesYAML, "2099-01-02T03:04:05Z", "soon", 1):                                       `silence 1: until is "soon"`,
		strings.Replace(silencesYAML, "rule=Terminal shell in container", "rule", 1):                           `silence 1: "rule" is no matcher`,
		strings.Replace(silencesYAML, `"rule=Terminal shell in container", "k8s.ns.name=ci"`, `"rule=~.*"`, 1): "nearly all",
	} {
		file := filepath.Join(t.TempDir(), "silences.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		o := falconer(t, "run", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--silences", file)
		require.Equal(t, exitFailed, o.code, text)
		require.Contains(t, o.err, want, text)
	}
	o := falconer(t, "run", "--silences", "/no/such/file")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, "reading the silences")
}
