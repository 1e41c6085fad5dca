package doctor

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/subjects"
)

// How full something may be, in percent.
const (
	nearlyFull = 80
	asGoodFull = 95
)

// retention tells how long FALCO keeps alerts, by age and at the rate at which
// it has filled, and whether that outlives a night without workers.
func (c *chart) retention() []Finding {
	cfg := c.second.raw.Config
	var out []Finding
	switch window := processor.DefaultCap + c.cfg.Reopen; {
	case cfg.MaxAge > 0 && cfg.MaxAge < processor.DefaultCap:
		out = append(out, warn("FALCO keeps alerts for "+span(cfg.MaxAge)+": what workers have not read by then is lost, and a night without workers is longer",
			"nats stream edit FALCO --max-age 72h"))
	case cfg.MaxAge > 0 && cfg.MaxAge < window:
		out = append(out, note(fmt.Sprintf("FALCO keeps alerts for %s, an incident and its return may span %s (%s and --reopen %s): falconer replay will not see all of it",
			span(cfg.MaxAge), span(window), span(processor.DefaultCap), span(c.cfg.Reopen)), "nats stream edit FALCO --max-age 72h"))
	}
	if cfg.MaxBytes <= 0 {
		out = append(out, note("FALCO has no limit of size and may fill the disk", "nats stream edit FALCO --max-bytes 8GiB"))
	}
	keeps, known := c.keeps()
	if known && keeps < processor.DefaultCap && (cfg.MaxAge == 0 || keeps < cfg.MaxAge) {
		f := warn("at the rate of late, "+bounds(cfg)+" hold alerts for only "+span(keeps)+"; what workers have not read by then is lost",
			"nats stream edit FALCO --max-bytes with more, or let Falco raise fewer alerts")
		out = append(out, f)
	}
	if len(out) > 0 {
		return out
	}
	text := "FALCO keeps alerts for " + span(cfg.MaxAge)
	if cfg.MaxAge == 0 {
		text = "FALCO keeps alerts without limit of age"
	}
	if known {
		text += ", and " + bounds(cfg) + " would hold " + span(keeps) + " at the rate of late"
	}
	return ok(text)
}

func bounds(cfg jetstream.StreamConfig) string {
	var out []string
	if cfg.MaxBytes > 0 {
		out = append(out, "its "+size(cfg.MaxBytes))
	}
	if cfg.MaxMsgs > 0 {
		out = append(out, count(cfg.MaxMsgs, "message"))
	}
	return strings.Join(out, " and ")
}

// settledAfter is how much of a stream's history tells its rate.
const settledAfter = 10 * time.Minute

// keeps estimates how long FALCO's limits of size hold alerts, from how fast it
// has filled since its first message.
func (c *chart) keeps() (time.Duration, bool) {
	raw := c.second.raw
	filled := raw.TimeStamp.Sub(raw.State.FirstTime)
	evicting := raw.State.FirstSeq > 1 && fullest(raw) > asGoodFull
	if raw.State.Msgs == 0 || filled <= 0 || filled < settledAfter && !evicting {
		return 0, false
	}
	full := fullest(raw) / 100
	if full == 0 {
		return 0, false
	}
	keeps := float64(filled) / full
	if keeps > float64(100*365*24*time.Hour) {
		return 0, false
	}
	return time.Duration(keeps), true
}

// fullest is how full a stream is, in percent of its nearest limit.
func fullest(info *jetstream.StreamInfo) float64 {
	var full float64
	if m := info.Config.MaxBytes; m > 0 {
		full = 100 * float64(info.State.Bytes) / float64(m)
	}
	if m := info.Config.MaxMsgs; m > 0 {
		full = max(full, 100*float64(info.State.Msgs)/float64(m))
	}
	return full
}

