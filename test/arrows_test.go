package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// arrows says for each package which others of ours it may lean on, directly or
// not: the house of DESIGN.md. What is in cmd wires them up and may lean on all.
var arrows = map[string][]string{
	"falconer/processor/bench":             {"falconer/processor", "falconer/processor/stream", "falconer/subjects"},
	"falconer/processor":                   {},
	"falconer/processor/broker":            {},
	"falconer/processor/broker/brokertest": {"falconer/processor/broker"},
	"falconer/processor/ingest":            {"falconer/processor", "falconer/subjects"},
	"falconer/processor/secrets":           {},
	"falconer/processor/stream":            {"falconer/processor", "falconer/subjects"},
	"falconer/processor/stream/doctor":     {"falconer/processor", "falconer/processor/stream", "falconer/subjects"},
	"falconer/rules":                       {"falconer/processor"},
	"falconer/subjects":                    {},
	"falconer/test/corpus":                 {},
}

// listed is a package as "go list" tells of it; Deps are all that it leans on,
// Imports what its files name.
type listed struct {
	ImportPath string
	Standard   bool
	GoFiles    []string
	Imports    []string
	Deps       []string
}

func (p listed) ours() bool { return strings.HasPrefix(p.ImportPath, "falconer/") }

// packages lists our packages that have more than tests, and all they lean on.
func packages(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,GoFiles,Imports,Deps", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	all := map[string]listed{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		if len(p.GoFiles) > 0 {
			all[p.ImportPath] = p
		}
	}
}

func TestArrowsPointOneWay(t *testing.T) {
	all := packages(t)
	for _, p := range all {
		if !p.ours() || strings.HasPrefix(p.ImportPath, "falconer/cmd/") {
			continue
		}
		allowed, known := arrows[p.ImportPath]
		require.True(t, known, "%s is new: say in test/arrows_test.go what it may lean on", p.ImportPath)
		for _, dep := range p.Deps {
			if all[dep].ours() {
				require.Contains(t, allowed, dep, "%s leans on %s", p.ImportPath, dep)
			}
		}
	}
}

func TestTheCoreIsStandardLibraryWithoutInputOrOutput(t *testing.T) {
	all := packages(t)
	core := all["falconer/processor"]
	for _, dep := range core.Deps {
		require.True(t, all[dep].Standard, "processor leans on %s", dep)
	}
	for _, forbidden := range []string{"crypto/rand", "log", "log/slog", "math/rand", "math/rand/v2", "net", "net/http", "os", "os/exec"} {
		require.NotContains(t, core.Imports, forbidden)
	}
}

func TestKnowledgeDoesNotKnowNATS(t *testing.T) {
	for _, dep := range packages(t)["falconer/rules"].Deps {
		require.NotContains(t, dep, "github.com/nats-io/")
	}
}

func TestNothingRunsACommand(t *testing.T) {
	for _, p := range packages(t) {
		if p.ours() {
			require.NotContains(t, p.Imports, "os/exec", p.ImportPath)
		}
	}
}

func TestPackagesAreNouns(t *testing.T) {
	for _, p := range packages(t) {
		if p.ours() {
			require.NotContains(t, []string{"common", "helper", "helpers", "misc", "pkg", "shared", "types", "util", "utils"}, path.Base(p.ImportPath))
		}
	}
}

// The project stands alone: only the tests and CI may look for what lies beside it.
func TestNothingReachesBesideTheProject(t *testing.T) {
	beside := []byte("../" + "shared")
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || name == filepath.Join("..", "bin") || name == filepath.Join("..", "data")):
			return fs.SkipDir
		case !d.Type().IsRegular() || strings.HasSuffix(name, "_test.go") || name == filepath.Join("..", ".ci", "run"):
			return nil
		}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NotContains(t, string(text), string(beside), name)
		return nil
	})
	require.NoError(t, err)
}
