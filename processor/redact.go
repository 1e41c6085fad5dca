package processor

import (
	"regexp"
	"strings"
)

// Redaction says which secrets are kept out of state, reports and tasks.
type Redaction string

// The levels of redaction.
const (
	// RedactSecrets, the default, hides values of password, token and key
	// options and variables, credentials in URLs, bearer tokens, and strings of
	// a well-known form: AWS access keys, GitHub and Slack tokens, JWTs, private keys.
	RedactSecrets Redaction = "secrets"
	// RedactNothing shows alerts as they are.
	RedactNothing Redaction = "nothing"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// secretForms match a secret in group "s"; what surrounds it stays.
var secretForms = []*regexp.Regexp{
	regexp.MustCompile(`(?i)(?:\b|[_-])(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)["']?\s*[=:]\s*(?P<s>"[^"]*"|'[^']*'|[^\s"'&;,|]+)`),
	regexp.MustCompile(`(?i)(?:^|\s)--?(?:pass(?:word|wd|phrase)?|pwd|secret|token|api-?key|access-?key|secret-?key)\s+(?P<s>"[^"]*"|'[^']*'|[^\s-][^\s]*)`),
	regexp.MustCompile(`(?i)\bauthorization:?\s*(?:basic|bearer|token)\s+(?P<s>[^\s"']+)`),
	regexp.MustCompile(`(?i)\bbearer\s+(?P<s>[A-Za-z0-9._~+/-]{12,}=*)`),
	regexp.MustCompile(`\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*:(?P<s>[^\s/@]+)@`),
	regexp.MustCompile(`\b(?P<s>(?:AKIA|ASIA)[A-Z0-9]{16})\b`),
	regexp.MustCompile(`\b(?P<s>gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,})`),
	regexp.MustCompile(`\b(?P<s>eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+)`),
	regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<s>[^-]+)`),
	regexp.MustCompile(`(?:^|\s)(?:mysql|mysqldump|mariadb|sshpass)\b[^|;]*?\s-p(?P<s>[^\s=]+)`),
}

// redact replaces secrets in the alert's values and output, and says so.
func (a *Alert) redact(level Redaction) {
	if level == RedactNothing {
		return
	}
	found := false
	hide := func(v string) string {
		out := hideSecrets(v)
		found = found || out != v
		return out
	}
	for name, v := range a.Fields {
		a.Fields[name] = hide(v)
	}
	a.Output = hide(a.Output)
	if found {
		a.Notes = append(a.Notes, "what looked like a secret was replaced by "+Redacted)
	}
}

// secretMarks are the words one of which stands in, or before, every secret
// that secretForms know. Most values have none, and are spared the expressions.
var secretMarks = []string{
	"pass", "pwd", "secret", "token", "key", "credential", "bearer", "authorization",
	"://", "akia", "asia", "gh", "glpat-", "xox", "eyj", " -p",
}

func hideSecrets(v string) string {
	low := strings.ToLower(v)
	if !containsAny(low, secretMarks) {
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
	for i := len(at) - 1; i >= 0; i-- {
		if from, to := at[i][2], at[i][3]; v[from:to] != Redacted {
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
