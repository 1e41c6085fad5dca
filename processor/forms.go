package processor

import (
	"regexp"
	"slices"
	"strings"
)

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

// form matches a secret in its only group; what surrounds it stays.
type form struct {
	*regexp.Regexp
	// needs are signs that every text has in which the form matches, and words, if
	// there are any, those of which it has one. Nearly every text lacks them, and
	// is spared the expression, which costs some 50 ns for each byte.
	needs sign
	words []string
}

// secretForms hide one after another: a later one sees what an earlier one left.
var secretForms = []form{
	// name=value, and name = value unless an option follows.
	{regexp.MustCompile(`(?i)` + secretName + `\s*=+(` + quoted + `|` + bare + `)`), signAssigned, nil},
	{regexp.MustCompile(`(?i)` + secretName + `\s*=+>?\s+(` + quoted + `|[^\s"'&;,|-][^\s"'&;,|]*)`), signAssigned, nil},
	{regexp.MustCompile(`(?i)\bpwd\s*=\s*(` + quoted + `|[^\s"'&;,|/-][^\s"'&;,|]*)`), signAssigned, nil},
	// name:value and name: value, but neither "/run/db_password:ro" nor
	// "/a:/etc/passwd:/b" nor "arn:...:secret:name", which are names of places.
	{regexp.MustCompile(`(?i)(?:^|[^\w./:-])[\w.-]*` + secretName + `:(` + quoted + `|[^\s"'&;,|/:][^\s"'&;,|]*)`), signColon, nil},
	{regexp.MustCompile(`(?i)(?:^|[^\w./:-])[\w.-]*` + secretName + `\s*:\s+(` + quoted + `|` + bare + `)`), signColon, nil},
	// --db-password value
	{regexp.MustCompile(`(?i)(?:^|\s)--?(?:[a-z0-9]+[._-])*(?:` + secretWord + `|pass|pwd)\s+(` + quoted + `|[^\s"'-]\S*)`), signOption, nil},
	{regexp.MustCompile(`(?i)\baws_(?:secret_access_key|session_token)\s+([^\s"'-]\S*)`), signSetting, nil},
	// Credentials in requests and addresses.
	{regexp.MustCompile(`(?i)\bauthorization["']?\s*[:=]?\s*["']?(?:basic|bearer|token)\s+([^\s"']+)`), signAuthorization | signScheme, nil},
	{regexp.MustCompile(`(?i)\bbearer\s+([A-Za-z0-9._~+/-]{12,}=*)`), signBearer, nil},
	{regexp.MustCompile(`\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*:([^\s/?#]+)@`), signAddress, nil},
	{regexp.MustCompile(`\b[a-zA-Z][a-zA-Z0-9+.-]*://([A-Za-z0-9_-]{20,})@`), signAddress, nil},
	// Options of common clients.
	{regexp.MustCompile(`\b(?:mysql|mariadb)[a-z_-]*\b[^|;]*?\s-p(\S+)`), signP, []string{"mysql", "mariadb"}},
	{regexp.MustCompile(`\b(?:sshpass|(?:docker|podman|nerdctl|oras|oc|az|registry|auth)\s+login)\b[^|;]*?\s-p\s*([^\s-]\S*)`), signP, []string{"sshpass", "login"}},
	{regexp.MustCompile(`\bcurl\b[^|;]*?\s(?:-[a-zA-Z]*[uU]|--(?:proxy-)?user)[\s=]*["']?[^\s:"']*:([^\s"']+)`), signDash, []string{"curl"}},
	{regexp.MustCompile(`\s-(?:u|user|username)[\s=]+\S+\s(?:[^|;]*?\s)?-p\s+([^\s-]\S{2,}[^\s0-9]\S*)`), signU | signP, nil},
	{regexp.MustCompile(`\b(?:7z[ar]?|unrar|rar|zip|unzip)\b[^|;]*?\s-[pP]\s*(\S+)`), signP, []string{"7z", "unrar", "rar", "zip", "unzip"}},
	{regexp.MustCompile(`\bredis-cli\b[^|;]*?\s-a\s+(\S+)`), signA, []string{"redis-cli"}},
	{regexp.MustCompile(`\bldap(?:add|compare|delete|modify|modrdn|passwd|search|whoami)\b[^|;]*?\s-w\s*(\S+)`), signW, []string{"ldap"}},
	{regexp.MustCompile(`\b(?:smbclient|rpcclient|smbcacls|net)\b[^|;]*?\s(?:-U\s*|--user=)[^\s%]+%(\S+)`), signUser, []string{"smbclient", "rpcclient", "smbcacls", "net"}},
	{regexp.MustCompile(`\blftp\b[^|;]*?\s(?:-u\s*|--user=)[^\s,]+,(\S+)`), signDash, []string{"lftp"}},
	{regexp.MustCompile(`\bsnmp[a-z]+\b[^|;]*?\s-A\s*(\S+)`), signA, []string{"snmp"}},
	{regexp.MustCompile(`\bsnmp[a-z]+\b[^|;]*?\s-X\s*(\S+)`), signX, []string{"snmp"}},
	{regexp.MustCompile(`(?i)\s/p(?:ass(?:word)?)?:(\S+)`), signSlash, nil},
	{regexp.MustCompile(`\s-(?:store|key|src|dest)(?:store)?pass\s+(\S+)`), signOption, nil},
	{regexp.MustCompile(`\b(?:requirepass|masterauth)\s+(\S+)`), signSetting, nil},
	{regexp.MustCompile(`\\?"auth\\?"\s*:\s*\\?"([A-Za-z0-9+/=_-]{8,})`), signAuth, nil},
	// Well-known forms.
	{regexp.MustCompile(`\b((?:AKIA|ASIA)[A-Z0-9]{16})\b`), signAWS, nil},
	{regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,})`), signForge, nil},
	{regexp.MustCompile(`\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+)`), signJWT, nil},
	{regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----([^-]+)`), signPEM, nil},
}

// hideSecrets puts Redacted in place of what is secret in text.
func hideSecrets(text string) string {
	seen := signs(text)
	for i := range secretForms {
		f := &secretForms[i]
		if !f.possible(text, seen) {
			continue
		}
		if hidden := replaceGroup(f.Regexp, text); hidden != text {
			text, seen = hidden, signs(hidden)
		}
	}
	return text
}

// harmless reports whether it is certain that hideSecrets leaves text as it is. It
// runs no expression and allocates nothing; a text that it does not call harmless
// may still be so.
func harmless(text string) bool {
	seen := signs(text)
	if seen == 0 {
		return true
	}
	for i := range secretForms {
		if secretForms[i].possible(text, seen) {
			return false
		}
	}
	return true
}

// possible reports whether the form may match text, whose signs are seen.
func (f *form) possible(text string, seen sign) bool {
	return seen&f.needs == f.needs && (f.words == nil || slices.ContainsFunc(f.words, func(w string) bool { return hasWord(text, w) }))
}

// hasWord reports whether w stands in text where a word begins, as \b means it.
func hasWord(text, w string) bool {
	for from := 0; ; {
		at := strings.Index(text[from:], w)
		if at < 0 {
			return false
		}
		if from += at; from == 0 || !wordByte(text[from-1]) {
			return true
		}
		from++
	}
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
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
