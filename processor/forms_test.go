package processor

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/test/corpus"
)

// everyForm is hideSecrets as it would be if no form needed anything.
func everyForm(text string) string {
	for _, f := range secretForms {
		text = replaceGroup(f.Regexp, text)
	}
	return text
}

// requireNeedsHold holds hideSecrets and hideRandom against the expressions alone.
func requireNeedsHold(t *testing.T, text string) {
	t.Helper()
	want := everyForm(text)
	require.Equal(t, want, hideSecrets(text), "%q", text)
	if want != text {
		require.False(t, harmless(text), "%q", text)
	}
	strict := randomWord.ReplaceAllStringFunc(replaceGroup(environment, want), func(w string) string {
		if mixed(w) {
			return Redacted
		}
		return w
	})
	require.Equal(t, strict, hideRandom(want), "%q", want)
	name := "proc." + text
	require.Equal(t, secretField.MatchString(name), holdsEnvironment(name) && secretField.MatchString(name), "%q", name)
	require.Equal(t, anyEnvironment.MatchString(name), holdsEnvironment(name) && anyEnvironment.MatchString(name), "%q", name)
}

// randomWord is what hideMixed looks for, as an expression.
var randomWord = regexp.MustCompile(`[A-Za-z0-9_+=-]{16,}`)

// What a form needs must never keep it from a text in which it hides something.
func TestFormsNeedNoMoreThanTheyMatch(t *testing.T) {
	met := make([]bool, len(secretForms))
	for _, text := range []string{
		"password\t=\nx", `password\"=x`, `"password\" : \"x"`, "password\n:\t x", "x pass:x", `{"token":"x"}`, "PASSWORD==x", "api-key = x", "SigningKey=x", "pwd = x", "credentials: x",
		"a -Db-Password\tx", "-pass x", "keytool -storepass x", "--x.token\rx", "requirepass\tx", "aws_session_token\nx", "x\t/P:y", "x /pass:y", "x /password:y",
		"Authorization:\tBasic x", "AUTHORIZATION token x", "authorization'='bearer x", "BEARER\t0123456789ab", `"auth\" : "012345678"`,
		"x://:p@", "x://u:p:q@h", "x://0123456789abcdefghij@", "x://y://u:p@h", "mysql\t-px", "mariadb-dump\n-px", "oc login\t-px", "curl\t-su a:b", "curl\n--proxy-user=a:b",
		"x -user y -p abcd", "x -username y\t-p abcd", "unzip\t-Px", "7za -px", "unrar x -px", "redis-cli\t-a x", "ldapwhoami\t-wx", "net x -Ua%b", "net x\t--user=a%b",
		"rpcclient -U a%b", "lftp -ua,b", "lftp --user=a,b", "snmpget -Ax", "snmpwalk\t-X x", "ASIAIOSFODNN7EXAMPLE", "ghr_0123456789abcdefghij", "glpat-0123456789abcdef",
		"eyJhbGciOiJI.eyJzdWIiOiIx.sig", "-----BEGIN XPRIVATE KEY BLOCK-----x", "pa\u017fsword=x", "to\u212aen: x", "--pa\u017f\u017f x", "-\u017f.token x", "pas\xc5\xbfword=x", "pass\xe2\xffword=x",
		"A=x", "x\tA_1=x", "1A=x", "xA=x y", "x9X8y7Y6z5Z4a3A2 b x9X8y7Y6z5Z4=3A2é", "x9X8y7Y6z5Z4a3A", "env[API_KEY]", "aEnv[x.toKen", "env", "aenv[HOME]", "environ[pass]",
	} {
		requireNeedsHold(t, text)
		for i, f := range secretForms {
			met[i] = met[i] || f.MatchString(text)
		}
	}
	for i, f := range secretForms {
		require.True(t, met[i], "no text for %s", f)
	}
	for _, file := range []string{"secrets/testdata/labelled.txt", "secrets/testdata/heldout.txt"} {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range strings.Lines(string(data)) {
			requireNeedsHold(t, line)
			requireNeedsHold(t, strings.NewReplacer("[[", "", "]]", "").Replace(line))
		}
	}
}

func TestFormsNeedNoMoreThanTheyMatchInTheCorpus(t *testing.T) {
	for _, file := range []string{"alerts-dev.jsonl", "alerts-bulk-dev.jsonl"} {
		texts, passed, bytes := 0, 0, 0
		for _, l := range corpus.Lines(t, file) {
			a, err := Decode(l.Alert)
			if err != nil {
				a = &Alert{Output: string(l.Alert)}
			}
			for _, text := range append(values(a.Fields), a.Output) {
				requireNeedsHold(t, text)
				texts++
				bytes += len(text)
				if harmless(text) {
					passed++
				}
			}
		}
		t.Logf("%s: %d texts of %d bytes, %d of them harmless without an expression", file, texts, bytes, passed)
	}
}

func values(fields map[string]string) (all []string) {
	for _, name := range sortedKeys(fields) {
		all = append(all, fields[name])
	}
	return all
}

// FuzzRedactPrefilter holds what forms need against the forms themselves. Each
// byte of the input is a piece of text, so that the fuzzer joins words instead of
// spelling them.
func FuzzRedactPrefilter(f *testing.F) {
	pieces := fuzzPieces()
	for i := range pieces {
		f.Add([]byte{byte(i), 0, byte(i), 1, byte(i), 2, byte(i)}, "")
	}
	f.Add([]byte{}, "mysql -px --password y https://u:p@h")
	f.Fuzz(func(t *testing.T, at []byte, tail string) {
		var b strings.Builder
		for _, i := range at {
			b.WriteString(pieces[int(i)%len(pieces)])
		}
		requireNeedsHold(t, b.String()+tail)
		requireNeedsHold(t, tail+b.String())
	})
}

func fuzzPieces() []string {
	return []string{
		" ", "=", ":", "\t", "\n", "\v", "\\", `"`, "'", "-", "--", "_", ".", "/", "//", "://", "@", "%", ",", ";", "|", "&", "+>", "[redacted]",
		longS, kelvin, "\xc5", "\xbf", "\xe2\x84", "\xaa", "\u00a0", "é", "x", "Q7", "hunter2", "abcdefghijklmnopqrstuvwxyz0123456789", "ABCDEFGHIJKLMNOP", ".abcdefgh",
		"pass", "word", "passwd", "phrase", "ssh", "secret", "Token", "redis", "cli", "_auth", "auth", "key", "access", "private", "api", "encryption", "signing",
		"master", "account", "credential", "s", "pwd", "PWD", "AWS_", "secret_access_key", "session_token", "Authorization", "basic", "bearer", "http",
		"mysql", "mariadb", "dump", "docker", "login", "sshpass", "curl", "proxy-", "user", "name", "7z", "rar", "un", "zip", "redis-cli", "ldap", "search", "modify",
		"smbclient", "net", "lftp", "snmp", "get", "/p", "store", "require", "AKIA", "ASIA", "ghp_", "github_pat_", "glpat-", "xoxb-", "eyJ", "-----BEGIN ", "PRIVATE KEY", "-----", " BLOCK",
		"p", "P", "a", "A", "u", "U", "w", "X", "k", "K", "S", " -p", " -u", " -U", " --user=", "a:b", "a%b", "a,b",
		"env[", "aenv[", "aENV[", "]", "PATH=", "x9X8y7Y6z5Z4", "\xc2",
	}
}
