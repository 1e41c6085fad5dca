package rules

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// clues are texts of which one must occur; none at all means that nothing must.
type clues [][]byte

func (c clues) in(text []byte) bool {
	for _, word := range c {
		if bytes.Contains(text, word) {
			return true
		}
	}
	return len(c) == 0
}

func (c clues) inText(text string) bool {
	for _, word := range c {
		if strings.Contains(text, string(word)) {
			return true
		}
	}
	return len(c) == 0
}

// mostClues bounds the clues of one expression: beyond that the expression itself
// is as fast.
const mostClues = 24

// needed returns words without one of which the expression does not match. To look
// for them costs a tenth of what the expression costs, and most values of most
// alerts have none.
func needed(re *regexp.Regexp) clues {
	tree, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return nil
	}
	found := neededBy(tree)
	if len(found) > mostClues {
		return nil
	}
	var out clues
	for _, word := range found {
		out = append(out, []byte(word))
	}
	return out
}

// neededBy is nil when the expression can match without any word.
func neededBy(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		// Bytes that are no UTF-8 match U+FFFD, and are not its bytes.
		if re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, utf8.RuneError) {
			return []string{string(re.Rune)}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return neededBy(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return neededBy(re.Sub[0])
		}
	case syntax.OpConcat:
		return neededByOne(re.Sub)
	case syntax.OpAlternate:
		return neededByAll(re.Sub)
	}
	return nil
}

// neededByOne takes the words of the part whose shortest is longest.
func neededByOne(parts []*syntax.Regexp) []string {
	var best []string
	for _, part := range parts {
		if found := neededBy(part); shortest(found) > shortest(best) {
			best = found
		}
	}
	return best
}

func neededByAll(branches []*syntax.Regexp) []string {
	var all []string
	for _, branch := range branches {
		found := neededBy(branch)
		if found == nil {
			return nil
		}
		all = append(all, found...)
	}
	return all
}

func shortest(of []string) int {
	if len(of) == 0 {
		return 0
	}
	return len(slices.MinFunc(of, func(a, b string) int { return len(a) - len(b) }))
}
