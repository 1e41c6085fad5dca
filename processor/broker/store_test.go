package broker

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// holdEnv names the directory that TestHoldADirectory holds in a process of its own.
const holdEnv = "FALCONER_TEST_HOLD"

func TestHoldADirectory(t *testing.T) {
	dir := os.Getenv(holdEnv)
	if dir == "" {
		t.Skip("run by TestADirectoryIsFreeWhenItsProcessIsKilled in a process of its own")
	}
	_, err := openStore(dir)
	fmt.Println("held:", err)
	select {} // until killed
}

func TestADirectoryIsFreeWhenItsProcessIsKilled(t *testing.T) {
	dir := t.TempDir()
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHoldADirectory$")
	other.Env = append(os.Environ(), holdEnv+"="+dir)
	out, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	said, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held: <nil>\n", said)

	_, err = openStore(dir)
	require.ErrorContains(t, err, "in use by process "+strconv.Itoa(other.Process.Pid)+":")

	require.NoError(t, other.Process.Kill())
	_ = other.Wait() // reports the kill
	s, err := openStore(dir)
	require.NoError(t, err)
	require.NoError(t, s.close())
}
