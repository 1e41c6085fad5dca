package rules

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a YAML file, and where. What Decode and
// Load return is a join of Problems: errors.As finds the first, and Problems
// takes them all out.
type Problem struct {
	File string
	Line int
	Text string
}

// Error returns "file:line: text".
func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Problems returns the Problems that err is made of, or nil when it has none.
func Problems(err error) []*Problem {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var all []*Problem
		for _, one := range joined.Unwrap() {
			all = append(all, Problems(one)...)
		}
		return all
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return []*Problem{p}
	}
	return nil
}

// join returns the problems as one error, by file and line, without repeats.
func join(problems []*Problem) error {
	slices.SortStableFunc(problems, func(a, b *Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line)
	})
	var errs []error
	for i, p := range problems {
		if i == 0 || *p != *problems[i-1] {
			errs = append(errs, p)
		}
	}
	return errors.Join(errs...)
}

// choice says what was found where one of a few words is allowed.
func choice(what, found string, allowed []string) string {
	if found == "" {
		return fmt.Sprintf("%s is missing; allowed: %s", what, strings.Join(allowed, ", "))
	}
	return fmt.Sprintf("unknown %s %q; %sallowed: %s", what, found, didYouMean(found, allowed), strings.Join(allowed, ", "))
}

// didYouMean returns the hint for a word that is nearly one of allowed, or "".
func didYouMean(word string, allowed []string) string {
	if near := nearest(word, allowed); near != "" {
		return fmt.Sprintf("did you mean %q? ", near)
	}
	return ""
}

// nearest returns the allowed word that is at most two slips of the pen away,
// or fewer for short words, and "" when there is none.
func nearest(word string, allowed []string) string {
	best, limit := "", min(2, len(word)/3)+1
	for _, a := range allowed {
		if d := slips(strings.ToLower(word), strings.ToLower(a)); d < limit {
			best, limit = a, d
		}
	}
	return best
}

// slips counts the letters inserted, left out, changed or swapped with their
// neighbour between a and b.
func slips(a, b string) int {
	before, prev := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := prev[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, prev[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}
