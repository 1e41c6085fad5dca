package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

func TestBeginningCuts(t *testing.T) {
	b := beginning{era: "e2", first: 37}
	for incident, want := range map[string]bool{
		"f-11-e2": false, "f-12-e2": false, "f-10-e2": true, "f-1-e2": true,
		"f-11-e1": true, "f-zz-e1": true, "": true, "f": true, "f-!-e2": true,
	} {
		require.Equal(t, want, b.cuts(incident), incident)
	}
}

func TestBeginningBlinds(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	b := beginning{at: at}
	times := []processor.Blindness{{First: at.Add(time.Minute)}, {First: at.Add(-time.Minute)}}
	require.True(t, b.blinds(gist{blind: firstBlind(times)}))
	require.False(t, b.blinds(gist{blind: firstBlind(times[:1])}))
	require.False(t, b.blinds(gist{blind: firstBlind(nil)}))
}

// Lives are drawn with "world id opened end", in minutes; the stream begins with
// the alert of c. An end of "-" is an incident that is open.
func TestUncertainIncidents(t *testing.T) {
	for name, row := range map[string]struct {
		lives []string
		want  string
	}{
		"nothing was cut": {[]string{"p c 10 20", "r c 10 20", "p d 30 -", "r d 30 -"}, ""},
		"one was cut and open; its rest is taken for another":        {[]string{"p a 1 20", "r c 10 20"}, "a c"},
		"one that opens when the cut one has closed is itself":       {[]string{"p a 1 20", "r c 10 20", "p d 20 30", "r d 20 30"}, "a c"},
		"the rest outlives the cut one, and what comes is uncertain": {[]string{"p a 1 20", "r c 10 25", "p d 21 30", "p e 31 40", "r e 31 40"}, "a c d"},
		"and so on, in both":                                             {[]string{"p a 1 20", "r c 10 25", "p d 21 40", "r e 30 50", "p f 45 -"}, "a c d e f"},
		"the cut one is open still":                                      {[]string{"p a 1 -", "r c 10 20", "r d 30 40"}, "a c d"},
		"the cut one had closed before":                                  {[]string{"p a 1 5", "p c 10 20", "r c 10 20"}, "a"},
		"windows that were changed make others, which are certain":       {[]string{"p c 10 20", "r c 10 40", "p d 30 50"}, ""},
		"what is closed later by a report was open by an earlier report": {[]string{"p a 1 -", "p a 1 20", "r c 20 30"}, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			ls := lives{}
			for _, l := range row.lives {
				w := strings.Fields(l)
				ls.add("f", w[0], w[1], minute(t, w[2]), minute(t, w[3]), w[3] != "-")
			}
			got := ls.uncertain(func(incident string) bool { return incident < "c" })
			require.Equal(t, strings.Fields(row.want), append([]string{}, slices.Sorted(maps.Keys(got))...))
		})
	}
}

func minute(t *testing.T, s string) time.Time {
	t.Helper()
	if s == "-" {
		return time.Time{}
	}
	d, err := time.ParseDuration(s + "m")
	require.NoError(t, err)
	return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).Add(d)
}

func TestWhatCannotBeCompared(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	cut, uncertain := beginning{era: "e", first: 10, at: at}, map[string]bool{"f-z-e": true}
	for name, row := range map[string]struct {
		g     gist
		other string
		want  string
	}{
		"an incident of its own": {gist{incident: "f-a-e"}, "", ""},
		"a cut one":              {gist{incident: "f-9-e"}, "", beganBefore},
		"an uncertain one":       {gist{incident: "f-z-e"}, "", beganBefore},
		"one after a cut one, which only one knows": {gist{incident: "f-y-e", previous: "f-9-e"}, "", beganBefore},
		"one after an uncertain one, of a replay":   {gist{incident: "f-y-e"}, "f-z-e", beganBefore},
		"one after a cut one, of which both know":   {gist{incident: "f-y-e", previous: "f-9-e"}, "f-9-e", ""},
		"one after another, which only one knows":   {gist{incident: "f-y-e", previous: "f-x-e"}, "", ""},
		"one about alerts that were lost":           {gist{incident: "f-a-e", rule: processor.RuleLost}, "", isAboutLoss},
		"one that says of older drops":              {gist{incident: "f-a-e", blind: at.Add(-time.Minute)}, "", knewBefore},
		"one that says of drops that are stored":    {gist{incident: "f-a-e", blind: at}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			was := &published{gist: gist{previous: row.other, blind: row.g.blind}}
			require.Equal(t, row.want, incomparable(row.g, was, cut, uncertain))
		})
	}
	drops := gist{incident: "f-a-e", blind: at.Add(-time.Minute)}
	require.Empty(t, incomparable(drops, nil, cut, uncertain), "one that is new or gone")
}
