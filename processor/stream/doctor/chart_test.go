package doctor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/stream"
)

// now is the broker's time in what follows.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// seen is a chart of a system that works: FALCO with 1,000 alerts of 1 KiB from
// the last hours, and one partition that "w" has read to its end.
func seen(change ...func(*chart)) *chart {
	raw := func(last uint64) *jetstream.StreamInfo {
		return &jetstream.StreamInfo{
			Config:    jetstream.StreamConfig{Name: "FALCO", MaxAge: 72 * time.Hour, MaxBytes: 1 << 30, Replicas: 1},
			State:     jetstream.StreamState{FirstSeq: 1, LastSeq: last, Msgs: last, Bytes: last << 10, FirstTime: now.Add(-10 * time.Hour), LastTime: now},
			TimeStamp: now,
		}
	}
	part := stream.PartitionStatus{Cursor: stream.Cursor{Epoch: 1, Owner: "w", Cursor: processor.Cursor{Seq: 1000}}, Live: true}
	st := stream.Status{Members: []stream.Member{{ID: "w"}}, Partitions: []stream.PartitionStatus{part}}
	c := &chart{cfg: Config{}.withDefaults(), version: "2.15.2", account: &jetstream.AccountInfo{}, streams: map[string]sight{
		"FALCO":    {info: raw(1000)},
		"FALCONER": {info: &jetstream.StreamInfo{Config: jetstream.StreamConfig{Name: "FALCONER", MaxBytes: 1 << 30}, TimeStamp: now}},

		"KV_FALCONER_MEMBERS": {info: &jetstream.StreamInfo{}}, "KV_FALCONER_TASKS": {info: &jetstream.StreamInfo{}},
	}}
	c.first = sample{raw: raw(1000), status: st}
	c.second = sample{raw: raw(1000), status: stream.Status{Members: st.Members, Partitions: slices.Clone(st.Partitions)}}
	c.first.raw.TimeStamp = now.Add(-3 * time.Second)
	for _, f := range change {
		f(c)
	}
	return c
}

// behind makes the partition's alerts after a sequence wait, the oldest since a
// while; moved is how far the cursor came while observing.
func behind(seq, moved uint64, since time.Duration) func(*chart) {
	return func(c *chart) {
		first, second := &c.first.status, &c.second.status
		first.Partitions[0].Seq, second.Partitions[0].Seq = seq-moved, seq
		first.Partitions[0].Lag, second.Partitions[0].Lag = 1000-seq+moved, 1000-seq
		first.Lag, second.Lag = 1000-seq+moved, 1000-seq
		c.unread = map[int]*kept{0: {Seq: seq + 1, Time: now.Add(-since)}}
	}
}

// fast makes so many alerts come in a second.
func fast(n uint64) func(*chart) {
	return func(c *chart) { c.first.raw.State.LastSeq -= 3 * n }
}

func cluster(leader string, peers ...*jetstream.PeerInfo) func(*chart) {
	return func(c *chart) {
		info := c.streams["FALCO"].info
		info.Config.Replicas = 3
		info.Cluster = &jetstream.ClusterInfo{Name: "c", Leader: leader, Replicas: peers}
	}
}

func peer(name string, change ...func(*jetstream.PeerInfo)) *jetstream.PeerInfo {
	p := &jetstream.PeerInfo{Name: name, Current: true}
	for _, f := range change {
		f(p)
	}
	return p
}

func offline(p *jetstream.PeerInfo) { p.Offline, p.Current = true, false }

