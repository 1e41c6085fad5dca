package main

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

// milder judges what is run from /dev/shm otherwise than the playbook built in,
// and identifies it as that does.
const milder = `playbooks:
  - id: mine
    version: 3
    title: My own words
    match: {rules: [Execution from /dev/shm]}
    identity: {version: 1, fields: [cluster, namespace, workload, proc.pname, user]}
    category: mine
    adjust:
      - {when: "true", add: -60, why: we do that all the time}
    meaning: It is ours.
    next: Ask us.
`

func TestReplayShowsWhatOtherPlaybooksWouldHaveSaid(t *testing.T) {
	l := startLive(t)
	l.publish(attack(t, "shop-0"), hostileAlert(t))
	dir := folder(t, "mine.yaml", milder)

	o := l.run("--rules", dir, "replay", "--diff")
	require.Equal(t, exitFailed, o.code)
	lines := strings.Split(strings.TrimSpace(o.out), "\n")
	require.Regexp(t, `^changed +report +\S+/opened +severity \w+ -> \w+; score \d+ -> \d+; title; .*playbook execution-from-dev-shm@\d+ -> mine@3`, o.out)
	for _, line := range lines[1:] {
		require.Regexp(t, `^(gone|changed) +task +\S+/task/\S+ +\S`, line)
	}
	require.Regexp(t, `Reports +1 same, 1 changed, 0 new, 0 gone\nTasks +[1-9]\d* same, \d+ changed, 0 new, [1-9]\d* gone\nIncidents +1 same, 1 changed, 0 new, 0 gone\n`, o.err)
	requireHarmless(t, o.out)
	require.Equal(t, o, l.run("--rules", dir, "replay", "--diff", "--from", "1h"))

	t.Run("as JSON", func(t *testing.T) {
		found := parse[difference](t, l.run("--rules", dir, "replay", "--diff", "--json").out)
		require.Len(t, found, len(lines))
		require.Equal(t, "changed", found[0].Difference)
		require.Equal(t, "report", found[0].Form)
		require.Equal(t, "My own words in shop/shop", found[0].Title)
		require.Contains(t, found[0].What, "title")
	})
	t.Run("only of the time that is asked for", func(t *testing.T) {
		for _, bounds := range [][]string{{"--to", "1h"}, {"--from", "2999-01-01T00:00:00Z"}} {
			o := l.run(append([]string{"--rules", dir, "replay", "--diff"}, bounds...)...)
			require.Equal(t, exitOK, o.code, o.err)
			require.Empty(t, o.out)
			require.Contains(t, o.err, "Reports    0 same, 0 changed, 0 new, 0 gone\n")
		}
	})
}

func TestReplayShowsWhatIsGone(t *testing.T) {
	l := startLive(t)
	l.publish(attack(t, "shop-0"))
	r := parse[processor.Report](t, l.must("reports", "list", "--json"))[0]
	r.Kind, r.ID = "x10", r.Incident+"/x10"
	data, err := json.Marshal(r)
	require.NoError(t, err)
	_, err = l.js.Publish(t.Context(), stream.ReportSubject(&r), data)
	require.NoError(t, err)
	o := l.run("replay", "--diff")
	require.Equal(t, exitFailed, o.code)
	require.Regexp(t, `^gone +report +`+r.ID+` +high, Program or script run from /dev/shm`, o.out)
	require.Contains(t, o.err, "Reports    1 same, 0 changed, 0 new, 1 gone\n")
	require.Contains(t, o.err, "Incidents  0 same, 1 changed, 0 new, 0 gone\n")
}

