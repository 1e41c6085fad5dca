package processor

import (
	"slices"
	"strings"
)

// sign is what a text shows of secrets without an expression: one pass over its
// bytes finds all. Every form of secretForms says which of them it cannot do
// without.
type sign uint32

const (
	signAssigned      sign = 1 << iota // name=, where name ends like a secret's
	signColon                          // name:
	signOption                         // -name and white space
	signSetting                        // requirepass and the like, and white space
	signScheme                         // basic, bearer or token, and white space
	signBearer                         // bearer and white space
	signAuth                           // auth:
	signSlash                          // /p:, /pass: or /password:
	signAddress                        // :// and @ in what follows up to a slash
	signAuthorization                  // authorization
	signAWS                            // AKIA, ASIA
	signForge                          // the beginnings of tokens of GitHub, GitLab and Slack
	signJWT                            // eyJ
	signPEM                            // -----BEGIN
	signDash                           // white space and an option of any name
	signP                              // -p or -P after white space; so those below
	signA                              // -a or -A
	signU                              // -u
	signW                              // -w
	signX                              // -X
	signUser                           // -U or --user=

	everySign = ^sign(0)
)

// ending is how something ends of which forms tell what it is by what comes next:
// "=", ":" or white space. A secret's name may have quotes and white space
// between.
type ending struct {
	text string // lower case; capitals end alike
	// after, if there are any, are the words one of which stands before text, with
	// or without "_" or "-" between.
	after []string
	next
}

// next are the signs that an ending is by what comes next.
type next struct{ assigned, colon, gap sign }

var endings = byTail([]ending{
	nameEnding("passwd"), nameEnding("password"), nameEnding("passphrase"), nameEnding("pass"), nameEnding("pwd"),
	nameEnding("secret"), nameEnding("token"), nameEnding("redis_auth"), nameEnding("rediscli_auth"),
	nameEnding("credential"), nameEnding("credentials"),
	nameEnding("key", "secret", "access", "private", "api", "auth", "encryption", "signing", "master", "account"),
	{"aws_secret_access_key", nil, next{gap: signSetting}},
	{"aws_session_token", nil, next{gap: signSetting}},
	{"requirepass", nil, next{gap: signSetting}},
	{"masterauth", nil, next{gap: signSetting}},
	{"basic", nil, next{gap: signScheme}},
	{"token", nil, next{gap: signScheme}},
	{"bearer", nil, next{gap: signScheme | signBearer}},
	{"auth", nil, next{colon: signAuth}},
	{"/p", nil, next{colon: signSlash}},
	{"/pass", nil, next{colon: signSlash}},
	{"/password", nil, next{colon: signSlash}},
}, func(e ending) string { return e.text })

func nameEnding(text string, after ...string) ending {
	return ending{text, after, next{assigned: signAssigned, colon: signColon, gap: signOption}}
}

// literal is a sign by itself.
type literal struct {
	text string
	sign sign
}

// in returns the sign if text ends with the literal.
func (l *literal) in(text string) sign {
	if !hasSuffixFold(text, l.text) {
		return 0
	}
	return l.sign
}

// literals are cut where a rare byte ends them.
var literals = byTail([]literal{
	{"AKIA", signAWS},
	{"ASIA", signAWS},
	{"ghp_", signForge},
	{"gho_", signForge},
	{"ghu_", signForge},
	{"ghs_", signForge},
	{"ghr_", signForge},
	{"github_pat_", signForge},
	{"glpat-", signForge},
	{"xox", signForge},
	{"eyJ", signJWT},
	{"-----B", signPEM},
	{"authoriz", signAuthorization},
}, func(l literal) string { return l.text })

// optionSigns are those of options of one letter.
var optionSigns = [256]sign{'p': signP, 'P': signP, 'a': signA, 'A': signA, 'u': signU, 'w': signW, 'X': signX, 'U': signUser}

// tails finds texts by how they end: by the last byte, whose capital ends them too,
// and by five bits of the one before it, which a letter shares with its capital.
// Two looks tell nearly every word from all of them.
type tails[E any] struct {
	all    [256][]E
	before [256]uint32
}

func byTail[E any](all []E, text func(E) string) *tails[E] {
	var t tails[E]
	for _, e := range all {
		s := text(e)
		last, before := s[len(s)-1:], s[len(s)-2]
		for _, c := range slices.Compact([]byte(last + strings.ToUpper(last))) {
			t.all[c] = append(t.all[c], e)
			t.before[c] |= 1 << (before & 31)
		}
	}
	return &t
}

