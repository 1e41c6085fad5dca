package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"falconer/rules"
	"falconer/subjects"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMain takes away the settings of whoever runs the tests. In the processes that
// a bench starts, this is falconer itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "bench-") {
		main()
	}
	flag.Parse()
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "FALCONER_") && name != "FALCONER_CORPUS" {
			_ = os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// outcome is what came of a command line.
type outcome struct {
	code     int
	out, err string
}

// falconer runs a command line to its end.
func falconer(t testing.TB, args ...string) outcome {
	t.Helper()
	return feeding(t, "", args...)
}

// feeding is falconer with something on standard input.
func feeding(t testing.TB, in string, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	a := &app{in: strings.NewReader(in), out: &out, err: &errOut, cfg: defaults(), load: remember}
	code := a.execute(t.Context(), args)
	return outcome{code, out.String(), errOut.String()}
}

// loaded is a book, or why there is none.
type loaded struct {
	book *rules.Book
	err  error
}

// books are those that remember has loaded, by their folders.
var books sync.Map

// remember is rules.Load, which takes long, once for each list of folders.
func remember(dirs ...string) (*rules.Book, error) {
	key := strings.Join(dirs, "\n")
	if _, ok := books.Load(key); !ok {
		book, err := rules.Load(dirs...)
		books.Store(key, loaded{book, err})
	}
	known, _ := books.Load(key)
	return known.(loaded).book, known.(loaded).err
}

// must runs a command line that must succeed, and returns what it printed.
func must(t testing.TB, args ...string) string {
	t.Helper()
	o := falconer(t, args...)
	require.Equal(t, exitOK, o.code, "falconer %s: %s", strings.Join(args, " "), o.err)
	return o.out
}

// background runs a command line until the test ends; it must then end well.
func background(t *testing.T, args ...string) (out, errOut *capture) {
	t.Helper()
	out, errOut = &capture{}, &capture{}
	ctx, stop := context.WithCancel(context.Background())
	code := make(chan int, 1)
	a := &app{in: strings.NewReader(""), out: out, err: errOut, cfg: defaults(), load: remember}
	go func() { code <- a.execute(ctx, args) }()
	t.Cleanup(func() {
		stop()
		require.Equal(t, exitOK, <-code, errOut.String())
	})
	return out, errOut
}

// file writes a file for one test.
func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// requireSchema holds a JSON text against a published schema.
func requireSchema(t testing.TB, name, text string) {
	t.Helper()
	data, err := subjects.Schema(name)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("urn:x", doc))
	schema, err := c.Compile("urn:x")
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(value))
}

// parse reads JSON lines.
func parse[T any](t testing.TB, text string) (out []T) {
	t.Helper()
	for line := range strings.Lines(text) {
		var v T
		require.NoError(t, json.Unmarshal([]byte(line), &v), line)
		out = append(out, v)
	}
	return out
}

// requireHarmless makes sure that a terminal does nothing but show the text: no
// control characters but the end of the line, nothing that turns its direction.
func requireHarmless(t testing.TB, text string) {
	t.Helper()
	for i, r := range text {
		control := r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0
		bidi := r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f
		require.False(t, control || bidi, "%q in %q", r, text[max(0, i-60):min(len(text), i+60)])
	}
}