// The oldest alerts have aged out of the raw stream. What began with them cannot
// be made again, and what a replay makes of the rest was never published.
func TestReplayLeavesOutWhatBeganBeforeTheOldestAlert(t *testing.T) {
	l := startLive(t)
	l.publish(attack(t, "shop-0"), attack(t, "till-0"))
	l.publish(at(t, "2026-01-15T12:34:57", "node-a"), hostileAlert(t), strings.Replace(attack(t, "shop-0"), "12:34:56", "12:34:59", 1))
	raw, err := l.js.Stream(t.Context(), subjects.RawStream)
	require.NoError(t, err)
	require.NoError(t, raw.Purge(t.Context(), jetstream.WithPurgeSequence(3)))

	o := l.run("replay", "--diff")
	require.Equal(t, exitOK, o.code, o.out+o.err)
	require.Empty(t, o.out)
	require.Contains(t, o.err, "3 alerts: 3 incidents,")
	require.Contains(t, o.err, "Reports    2 same, 0 changed, 0 new, 0 gone\n")
	require.Contains(t, o.err, "Incidents  2 same, 0 changed, 0 new, 0 gone\n")
	require.Regexp(t, `Cannot be compared: began before the oldest stored alert: 3 reports, \d+ tasks\.`, o.err)

	require.NoError(t, l.js.DeleteStream(t.Context(), subjects.RawStream))
	must(t, "--nats", l.url, "setup")
	o = l.run("replay", "--diff")
	require.Equal(t, exitOK, o.code, o.out+o.err)
	require.Regexp(t, `Cannot be compared: began before the oldest stored alert: 4 reports, \d+ tasks\.`, o.err, "in another life of the stream")
}

// Alerts come and are folded after the comparison has looked where the workers are.
func TestReplayComparesNothingThatCameMeanwhile(t *testing.T) {
	l := startLive(t)
	l.publish(attack(t, "shop-0"))
	a := &app{out: io.Discard, err: io.Discard, cfg: defaults()}
	c := a.comparison(l.js, time.Time{}, time.Time{})
	var err error
	c.cursors, err = stream.Cursors(t.Context(), l.js)
	require.NoError(t, err)
	l.publish(hostileAlert(t), attack(t, "till-0"))
	book, err := remember()
	require.NoError(t, err)
	totals, found, err := c.run(t.Context(), book)
	require.NoError(t, err)
	require.Empty(t, found)
	require.EqualValues(t, 1, totals.In)
	require.Equal(t, counts{same: 1}, *c.tally.forms[aReport])
	require.Empty(t, c.tally.left)
}

func TestWhatWasCommittedLater(t *testing.T) {
	at := minute(t, "10")
	cur := stream.Cursor{Cursor: processor.Cursor{Time: at, Mark: processor.Mark{End: minute(t, "5"), ID: "f-5-e"}}}
	c := &comparison{cursors: []stream.Cursor{{}, cur}, partitions: map[string][]int{"f": {1}, "g": {1, 7}}}
	for name, row := range map[string]struct {
		g    gist
		want bool
	}{
		"a report before the cursor":                    {gist{form: aReport, fingerprint: "f", at: minute(t, "9")}, false},
		"a report at the cursor":                        {gist{form: aReport, fingerprint: "f", at: at}, false},
		"a report after the cursor":                     {gist{form: aReport, fingerprint: "f", at: minute(t, "11")}, true},
		"a task after the cursor":                       {gist{form: aTask, fingerprint: "g", at: minute(t, "11")}, true},
		"of a fingerprint that no partition has":        {gist{form: aReport, fingerprint: "h", at: minute(t, "11")}, false},
		"a closing before the last that was committed":  {gist{form: aReport, kind: "closed", fingerprint: "f", incident: "f-4-e", at: minute(t, "5")}, false},
		"the last closing that was committed":           {gist{form: aReport, kind: "closed", fingerprint: "f", incident: "f-5-e", at: minute(t, "5")}, false},
		"the next closing of the same moment":           {gist{form: aReport, kind: "closed", fingerprint: "f", incident: "f-6-e", at: minute(t, "5")}, true},
		"a closing due before the cursor, not made yet": {gist{form: aReport, kind: "closed", fingerprint: "f", incident: "f-1-e", at: minute(t, "9")}, true},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, row.want, c.later(row.g)) })
	}
}
