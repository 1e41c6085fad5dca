package processor

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible returns s with everything that a terminal or a reader's eye could be
// deceived by shown as an escape: control characters, ANSI sequences, direction
// and other format characters, line breaks, and bytes that are not UTF-8.
func Visible(s string) string {
	if visible(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[i])+0x100, 16)[1:])
		case shown(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

func visible(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return visibleRunes(s[i:])
		}
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func visibleRunes(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !shown(r) {
			return false
		}
	}
	return true
}

// shown reports whether r may stand in output as it is. U+FFFD may: falcosidekick
// leaves it where it cut a character in two. Fillers, variation selectors and
// the blank Braille pattern may not: they count as letters or symbols and yet
// show nothing.
func shown(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r < 0x7f
	}
	return r == utf8.RuneError || unicode.IsGraphic(r) && !unicode.IsSpace(r) && r != '\u2800' &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// CodeSpan returns s as a Markdown code span that s cannot leave: the fence is
// longer than any run of backticks inside, and s stays on one line.
func CodeSpan(s string) string {
	s = Visible(s)
	if s == "" {
		return "(empty)"
	}
	fence := strings.Repeat("`", longestRun(s, '`')+1)
	if s[0] == '`' || s[len(s)-1] == '`' || s[0] == ' ' && s[len(s)-1] == ' ' && strings.Trim(s, " ") != "" {
		s = " " + s + " "
	}
	return fence + s + fence
}

// CodeCell is CodeSpan for a table cell, where a bar would end the cell even
// inside a code span.
func CodeCell(s string) string {
	return strings.ReplaceAll(CodeSpan(s), "|", `\|`)
}

// CodeBlock returns body as a fenced block in the named language. Lines of body
// are kept; other control characters are shown as escapes.
func CodeBlock(lang, body string) string {
	body = strings.TrimRight(body, "\n")
	for l := range strings.SplitSeq(body, "\n") {
		if !visible(l) {
			body = visibleLines(body)
			break
		}
	}
	fence := strings.Repeat("`", max(3, longestRun(body, '`')+1))
	return fence + lang + "\n" + body + "\n" + fence + "\n"
}

func visibleLines(body string) string {
	lines := strings.Split(body, "\n")
	for i, l := range lines {
		lines[i] = visibleLine(l)
	}
	return strings.Join(lines, "\n")
}

// visibleLine is Visible, but lets tabs stand: they are part of fstab and the like.
func visibleLine(l string) string {
	parts := strings.Split(l, "\t")
	for i, p := range parts {
		parts[i] = Visible(p)
	}
	return strings.Join(parts, "\t")
}

// markup are the characters that may be markup wherever they stand.
const markup = "\\`*_[]<>#|~&$@"

// Escape returns s as Markdown text in which nothing is markup, not even what
// some readers make links of by themselves. Space around it is dropped.
func Escape(s string) string {
	s = strings.TrimSpace(Visible(s))
	if !strings.ContainsAny(s, markup+":.)") && strings.Trim(s[:min(1, len(s))], "-+=") != "" {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if strings.ContainsRune(markup, r) || i == 0 && strings.ContainsRune("-+=", r) || linkLike(s, i) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	out := b.String()
	// A number and a dot or parenthesis at the start of a line would open a list.
	if i := strings.IndexAny(out, ".)"); i > 0 && strings.Trim(out[:i], "0123456789") == "" {
		out = out[:i] + `\` + out[i:]
	}
	return out
}

// linkLike reports whether the character at i makes what stands around it a bare
// link: the colon of "://" and the dot of "www.".
func linkLike(s string, i int) bool {
	return strings.HasPrefix(s[i:], "://") || s[i] == '.' && i >= 3 && strings.EqualFold(s[i-3:i], "www")
}

func longestRun(s string, c byte) int {
	longest, run := 0, 0
	for i := range len(s) {
		if s[i] != c {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}
