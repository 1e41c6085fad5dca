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

// Parts of secretForms.
const (
	// secretWord names a secret wherever it stands in a name: "PGPASSWORD",
	// "clientSecret". The others do so only on their own or after "_" or "-":
	// "bypass" and "OLDPWD" name none, and "PWD" is the shell's directory.
	secretWord = `passw(?:or)?d|passphrase|sshpass|secret|token|redis(?:cli)?_auth|` +
		`(?:secret|access|private|api|auth|encryption|signing|master|account)[_-]?key`
	secretName = `(?:` + secretWord + `|(?:\b|[_-])(?:pass|credentials?)|[_-]pwd)\\?["']?`

	// A value in quotes may lack the closing one, because it was cut.
	quoted = `\\"[^"]*"?|"(?:[^"\\]|\\.)*"?|'[^']*'?`
	bare   = `[^\s"'&;,|=][^\s"'&;,|]*`
)

// secretForms match a secret in their only group; what surrounds it stays.
var secretForms = []*regexp.Regexp{
	// name=value, and name = value unless an option follows.
	regexp.MustCompile(`(?i)` + secretName + `\s*=+(` + quoted + `|` + bare + `)`),
	regexp.MustCompile(`(?i)` + secretName + `\s*=+>?\s+(` + quoted + `|[^\s"'&;,|-][^\s"'&;,|]*)`),
	regexp.MustCompile(`(?i)\bpwd\s*=\s*(` + quoted + `|[^\s"'&;,|/-][^\s"'&;,|]*)`),
	// name:value and name: value, but neither "/run/db_password:ro" nor
	// "/a:/etc/passwd:/b" nor "arn:...:secret:name", which are names of places.
	regexp.MustCompile(`(?i)(?:^|[^\w./:-])[\w.-]*` + secretName + `:(` + quoted + `|[^\s"'&;,|/:][^\s"'&;,|]*)`),
	regexp.MustCompile(`(?i)(?:^|[^\w./:-])[\w.-]*` + secretName + `\s*:\s+(` + quoted + `|` + bare + `)`),
	// --db-password value
	regexp.MustCompile(`(?i)(?:^|\s)--?(?:[a-z0-9]+[._-])*(?:` + secretWord + `|pass|pwd)\s+(` + quoted + `|[^\s"'-]\S*)`),
	regexp.MustCompile(`(?i)\baws_(?:secret_access_key|session_token)\s+([^\s"'-]\S*)`),
	// Credentials in requests and addresses.
	regexp.MustCompile(`(?i)\bauthorization["']?\s*[:=]?\s*["']?(?:basic|bearer|token)\s+([^\s"']+)`),
	regexp.MustCompile(`(?i)\bbearer\s+([A-Za-z0-9._~+/-]{12,}=*)`),
	regexp.MustCompile(`\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*:([^\s/?#]+)@`),
	regexp.MustCompile(`\b[a-zA-Z][a-zA-Z0-9+.-]*://([A-Za-z0-9_-]{20,})@`),
	// Options of common clients.
	regexp.MustCompile(`\b(?:mysql|mariadb)[a-z_-]*\b[^|;]*?\s-p(\S+)`),
	regexp.MustCompile(`\b(?:sshpass|(?:docker|podman|nerdctl|oras|oc|az|registry|auth)\s+login)\b[^|;]*?\s-p\s*([^\s-]\S*)`),
	regexp.MustCompile(`\bcurl\b[^|;]*?\s(?:-[a-zA-Z]*[uU]|--(?:proxy-)?user)[\s=]*["']?[^\s:"']*:([^\s"']+)`),
	regexp.MustCompile(`\s-(?:u|user|username)[\s=]+\S+\s(?:[^|;]*?\s)?-p\s+([^\s-]\S{2,}[^\s0-9]\S*)`),
	regexp.MustCompile(`\b(?:7z[ar]?|unrar|rar|zip|unzip)\b[^|;]*?\s-[pP]\s*(\S+)`),
	regexp.MustCompile(`\bredis-cli\b[^|;]*?\s-a\s+(\S+)`),
	regexp.MustCompile(`\bldap(?:add|compare|delete|modify|modrdn|passwd|search|whoami)\b[^|;]*?\s-w\s*(\S+)`),
	regexp.MustCompile(`\b(?:smbclient|rpcclient|smbcacls|net)\b[^|;]*?\s(?:-U\s*|--user=)[^\s%]+%(\S+)`),
	regexp.MustCompile(`\blftp\b[^|;]*?\s(?:-u\s*|--user=)[^\s,]+,(\S+)`),
	regexp.MustCompile(`\bsnmp[a-z]+\b[^|;]*?\s-A\s*(\S+)`),
	regexp.MustCompile(`\bsnmp[a-z]+\b[^|;]*?\s-X\s*(\S+)`),
	regexp.MustCompile(`(?i)\s/p(?:ass(?:word)?)?:(\S+)`),
	regexp.MustCompile(`\s-(?:store|key|src|dest)(?:store)?pass\s+(\S+)`),
	regexp.MustCompile(`\b(?:requirepass|masterauth)\s+(\S+)`),
	regexp.MustCompile(`\\?"auth\\?"\s*:\s*\\?"([A-Za-z0-9+/=_-]{8,})`),
	// Well-known forms.
	regexp.MustCompile(`\b((?:AKIA|ASIA)[A-Z0-9]{16})\b`),
	regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,})`),
	regexp.MustCompile(`\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+)`),
	regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----([^-]+)`),
}

