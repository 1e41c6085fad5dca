package subjects_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

func TestSchemasCompileAndNameThemselves(t *testing.T) {
	names := subjects.SchemaNames()
	require.Equal(t, []string{"dead.v1", "incident.v1", "replayed.v1", "report.v1", "silence.v1", "task.v1"}, names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			text, err := subjects.Schema(name)
			require.NoError(t, err)
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			require.NoError(t, err)
			id := "urn:falconer:schema:" + name
			c := jsonschema.NewCompiler()
			require.NoError(t, c.AddResource(id, doc))
			s, err := c.Compile(id)
			require.NoError(t, err)
			require.Equal(t, 2020, s.DraftVersion)

			require.Equal(t, id, doc.(map[string]any)["$id"])
			require.Equal(t, name, property(t, doc, "schema")["const"])
		})
	}
}

// Whoever reads a schema to write a consumer is told what every property is,
// and nothing that the schema does not name can be published.
func TestSchemasDescribeEveryProperty(t *testing.T) {
	for _, name := range subjects.SchemaNames() {
		text, err := subjects.Schema(name)
		require.NoError(t, err)
		var doc map[string]any
		require.NoError(t, json.Unmarshal(text, &doc))
		require.NotEmpty(t, doc["title"], name)
		walk(doc, name, func(path string, object map[string]any) {
			properties, ok := object["properties"].(map[string]any)
			if !ok || object["type"] != "object" {
				return
			}
			require.Equal(t, false, object["additionalProperties"], "%s lets unknown properties in", path)
			for key, p := range properties {
				about := p.(map[string]any)
				if ref, ok := about["$ref"].(string); ok && about["description"] == nil {
					about = doc["$defs"].(map[string]any)[ref[len("#/$defs/"):]].(map[string]any)
				}
				require.NotEmpty(t, about["description"], "%s.%s has no description", path, key)
			}
			for _, key := range object["required"].([]any) {
				require.Contains(t, properties, key, "%s requires what it does not have", path)
			}
		})
	}
}

func property(t *testing.T, doc any, key string) map[string]any {
	t.Helper()
	properties := doc.(map[string]any)["properties"].(map[string]any)
	require.Contains(t, properties, key)
	return properties[key].(map[string]any)
}

// walk visits every object of a schema.
func walk(v any, path string, visit func(path string, object map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(path, v)
		for key, sub := range v {
			walk(sub, path+"."+key, visit)
		}
	case []any:
		for _, sub := range v {
			walk(sub, path, visit)
		}
	}
}

func TestSchemaByName(t *testing.T) {
	full, err := subjects.Schema("report.v1")
	require.NoError(t, err)
	short, err := subjects.Schema("report")
	require.NoError(t, err)
	require.Equal(t, full, short)

	for _, name := range []string{"", "repor", "report.v", "report.v2", "../schema.go", "schemas/report.v1"} {
		_, err = subjects.Schema(name)
		require.ErrorContains(t, err, "want one of dead.v1, incident.v1, replayed.v1, report.v1, silence.v1, task.v1", name)
	}
}
