package stream_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor/stream"
)

func TestEncodeJSONEscapesWhatATerminalWouldObey(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"what HTML would not bear stays":  {"<a> & 'b'", `"<a> & 'b'"`},
		"other scripts stay":              {"Grüße, 世界, 🦅…", `"Grüße, 世界, 🦅…"`},
		"escape":                          {"\x1b[31m", `"\u001b[31m"`},
		"delete":                          {"\x7f", `"\u007f"`},
		"the escape sequence of one rune": {"\u009b2J", `"\u009b2J"`},
		"direction":                       {"\u202eabc\u2066", `"\u202eabc\u2066"`},
		"no width":                        {"a\u200bb\ufeff", `"a\u200bb\ufeff"`},
		"beyond the first plane":          {"\U000e0041", `"\udb40\udc41"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := stream.EncodeJSON(row.text)
			require.NoError(t, err)
			require.Equal(t, row.want, string(got))
			var back string
			require.NoError(t, json.Unmarshal(got, &back))
			require.Equal(t, row.text, back)
		})
	}
}
