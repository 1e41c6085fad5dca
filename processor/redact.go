package processor

import (
	"regexp"
	"slices"
	"strings"
)

// Redaction says which secrets are kept out of state, reports and tasks.
type Redaction string

// The levels of redaction.
const (
	// RedactSecrets, the default, hides values of password, token and key
	// options and variables, credentials in URLs and in the options of common
	// clients, bearer tokens, and strings of a well-known form: AWS access keys,
	// GitHub and Slack tokens, JWTs, private keys.
	RedactSecrets Redaction = "secrets"
	// RedactNothing shows alerts as they are.
	RedactNothing Redaction = "nothing"
)

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
	regexp.MustCompile(`(?i)` + secretName + `\s*=+\s+(` + quoted + `|[^\s"'&;,|-][^\s"'&;,|]*)`),
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
	// Options of common clients.
	regexp.MustCompile(`\b(?:mysql|mariadb)[a-z_-]*\b[^|;]*?\s-p(\S+)`),
	regexp.MustCompile(`\b(?:sshpass|(?:docker|podman|nerdctl|oras|oc|az|registry|auth)\s+login)\b[^|;]*?\s-p\s*([^\s-]\S*)`),
	regexp.MustCompile(`\bcurl\b[^|;]*?\s(?:-[a-zA-Z]*[uU]|--(?:proxy-)?user)[\s=]*["']?[^\s:"']*:([^\s"']+)`),
	regexp.MustCompile(`\bredis-cli\b[^|;]*?\s-a\s+(\S+)`),
	// Well-known forms.
	regexp.MustCompile(`\b((?:AKIA|ASIA)[A-Z0-9]{16})\b`),
	regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,})`),
	regexp.MustCompile(`\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+)`),
	regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----([^-]+)`),
}

// secretField matches the names of output fields whose whole value is a secret.
var secretField = regexp.MustCompile(`(?i)^proc\.a?env\[[^\]]*` + secretName)

// redact replaces secrets in the alert's values and output, and says so.
func (a *Alert) redact(level Redaction) {
	if level == RedactNothing {
		return
	}
	found := false
	for name, v := range a.Fields {
		a.Fields[name] = hideField(name, v)
		found = found || a.Fields[name] != v
	}
	if out := hideSecrets(a.Output); out != a.Output {
		a.Output, found = out, true
	}
	if found {
		a.Notes = append(a.Notes, "what looked like a secret was replaced by "+Redacted)
	}
}

// hideField hides the secrets in the value of an output field.
func hideField(name, v string) string {
	if strings.HasPrefix(name, "proc.") && secretField.MatchString(name) {
		return Redacted
	}
	return hideSecrets(v)
}

// secretMarks are the words one of which stands in, or before, every secret
// that secretForms know. Most values have none, and are spared the expressions.
var secretMarks = []string{
	"pass", "pwd", "secret", "token", "key", "credential", "bearer", "auth", "://", " -p",
	"curl", "redis-cli", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "eyj",
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
