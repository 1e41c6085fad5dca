//go:build unix

package test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// tell says at the end of a test that failed what has happened and how to have
// it happen again.
func (r *faultRun) tell() {
	if !r.t.Failed() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.t.Logf("seed %d; again with:\n  FALCONER_SEED=%d FALCONER_FAULTS=%s go test ./test -run '%s' -count 1 -v", r.seed, r.seed, cmp.Or(os.Getenv("FALCONER_FAULTS"), "12s"), r.t.Name())
	r.t.Logf("events:\n%s", strings.Join(r.events, "\n"))
	if r.fleet != nil {
		for _, s := range r.fleet.slots {
			r.t.Logf("last words of %s:\n%s", s.id, s.words())
		}
	}
}

func (r *faultRun) event(format string, args ...any) {
	line := fmt.Sprintf("%7.2f s %s", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, line)
	if os.Getenv("FALCONER_TEST_LOG") != "" {
		fmt.Fprintln(os.Stderr, line)
	}
}

// stallTime is longer than anything may take: a dead worker's share comes to
// another after fifteen seconds.
const stallTime = 30 * time.Second

// watchProgress notes when alerts wait, or incidents stay open, and nothing moves
// for too long. That is no matter of exactness, but somebody has to look at it.
func (r *faultRun) watchProgress() {
	before, since := totals{}, time.Now()
	for second := time.NewTicker(time.Second); ; {
		select {
		case <-r.done:
			second.Stop()
			return
		case <-second.C:
		}
		if now := r.witness.totals(); now != before || now.In == r.raw.readable() && now.Opened == now.Closed {
			before, since = now, time.Now()
		}
		if time.Since(since) > stallTime {
			since = time.Now()
			r.event("nothing moves since %s\n%s", stallTime, r.standing())
			r.mu.Lock()
			r.stalls++
			r.mu.Unlock()
		}
	}
}

// standing is where everything stands, for whoever has to find out why nothing moves.
func (r *faultRun) standing() string {
	if r.witness == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "raw: %d alerts, read up to %d; outputs: read up to %d, totals %+v, %d states remembered; owners %v\n",
		r.raw.stored(), r.raw.reading().last.Load(), r.witness.last.Load(), r.witness.totals(), r.witness.remembered(), r.witness.owners())
	res := r.falconer("status")
	b.WriteString(res.stdout + res.stderr)
	for _, s := range r.fleet.slots {
		fmt.Fprintf(&b, "%s, wanted: %t\n%s\n", s.id, s.isWanted(), lastLines(s.words(), 25))
	}
	return b.String()
}

// summary is one line about a run.
func (r *faultRun) summary(diffs []string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, kinds := 0, []string{}
	for _, kind := range slices.Sorted(maps.Keys(r.counts)) {
		n += r.counts[kind]
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, r.counts[kind]))
	}
	verdict := "exact"
	if len(diffs) > 0 {
		verdict = fmt.Sprintf("%d differences, the first: %s", len(diffs), diffs[0])
	}
	return fmt.Sprintf("seed %d, %s, %d faults (%s), %d alerts, %d outputs, %d holes, %d stalls, %s: %s",
		r.seed, r.cluster.kind(), n, strings.Join(kinds, ", "), r.raw.stored(), len(r.witness.outputs), r.witness.holes, r.stalls, time.Since(r.began).Round(time.Second), verdict)
}

// table is the faults by kind, in Markdown.
func (r *faultRun) table() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	sum := 0
	fmt.Fprintf(&b, "\n| fault (%s, seed %d) | times |\n|---|---|\n", r.cluster.kind(), r.seed)
	for _, kind := range slices.Sorted(maps.Keys(r.counts)) {
		fmt.Fprintf(&b, "| %s | %d |\n", kind, r.counts[kind])
		sum += r.counts[kind]
	}
	fmt.Fprintf(&b, "| **all** | **%d** |\n", sum)
	return b.String()
}
