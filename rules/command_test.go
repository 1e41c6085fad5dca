package rules

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

// hostile are values that an attacker may choose.
var hostile = []string{
	"plain", "two words", "", " ", "'", `"`, `\`, "`id`", "$(id)", "${HOME}", "$HOME", "!!", "it's!x", "a!b", "~", "~root", "*", "?", "[a]",
	"{a,b}", "a;b", "a&b", "a|b", "a>b", "<a", "#a", "a#b", "=a", "a=b", "if", "done", "\n", "a\nb", "\r", "\t", "\x1b[31mred\x1b[0m", "\x07",
	"\u202egpj.exe", "\u200b", "\u00a0", "\ufeff", "\ufffd", "\xff\xfe", "é", "😀", "-rf", "--help", "--", "-", "%1", "^a^b", "a\\\nb", "\x7f",
	"$'a'", "';id;'", `"; id; "`, "\\x41", "a b\u202e'c", "é'\n", "\u2028", "a\x80b!c", "\u034f0", "\u2800", "\u3164x", "a\ufe0f", strings.Repeat("'", 50), "!\x01'",
}

// parse is readLine for a line that must be readable.
func parse(t testing.TB, line string) (commands [][]string, file string) {
	t.Helper()
	commands, file, err := readLine(line)
	require.NoError(t, err, "%q", line)
	return commands, file
}

func TestQuoteIsReadBack(t *testing.T) {
	for _, s := range hostile {
		commands, _ := parse(t, "x "+quote(s))
		require.Equal(t, [][]string{{"x", s}}, commands, "%q as %s", s, quote(s))
		require.Equal(t, processor.Visible(quote(s)), quote(s), "nothing is hidden in the line")
	}
}

func TestQuoteIsReadBackByRealShells(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "ksh"} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skip(err)
			}
			for _, s := range hostile {
				out, err := exec.Command(shell, "-c", "printf %s "+quote(s)).Output()
				require.NoError(t, err)
				require.Equal(t, s, string(out), quote(s))
			}
		})
	}
}

func TestQuoteForm(t *testing.T) {
	for s, want := range map[string]string{
		"":                `''`,
		"/usr/bin/x-1.2":  `/usr/bin/x-1.2`,
		"--since=-2h":     `--since=-2h`,
		"a=b":             `'a=b'`,
		"-o=jsonpath={.a": `'-o=jsonpath={.a'`,
		"it's":            `'it'\''s'`,
		"it's!":           `'it'\''s!'`,
		"!":               `'!'`,
		"if":              `'if'`,
		"a\u202eb'!":      `$'a\xe2\x80\xaeb\x27\x21'`,
		"a\nb":            `$'a\nb'`,
		"<k8s.pod.name>":  `'<k8s.pod.name>'`,
	} {
		require.Equal(t, want, quote(s))
	}
}

// stepBook returns a book whose playbook for rule R has one mitigation with the
// given keys.
func stepBook(t testing.TB, keys string) *Book {
	t.Helper()
	return bookOf(t, sound+"    mitigations:\n      - {id: m, title: M, kind: tune, horizon: now, risk: reversible, "+keys+"}\n")
}

func onlyCommand(t testing.TB, b *Book, a *processor.Alert) processor.Command {
	t.Helper()
	m := b.Advise(a).Mitigations
	require.Len(t, m, 1)
	require.Len(t, m[0].Commands, 1)
	return m[0].Commands[0]
}

func TestCommandsHoldHostileValues(t *testing.T) {
	b := stepBook(t, `commands: [{run: [kubectl, -n, "{k8s.ns.name}", "pod/{k8s.pod.name}", --, "{fd.name}"], pipe: [[grep, -F, --, "{fd.name}"]], to: out.txt, explain: x}]`)
	for _, s := range hostile {
		if s == "" {
			continue
		}
		a := alert(map[string]string{"k8s.ns.name": "ns" + s, "k8s.pod.name": s, "fd.name": s})
		c := onlyCommand(t, b, a)
		commands, file := parse(t, c.Line)
		require.Equal(t, [][]string{{"kubectl", "-n", "ns" + s, "pod/" + s, "--", s}, {"grep", "-F", "--", s}}, commands, c.Line)
		require.Equal(t, "out.txt", file)
		require.True(t, c.Ready, c.Line)
		require.Empty(t, c.Missing)
	}
}

