//go:build unix

// Package test knows Falconer from outside: by its binary, its subjects and its
// schemas. Every test starts real processes on free ports of 127.0.0.1.
//
// The default sizes are for a small machine. FALCONER_LONG=1 makes the load of
// TestFourWorkersCountEveryAlertOnce 200,000 alerts of 1,000 fingerprints, and has
// TestAMonthOfLoadStaysBounded wait for what lasts a minute.
package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// natscli is the version of the nats command that the tests use.
const natscli = "github.com/nats-io/natscli/nats@v0.5.1"

// What is built once for a run of the tests, when a test first needs it.
var (
	builds         = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "falconer-test-") })
	falconerBinary = sync.OnceValues(func() (string, error) { return build("falconer", "falconer/cmd/falconer") })
	faultyBinary   = sync.OnceValues(func() (string, error) { return build("falconer-faults", "falconer/cmd/falconer", "-tags", "faults") })
	serverBinary   = sync.OnceValues(func() (string, error) { return build("nats-server", "github.com/nats-io/nats-server/v2") })
	natsBinary     = sync.OnceValues(installNATS)
)

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := builds(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// build compiles a program of this module or of one that it requires, without
// the race detector: what is tested is what users run.
func build(name, pkg string, flags ...string) (string, error) {
	dir, err := builds()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, goCommand(nil, append(append([]string{"build"}, flags...), "-o", path, pkg)...)
}

// installNATS builds the nats command outside of this module, or takes the one
// that FALCONER_NATS_CLI names.
func installNATS() (string, error) {
	if path := os.Getenv("FALCONER_NATS_CLI"); path != "" {
		return path, nil
	}
	dir, err := builds()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "nats"), goCommand([]string{"GOBIN=" + dir}, "install", natscli)
}

func goCommand(env []string, args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("go %s: %w", strings.Join(args, " "), err), errors.New(string(out)))
	}
	return nil
}

// program returns the path of a program, built if need be.
func program(t testing.TB, built func() (string, error)) string {
	t.Helper()
	path, err := built()
	require.NoError(t, err)
	return path
}
