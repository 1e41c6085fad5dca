package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/stream"
)

// folded waits until the worker has folded n alerts.
func (l *live) folded(n uint64) {
	l.t.Helper()
	until(l.t, fmt.Sprintf("%d alerts to be folded", n), func() bool {
		return parse[stream.Status](l.t, l.must("status", "--json"))[0].Totals.In == n
	})
	l.sent = n
}

func TestReplayingDeadLetters(t *testing.T) {
	l := startLive(t)
	l.publish("not an alert\x1b[31m", attack(t, "shop-0"), "[]")
	require.Regexp(t, `^\S+ \S+ +1-[0-9a-z]+ +17 +falco\.warning\.any +no +\S`, rows(t, l.must("dead", "list"))[0])
	require.NotContains(t, l.must("dead", "show", "1"), "eplay")

	o := l.run("dead", "replay", "1", "--by", "someone\x1b[31m")
	require.Equal(t, exitOK, o.code)
	require.Regexp(t, `^1-[0-9a-z]+: replayed as sequence 4\n$`, o.out)
	require.Equal(t, "1 replayed, 0 replayed before, 0 failed.\n", o.err)
	l.folded(4)
	o = l.run("dead", "replay", "1")
	require.Equal(t, exitOK, o.code)
	require.Regexp(t, `^1-[0-9a-z]+: already replayed at \S+ \S+ as sequence 4\n$`, o.out)
	require.Equal(t, "0 replayed, 1 replayed before, 0 failed.\n", o.err)

	t.Run("it is marked in the list, and the letter it became is not", func(t *testing.T) {
		list := rows(t, l.must("dead", "list"))
		require.Len(t, list, 3, "letters only")
		require.Contains(t, list[0], " as 4 ")
		require.Contains(t, list[1], " no ")
		require.Regexp(t, `^\S+ \S+ +4-[0-9a-z]+ +17 +falco\.warning\.any +no +\S`, list[2])
		require.Len(t, parse[processor.DeadLetter](t, l.must("dead", "list", "--json")), 3)
	})
	t.Run("it is shown with who did it", func(t *testing.T) {
		shown := l.must("dead", "show", "1")
		require.Regexp(t, `(?m)^Replayed \S+ \S+ by someone\\x1b\[31m as sequence 4$`, shown)
		requireHarmless(t, shown)
		lines := strings.SplitAfter(l.must("dead", "show", "1", "--json"), "\n")
		requireSchema(t, "dead", lines[0])
		requireSchema(t, "replayed", lines[1])
		requireHarmless(t, lines[1])
	})
	t.Run("one that is not there does not keep the others back", func(t *testing.T) {
		o := l.run("dead", "replay", "99", "3", "--json")
		require.Equal(t, exitFailed, o.code)
		require.Equal(t, "99: not replayed: there is no dead letter 99: it may have expired\n1 replayed, 0 replayed before, 1 failed.\n", o.err)
		requireSchema(t, "replayed", o.out)
		l.folded(5)
	})
	t.Run("all are those that were not replayed yet, and come from no replay", func(t *testing.T) {
		l.publish("{}")
		o := l.run("dead", "replay", "--all")
		require.Equal(t, exitOK, o.code)
		require.Regexp(t, `^6-[0-9a-z]+: replayed as sequence 7\n$`, o.out)
		require.Equal(t, "1 replayed, 0 replayed before, 0 failed.\n", o.err)
		l.folded(7)
		require.Equal(t, "0 replayed, 0 replayed before, 0 failed.\n", l.run("dead", "replay", "--all").err)
		o = l.run("dead", "replay", "7")
		require.Regexp(t, `^7-[0-9a-z]+: replayed as sequence 8\n$`, o.out, "who names it has it replayed")
		l.folded(8)
	})
	t.Run("the alerts add up, and a replay of the stream makes the same", func(t *testing.T) {
		require.Contains(t, l.must("status"), "8 taken = 1 reported + 0 merged + 0 resent + 0 silenced + 0 internal + 7 dead; 0 wait")
		require.Equal(t, exitOK, l.run("replay", "--diff").code)
	})
}
