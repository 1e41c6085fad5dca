package rules

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// said is where a sentence was seen first.
type said struct {
	owner string // "playbook x", or "mitigation x" for a shared one
	file  string
	line  int
}

// The lengths from which on a sentence or paragraph is more than a phrase that
// two people write alike.
const (
	longSentence  = 61
	longParagraph = 80
)

// repeated finds sentences that two owners share: then one of them does not say
// what is its own.
func (l *linter) repeated(owner string, prose []*string) {
	for _, text := range prose {
		for _, sentence := range sentences(*text) {
			l.repeats(owner, "sentence", sentence, text)
		}
	}
}

// meaning finds paragraphs that two playbooks share, made of short sentences that
// alone would say little.
func (l *linter) meaning(p *playbook) {
	for _, paragraph := range blankLine.Split(p.Meaning, -1) {
		paragraph = strings.Join(strings.Fields(paragraph), " ")
		if utf8.RuneCountInString(paragraph) >= longParagraph && len(sentences(paragraph)) == 0 {
			l.repeats("playbook "+p.ID, "paragraph", paragraph, &p.Meaning)
		}
	}
}

func (l *linter) repeats(owner, what, words string, at *string) {
	first, ok := l.prose[words]
	switch {
	case !ok:
		l.prose[words] = said{owner, l.file.name, cmp.Or(l.file.lines[at], l.line)}
	case first.owner != owner:
		l.warnf(at, "a %s stands in %s too (%s:%d): %q", what, first.owner, first.file, first.line, cut(words, 60))
	}
}

var sentenceEnd = regexp.MustCompile("[.!?][)\"'`*]*[ \n]")

// sentences cuts prose into sentences, with single spaces, and returns the long ones.
func sentences(prose string) []string {
	var out []string
	for _, paragraph := range blankLine.Split(prose, -1) {
		out = append(out, split(strings.Join(strings.Fields(paragraph), " "))...)
	}
	return slices.DeleteFunc(out, func(s string) bool { return utf8.RuneCountInString(s) < longSentence })
}

func split(paragraph string) []string {
	var out []string
	start := 0
	for _, at := range sentenceEnd.FindAllStringIndex(paragraph, -1) {
		out = append(out, paragraph[start:at[1]-1])
		start = at[1]
	}
	return append(out, paragraph[start:])
}
