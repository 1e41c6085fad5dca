package bench

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/rules"
)

func load(t testing.TB, mix string, n int) Load {
	t.Helper()
	m, err := MixNamed(mix)
	require.NoError(t, err)
	return Load{Mix: m, Alerts: n, Seed: 7}
}

func TestAMixHasAsManyWorkloadsAsItSays(t *testing.T) {
	const n = 20_000
	for mix, distinct := range map[string]int{"storm": stormy, "mixed": n / 10, "mixed-scattered": n / 10, "unique": n} {
		require.Equal(t, distinct, load(t, mix, n).Distinct(), mix)
	}
}

// distances are how many alerts lie between two of one workload.
func distances(l Load) (out []int) {
	last := map[int]int{}
	for i := range l.Alerts {
		w := l.Mix.workload(l, i)
		if before, ok := last[w]; ok {
			out = append(out, i-before)
		}
		last[w] = i
	}
	return out
}

func TestRepeatsAreNearInMixedAndFarInScattered(t *testing.T) {
	const n, near = 20_000, 500
	share := func(mix string) float64 {
		count := 0
		all := distances(load(t, mix, n))
		for _, d := range all {
			if d < near {
				count++
			}
		}
		return float64(count) / float64(len(all))
	}
	require.Greater(t, share("mixed"), 0.5)
	require.Less(t, share("mixed-scattered"), 0.05)
}

func TestTheSeedDecidesEveryByte(t *testing.T) {
	for _, mix := range Mixes() {
		a, b := Load{mix, 1000, 7}, Load{mix, 1000, 7}
		for i := range 1000 {
			subject, data := a.Alert(i)
			again, same := b.Alert(i)
			require.Equal(t, subject, again)
			require.Equal(t, string(data), string(same))
		}
	}
	storm := Mixes()[0]
	_, data := Load{storm, 1000, 7}.Alert(3)
	_, other := Load{storm, 1000, 8}.Alert(3)
	require.NotEqual(t, string(data), string(other))
}

// What Falconer makes of the alerts is what the bench takes them for: alerts of so
// many bytes and fields, whose rules have the playbooks that they should, and one
// incident for each workload.
func TestAlertsAreWhatTheBenchTakesThemFor(t *testing.T) {
	book, err := rules.Load()
	require.NoError(t, err)
	const n = 2000
	fingerprints, bytes, own := map[string]bool{}, 0, map[string]bool{}
	l := load(t, "mixed", n)
	for i := range n {
		subject, data := l.Alert(i)
		bytes += len(data)
		a, err := processor.Decode(data)
		require.NoError(t, err)
		require.Len(t, a.Fields, 17, "one of 18 is null")
		require.Equal(t, "falco."+strings.ToLower(a.Priority.String())+"."+processor.Slug(a.Rule), subject)
		fp, _ := processor.Fingerprint(a, book.Identity(a))
		fingerprints[fp] = true
		if book.Judge(a).Match == "rule" {
			own[a.Rule] = true
		}
	}
	require.Len(t, fingerprints, l.Distinct())
	require.InDelta(t, 1250, bytes/n, 50)
	require.Len(t, own, len(ruleTable)-4)
	var alert struct {
		Fields map[string]any `json:"output_fields"`
	}
	_, data := l.Alert(1)
	require.NoError(t, json.Unmarshal(data, &alert))
	require.Len(t, alert.Fields, 18)
}
