package doctor

import (
	"time"

	"falconer/subjects"
)

// When a backlog is worth a word.
const (
	fresh   = 10 * time.Second // an alert may wait so long without a word
	urgent  = time.Hour        // an operator must act now
	aMargin = 24 * time.Hour
)

// backlog tells whether alerts wait, and whether they are read before FALCO lets
// them go, by age or by size.
func (c *chart) backlog() []Finding {
	st := c.second.status
	if st.Lag == 0 {
		return ok("no alert waits")
	}
	oldest := c.oldestUnread()
	if oldest == nil {
		return []Finding{note(wait(st.Lag), "falconer status shows where")}
	}
	age := c.second.raw.TimeStamp.Sub(oldest.Time)
	f := Finding{Level: OK, Found: wait(st.Lag) + ", the oldest for " + span(max(age, 0))}
	if age < fresh {
		return []Finding{f}
	}
	grows := st.Lag >= c.first.status.Lag
	if grows {
		f.Level, f.Next = Warn, c.faster()
		f.Found += "; they did not get fewer in " + span(c.observed())
	}
	if loss, known := c.loss(oldest.Seq, age, grows); known {
		return []Finding{f, loss}
	}
	return []Finding{f}
}

// faster is what lets a backlog shrink: more workers, unless something keeps
// those that are there from working.
func (c *chart) faster() string {
	switch {
	case fullest(c.streams[subjects.OutputStream].info) >= asGoodFull:
		return "make room in FALCONER: see headroom above"
	case len(c.second.status.Members) == 0:
		return "start a worker: see workers above"
	case c.stuck() > 0:
		return "see partitions above"
	}
	return "start more workers (falconer run); one partition is one worker's work: falconer status shows where alerts wait"
}

func wait(alerts uint64) string {
	switch alerts {
	case 0:
		return "no alert waits"
	case 1:
		return "1 alert waits"
	}
	return count(alerts, "alert") + " wait"
}

func (c *chart) oldestUnread() *kept {
	var oldest *kept
	for _, m := range c.unread {
		if oldest == nil || m.Seq < oldest.Seq {
			oldest = m
		}
	}
	return oldest
}

// loss tells when FALCO drops the oldest unread alert: by its age, or because
// newer ones need the room. If the backlog shrinks, only age counts.
func (c *chart) loss(oldest uint64, age time.Duration, grows bool) (Finding, bool) {
	cfg := c.second.raw.Config
	left, why := aMargin, ""
	if byAge := max(cfg.MaxAge-age, 0); cfg.MaxAge > 0 && byAge < min(left, cfg.MaxAge/2) {
		left, why = byAge, "by its age (max_age "+span(cfg.MaxAge)+")"
	}
	if bySize, known := c.evicted(oldest); known && grows && bySize < left {
		left, why = bySize, "for want of room (max_bytes "+size(cfg.MaxBytes)+"), at the present rate"
	}
	if why == "" {
		return Finding{}, false
	}
	f := warn("FALCO drops the oldest unread alert in "+span(left)+" "+why,
		"let workers read on, or let FALCO keep more until they do: nats stream edit FALCO --max-age ... --max-bytes ...")
	if left < urgent {
		f.Level = Wrong
	}
	return f, true
}

// evicted estimates when FALCO, which drops its oldest when it is full, comes to
// a sequence.
func (c *chart) evicted(seq uint64) (time.Duration, bool) {
	raw := c.second.raw
	rate := c.bytesPerSecond()
	if raw.Config.MaxBytes <= 0 || rate <= 0 || raw.State.Msgs == 0 {
		return 0, false
	}
	average := float64(raw.State.Bytes) / float64(raw.State.Msgs)
	room := float64(max(raw.Config.MaxBytes-int64(raw.State.Bytes), 0)) + float64(seq-min(seq, raw.State.FirstSeq))*average
	seconds := room / rate
	if seconds > (365 * 24 * time.Hour).Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}
