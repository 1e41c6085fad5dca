package processor

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

// schema compiles one of the published schemas, formats included.
func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	text, err := subjects.Schema(name)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	require.NoError(t, c.AddResource("urn:"+name, doc))
	s, err := c.Compile("urn:" + name)
	require.NoError(t, err)
	return s
}

// requireValid encodes each value and holds it against the schema.
func requireValid[T any](t *testing.T, s *jsonschema.Schema, values ...T) {
	t.Helper()
	require.NotEmpty(t, values)
	for _, v := range values {
		data := encode(t, v)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		require.NoError(t, err)
		require.NoError(t, s.Validate(doc), "%.2000s", data)
	}
}

func TestOutputsKeepToTheirSchemas(t *testing.T) {
	report, task, incident, dead := schema(t, ReportSchema), schema(t, TaskSchema), schema(t, IncidentSchema), schema(t, DeadSchema)
	check := func(t *testing.T, ch Changes) {
		requireValid(t, report, ch.Reports...)
		requireValid(t, incident, ch.Incidents...)
		if len(ch.Tasks) > 0 {
			requireValid(t, task, ch.Tasks...)
		}
	}
	for name, data := range map[string][]byte{
		"an alert with everything":    fullAlert(),
		"an alert with nothing":       []byte(`{"rule":"r"}`),
		"a playbook without a word":   []byte(`{"rule":"` + wordless + `"}`),
		"a playbook that fails":       alertJSON(mute, epoch, nil),
		"a maximal alert":             maximalAlert(),
		"an unknown priority":         alertJSON(shellRule, epoch, fields{"priority": "x"}),
		"an audit log":                alertJSON(shellRule, epoch, fields{"source": "okta"}),
		"an alert that is worth less": alertJSON(shellRule, epoch, fields{"priority": "Debug"}),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFeed(t)
			f.send(0, data)
			check(t, f.got)
			requireValid(t, report, f.Snapshot()...)
			f.tick(90 * time.Minute)
			check(t, f.got)
			r := f.last()
			r.Shrink()
			requireValid(t, report, r)
			for _, made := range f.got.Tasks {
				made.Shrink()
				requireValid(t, task, made)
			}
		})
	}
	f := newFeed(t)
	f.send(0, nil)
	f.send(0, []byte("\xff\x00"))
	f.send(0, []byte(strings.Repeat("x", 1<<20)))
	requireValid(t, dead, f.got.Dead...)
}

func TestOutputsOfARandomStreamKeepToTheirSchemas(t *testing.T) {
	got := play(t, randomStream(seeded(5), 60), 900, nil)
	requireValid(t, schema(t, ReportSchema), got.reports...)
	requireValid(t, schema(t, TaskSchema), got.tasks...)
	for _, state := range got.States {
		requireValid(t, schema(t, IncidentSchema), json.RawMessage(state))
	}
	for _, d := range got.Dead {
		requireValid(t, schema(t, DeadSchema), json.RawMessage(d))
	}
}

func TestSchemasRefuse(t *testing.T) {
	f := newFeed(t)
	f.send(0, fullAlert())
	for _, row := range []struct {
		name, schema string
		value        any
		change       func(map[string]any)
	}{
		{"a report without its Markdown", ReportSchema, f.got.Reports[0], func(m map[string]any) { delete(m, "markdown") }},
		{"a kind that there is not", ReportSchema, f.got.Reports[0], func(m map[string]any) { m["kind"] = "x11" }},
		{"an unknown property", ReportSchema, f.got.Reports[0], func(m map[string]any) { m["colour"] = "red" }},
		{"null for a list", ReportSchema, f.got.Reports[0], func(m map[string]any) { m["sections"] = nil }},
		{"a severity that there is not", TaskSchema, f.got.Tasks[0], func(m map[string]any) { m["severity"] = "info" }},
		{"a due date that is none", TaskSchema, f.got.Tasks[0], func(m map[string]any) { m["due"] = "soon" }},
		{"a command without a place", TaskSchema, f.got.Tasks[0], func(m map[string]any) { delete(m["steps"].([]any)[0].(map[string]any), "where") }},
		{"a closed incident that keeps evidence", IncidentSchema, f.got.Incidents[0], func(m map[string]any) { m["closed"] = true }},
		{"an open incident without evidence", IncidentSchema, f.got.Incidents[0], func(m map[string]any) { delete(m, "evidence") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			var doc map[string]any
			require.NoError(t, json.Unmarshal(encode(t, row.value), &doc))
			require.NoError(t, schema(t, row.schema).Validate(doc))
			row.change(doc)
			require.Error(t, schema(t, row.schema).Validate(doc))
		})
	}
}

// What the Go types can write, the schemas name, and the other way round; what
// the types always write, the schemas require.
func TestSchemasNameWhatTheTypesHave(t *testing.T) {
	for name, v := range map[string]any{ReportSchema: Report{}, TaskSchema: Task{}, IncidentSchema: Incident{}, DeadSchema: DeadLetter{}, SilenceSchema: SilenceOrder{}} {
		t.Run(name, func(t *testing.T) {
			text, err := subjects.Schema(name)
			require.NoError(t, err)
			var doc map[string]any
			require.NoError(t, json.Unmarshal(text, &doc))
			compareType(t, name, reflect.TypeOf(v), doc, doc)
		})
	}
}

func compareType(t *testing.T, path string, typ reflect.Type, node, root map[string]any) {
	t.Helper()
	if ref, ok := node["$ref"].(string); ok {
		node = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	textual := typ.Implements(reflect.TypeFor[encoding.TextMarshaler]())
	switch {
	case textual:
	case typ.Kind() == reflect.Pointer:
		compareType(t, path, typ.Elem(), node, root)
	case typ.Kind() == reflect.Slice && typ.Elem().Kind() != reflect.Uint8:
		require.Equal(t, "array", node["type"], path)
		compareType(t, path+"[]", typ.Elem(), node["items"].(map[string]any), root)
	case typ.Kind() == reflect.Struct:
		compareStruct(t, path, typ, node, root)
	}
}

func compareStruct(t *testing.T, path string, typ reflect.Type, node, root map[string]any) {
	t.Helper()
	properties := node["properties"].(map[string]any)
	var known, always []any
	for field := range typ.Fields() {
		tag := field.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if name == "-" {
			continue
		}
		require.NotEmpty(t, name, "%s.%s has no name in JSON", path, field.Name)
		require.Contains(t, properties, name, path)
		known = append(known, name)
		if options == "" {
			always = append(always, name)
		}
		compareType(t, path+"."+name, field.Type, properties[name].(map[string]any), root)
	}
	require.Len(t, properties, len(known), "%s: the schema names what the type has not", path)
	require.ElementsMatch(t, always, node["required"], path)
}
