package bench

import (
	"fmt"
	"math"
	"strings"
)

// Mix is what an endless row of alerts is made up of: which workload the i-th of
// them is about. A workload is one fingerprint.
type Mix struct {
	Name string
	// About says in a few words what the mix is.
	About string
	// Part is one in how many alerts is taken of those that are asked for.
	Part     int
	workload func(l Load, i int) int
}

// stormy is how many workloads there are in a storm.
const stormy = 1000

// Mixes are all that there are. Of "unique" a tenth is taken: with every alert a
// report and half a dozen tasks are written, some 50 KB, so that it is as much work
// as "mixed" and not ten times that.
func Mixes() []Mix {
	return []Mix{
		{"storm", "at most 1,000 distinct, in no order", 1, func(l Load, i int) int { return int(l.scramble(i) % stormy) }},
		{"mixed", "a tenth distinct, repeats mostly soon", 1, recent},
		{"mixed-scattered", "a tenth distinct, repeats at any time", 1, scattered},
		{"unique", "all distinct", 10, func(_ Load, i int) int { return i }},
	}
}

// MixNamed returns the mix of that name, or an error that lists the names.
func MixNamed(name string) (Mix, error) {
	var names []string
	for _, m := range Mixes() {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Mix{}, fmt.Errorf("no mix %q: want one of %s", name, strings.Join(names, ", "))
}

// reach is how many workloads back a repeat of "mixed" may be, as a power of two.
const reach = 12

// recent opens a workload with every tenth alert. The other nine are of those that
// were opened last: half of them within 64 workloads, the rest within 4,096, evenly
// by the logarithm, as repeats of one thing come in a real cluster.
func recent(l Load, i int) int {
	if i%10 == 0 {
		return i / 10
	}
	part := float64(l.scramble(i)>>11) / (1 << 53)
	return max(0, i/10-int(math.Exp2(reach*part))+1)
}

// scattered gives each workload ten alerts (the last one what is left), in an order
// that jumps over the whole row, so that no cache of what came last is of use.
func scattered(l Load, i int) int {
	return i % l.Alerts * l.stride() % l.Alerts / 10
}

// Of is how many of n alerts, or of n alerts a second, are taken; at least one of any.
func (m Mix) Of(n int) int { return (n + m.Part - 1) / m.Part }

// Load is a row of alerts that a seed decides.
type Load struct {
	Mix    Mix
	Alerts int
	Seed   uint64
}

// Distinct counts the workloads, which is how many incidents the alerts open.
func (l Load) Distinct() int {
	seen := map[int]bool{}
	for i := range l.Alerts {
		seen[l.Mix.workload(l, i)] = true
	}
	return len(seen)
}

// scramble spreads the alert's number over 64 bits, by the seed (splitmix64).
func (l Load) scramble(i int) uint64 {
	x := l.Seed + uint64(i+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// stride is a step that visits every one of the alerts before it comes back to the
// first: about six tenths of them, so that neighbours land far from each other.
func (l Load) stride() int {
	for s := int(0.618*float64(l.Alerts)) + int(l.Seed%97); ; s++ {
		if s > 0 && gcd(s, l.Alerts) == 1 {
			return s
		}
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
