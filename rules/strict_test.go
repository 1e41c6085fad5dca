package rules

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

type settings struct {
	NATS struct {
		URL     string   `yaml:"url"`
		Servers []string `yaml:"servers"`
	} `yaml:"nats"`
	Partitions int                `yaml:"partitions"`
	Fast       bool               `yaml:"fast"`
	Ratio      float64            `yaml:"ratio"`
	Size       uint8              `yaml:"size"`
	Idle       time.Duration      `yaml:"idle"`
	Floor      processor.Severity `yaml:"floor"`
	Labels     map[string]string  `yaml:"labels"`
	Extra      any                `yaml:"extra"`
	Maybe      *int               `yaml:"maybe"`
	Shared     `yaml:",inline"`
	Hidden     string `yaml:"-"`
}

type Shared struct {
	Common string `yaml:"common"`
}

func TestDecodeReadsWhatTheStructHas(t *testing.T) {
	var s settings
	s.Partitions, s.Common = 16, "default"
	require.NoError(t, Decode("f.yaml", []byte(`
nats:
  url: nats://127.0.0.1
  servers: [a, 1, true]
fast: true
ratio: 0.5
size: 255
idle: 90m
floor: high
labels: {a: b, c: 0123}
extra: {n: 1700000000000000001, t: 2024-01-01T00:00:00Z, l: [1, x, null]}
maybe: 3
`), &s))
	require.Equal(t, []string{"a", "1", "true"}, s.NATS.Servers, "a string takes a scalar as it is spelled")
	require.Equal(t, 16, s.Partitions, "what is left out stays")
	require.Equal(t, "default", s.Common)
	require.Equal(t, 90*time.Minute, s.Idle)
	require.Equal(t, processor.High, s.Floor)
	require.Equal(t, "0123", s.Labels["c"])
	require.Equal(t, 3, *s.Maybe)
	require.Equal(t, "2024-01-01T00:00:00Z", s.Extra.(map[string]any)["t"])
	require.NoError(t, Decode("empty.yaml", []byte("# nothing\n"), &s), "an empty file changes nothing")
	require.Equal(t, 3, *s.Maybe)
}

