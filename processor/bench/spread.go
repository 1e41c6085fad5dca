package bench

import "slices"

// Spread is what is said of a figure that was measured more than once.
type Spread struct{ Median, Min, Max float64 }

// SpreadOf returns zeros when there are no values. The median of an even number of
// values is the mean of the two in the middle.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(values))
	return Spread{Median: (s[(len(s)-1)/2] + s[len(s)/2]) / 2, Min: s[0], Max: s[len(s)-1]}
}
