package secrets_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/secrets"
)

// kinds are the forms of credentials that no file of ours may hold, since
// scanners would take them for real ones.
var kinds = map[string]struct {
	prefix, letters string
	length          int
	suffix          string
}{
	"awskey":    {"AKIA", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16, ""},
	"azure":     {"", alphanumeric, 3, "8Q~" + strings.Repeat("aB3dE7", 5) + "xYz9"},
	"base64":    {"", alphanumeric, 40, ""},
	"crates":    {"cio", alphanumeric, 32, ""},
	"do":        {"dop_v1_", "0123456789abcdef", 64, ""},
	"gcpkey":    {"AIza", alphanumeric, 35, ""},
	"github":    {"ghp_", alphanumeric, 36, ""},
	"gitlab":    {"glpat-", alphanumeric, 20, ""},
	"jwt":       {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI", alphanumeric, 40, ".c2lnbmF0dXJlc2lnbmF0dXJl"},
	"npm":       {"npm_", alphanumeric, 36, ""},
	"pem":       {"MIIEpAIBAAKCAQEA", alphanumeric, 200, ""},
	"pypi":      {"pypi-AgEIcHlwaS5vcmc", alphanumeric, 60, ""},
	"sendgrid":  {"SG.", alphanumeric, 66, ""},
	"slack":     {"xoxb-1234567890123-1234567890123-", alphanumeric, 24, ""},
	"slackhook": {"T0A1B2C3D/B0A1B2C3D/", alphanumeric, 24, ""},
	"stripe":    {"sk_live_", alphanumeric, 24, ""},
	"telegram":  {"bot", "0123456789", 10, ":AA" + strings.Repeat("x7Kd9", 6) + "abc"},
	"vault":     {"hvs.", alphanumeric, 95, ""},
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// credential makes up one of a kind; the same for the same line.
func credential(kind, line string) string {
	k, ok := kinds[kind]
	if !ok {
		panic("no kind " + kind)
	}
	h := fnv.New64()
	_, _ = h.Write([]byte(kind + line))
	rng := rand.New(rand.NewPCG(h.Sum64(), 1))
	b := []byte(k.prefix)
	for range k.length {
		b = append(b, k.letters[rng.IntN(len(k.letters))])
	}
	return string(b) + k.suffix
}

var (
	placeholder = regexp.MustCompile(`<<([a-z0-9]+)>>`)
	marked      = regexp.MustCompile(`\[\[(.+?)\]\]`)
)

// labelled is a text, and what in it is secret.
type labelled struct {
	text    string
	secrets []string
}

func readLabelled(t testing.TB, name string) (out []labelled) {
	data, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "# ") {
			continue
		}
		line = placeholder.ReplaceAllStringFunc(line, func(p string) string { return credential(p[2:len(p)-2], line) })
		l := labelled{text: marked.ReplaceAllString(line, "$1")}
		for _, m := range marked.FindAllStringSubmatch(line, -1) {
			l.secrets = append(l.secrets, m[1])
		}
		out = append(out, l)
	}
	return out
}

// score counts what a redaction hid of the labelled set. A secret is hidden when
// nothing of it is left; a text is spoilt when something was hidden that was no
// secret of it.
type score struct{ secrets, hidden, clean, spoilt int }

func (s score) recall() float64 { return float64(s.hidden) / float64(s.secrets) }

// precision is the part of the texts with something hidden in which a secret was.
func (s score) precision() float64 { return float64(s.hidden) / float64(s.hidden+s.spoilt) }

func measure(t *testing.T, r processor.Redaction, set []labelled) (s score) {
	for _, l := range set {
		got := r.Redact(l.text)
		for _, secret := range l.secrets {
			s.secrets++
			if strings.Contains(got, secret) {
				t.Logf("%s: left: %s", r.Level, got)
				continue
			}
			s.hidden++
		}
		if len(l.secrets) == 0 {
			s.clean++
			if got != l.text {
				t.Logf("%s: spoilt: %s", r.Level, got)
				s.spoilt++
			}
		}
	}
	return s
}

// TestPrecisionAndRecall measures redaction on texts such as alerts carry them. The
// forms were mended until labelled.txt came out as it does. heldout.txt was written
// afterwards, of what is hard: standard then hid 19 of its 34 secrets, and 25 once
// four forms had been added. What is left there are words that stand in a place and
// have no name ("wpa_passphrase home hunter2"). The bounds are what was reached: a change
// that is worse has to say so here.
func TestPrecisionAndRecall(t *testing.T) {
	find := secrets.New().Find
	for _, row := range []struct {
		name, file        string
		redaction         processor.Redaction
		recall, precision float64
	}{
		{"the core's forms alone", "labelled.txt", processor.Redaction{Level: processor.RedactStandard}, 0.93, 0.98},
		{"standard", "labelled.txt", processor.Redaction{Level: processor.RedactStandard, Find: find}, 0.98, 0.98},
		{"strict", "labelled.txt", processor.Redaction{Level: processor.RedactStrict, Find: find}, 1, 0.9},
		{"the core's forms alone, held out", "heldout.txt", processor.Redaction{Level: processor.RedactStandard}, 0.67, 1},
		{"standard, held out", "heldout.txt", processor.Redaction{Level: processor.RedactStandard, Find: find}, 0.73, 1},
		{"strict, held out", "heldout.txt", processor.Redaction{Level: processor.RedactStrict, Find: find}, 0.76, 0.96},
	} {
		t.Run(row.name, func(t *testing.T) {
			set := readLabelled(t, row.file)
			s := measure(t, row.redaction, set)
			t.Logf("%d texts: %d of %d secrets hidden (recall %.3f), %d of %d texts without one spoilt (precision %.3f)",
				len(set), s.hidden, s.secrets, s.recall(), s.spoilt, s.clean, s.precision())
			require.GreaterOrEqual(t, s.recall(), row.recall)
			require.GreaterOrEqual(t, s.precision(), row.precision)
		})
	}
}

func TestOffHidesNothing(t *testing.T) {
	r := processor.Redaction{Level: processor.RedactOff, Find: secrets.New().Find}
	for _, l := range readLabelled(t, "labelled.txt") {
		require.Equal(t, l.text, r.Redact(l.text))
	}
}

// Workers ask at the same time, and what one finds is what all find.
func TestFindIsTheSameForAll(t *testing.T) {
	finder, set := secrets.New(), readLabelled(t, "labelled.txt")
	want := make([][]string, len(set))
	for i, l := range set {
		want[i] = finder.Find(l.text)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i, l := range set {
				if got := finder.Find(l.text); fmt.Sprint(got) != fmt.Sprint(want[i]) {
					t.Errorf("%q: %q, and %q elsewhere", l.text, got, want[i])
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkFind is what an alert costs that an incident keeps.
func BenchmarkFind(b *testing.B) {
	finder, set := secrets.New(), readLabelled(b, "labelled.txt")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		finder.Find(set[i%len(set)].text)
	}
}