func TestChecksJudgeWhatWasSeen(t *testing.T) {
	for name, row := range map[string]struct {
		check func(*chart) []Finding
		seen  []func(*chart)
		level Level
		found string
		next  string
	}{
		"a server that is too old":                     {(*chart).serverVersion, []func(*chart){func(c *chart) { c.version = "2.11.9" }}, Wrong, "nats-server 2.11.9 is too old", "2.12.14 or later"},
		"a server that is too old for replicas":        {(*chart).serverVersion, []func(*chart){func(c *chart) { c.version = "2.12.14" }, cluster("a")}, Wrong, "not sound with 3 replicas", "2.14.4 or later"},
		"a server that is new enough":                  {(*chart).serverVersion, []func(*chart){func(c *chart) { c.version = "2.12.14" }}, OK, "nats-server 2.12.14", ""},
		"a server that is far away":                    {(*chart).connection, []func(*chart){func(c *chart) { c.rtt = 250 * time.Millisecond }}, Warn, "answers in 250ms", "nearer"},
		"three copies that are current":                {(*chart).replicas, []func(*chart){cluster("a", peer("b"), peer("c"))}, OK, "its 3 copies are current", ""},
		"no leader":                                    {(*chart).replicas, []func(*chart){cluster("", peer("b"), peer("c"))}, Wrong, "stream FALCO has no leader", "majority"},
		"a copy that is offline":                       {(*chart).replicas, []func(*chart){cluster("a", peer("b"), peer("c", offline))}, Warn, "2 of 3 copies are there, offline: c; one more failure stops the work", "start the servers"},
		"a copy that lags":                             {(*chart).replicas, []func(*chart){cluster("a", peer("b"), peer("c", func(p *jetstream.PeerInfo) { p.Current, p.Lag = false, 7 }))}, Warn, "copies that lag: c (7 behind)", "disk"},
		"a copy that is silent":                        {(*chart).replicas, []func(*chart){cluster("a", peer("b", func(p *jetstream.PeerInfo) { p.Active = time.Minute }), peer("c"))}, Warn, "copies that lag: b", "disk"},
		"one copy in a cluster":                        {(*chart).replicas, []func(*chart){cluster("a"), func(c *chart) { c.streams["FALCO"].info.Config.Replicas = 1 }}, Note, "one copy of each stream in a cluster", "--replicas 3"},
		"a partition that nobody ever had":             {(*chart).partitions, []func(*chart){func(c *chart) { c.second.status.Partitions[0].Epoch = 0 }}, Warn, "partition 0: no worker has ever taken it", "15s"},
		"a partition whose owner is gone":              {(*chart).partitions, []func(*chart){func(c *chart) { c.second.status.Partitions[0].Live = false }}, Warn, "partition 0: the owner is gone", "again in 30s"},
		"a partition that is stuck":                    {(*chart).partitions, []func(*chart){behind(500, 0, time.Minute)}, Wrong, "partition 0: alerts wait and the cursor did not move for 3s", "log of w"},
		"a partition that moves":                       {(*chart).partitions, []func(*chart){behind(500, 10, time.Minute)}, OK, "all 1 have a live owner", ""},
		"a partition that is fought over":              {(*chart).partitions, []func(*chart){func(c *chart) { c.second.status.Partitions[0].Epoch = 5 }}, Warn, "taken anew by the same owner", "--id"},
		"alerts that came just now":                    {(*chart).backlog, []func(*chart){behind(990, 0, time.Second)}, OK, "10 alerts wait, the oldest for 1s", ""},
		"a backlog that shrinks":                       {(*chart).backlog, []func(*chart){behind(500, 100, time.Hour)}, OK, "500 alerts wait", ""},
		"a backlog that grows":                         {(*chart).backlog, []func(*chart){behind(500, 0, time.Hour)}, Warn, "did not get fewer in 3s", "see partitions above"},
		"a backlog without workers":                    {(*chart).backlog, []func(*chart){behind(500, 0, time.Hour), func(c *chart) { c.second.status.Members = nil }}, Warn, "500 alerts wait", "start a worker"},
		"a backlog while outputs have no room":         {(*chart).backlog, []func(*chart){behind(500, 0, time.Hour), func(c *chart) { c.streams["FALCONER"].info.State.Bytes = 1 << 30 }}, Warn, "500 alerts wait", "make room in FALCONER"},
		"unread alerts that are about to age out":      {(*chart).backlog, []func(*chart){behind(500, 0, 71*time.Hour+30*time.Minute)}, Wrong, "drops the oldest unread alert in 30m by its age (max_age 72h)", "--max-age"},
		"unread alerts that age out today":             {(*chart).backlog, []func(*chart){behind(500, 0, 60*time.Hour)}, Warn, "drops the oldest unread alert in 12h by its age", "--max-age"},
		"unread alerts that newer ones push out":       {(*chart).backlog, []func(*chart){behind(500, 0, time.Minute), fast(300)}, Wrong, "for want of room (max_bytes 1 GiB), at the present rate", "--max-bytes"},
		"unread alerts that are read faster than that": {(*chart).backlog, []func(*chart){behind(500, 100, time.Minute), fast(300)}, OK, "500 alerts wait", ""},
		"an account whose disk is nearly full":         {(*chart).limits, []func(*chart){tier(func(t *jetstream.Tier) { t.Store, t.Limits.MaxStore = 9<<30, 10<<30 })}, Warn, "has used 9 GiB of 10 GiB of its disk", "max_file"},
		"an account whose disk is full":                {(*chart).limits, []func(*chart){tier(func(t *jetstream.Tier) { t.Store, t.Limits.MaxStore = 10<<30, 10<<30 })}, Wrong, "has used 10 GiB of 10 GiB of its disk", "max_file"},
		"an account without room for consumers":        {(*chart).limits, []func(*chart){tier(func(t *jetstream.Tier) { t.Consumers, t.Limits.MaxConsumers = 20, 20 })}, Wrong, "has used 20 of 20 of its consumers", "max_consumers"},
		"streams that may outgrow the account":         {(*chart).limits, []func(*chart){tier(func(t *jetstream.Tier) { t.Limits.MaxStore = 1 << 30 })}, Warn, "may grow to 2 GiB, the account may use 1 GiB", "max_bytes"},
		"a tier of its own for replicas": {(*chart).limits, []func(*chart){func(c *chart) {
			c.account.Tiers = map[string]jetstream.Tier{"R3": {Store: 99, Limits: jetstream.AccountLimits{MaxStore: 100}}}
		}}, Wrong, "the account R3 has used 99 B of 100 B of its disk", "max_file"},
		"no room for streams that are to be made": {(*chart).limits, []func(*chart){tier(func(t *jetstream.Tier) { t.Streams, t.Limits.MaxStreams = 2, 3 }), unmade("KV_A", "KV_B")}, Wrong, "may have 3 streams and has 2; 2 are still to be made", "max_streams"},
		"an account without limits": {(*chart).limits, []func(*chart){tier(func(t *jetstream.Tier) {
			t.Limits = jetstream.AccountLimits{MaxStore: -1, MaxStreams: -1, MaxConsumers: -1}
		})}, OK, "within its limits", ""},
		"incidents each in one partition":      {(*chart).spread, []func(*chart){stored(2, "0.a", "1.b")}, OK, "each incident is kept in one partition (2 states looked at)", ""},
		"incidents in several partitions":      {(*chart).spread, []func(*chart){stored(4, "0.b", "1.b", "0.a", "1.a"), func(c *chart) { c.spreadRule = "R\n" }}, Warn, `2 fingerprints, such as a of rule R\n in partitions 0-1`, "is gone 48h later"},
		"a partition that FALCO no longer has": {(*chart).spread, []func(*chart){stored(2, "0.a", "7.a")}, OK, "(2 states looked at)", ""},
		"more states than the server names":    {(*chart).spread, []func(*chart){stored(300000, "0.a", "1.b")}, Note, "of 300000 states the first 2 were looked at", ""},
		"a size that holds alerts for hours":   {(*chart).retention, []func(*chart){func(c *chart) { c.second.raw.Config.MaxBytes = 1 << 20 }}, Warn, "its 1 MiB hold alerts for only 10h", "--max-bytes"},
		"a size that holds alerts for months":  {(*chart).retention, nil, OK, "its 1 GiB would hold 436d", ""},
		"a raw stream without limits":          {(*chart).retention, []func(*chart){func(c *chart) { c.second.raw.Config.MaxBytes = -1 }}, Note, "FALCO has no limit of size", "--max-bytes"},
		"a number of messages that is nearly reached": {(*chart).headroom, []func(*chart){func(c *chart) {
			c.streams["FALCONER"].info.Config.MaxMsgs, c.streams["FALCONER"].info.State.Msgs = 100, 85
		}}, Warn, "FALCONER is 85 % full", "FALCONER"},
		"totals that do not add up":                   {(*chart).totals, []func(*chart){func(c *chart) { c.second.status.Partitions[0].Totals.In = 1 }}, Wrong, "partition 0: the totals do not add up", "falconer status --json"},
		"consumers that nobody took away":             {(*chart).consumers, []func(*chart){func(c *chart) { c.second.raw.State.Consumers = 500 }}, Note, "FALCO has 500 consumers", "nats consumer report FALCO"},
		"an old dead letter":                          {(*chart).deadLetters, []func(*chart){deadLetter(48 * time.Hour)}, Note, "2 alerts not understood, the newest 48h ago: no JSON", "falconer dead show 7"},
		"a quiet cluster":                             {(*chart).arrival, []func(*chart){alertBefore(2 * time.Hour)}, Note, "stored 2h ago", "too quiet"},
		"a silent cluster":                            {(*chart).arrival, []func(*chart){alertBefore(100 * time.Hour)}, Warn, "is anything still publishing?", "curl"},
		"a source that is cut off":                    {(*chart).source, []func(*chart){sourced(&jetstream.StreamSourceInfo{Name: "MINE", Active: time.Hour})}, Warn, "not heard of its source, stream MINE, since 60m", "nats stream info FALCO"},
		"a source that cannot be read":                {(*chart).source, []func(*chart){sourced(&jetstream.StreamSourceInfo{Name: "MINE", Error: &jetstream.APIError{Description: "no such account"}})}, Wrong, "FALCO cannot read stream MINE: no such account", "nats stream info FALCO"},
		"a source whose newest alert does not arrive": {(*chart).source, []func(*chart){sourced(&jetstream.StreamSourceInfo{Name: "MINE", Seq: 8}), func(c *chart) { c.first.source = &kept{Seq: 9} }}, Wrong, "the newest alert of stream MINE (sequence 9) has not arrived in FALCO after 3s, which is at 8", "nats stream info FALCO"},
	} {
		t.Run(name, func(t *testing.T) {
			findings := row.check(seen(row.seen...))
			require.True(t, slices.ContainsFunc(findings, func(f Finding) bool {
				return f.Level == row.level && strings.Contains(f.Found, row.found) && strings.Contains(f.Next, row.next)
			}), "%v", findings)
			if row.level == OK {
				require.Len(t, findings, 1)
			}
		})
	}
}

