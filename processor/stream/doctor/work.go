package doctor

import (
	"fmt"
	"slices"
	"time"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

// workers tells who works.
func (c *chart) workers() []Finding {
	st := c.second.status
	if len(st.Members) == 0 {
		return []Finding{wrong("no worker is running; "+wait(st.Lag), "falconer run, with the same --nats; a worker that was killed leaves the list after "+span(subjects.MemberTTL))}
	}
	names := make([]string, len(st.Members))
	for i, m := range st.Members {
		names[i] = m.ID
	}
	return ok(count(len(names), "worker") + ": " + some(names))
}

// partitions tells which partitions nobody has, or somebody has and does not
// work. Without workers there is nothing to add.
func (c *chart) partitions() []Finding {
	if len(c.second.status.Members) == 0 {
		return nil
	}
	var never, gone, stuck, fought []int
	var owners []string
	for _, p := range c.second.status.Partitions {
		was := c.before(p.Partition)
		switch {
		case p.Epoch == 0:
			never = append(never, p.Partition)
		case c.stands(was, p):
			stuck, owners = append(stuck, p.Partition), append(owners, p.Owner)
		case !p.Live:
			gone = append(gone, p.Partition)
		case retaken(was, p):
			fought = append(fought, p.Partition)
		}
	}
	var out []Finding
	add := func(which []int, f Finding) {
		if len(which) > 0 {
			f.Found = numbers(which) + ": " + f.Found
			out = append(out, f)
		}
	}
	slices.Sort(owners)
	owners = slices.Compact(owners)
	add(stuck, wrong("alerts wait and the cursor did not move for "+span(c.observed()), "look into the log of "+some(owners)+": when FALCONER takes no commit it says why; else restart it"))
	add(gone, warn("the owner is gone and nobody took over yet", "run falconer doctor again in "+span(2*subjects.MemberTTL)+"; if it stays so, look into the workers' logs: may they write falconer.cursor.*?"))
	add(never, warn("no worker has ever taken it", "run falconer doctor again in "+span(subjects.MemberTTL)+"; if it stays so, look into the workers' logs"))
	add(fought, warn("taken anew by the same owner while observing, or more than once", "see that no two workers have the same --id (the log says who takes what), and that their connections are steady"))
	if len(out) == 0 {
		return ok(fmt.Sprintf("all %d have a live owner", len(c.second.status.Partitions)))
	}
	return out
}

// retaken tells that a partition was taken when it was not passed on: two workers
// of one name do so without end, one that lost its connection once.
func retaken(was, is stream.PartitionStatus) bool {
	return was.Epoch > 0 && (is.Epoch > was.Epoch && is.Owner == was.Owner || is.Epoch > was.Epoch+1)
}

// stuckAfter is how long an alert may wait for a commit.
const stuckAfter = 5 * time.Second

// stands tells that alerts wait in a partition whose cursor does not move.
func (c *chart) stands(was, is stream.PartitionStatus) bool {
	oldest := c.unread[is.Partition]
	return was.Lag > 0 && is.Lag > 0 && is.Seq == was.Seq && (oldest == nil || c.second.raw.TimeStamp.Sub(oldest.Time) > stuckAfter)
}

func (c *chart) stuck() int {
	n := 0
	for _, p := range c.second.status.Partitions {
		if c.stands(c.before(p.Partition), p) {
			n++
		}
	}
	return n
}

// before is a partition in the first sample.
func (c *chart) before(partition int) stream.PartitionStatus {
	for _, p := range c.first.status.Partitions {
		if p.Partition == partition {
			return p
		}
	}
	return stream.PartitionStatus{}
}

// lost tells of alerts that FALCO has dropped before they were read: those that a
// worker has recorded, and those that it is about to. A partition that was quiet
// for long looks for a moment as if it had lost some, so both samples count.
func (c *chart) lost() []Finding {
	const longer = "keep workers running, and let FALCO keep more: nats stream edit FALCO --max-age ... --max-bytes ..."
	var gaps []int
	for _, p := range c.second.status.Partitions {
		if p.Gap && c.before(p.Partition).Gap {
			gaps = append(gaps, p.Partition)
		}
	}
	var out []Finding
	if len(gaps) > 0 {
		out = append(out, wrong(numbers(gaps)+": FALCO has dropped messages that nobody is known to have read", longer))
	}
	if t := c.second.status.Totals; t.Gaps > 0 {
		out = append(out, warn(fmt.Sprintf("so far at most %s lost, in %s", count(t.Lost, "alert"), count(t.Gaps, "gap")),
			"falconer reports list shows where and when; "+longer))
	}
	if out == nil {
		return ok("FALCO has dropped none that was not read")
	}
	return out
}

// deadLetters tells of alerts that were not understood.
func (c *chart) deadLetters() []Finding {
	if c.dead == 0 || c.newestDead == nil {
		return ok("none")
	}
	d := c.newestDead
	next := fmt.Sprintf("falconer dead show %d", d.Seq)
	now := c.streams[subjects.OutputStream].info.TimeStamp
	age := max(now.Sub(d.Time), 0)
	f := note(fmt.Sprintf("%s not understood, the newest %s ago: %s", count(c.dead, "alert"), span(age), processor.Visible(d.Reason)), next)
	if age < aMargin {
		f.Level = Warn
	}
	return []Finding{f}
}

// totals tells whether what became of the alerts adds up.
func (c *chart) totals() []Finding {
	var bad []int
	for _, p := range c.second.status.Partitions {
		if !p.Totals.Balanced() {
			bad = append(bad, p.Partition)
		}
	}
	if len(bad) > 0 {
		return []Finding{wrong(numbers(bad)+": the totals do not add up", "report this as a fault of Falconer, with the output of: falconer status --json")}
	}
	return ok(count(c.second.status.Totals.In, "alert") + " taken, each accounted for")
}

// consumers tells of consumers that nobody took away. Each partition has one
// while it is read, and others live for a minute.
func (c *chart) consumers() []Finding {
	have, parts := c.second.raw.State.Consumers, len(c.second.status.Partitions)
	if parts == 0 || have <= 4*parts+16 {
		return nil
	}
	return []Finding{note(fmt.Sprintf("FALCO has %d consumers, %d partitions need about as many", have, parts),
		"nothing, if workers were killed just now: theirs go by themselves within a minute. If they do not, nats consumer report FALCO shows whose they are")}
}