// headroom tells how much room FALCONER has; full, it takes no commit.
func (c *chart) headroom() []Finding {
	info := c.streams[subjects.OutputStream].info
	if info.Config.MaxBytes <= 0 && info.Config.MaxMsgs <= 0 {
		return []Finding{note("FALCONER holds "+size(info.State.Bytes)+" and has no limit: it may fill the disk", "nats stream edit FALCONER --max-bytes 8GiB")}
	}
	full := fullest(info)
	found := fmt.Sprintf("FALCONER is %.0f %% full: %s of %s", full, size(info.State.Bytes), size(info.Config.MaxBytes))
	if info.Config.MaxMsgs > 0 {
		found += fmt.Sprintf(", %d of %s", info.State.Msgs, count(info.Config.MaxMsgs, "message"))
	}
	next := fmt.Sprintf("nats stream edit FALCONER --max-bytes %dGiB, or start workers with a shorter --retention (what is stored stays for as long as it was given)", 2*max(info.Config.MaxBytes>>30, 1))
	switch {
	case full >= asGoodFull:
		return []Finding{wrong(found+"; when it is full workers wait, and alerts with them", next)}
	case full >= nearlyFull:
		return []Finding{warn(found+"; when it is full workers wait, and alerts with them", next)}
	}
	return ok(found)
}

// limits looks at what the account may use.
func (c *chart) limits() []Finding {
	tiers := c.account.Tiers
	if len(tiers) == 0 {
		tiers = map[string]jetstream.Tier{"": c.account.Tier}
	}
	var out []Finding
	for name, t := range tiers {
		out = append(out, c.tier(strings.TrimSpace("the account "+name), t)...)
	}
	if len(out) == 0 {
		t := c.account.Tier
		return ok(fmt.Sprintf("the account uses %s on disk (%s reserved), %s and %s, within its limits",
			size(t.Store), size(t.ReservedStore), count(t.Streams, "stream"), count(t.Consumers, "consumer")))
	}
	return out
}

func (c *chart) tier(name string, t jetstream.Tier) []Finding {
	const next = "raise the account's limit in the server's configuration (accounts: jetstream: { max_file, max_memory, max_streams, max_consumers })"
	var out []Finding
	part := func(what string, used, limit float64, shown string) {
		if limit <= 0 || used < limit*nearlyFull/100 {
			return
		}
		f := warn(name+" has used "+shown+" of its "+what, next)
		if used >= limit*asGoodFull/100 {
			f.Level = Wrong
		}
		out = append(out, f)
	}
	l := t.Limits
	part("disk", float64(t.Store), float64(l.MaxStore), size(t.Store)+" of "+size(max(l.MaxStore, 0)))
	part("memory", float64(t.Memory), float64(l.MaxMemory), size(t.Memory)+" of "+size(max(l.MaxMemory, 0)))
	part("consumers", float64(t.Consumers), float64(l.MaxConsumers), fmt.Sprintf("%d of %d", t.Consumers, l.MaxConsumers))
	if missing := c.missing(); l.MaxStreams > 0 && t.Streams+missing > l.MaxStreams {
		out = append(out, wrong(fmt.Sprintf("%s may have %d streams and has %d; %d are still to be made", name, l.MaxStreams, t.Streams, missing), next))
	}
	if may := c.mayGrow(); l.MaxStore > 0 && may > l.MaxStore {
		out = append(out, warn(fmt.Sprintf("FALCO and FALCONER may grow to %s, %s may use %s: its limit comes first, and then neither alerts nor outputs are stored", size(may), name, size(l.MaxStore)),
			next+", or lower the streams' max_bytes"))
	}
	return out
}

// missing counts the streams that Setup has to make.
func (c *chart) missing() int {
	n := 0
	for _, s := range c.streams {
		if isCode(s.err, jetstream.JSErrCodeStreamNotFound) {
			n++
		}
	}
	return n
}

// mayGrow adds up the sizes of FALCO and FALCONER, as they are or as Setup would
// make them.
func (c *chart) mayGrow() int64 {
	full := c.cfg.Layout.WithDefaults()
	var sum int64
	for _, want := range []jetstream.StreamConfig{full.Raw(), full.Output()} {
		if info := c.streams[want.Name].info; info != nil {
			want = info.Config
		}
		if want.Storage == jetstream.FileStorage {
			sum += max(want.MaxBytes, 0)
		}
	}
	return sum
}

// bytesPerSecond is FALCO's rate: while observing, or else since its first message.
func (c *chart) bytesPerSecond() float64 {
	first, last := c.first.raw, c.second.raw
	if last.State.Msgs == 0 {
		return 0
	}
	average := float64(last.State.Bytes) / float64(last.State.Msgs)
	if n := last.State.LastSeq - first.State.LastSeq; n > 0 && c.observed() > 0 {
		return float64(n) * average / c.observed().Seconds()
	}
	return float64(last.State.Bytes) / cmp.Or(last.TimeStamp.Sub(last.State.FirstTime).Seconds(), 1)
}
