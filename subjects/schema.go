package subjects

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed schemas/*.json
var schemas embed.FS

// SchemaNames lists the published forms, such as "report.v1".
func SchemaNames() []string {
	names, err := fs.Glob(schemas, "schemas/*.json")
	if err != nil {
		return nil
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(strings.TrimPrefix(n, "schemas/"), ".json")
	}
	return names
}

// Schema returns the JSON Schema (2020-12) of a published form. The name may
// leave out its version.
func Schema(name string) ([]byte, error) {
	for _, known := range SchemaNames() {
		if known == name || strings.HasPrefix(known, name+".v") {
			return schemas.ReadFile("schemas/" + known + ".json")
		}
	}
	return nil, fmt.Errorf("no schema %q: want one of %s", name, strings.Join(SchemaNames(), ", "))
}
