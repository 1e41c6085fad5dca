//go:build unix

package test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/subjects"
)

// gap is a part of the raw stream that was dropped before a partition had read it.
type gap struct {
	partition   int
	born        time.Time // of the raw stream
	first, last uint64
}

// gaps are all of a run.
type gaps []gap

// hides reports whether a partition has never read the message.
func (all gaps) hides(partition int, m rawMessage) bool {
	return slices.ContainsFunc(all, func(g gap) bool {
		return g.partition == partition && g.born.Equal(m.born) && g.first <= m.seq && m.seq <= g.last
	})
}

// maxEvictions bounds how often a run evicts: each time its workers start anew.
const maxEvictions = 6

// evictRaw lets the raw stream drop alerts that no worker has read. While none
// runs, what will be missing is known to the message: what lies between where a
// partition's cursor stands and where the stream begins then.
func (r *faultRun) evictRaw() error {
	if r.evicted >= maxEvictions {
		return fmt.Errorf("done %d times already", r.evicted)
	}
	n := len(r.fleet.up())
	r.fleet.scale(0, syscall.SIGKILL)
	defer r.fleet.scale(n, syscall.SIGTERM)
	r.thieves.Wait()
	r.moment(300*time.Millisecond, 1500*time.Millisecond) // for commits on their way, and for alerts that nobody reads
	r.feed.pause()
	defer r.feed.resume()
	err := r.wait(30*time.Second, "all that is stored to be collected", func() bool { return r.raw.caughtUp() && r.witness.caughtUp() })
	if err != nil {
		return err
	}
	first, err := r.purgeRaw(uint64(20 + r.rng.IntN(400)))
	if err != nil {
		return err
	}
	r.evicted++
	r.event("FALCO begins at sequence %d now; %d alerts are lost", first, r.raw.lose(first, r.witness.read()))
	return nil
}

// purgeRaw has the raw stream keep so many messages, and returns where it begins then.
func (r *faultRun) purgeRaw(keep uint64) (first uint64, err error) {
	err = r.wait(30*time.Second, subjects.RawStream+" to be purged", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s, err := r.js.Stream(ctx, subjects.RawStream)
		if err != nil || s.Purge(ctx, jetstream.WithPurgeKeep(keep)) != nil {
			return false
		}
		info, err := s.Info(ctx)
		if err != nil {
			return false
		}
		first = info.State.FirstSeq
		return true
	})
	return first, err
}

// position is up to where a partition has read which raw stream.
type position struct {
	born time.Time
	seq  uint64
}

// read is where the newest cursors stand.
func (w *witness) read() map[int]position {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[int]position{}
	for p, trail := range w.trail {
		c := trail[len(trail)-1]
		out[p] = position{c.Created, max(c.Seq, c.Read)}
	}
	return out
}

// lose notes what the partitions have not read and the stream, which begins at
// first now, has not any more. It returns how many alerts are lost now.
func (r *rawRecord) lose(first uint64, read map[int]position) (alerts int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begins = first
	for p := range partitions {
		g := gap{partition: p, born: r.born, first: 1, last: first - 1}
		if at := read[p]; at.born.Equal(r.born) {
			g.first = at.seq + 1
		}
		if g.first > g.last {
			continue
		}
		// If the partition has read nothing since an earlier gap, it has told nobody
		// of it and will find one.
		r.gaps = append(slices.DeleteFunc(r.gaps, func(old gap) bool {
			return old.partition == p && old.born.Equal(g.born) && old.first == g.first
		}), g)
	}
	r.lost = 0
	for _, m := range r.msgs {
		if p := m.partition(); p >= 0 && !m.tick() && r.gaps.hides(p, m) {
			r.lost++
		}
	}
	return r.lost
}

// news are the outputs that tell of gaps. They do not follow from what can be
// read, so that the oracle has none of them.
type news struct {
	reports  []report
	of       map[string]int // partition, by incident
	outputs  map[string]int // how many, by incident
	isReport map[string]int // how many of them are reports
}

var lostSlug = "." + slug(processor.RuleLost) + "."

// takeNews takes the outputs about gaps from the others.
func takeNews(got map[string]output) (rest map[string]output, n news) {
	n = news{of: map[string]int{}, outputs: map[string]int{}, isReport: map[string]int{}}
	for _, o := range got {
		if strings.HasPrefix(o.subject, "falconer.report.") && strings.Contains(o.subject, lostSlug) {
			r := decoded[report](o.data)
			n.reports = append(n.reports, r)
			n.of[r.Incident] = decoded[int]([]byte(r.Identity["falconer.partition"]))
			n.isReport[r.Incident]++
		}
	}
	rest = maps.Clone(got)
	for id := range got {
		incident, _, _ := strings.Cut(id, "/")
		if _, about := n.of[incident]; about {
			n.outputs[incident]++
			delete(rest, id)
		}
	}
	return rest, n
}

// addTo adds to the oracles' sums what the news must have made of them.
func (n news) addTo(oracles []*oracle, all gaps) {
	for _, g := range all {
		oracles[g.partition].totals.Gaps++
		oracles[g.partition].totals.Lost += int(g.last - g.first + 1)
	}
	for incident, p := range n.of {
		t := &oracles[p].totals
		t.Opened++
		t.Closed++
		t.Reports += n.isReport[incident]
		t.Tasks += n.outputs[incident] - n.isReport[incident]
	}
}

// differs says what the news tell otherwise than it was.
func (n news) differs(all gaps) (out []string) {
	var told, want []string
	for _, r := range n.reports {
		if r.Kind != "closed" {
			continue
		}
		for _, s := range r.Occurrences.Samples {
			told = append(told, fmt.Sprintf("partition %d lost %s", n.of[r.Incident], s.What))
		}
		if r.Occurrences.Count != len(r.Occurrences.Samples) && len(r.Occurrences.Samples) < 5 {
			out = append(out, fmt.Sprintf("%s counts %d gaps and shows %d", r.ID, r.Occurrences.Count, len(r.Occurrences.Samples)))
		}
	}
	for _, g := range all {
		want = append(want, fmt.Sprintf("partition %d lost %d-%d", g.partition, g.first, g.last))
	}
	slices.SortFunc(told, cmp.Compare)
	slices.SortFunc(want, cmp.Compare)
	if !slices.Equal(told, want) {
		out = append(out, fmt.Sprintf("gaps are told as %v, want %v", told, want))
	}
	return out
}