func TestCommandsThatAreNotReady(t *testing.T) {
	for name, row := range map[string]struct {
		run     string
		fields  map[string]string
		line    string
		missing []string
		explain string
	}{
		"an absent value shows its name": {
			`[ls, "/x/{fd.name}", "{proc.name}"]`, nil,
			`ls '/x/<fd.name>' '<proc.name>'`,
			[]string{"fd.name", "proc.name"},
			"x",
		},
		"what the operator fills in": {
			`[ls, "{your.dir}"]`, nil, `ls '<your.dir>'`, []string{"your.dir"}, "x",
		},
		"a default is enough": {
			`[ls, "{fd.name|/tmp}"]`, nil, `ls /tmp`, nil, "x",
		},
		"NUL": {
			`[ls, "/x/{fd.name}"]`,
			map[string]string{"fd.name": "a\x00b"},
			`ls '/x/<fd.name>'`,
			[]string{"fd.name"},
			"x The value of `fd.name` holds a NUL character, which no argument can: look at it and fill it in by hand.",
		},
		"an option": {
			`[ls, -l, "{fd.name}"]`,
			map[string]string{"fd.name": "-R"},
			`ls -l '<fd.name>'`,
			[]string{"fd.name"},
			"x The value of `fd.name` begins with a dash and would be read as an option: look at it and fill it in by hand.",
		},
		"an option that a value only begins": {
			`[ls, "{fd.name}.txt"]`, map[string]string{"fd.name": "-R"}, `ls '<fd.name>.txt'`, []string{"fd.name"}, "begins with a dash",
		},
		"behind -- a dash is harmless": {
			`[ls, --, "{fd.name}", "{fd.name}"]`, map[string]string{"fd.name": "-R"}, `ls -- -R -R`, nil, "x",
		},
		"inside an argument a dash is harmless": {
			`[ls, "./{fd.name}"]`, map[string]string{"fd.name": "-R"}, `ls ./-R`, nil, "x",
		},
		"the guard of another program does not help": {
			`[kubectl, exec, p, --, cat, "{fd.name}"]`, map[string]string{"fd.name": "-R"}, `kubectl exec p -- cat '<fd.name>'`, []string{"fd.name"}, "begins with a dash",
		},
		"a value that is -- guards nothing": {
			`[ls, "{proc.name}", "{fd.name}"]`, map[string]string{"proc.name": "--", "fd.name": "-R"}, `ls '<proc.name>' '<fd.name>'`, []string{"proc.name", "fd.name"}, "begins with a dash",
		},
		"only plain words inside another language": {
			`[gcloud, logging, read, 'email="{gcp.user}"']`,
			map[string]string{"gcp.user": `x" OR "a`},
			`gcloud logging read 'email="<gcp.user>"'`,
			[]string{"gcp.user"},
			"has characters that mean something in this argument",
		},
		"a plain word inside another language": {
			`[gcloud, logging, read, 'email="{gcp.user}"']`,
			map[string]string{"gcp.user": `a.b@c.de`},
			`gcloud logging read 'email="a.b@c.de"'`, nil, "x",
		},
		"only plain words for ssh": {
			`[ssh, "{host}", cat, "{fd.name}"]`, map[string]string{"fd.name": "/a;id"}, `ssh node-1 cat '<fd.name>'`, []string{"fd.name"}, "mean something",
		},
		"a value behind a script is an argument": {
			`[sh, -c, 'cat -- "$1"', sh, "{fd.name}"]`, map[string]string{"fd.name": "/a;id"}, `sh -c 'cat -- "$1"' sh '/a;id'`, nil, "x",
		},
		"a value handed over to jq": {
			`[jq, --arg, p, "{fd.name}", '.a == $p']`, map[string]string{"fd.name": `"`}, `jq --arg p '"' '.a == $p'`, nil, "x",
		},
		"a value handed over to awk": {
			`[awk, -v, "p={fd.name}", '$1 == p']`, map[string]string{"fd.name": `"`}, `awk -v 'p="' '$1 == p'`, nil, "x",
		},
		"a secret was redacted": {
			`[ls, "{fd.name}"]`, map[string]string{"fd.name": "/" + processor.Redacted}, `ls '<fd.name>'`, []string{"fd.name"}, "x",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := stepBook(t, fmt.Sprintf(`commands: [{run: %s, explain: x}]`, row.run))
			c := onlyCommand(t, b, alert(row.fields))
			require.Equal(t, row.line, c.Line)
			require.Equal(t, row.missing, c.Missing)
			require.Equal(t, len(row.missing) == 0, c.Ready)
			require.Contains(t, c.Explain.Plain(), row.explain)
		})
	}
}