func TestDecodeErrors(t *testing.T) {
	for name, row := range map[string]struct{ data, want string }{
		"an unknown key is told with what it may mean": {
			"fast: true\npartitons: 3\n",
			`f.yaml:2: unknown key "partitons" in settings; did you mean "partitions"? allowed: nats, partitions, fast, ratio, size, idle, floor, labels, extra, maybe, common`,
		},
		"an unknown key far from any gets no guess": {"zebra: 1\n", `f.yaml:1: unknown key "zebra" in settings; allowed: nats,`},
		"an unknown key inside names its map":       {"nats:\n  ulr: x\n", `f.yaml:2: unknown key "ulr" in nats; did you mean "url"? allowed: url, servers`},
		"a hidden field has no key":                 {"hidden: x\n", `f.yaml:1: unknown key "hidden" in settings`},
		"a list where a word is wanted":             {"nats: {url: [a]}\n", "f.yaml:1: url: want text, found a list"},
		"a word where a list is wanted":             {"nats:\n  servers: a\n", `f.yaml:2: servers: want a list, found "a"`},
		"a word where a map is wanted":              {"nats: a\n", `f.yaml:1: nats: want a map with keys, found "a"`},
		"a word where a map of words is wanted":     {"labels: a\n", `f.yaml:1: labels: want a map, found "a"`},
		"a list where the document should be a map": {"- a\n", "f.yaml:1: the document: want a map with keys, found a list"},
		"a word where a number is wanted":           {"partitions: many\n", `f.yaml:1: partitions: want a whole number, found "many"`},
		"a number that does not fit":                {"size: 256\n", `f.yaml:1: size: want a whole number from 0, found "256"`},
		"a word where true or false is wanted":      {"fast: yes please\n", `f.yaml:1: fast: want true or false, found "yes please"`},
		"a string that looks like true":             {"fast: \"true\"\n", `f.yaml:1: fast: want true or false, found "true"`},
		"a word where a fraction is wanted":         {"ratio: half\n", `f.yaml:1: ratio: want a number, found "half"`},
		"a duration without unit":                   {"idle: 90\n", `f.yaml:1: idle: want a duration such as 90s, 30m or 24h, found "90"`},
		"a duration that is a list":                 {"idle: [1h]\n", "f.yaml:1: idle: want a duration such as 90s, 30m or 24h, found a list"},
		"a word that the type refuses":              {"floor: grave\n", `f.yaml:1: floor: unknown severity "grave": want critical, high, medium, low or info`},
		"a map where the type wants a word":         {"floor: {a: b}\n", "f.yaml:1: floor: want a word, found a map"},
		"nothing where a word is wanted":            {"nats:\n  url:\n", "f.yaml:2: url: want text, found nothing"},
		"a wrong value in a map names its key":      {"labels:\n  a: b\n  c: []\n", "f.yaml:3: labels.c: want text, found a list"},
		"a key twice":                               {"fast: true\nratio: 1\nfast: false\n", `f.yaml:3: key "fast" is given twice, first on line 1`},
		"a key twice where anything goes":           {"extra: {a: 1, a: 2}\n", `f.yaml:1: key "a" is given twice, first on line 1`},
		"an alias":                                  {"labels: &l {a: b}\nextra: *l\n", "f.yaml:1: anchors and aliases are not allowed: write the value out"},
		"a merge key":                               {"extra:\n  <<: {a: b}\n", "f.yaml:2: merge keys are not allowed: write the keys out"},
		"a tag of the writer's own":                 {"extra: !secret x\n", "f.yaml:1: tag !secret is not allowed"},
		"binary":                                    {"extra: !!binary aGk=\n", "f.yaml:1: tag !!binary is not allowed"},
		"a key that is a list":                      {"extra:\n  ? [a]\n  : b\n", "f.yaml:2: a key must be a word, found a list"},
		"a second document":                         {"fast: true\n---\nfast: true\n", "f.yaml:2: a second document; a file holds one"},
		"no YAML at all":                            {"fast: true\n  ratio: : 1\n", "f.yaml:2: not valid YAML: mapping values are not allowed in this context"},
		"a list that does not close":                {"fast: true\nextra: [a\nratio: 1\n", "f.yaml:2: not valid YAML: did not find expected ',' or ']'"},
		"a key in the wrong column":                 {"fast: true\nnats:\n  url: a\n servers: []\n", "f.yaml:4: not valid YAML: did not find expected key"},
		"a tab":                                     {"nats:\n\turl: a\n", "f.yaml:2: not valid YAML: found character that cannot start any token"},
		"a file too large":                          {"extra: " + strings.Repeat("x", MaxFile), "f.yaml: file of 1048583 bytes; at most 1048576 are read"},
	} {
		t.Run(name, func(t *testing.T) {
			var s settings
			err := Decode("f.yaml", []byte(row.data), &s)
			require.ErrorContains(t, err, row.want)
			require.True(t, strings.HasPrefix(err.Error(), row.want), err)
		})
	}
}

func TestDecodeReportsEveryError(t *testing.T) {
	var s settings
	err := Decode("f.yaml", []byte("ratio: a\nfats: true\nsize: -1\nnats: {urk: x}\n"), &s)
	require.Len(t, Problems(err), 4)
	require.Equal(t, []int{1, 2, 3, 4}, linesOf(Problems(err)))
	var first *Problem
	require.ErrorAs(t, err, &first)
	require.Equal(t, 1, first.Line)
}

func linesOf(problems []*Problem) []int {
	var lines []int
	for _, p := range problems {
		lines = append(lines, p.Line)
	}
	return lines
}

func TestDecodeNeverPanics(t *testing.T) {
	for _, data := range []string{"", "\x00", "[", "{", "- - - -", "? ", "!!map [", "a: !!int x", "\xff\xfe", "%YAML 9\n---\na", "a: |\n  b\n c"} {
		var s settings
		_ = Decode("f.yaml", []byte(data), &s)
		var f File
		_ = Decode("f.yaml", []byte(data), &f)
	}
}

func TestNearest(t *testing.T) {
	allowed := []string{"mitigations", "meaning", "id", "next"}
	for word, want := range map[string]string{
		"mitigatons": "mitigations", "mitigation": "mitigations", "meanign": "meaning", "nxt": "next",
		"ids": "id", "x": "", "questions": "", "NEXT": "next",
	} {
		require.Equal(t, want, nearest(word, allowed), word)
	}
}