// of returns those that may be the end of text.
func (t *tails[E]) of(text string) []E {
	n := len(text) - 1
	if n < 1 || t.before[text[n]]>>(text[n-1]&31)&1 == 0 {
		return nil
	}
	return t.all[text[n]]
}

// kinds are those of bytes at which signs looks around.
var kinds = func() (table [256]kind) {
	for c := range literals.all {
		if literals.all[c] != nil {
			table[c] = kindLiteral
		}
	}
	for _, c := range "\t\n\f\r " { // what \s means
		table[c] = kindSpace
	}
	table['='], table[':'] = kindAssigned, kindColon
	table[longS[0]], table[kelvin[0]] = kindFold, kindFold
	return table
}()

type kind uint8

const (
	kindPlain kind = iota
	kindLiteral
	kindSpace
	kindAssigned
	kindColon
	kindFold
)

// The letters beyond ASCII that are the same as "s" and "k" to an expression that
// does not mind case.
const longS, kelvin = "\u017f", "\u212a"

// signs returns the signs in text; all of them where it cannot tell.
func signs(text string) (seen sign) {
	for i := range len(text) {
		switch kinds[text[i]] {
		case kindPlain:
		case kindLiteral:
			for _, l := range literals.of(text[:i+1]) {
				seen |= l.in(text[:i+1])
			}
		case kindSpace:
			if endings.of(text[:i]) != nil {
				seen |= gapSign(text[:i])
			}
			if i+1 < len(text) && text[i+1] == '-' {
				seen |= optionSign(text[i+1:])
			}
		case kindAssigned:
			seen |= ended(unquoted(text[:i])).assigned
		case kindColon:
			seen |= ended(unquoted(text[:i])).colon
			if strings.HasPrefix(text[i:], "://") {
				seen |= addressSign(text[i+len("://"):])
			}
		case kindFold:
			if strings.HasPrefix(text[i:], longS) || strings.HasPrefix(text[i:], kelvin) {
				return everySign
			}
		}
	}
	return seen
}

// gapSign is that of what stands before white space.
func gapSign(before string) sign {
	seen := ended(before).gap
	if seen&signOption == 0 {
		return seen
	}
	start := len(before) - 1
	for start > 0 && kinds[before[start-1]] != kindSpace {
		start--
	}
	if before[start] != '-' {
		seen &^= signOption
	}
	return seen
}

// optionSign is that of an option, which begins with "-".
func optionSign(option string) sign {
	switch {
	case len(option) < 2:
		return signDash
	case strings.HasPrefix(option, "--user="):
		return signDash | signUser
	}
	return signDash | optionSigns[option[1]]
}

// addressSign is that of what comes after "://".
func addressSign(after string) sign {
	for _, c := range []byte(after) {
		switch {
		case c == '@':
			return signAddress
		case c == '/' || kinds[c] == kindSpace:
			return 0
		}
	}
	return 0
}

// unquoted is before without the white space at its end, and one quote with its
// backslash before that.
func unquoted(before string) string {
	for before != "" && kinds[before[len(before)-1]] == kindSpace {
		before = before[:len(before)-1]
	}
	if n := len(before) - 1; n >= 0 && (before[n] == '"' || before[n] == '\'') {
		before = before[:n]
	}
	return strings.TrimSuffix(before, `\`)
}

// ended returns the signs of all endings of text.
func ended(text string) (n next) {
	candidates := endings.of(text)
	for i := range candidates {
		if e := &candidates[i]; e.ends(text) {
			n.assigned, n.colon, n.gap = n.assigned|e.assigned, n.colon|e.colon, n.gap|e.gap
		}
	}
	return n
}

func (e *ending) ends(text string) bool {
	if !hasSuffixFold(text, e.text) {
		return false
	}
	if e.after == nil {
		return true
	}
	text = text[:len(text)-len(e.text)]
	if n := len(text) - 1; n >= 0 && (text[n] == '_' || text[n] == '-') {
		text = text[:n]
	}
	return slices.ContainsFunc(e.after, func(w string) bool { return hasSuffixFold(text, w) })
}

// hasSuffixFold is strings.HasSuffix that does not mind the case of ASCII letters.
func hasSuffixFold(text, suffix string) bool {
	from := len(text) - len(suffix)
	if from < 0 {
		return false
	}
	for i := len(suffix) - 1; i >= 0; i-- { // the last bytes differ most
		if lower(text[from+i]) != lower(suffix[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