func tier(change func(*jetstream.Tier)) func(*chart) {
	return func(c *chart) { change(&c.account.Tier) }
}

func unmade(names ...string) func(*chart) {
	return func(c *chart) {
		for _, n := range names {
			c.streams[n] = sight{err: &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamNotFound}}
		}
	}
}

// stored makes there be so many states, and names some of two partitions'.
func stored(total int, named ...string) func(*chart) {
	return func(c *chart) {
		c.second.status.Partitions = make([]stream.PartitionStatus, 2)
		for _, n := range named {
			c.states.named = append(c.states.named, "falconer.incident."+n)
		}
		c.states.total = total
	}
}

func deadLetter(age time.Duration) func(*chart) {
	return func(c *chart) {
		c.dead, c.newestDead = 2, &processor.DeadLetter{Seq: 7, Reason: "no JSON", Time: now.Add(-age)}
	}
}

func alertBefore(age time.Duration) func(*chart) {
	return func(c *chart) { c.second.newest = &kept{Seq: 1000, Time: now.Add(-age)} }
}

func sourced(s *jetstream.StreamSourceInfo) func(*chart) {
	return func(c *chart) {
		c.cfg.Layout.SourceStream = s.Name
		c.streams[s.Name] = sight{info: &jetstream.StreamInfo{}}
		c.second.raw.Sources = []*jetstream.StreamSourceInfo{s}
	}
}

