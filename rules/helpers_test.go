package rules

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

// fallback is a playbook for every alert that no other is for.
const fallback = `
playbooks:
  - id: anything
    version: 1
    title: Anything
    match: {priorities: [Emergency, Alert, Critical, Error, Warning, Notice, Informational, Debug, Unknown]}
    category: unknown
    meaning: Something happened.
    next: Look.
`

// readBook compiles files as the built-in layer and the files of dirs as the
// user's. It returns the book with its problems.
func readBook(t testing.TB, files map[string]string, dirs ...string) (*Book, error) {
	t.Helper()
	l := &loader{}
	for _, name := range sortedKeys(files) {
		l.decode(builtinLayer, name, []byte(files[name]))
	}
	for _, dir := range dirs {
		l.read(userLayer, dir, os.DirFS(dir), ".")
	}
	return l.book()
}

// testBook returns a sound book of the fallback and the user's dirs.
func testBook(t testing.TB, dirs ...string) *Book {
	t.Helper()
	book, err := readBook(t, map[string]string{"fallback.yaml": fallback}, dirs...)
	require.NoError(t, err)
	return book
}

// bookOf returns a sound book of the fallback and one user file.
func bookOf(t testing.TB, file string) *Book {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "user.yaml"), []byte(file), 0o600))
	return testBook(t, dir)
}

// builtins is the book of the built-in playbooks, which takes its time to load.
var builtins = sync.OnceValues(Builtin)

// builtin returns it.
func builtin(t testing.TB) *Book {
	t.Helper()
	book, err := builtins()
	require.NoError(t, err)
	return book
}

// alert returns an alert of rule "R" with the fields.
func alert(fields map[string]string) *processor.Alert {
	return &processor.Alert{Rule: "R", Source: "syscall", Priority: processor.Warning, Hostname: "node-1", Fields: fields}
}