func TestFileToWriteStaysInItsDirectory(t *testing.T) {
	b := stepBook(t, `commands: [{run: [ls], to: "evidence/{fd.name}.txt"}]`)
	for value, ready := range map[string]bool{
		"cart-0": true, "a.b": true, "../../.ssh/authorized_keys": false, "/etc/passwd": false, ".bashrc": false, "a b": false, "..": false, "a\nb": false,
	} {
		c := onlyCommand(t, b, alert(map[string]string{"fd.name": value}))
		require.Equal(t, ready, c.Ready, value)
		_, file := parse(t, c.Line)
		require.Equal(t, "evidence/"+map[bool]string{true: value, false: "<fd.name>"}[ready]+".txt", file)
	}
}

func TestCommandsAreForTheirPlace(t *testing.T) {
	b := stepBook(t, `commands: [
		{where: kubernetes, run: [in-kubernetes]}, {where: container, run: [in-container]}, {where: host, run: [on-host]}, {where: cluster, run: [in-cluster]}, {where: cloud, run: [in-cloud]},
		{where: kubernetes container, run: [in-both]}, {where: any, run: [anywhere]}, {where: local, run: [here]}, {run: [unsaid]}]`)
	for place, row := range map[string]struct {
		alert *processor.Alert
		want  []string
	}{
		"kubernetes": {alert(map[string]string{"k8s.pod.name": "p"}), []string{"kubernetes in-kubernetes", "kubernetes in-both", "any anywhere", "local here", "any unsaid"}},
		"container":  {alert(map[string]string{"container.id": "0123"}), []string{"container in-container", "container in-both", "any anywhere", "local here", "any unsaid"}},
		"host":       {alert(map[string]string{"container.id": "host"}), []string{"host on-host", "any anywhere", "local here", "any unsaid"}},
		"cluster":    {&processor.Alert{Rule: "R", Source: "k8s_audit"}, []string{"cluster in-cluster", "any anywhere", "local here", "any unsaid"}},
		"cloud":      {&processor.Alert{Rule: "R", Source: "okta"}, []string{"cloud in-cloud", "any anywhere", "local here", "any unsaid"}},
	} {
		t.Run(place, func(t *testing.T) {
			var got []string
			for _, c := range b.Advise(row.alert).Mitigations[0].Commands {
				got = append(got, c.Where+" "+c.Line)
				require.Equal(t, processor.Reversible, c.Risk, "a command has the mitigation's risk")
			}
			require.Equal(t, row.want, got)
		})
	}
}

// FuzzCommand checks that whatever a value is, the line holds exactly the
// arguments that the playbook means, or is not ready and holds none of it.
func FuzzCommand(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	b := stepBook(f, `commands: [{run: [prog, "{fd.name}", "x{fd.name}y", 'q="{fd.name}"', --, "{fd.name}"], pipe: [[tee, "./{fd.name}"]], to: "f-{fd.name}"}]`)
	f.Fuzz(func(t *testing.T, s string) {
		c := onlyCommand(t, b, alert(map[string]string{"fd.name": s}))
		require.Equal(t, processor.Visible(c.Line), c.Line)
		commands, file := parse(t, c.Line)
		require.Len(t, commands, 2)
		require.Len(t, commands[0], 6)
		whole := map[bool]string{true: s, false: "<fd.name>"}
		fine := s != "" && !strings.Contains(s, "\x00")
		dash := strings.HasPrefix(s, "-")
		require.Equal(t, []string{
			"prog", whole[fine && !dash], "x" + whole[fine] + "y", `q="` + whole[fine && plainValue.MatchString(s)] + `"`, "--", whole[fine],
		}, commands[0])
		require.Equal(t, []string{"tee", "./" + whole[fine]}, commands[1])
		require.Equal(t, "f-"+whole[fine && fileName.MatchString(s)], file)
		require.Equal(t, fine && !dash && plainValue.MatchString(s) && fileName.MatchString(s), c.Ready)
	})
}
