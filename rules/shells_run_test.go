package rules

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Values must not stand where a program runs what it is given.
func TestValuesAreKeptFromProgramsThatRunThem(t *testing.T) {
	value := argument{template: template{{name: "fd.name"}}}
	word := func(s string) argument { return argument{template: template{{text: s}}} }
	for name, v := range map[string]vector{
		"a lock that runs a command":       {word("flock"), word("f"), word("-c"), value},
		"a script that is sourced":         {word("source"), value},
		"a trap":                           {word("trap"), value, word("EXIT")},
		"a terminal multiplexer":           {word("tmux"), word("new"), value},
		"find's own exec":                  {word("find"), word("/x"), word("-exec"), value, word(";")},
		"a wrapper with a duration":        {word("timeout"), word("5"), value},
		"a wrapper with an assignment":     {word("env"), word("A=b"), value},
		"a setting that names a program":   {word("git"), word("-c"), value, word("log")},
		"another shell under its own name": {word("pwsh"), word("-Command"), value},
	} {
		require.Error(t, vetVector(v), name)
	}
	require.NoError(t, vetVector(vector{word("timeout"), word("5"), word("stat"), word("--"), value}))
	require.NoError(t, vetVector(vector{word("find"), value, word("-type"), word("f")}))
}
