package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

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
	require.Regexp(t, `Reports: 1 same, 1 changed, 0 new, 0 gone\. Tasks: [1-9]\d* same, \d+ changed, 0 new, [1-9]\d* gone\. Incidents: 1 same, 1 changed, 0 new, 0 gone\.`, o.err)
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
			require.Contains(t, o.err, "Reports: 0 same, 0 changed, 0 new, 0 gone.")
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
	require.Contains(t, o.err, "Reports: 1 same, 0 changed, 0 new, 1 gone.")
	require.Contains(t, o.err, "Incidents: 0 same, 1 changed, 0 new, 0 gone.")
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
	require.Contains(t, o.err, "Reports: 2 same, 0 changed, 0 new, 0 gone.")
	require.Contains(t, o.err, "Incidents: 2 same, 0 changed, 0 new, 0 gone.")
	require.Regexp(t, `Cannot be compared: began before the oldest stored alert: 3 reports, \d+ tasks\.`, o.err)

	require.NoError(t, l.js.DeleteStream(t.Context(), subjects.RawStream))
	must(t, "--nats", l.url, "setup")
	o = l.run("replay", "--diff")
	require.Equal(t, exitOK, o.code, o.out+o.err)
	require.Regexp(t, `Cannot be compared: began before the oldest stored alert: 4 reports, \d+ tasks\.`, o.err, "in another life of the stream")
}

// Alerts come and are folded while the comparison reads.
func TestReplayComparesNothingThatCameMeanwhile(t *testing.T) {
	l := startLive(t)
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	busy.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			alert := strings.NewReplacer("12:34:56", fmt.Sprintf("12:%02d:%02d", i/60%60, i%60), `"shop"`, fmt.Sprintf(`"shop-%d"`, i%500)).Replace(attack(t, "shop-0"))
			_, _ = l.js.Publish(ctx, fmt.Sprintf("falco.warning.any_%d", i%500), []byte(alert))
		}
	})
	for range 8 {
		o := l.run("replay", "--diff")
		require.Equal(t, exitOK, o.code, o.out+o.err)
		require.NotContains(t, o.err, "Cannot be compared")
	}
	stop()
	busy.Wait()
}