// secretField matches the names of output fields whose whole value is a secret.
var secretField = regexp.MustCompile(`(?i)^proc\.a?env\[[^\]]*` + secretName)

// anyEnvironment matches output fields that hold environment variables.
var anyEnvironment = regexp.MustCompile(`^proc\.a?env\b`)

// Forms that only the strict level hides, in their only group.
var (
	environment = regexp.MustCompile(`(?:^|\s)[A-Z][A-Z0-9_]*=(` + quoted + `|\S+)`)
	randomWord  = regexp.MustCompile(`[A-Za-z0-9_+=-]{16,}`)
)

// hideRandom hides the values of environment variables, and long words of at
// least two of upper case, lower case and digits whose characters are as mixed as
// chance mixes them.
func hideRandom(v string) string {
	v = replaceGroup(environment, v)
	return randomWord.ReplaceAllStringFunc(v, func(w string) string {
		if mixed(w) {
			return Redacted
		}
		return w
	})
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
		a.Fields[name] = hideField(level, name, v, found)
		hidden = hidden || a.Fields[name] != v
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
	case !strings.HasPrefix(name, "proc."):
	case secretField.MatchString(name), level == RedactStrict && anyEnvironment.MatchString(name):
		return Redacted
	}
	return hide(level, v, found)
}

// secretMarks are the words one of which stands in, or before, every secret
// that secretForms know. Most values have none, and are spared the expressions.
var secretMarks = []string{
	"pass", "pwd", "secret", "token", "key", "credential", "bearer", "auth", "://", " -p",
	"curl", "redis-cli", "ldap", "rpcclient", "smbc", "lftp", "snmp", " /p", "7z", "rar", "zip", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "eyj",
}

func hideSecrets(v string) string {
	if !containsAny(strings.ToLower(v), secretMarks) {
		return v
	}
	for _, form := range secretForms {
		v = replaceGroup(form, v)
	}
	return v
}

// replaceGroup puts Redacted in place of the first group of every match.
func replaceGroup(re *regexp.Regexp, v string) string {
	at := re.FindAllStringSubmatchIndex(v, -1)
	for _, a := range slices.Backward(at) {
		if from, to := a[2], a[3]; !strings.HasPrefix(v[from:], Redacted) {
			v = v[:from] + Redacted + v[to:]
		}
	}
	return v
}

func containsAny(s string, marks []string) bool {
	for _, m := range marks {
		if strings.Contains(s, m) {
			return true
		}
	}
	return false
}
