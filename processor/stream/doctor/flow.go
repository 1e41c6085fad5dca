package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// tryAlert makes falcosidekick send an alert of its own.
const tryAlert = "let falcosidekick send one: curl -X POST http://FALCOSIDEKICK:2801/test; if none arrives, look at its NATS settings (hostport, subject falco.<priority>.<rule>) and its log"

// When a quiet stream of alerts is worth a word: Falco is rarely silent for long.
const (
	quiet  = time.Hour
	silent = 24 * time.Hour
)

// arrival tells whether alerts come in: how old the newest is, and whether what
// is published is stored.
func (c *chart) arrival() []Finding {
	var out []Finding
	if f, lost := c.unstored(); lost {
		out = append(out, f)
	}
	if isLacking(c.heardErr) {
		out = append(out, note("whether alerts arrive that are not stored is not known: "+c.heardErr.Error(), "allow this user to subscribe to "+subjects.Alerts))
	}
	newest := c.second.newest
	switch {
	case newest == nil && c.second.raw.State.LastSeq == 0:
		return append(out, warn("no alert was ever stored", tryAlert))
	case newest == nil:
		return append(out, warn("FALCO holds no alert; all that came were removed or aged out", tryAlert))
	case newest.header(subjects.HeaderID) != "" && newest.header(subjects.HeaderSchema) != "":
		return append(out, wrong("the newest alert in FALCO is an output of Falconer ("+newest.header(subjects.HeaderSchema)+", sequence "+strconv.FormatUint(newest.Seq, 10)+"): something publishes outputs to "+subjects.Alerts,
			"find who does: a consumer that republishes, or a subject mapping in the server's configuration; see loops"))
	}
	return append(out, c.newestAlert(c.second.raw.TimeStamp.Sub(newest.Time)))
}

func (c *chart) newestAlert(age time.Duration) Finding {
	found := "the newest alert was stored " + span(max(age, 0)) + " ago"
	if n := c.second.raw.State.LastSeq - c.first.raw.State.LastSeq; n > 0 {
		found += fmt.Sprintf("; %s stored in %s", count(n, "message"), span(c.observed()))
	}
	switch {
	case age > silent:
		return warn(found+": is anything still publishing?", tryAlert)
	case age > quiet:
		return note(found, "if that is too quiet for this cluster, "+tryAlert)
	}
	return Finding{Level: OK, Found: found}
}

// observed is the time between the samples, by the broker's clock.
func (c *chart) observed() time.Duration {
	return c.second.raw.TimeStamp.Sub(c.first.raw.TimeStamp)
}

// unstored compares what was heard with what the stream that takes the alerts
// has stored meanwhile. All that is heard lies between the two samples.
func (c *chart) unstored() (Finding, bool) {
	holder, took := subjects.RawStream, c.second.raw.State.LastSeq-c.first.raw.State.LastSeq
	if name := c.cfg.Layout.SourceStream; name != "" {
		if holder = name; c.first.source == nil || c.second.source == nil {
			return Finding{}, false // its own check tells
		}
		took = c.second.source.Seq - c.first.source.Seq
	}
	if c.heard <= int64(took) {
		return Finding{}, false
	}
	found := fmt.Sprintf("%s arrived on %s in %s, of which stream %s stored %d", count(c.heard, "alert"), subjects.Alerts, span(c.observed()), holder, took)
	return wrong(found, "nats stream info "+holder+": does it take "+subjects.Alerts+", is it sealed or full, has it a leader? Alerts that were not stored are lost"), true
}

// lateness is how many seconds a source may be silent before it counts as cut off.
const lateness = 15 * time.Second

// source looks at the stream that FALCO takes its alerts from, if it has one.
func (c *chart) source() []Finding {
	name := c.cfg.Layout.SourceStream
	if name == "" {
		return nil
	}
	s := c.streams[name] // unseen if it is in another account
	switch {
	case isCode(s.err, jetstream.JSErrCodeStreamNotFound):
		return []Finding{wrong("stream "+name+", from which FALCO takes alerts, is not there", "make it with the subject "+subjects.Alerts+", or remove FALCO and run falconer setup without --source-stream")}
	case s.err != nil:
		f := unseen(s.err)
		f.Found = "stream " + name + ": " + f.Found
		return []Finding{f}
	}
	var out []Finding
	if s.info != nil && s.info.Config.Retention != jetstream.LimitsPolicy {
		out = append(out, warn("stream "+name+" has the retention "+s.info.Config.Retention.String()+": alerts that another consumer takes never reach Falconer",
			"keep alerts in a stream with the retention limits"))
	}
	if rawStream(c) != nil {
		return out
	}
	return append(out, c.link(name))
}

// link tells whether FALCO follows its source: by the newest alert of both, if
// they may be read, and else by what the server says.
func (c *chart) link(name string) Finding {
	const next = "nats stream info FALCO shows the source; if it stays behind, nats stream cluster step-down FALCO, or restart the server"
	for _, s := range c.second.raw.Sources {
		switch {
		case s.Name != name:
		case s.Error != nil:
			return wrong("FALCO cannot read stream "+name+": "+s.Error.Description, next)
		case s.Active < 0 || s.Active > lateness:
			return warn("FALCO has not heard of its source, stream "+name+", since "+span(s.Active), next)
		}
	}
	reached, known := c.reached(name)
	if was := c.first.source; was != nil && known && was.Seq > reached {
		return wrong(fmt.Sprintf("the newest alert of stream %s (sequence %d) has not arrived in FALCO after %s, which is at %d", name, was.Seq, span(c.observed()), reached), next)
	}
	return Finding{Level: OK, Found: "FALCO has all alerts of stream " + name}
}

// reached is the sequence in the source up to which FALCO has its alerts.
func (c *chart) reached(name string) (uint64, bool) {
	for _, s := range c.second.raw.Sources {
		if s.Name == name && s.Seq > 0 {
			return s.Seq, true
		}
	}
	if c.second.newest == nil {
		return 0, c.second.newestErr == nil && c.second.raw.State.LastSeq == 0
	}
	words := strings.Fields(c.second.newest.header("Nats-Stream-Source"))
	if len(words) < 2 || words[0] != name && !strings.HasPrefix(words[0], name+":") {
		return 0, false
	}
	seq, err := strconv.ParseUint(words[1], 10, 64)
	return seq, err == nil
}
