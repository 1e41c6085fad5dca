// Package corpus reads the alerts that people published, for tests. They are kept
// beside the project, in the folder that FALCONER_CORPUS names.
package corpus

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Line is one line of a file: an alert as it was found, or in Raw what is none,
// and where it comes from.
type Line struct {
	Origin, Kind, Why, Raw string
	Alert                  json.RawMessage
}

// Lines returns the lines of a file. It skips the test when no folder is named.
func Lines(t testing.TB, file string) []Line {
	t.Helper()
	dir := os.Getenv("FALCONER_CORPUS")
	if dir == "" {
		t.Skip("FALCONER_CORPUS names no folder with real alerts")
	}
	f, err := os.Open(filepath.Join(dir, file))
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	var lines []Line
	in := bufio.NewScanner(f)
	in.Buffer(nil, 4<<20)
	for in.Scan() {
		var l Line
		require.NoError(t, json.Unmarshal(in.Bytes(), &l))
		lines = append(lines, l)
	}
	require.NoError(t, in.Err())
	require.NotEmpty(t, lines)
	return lines
}