func TestAServerThatGoesAwayWhileObservingIsSaidOnce(t *testing.T) {
	gone := errors.New("connection closed")
	findings := seen(func(c *chart) {
		c.second = sample{rawErr: gone, statusErr: gone, newestErr: gone}
		c.unsure = 1
	}).judge(checks())
	last := findings[len(findings)-1]
	require.Equal(t, Finding{
		Level: Wrong, Check: "not checked", Next: "look into the log of the workers and of the server",
		Found: "alerts, subjects, retention, workers, partitions, backlog, lost alerts, totals, consumers: connection closed",
	}, Finding{Level: last.Level, Check: last.Check, Next: last.Next, Found: last.Found})
}

func TestOverlap(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{"falco.>", "falconer.>", false},
		{">", "falconer.>", true},
		{"*.tick.*", "falconer.>", true},
		{"falco.*", "falco.a.b", false},
		{"falco.a", "falco.a", true},
		{"falco", "falco.>", false},
		{"*.*", "falco.a", true},
	} {
		require.Equal(t, row.want, overlap(row.a, row.b), "%s %s", row.a, row.b)
		require.Equal(t, row.want, overlap(row.b, row.a), "%s %s", row.b, row.a)
	}
}

func TestATransformsPatternAsWildcards(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                               ">",
		"falco.>":                        "falco.>",
		"falco.{{wildcard(1)}}.$2":       "falco.*.*",
		"falco.p{{partition(3,1)}}":      "falco.*",
		"falco.{{SplitFromLeft(1,2)}}.x": "falco.>",
	} {
		require.Equal(t, want, wild(pattern), pattern)
	}
}

func TestWordsForPeople(t *testing.T) {
	require.Equal(t, "partition 3", numbers([]int{3}))
	require.Equal(t, "partitions 0-2, 5, 7-8", numbers([]int{8, 0, 1, 2, 7, 5}))
	require.Equal(t, "512 B", size(uint64(512)))
	require.Equal(t, "1.5 KiB", size(uint64(1536)))
	require.Equal(t, "8 GiB", size(int64(8<<30)))
	require.Equal(t, "250µs", span(250*time.Microsecond))
	require.Equal(t, "72h", span(72*time.Hour))
	require.Equal(t, "a, b, c, d and 2 more", some(strings.Split("a b c d e f", " ")))
}
