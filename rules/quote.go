package rules

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"

	"falconer/processor"
)

// quote returns s as one word of a shell line, in bash, zsh or ksh, pasted or in
// a script. It is the only way for text to get into a Command, the playbook's
// own text included. s must not hold NUL, which no argument can.
//
// It goes further than syntax.Quote of mvdan.cc/sh: no word is left in double
// quotes, where an interactive bash still expands "!"; and what cannot be seen
// is written byte by byte, since \u is another thing in every locale.
func quote(s string) string {
	switch {
	case s == "":
		return "''"
	case bare(s):
		return s
	case processor.Visible(s) == s:
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		if char := s[i : i+n]; processor.Visible(char) == char && !mustEscape(char) {
			b.WriteString(char)
		} else {
			writeBytes(&b, char)
		}
		i += n
	}
	return b.String() + "'"
}

// mustEscape reports whether char would end or change a $'...' string, or be
// expanded by an interactive shell.
func mustEscape(char string) bool { return char == "'" || char == `\` || char == "!" }

func writeBytes(b *strings.Builder, s string) {
	for i := range len(s) {
		switch c := s[i]; c {
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		default:
			fmt.Fprintf(b, `\x%02x`, c)
		}
	}
}

// bare reports whether s means itself without quotes, in every shell.
func bare(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_./:,@+", c) >= 0:
		case c == '%' && i > 0:
		case c == '=' && strings.ContainsAny(s[:1], "-./"):
		default:
			return false
		}
	}
	return !syntax.IsKeyword(s)
}
