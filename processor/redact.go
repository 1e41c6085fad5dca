package processor

import (
	"regexp"
	"slices"
	"strings"
)

// Redaction says how secrets are kept out of state, reports and tasks. Dead letters
// hold what came as it came, since they are there to be replayed.
type Redaction struct {
	// Level defaults to RedactStandard.
	Level RedactionLevel
	// Find returns the secrets that it finds in text. It must be a pure function,
	// and is asked for the alerts that an incident keeps or a report is made of, not
	// for every alert. Nil finds none.
	Find func(text string) []string
}

// RedactionLevel is how much is taken for a secret.
type RedactionLevel string

// The levels of redaction.
const (
	// RedactOff shows alerts as they are.
	RedactOff RedactionLevel = "off"
	// RedactStandard hides values of password, token and key options and variables,
	// credentials in URLs and in the options of common clients, bearer tokens,
	// strings of a well-known form (AWS access keys, GitHub and Slack tokens, JWTs,
	// private keys), and what Find finds.
	RedactStandard RedactionLevel = "standard"
	// RedactStrict also hides the value of every environment variable, and every
	// word that looks as if chance had made it. It hides much that is no secret:
	// hashes and ids among it.
	RedactStrict RedactionLevel = "strict"
)

// RedactionLevels lists the levels, rising.
func RedactionLevels() []string {
	return []string{string(RedactOff), string(RedactStandard), string(RedactStrict)}
}

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// secretField matches the names of output fields whose whole value is a secret.
var secretField = regexp.MustCompile(`(?i)^proc\.a?env\[[^\]]*` + secretName)

// anyEnvironment matches output fields that hold environment variables.
var anyEnvironment = regexp.MustCompile(`^proc\.a?env\b`)

// environment matches the value of a variable, which only the strict level hides.
var environment = regexp.MustCompile(`(?:^|\s)[A-Z][A-Z0-9_]*=(` + quoted + `|\S+)`)

// hideRandom hides the values of environment variables, and long words of at
// least two of upper case, lower case and digits whose characters are as mixed as
// chance mixes them.
func hideRandom(v string) string {
	if setsVariable(v) {
		v = replaceGroup(environment, v)
	}
	return hideMixed(v)
}

// setsVariable reports whether a "=" stands in v where environment could match it.
func setsVariable(v string) bool {
	for i := 1; i < len(v); i++ {
		if v[i] != '=' {
			continue
		}
		from := i
		for from > 0 && (v[from-1] == '_' || v[from-1] >= '0' && v[from-1] <= '9' || v[from-1] >= 'A' && v[from-1] <= 'Z') {
			from--
		}
		if from < i && v[from] >= 'A' && v[from] <= 'Z' && (from == 0 || kinds[v[from-1]] == kindSpace) {
			return true
		}
	}
	return false
}

// longWord is how many characters a word has that may be one of chance's.
const longWord = 16

// hideMixed hides the long words that are mixed.
func hideMixed(v string) string {
	var b strings.Builder
	done := 0
	for from := 0; from < len(v); from++ {
		word := from
		for from < len(v) && (wordByte(v[from]) || strings.IndexByte("+=-", v[from]) >= 0) {
			from++
		}
		if from-word >= longWord && mixed(v[word:from]) {
			b.WriteString(v[done:word])
			b.WriteString(Redacted)
			done = from
		}
	}
	if done == 0 {
		return v
	}
	b.WriteString(v[done:])
	return b.String()
}

// mixed reports whether the letters and digits of w change their kind more often
// than those of a word or a name do.
func mixed(w string) bool {
	const lower, upper, digit = 1, 2, 4
	seen, last, changes, digits := 0, 0, 0, 0
	for _, c := range w {
		now := 0
		switch {
		case c >= 'a' && c <= 'z':
			now = lower
		case c >= 'A' && c <= 'Z':
			now = upper
		case c >= '0' && c <= '9':
			now, digits = digit, digits+1
		}
		if now != 0 && last != 0 && now != last {
			changes++
		}
		if now != 0 {
			seen, last = seen|now, now
		}
	}
	return changes >= len(w)/5 && seen&digit != 0 && seen&(lower|upper) != 0 && digits >= 2
}

// redact replaces secrets in the alert's values and output, and says so. Found
// are those that Redaction.Find has found.
func (a *Alert) redact(level RedactionLevel, found ...string) {
	if level == RedactOff {
		return
	}
	hidden := false
	for name, v := range a.Fields {
		if shown := hideField(level, name, v, found); shown != v {
			a.Fields[name], hidden = shown, true
		}
	}
	if out := hide(level, a.Output, found); out != a.Output {
		a.Output, hidden = out, true
	}
	if note := "what looked like a secret was replaced by " + Redacted; hidden && !slices.Contains(a.Notes, note) {
		a.Notes = append(a.Notes, note)
	}
}

// secrets asks find for what is secret in the alert: once, since most alerts have
// nothing that it would have to look at twice.
func (a *Alert) secrets(find func(string) []string) []string {
	var b strings.Builder
	for _, name := range sortedKeys(a.Fields) {
		b.WriteString(a.Fields[name])
		b.WriteByte('\n')
	}
	b.WriteString(a.Output)
	return find(b.String())
}

// Redact returns text without what is a secret at the level.
func (r Redaction) Redact(text string) string {
	var found []string
	if r.Find != nil {
		found = r.Find(text)
	}
	return hide(r.Level, text, found)
}

// holdsEnvironment reports whether name may be that of environment variables,
// without an expression.
func holdsEnvironment(name string) bool {
	name, ok := strings.CutPrefix(name, "proc.")
	return ok && (len(name) >= 3 && strings.EqualFold(name[:3], "env") || len(name) >= 4 && strings.EqualFold(name[:4], "aenv"))
}

// hide hides the secrets in a text, those found elsewhere first.
func hide(level RedactionLevel, v string, found []string) string {
	if level == RedactOff {
		return v
	}
	for _, secret := range found {
		if secret != "" {
			v = strings.ReplaceAll(v, secret, Redacted)
		}
	}
	v = hideSecrets(v)
	if level == RedactStrict {
		v = hideRandom(v)
	}
	return v
}

// hideField hides the secrets in the value of an output field.
func hideField(level RedactionLevel, name, v string, found []string) string {
	switch {
	case level == RedactOff:
		return v
	case !holdsEnvironment(name):
	case secretField.MatchString(name), level == RedactStrict && anyEnvironment.MatchString(name):
		return Redacted
	}
	return hide(level, v, found)
}
