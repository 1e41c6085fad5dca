//go:build unix

package test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

// waitForOutputs is how long a consumer may take to receive what is published.
const waitForOutputs = 30 * time.Second

// output is a message of the output stream as a consumer received it.
type output struct {
	subject string
	seq     uint64
	header  nats.Header
	data    []byte
}

func (o output) id() string { return o.header.Get("Falconer-Id") }

// watch keeps everything that a consumer receives from the output stream while
// it is written, from the start: what later overwrites itself is seen as well.
// Beside that it holds each message against its schema.
type watch struct {
	t       *testing.T
	js      jetstream.JetStream
	schemas map[string]*jsonschema.Schema
	more    chan struct{}

	mu      sync.Mutex
	seen    []output
	checked int
	invalid error // the first
}

func watchOutputs(t *testing.T, js jetstream.JetStream) *watch {
	t.Helper()
	w := &watch{t: t, js: js, schemas: schemas(t), more: make(chan struct{}, 1)}
	running := openTap(js, subjects.OutputStream, []string{
		subjects.Reports, subjects.Tasks, subjects.DeadLetters, subjects.States, subjects.Cursors,
	}, w.note)
	go w.check(t.Context().Done())
	t.Cleanup(running.stop)
	return w
}

func (w *watch) note(m tapped) {
	w.mu.Lock()
	w.seen = append(w.seen, output{m.Subject(), m.seq, m.Headers(), m.Data()})
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// check validates what comes until the test is over.
func (w *watch) check(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-w.more:
		}
		for _, o := range w.all()[w.checked:] {
			err := w.validate(o)
			w.mu.Lock()
			w.checked++
			w.invalid = cmp.Or(w.invalid, err)
			w.mu.Unlock()
		}
	}
}

// requireValid waits until every message received is checked.
func (w *watch) requireValid() {
	w.t.Helper()
	until(w.t, time.Minute, "the messages to be held against their schemas", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		require.NoError(w.t, w.invalid)
		return w.checked == len(w.seen)
	})
}

// validate holds a message against its schema, and its headers against its body.
func (w *watch) validate(o output) error {
	if len(o.data) == 0 || strings.HasPrefix(o.subject, "falconer.cursor.") {
		return nil // a state that was forgotten, or what is nobody's to read
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(o.data))
	if err != nil {
		return fmt.Errorf("%s: %w", o.subject, err)
	}
	name, _ := doc.(map[string]any)["schema"].(string)
	if w.schemas[name] == nil {
		return fmt.Errorf("%s: schema %q is not published", o.subject, name)
	}
	if err := w.schemas[name].Validate(doc); err != nil {
		return fmt.Errorf("%s: %w: %s", o.subject, err, o.data)
	}
	if strings.HasPrefix(o.subject, "falconer.incident.") {
		return nil
	}
	return o.checkHeaders(name)
}

func (o output) checkHeaders(schema string) error {
	for key, want := range map[string]string{
		"Falconer-Schema": schema, "Content-Type": "application/json", "Nats-Msg-Id": o.id(),
	} {
		if got := o.header.Get(key); got != want || got == "" {
			return fmt.Errorf("%s: header %s is %q, want %q", o.subject, key, got, want)
		}
	}
	return nil
}

// all returns what was received so far.
func (w *watch) all() []output {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// outputs waits until so many different outputs have come, and returns them in
// the order of their sequences. An id that came with two sequences fails the test.
func (w *watch) outputs(want int) []output {
	w.t.Helper()
	until(w.t, waitForOutputs, fmt.Sprintf("%d outputs", want), func() bool { return len(w.bySeq()) >= want })
	all := w.bySeq()
	at := map[string]uint64{}
	var out []output
	for _, o := range all {
		require.NotContains(w.t, at, o.id(), "sequences %d and %d", at[o.id()], o.seq)
		at[o.id()] = o.seq
		out = append(out, o)
	}
	for _, o := range stored(w.t, w.js) {
		require.Equal(w.t, at[o.id()], o.seq, "%s is stored at another sequence than it was received with", o.id())
	}
	slices.SortFunc(out, func(a, b output) int { return int(a.seq) - int(b.seq) })
	require.Len(w.t, out, want)
	return out
}

// cursor is what the tests look at in a partition's cursor.
type cursor struct {
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
	Mark  struct {
		End time.Time `json:"end"`
	} `json:"mark"`
}

// requireForward checks that no partition's cursor ever went back, as it would if
// a worker that lost the partition could still write.
func (w *watch) requireForward() {
	w.t.Helper()
	last, seq := map[string]cursor{}, uint64(0)
	for _, o := range w.all() {
		if !strings.HasPrefix(o.subject, "falconer.cursor.") || o.seq <= seq {
			continue
		}
		var c cursor
		require.NoError(w.t, json.Unmarshal(o.data, &c))
		before := last[o.subject]
		back := c.Epoch < before.Epoch || c.Seq < before.Seq || c.Mark.End.Before(before.Mark.End)
		require.False(w.t, back, "%s went from %+v to %+v", o.subject, before, c)
		last[o.subject], seq = c, o.seq
	}
}

// bySeq returns the outputs received, each sequence once: a consumer may receive
// one again after a lost connection.
func (w *watch) bySeq() map[uint64]output {
	out := map[uint64]output{}
	for _, o := range w.all() {
		if o.id() != "" {
			out[o.seq] = o
		}
	}
	return out
}

// stored reads the outputs that the stream holds now.
func stored(t *testing.T, js jetstream.JetStream) []output {
	t.Helper()
	c, err := js.OrderedConsumer(t.Context(), subjects.OutputStream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjects.Reports, subjects.Tasks, subjects.DeadLetters}, HeadersOnly: true,
	})
	require.NoError(t, err)
	info, err := c.Info(t.Context())
	require.NoError(t, err)
	var out []output
	for uint64(len(out)) < info.NumPending {
		batch, err := c.Fetch(1000, jetstream.FetchMaxWait(time.Second))
		require.NoError(t, err)
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			require.NoError(t, err)
			out = append(out, output{m.Subject(), meta.Sequence.Stream, m.Headers(), nil})
		}
	}
	return out
}

// schemas are the compiled JSON Schemas, by their name.
func schemas(t testing.TB) map[string]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	out := map[string]*jsonschema.Schema{}
	for _, name := range subjects.SchemaNames() {
		text, err := subjects.Schema(name)
		require.NoError(t, err)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err)
		require.NoError(t, c.AddResource("urn:"+name, doc))
		out[name], err = c.Compile("urn:" + name)
		require.NoError(t, err)
	}
	return out
}
