package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatChanged(t *testing.T) {
	for name, row := range map[string]struct{ old, now, want string }{
		"severity first, then score and title": {
			`{"title":"An old one","severity":"medium","verdict":{"score":40},"at":"1","steps":[1,2,3]}`,
			`{"title":"A new one","severity":"high","verdict":{"score":55},"at":"1","steps":[1,4,5]}`,
			"severity medium -> high; score 40 -> 55; title; 2 steps",
		},
		"a list with more":                    {`{"tags":["a"]}`, `{"tags":["a","b"]}`, "1 tag"},
		"a list where there was none":         {`{}`, `{"tags":["a","b"]}`, "2 tags"},
		"a value where there was none":        {`{}`, `{"previous":"f-1-a"}`, "previous none -> f-1-a"},
		"a time":                              {`{"due":"2026-01-02T03:04:05.000000001Z"}`, `{"due":"2026-01-03T03:04:05Z"}`, "due 2026-01-02T03:04:05.000000001Z -> 2026-01-03T03:04:05Z"},
		"numbers that differ in the last bit": {`{"n":9007199254740993}`, `{"n":9007199254740992}`, "n 9007199254740993 -> 9007199254740992"},
		"an object is only named":             {`{"identity":{"a":"b"}}`, `{"identity":{"a":"c"}}`, "identity"},
		"hostile text is not shown":           {`{"place":"a\u001b[31m"}`, `{"place":"b c"}`, "place"},
		"text made of the rest is not named":  {`{"markdown":"a","place":"a"}`, `{"markdown":"b","place":"b"}`, "place a -> b"},
		"but when nothing else differs":       {`{"markdown":"a","summary":"b"}`, `{"markdown":"b","summary":"a"}`, "text"},
		"an object that is gone":              {`{"advice":{"mitigations":[{},{}],"next":"a b"}}`, `{}`, "2 mitigations; next"},
	} {
		t.Run(name, func(t *testing.T) {
			what, err := whatChanged([]byte(row.old), []byte(row.now))
			require.NoError(t, err)
			require.Equal(t, row.want, strings.Join(what, "; "))
		})
	}
	_, err := whatChanged([]byte("{}"), []byte("broken"))
	require.ErrorContains(t, err, "comparing outputs")
}
