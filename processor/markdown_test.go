package processor

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	gmtext "github.com/yuin/goldmark/text"
)

// hostileTexts try to leave the place that a page gives them.
var hostileTexts = map[string]string{
	"a heading":                 "# Owned",
	"a heading on its own line": "x\n\n# Owned\n",
	"a setext heading":          "x\n===\n",
	"a fence":                   "```\nrm -rf /\n```",
	"a longer fence":            "x\n``````\n# Owned\n``````",
	"a fence of tildes":         "\n~~~\nx\n~~~\n",
	"one backtick":              "`",
	"backticks at both ends":    "`whoami`",
	"runs of backticks":         "a`b``c```d",
	"backticks only":            "``````",
	"a link":                    "[click](https://evil.example)",
	"a reference":               "[click][x]\n\n[x]: https://evil.example",
	"an image":                  "![x](https://evil.example/pixel.png)",
	"an address in angles":      "<https://evil.example>",
	"a bare address":            "https://evil.example/x",
	"a bare address with www":   "see www.evil.example/x",
	"an address in capitals":    "HTTPS://EVIL.EXAMPLE and WWW.EVIL.EXAMPLE",
	"a file transfer":           "ftp://evil.example",
	"a mail address":            "<root@evil.example>",
	"raw HTML":                  "<img src=x onerror=alert(1)>",
	"an HTML block":             "\n<script>alert(1)</script>\n",
	"an HTML comment":           "<!-- x",
	"an entity":                 "&lt;b&gt; &#35; &copy;",
	"emphasis":                  "*a* **b** _c_ __d__ ~~e~~",
	"a list":                    "\n- x\n- y",
	"a numbered list":           "1. x",
	"a numbered list in braces": "1) x",
	"a task":                    "[ ] x",
	"a quotation":               "> x",
	"a rule":                    "\n---\n",
	"a table":                   "a | b\n|---|---|\n| c | d |",
	"a bar":                     "a|b",
	"an escaped bar":            `a\|b\\|c`,
	"backslashes":               `C:\\x\`,
	"a footnote":                "x[^1]\n\n[^1]: y",
	"a mention and an issue":    "@everyone #1",
	"ANSI colours":              "\x1b[31mred\x1b[0m",
	"a terminal title":          "\x1b]0;owned\x07",
	"a cleared screen":          "\x1b[2J\x1b[H",
	"text from right to left":   "\u202egnp.exe",
	"isolates":                  "a\u2066b\u2069c",
	"zero width":                "a\u200bb\u200dc\ufeffd",
	"fillers":                   "\u3164\u115f\uffa0\u2800\u034f\ufe0f\U000e0041",
	"line separators":           "a\u2028b\u2029c\u0085d",
	"carriage returns":          "a\rb\r\nc",
	"tabs and NUL":              "a\tb\x00c",
	"bytes that are no UTF-8":   "a\xffb\xc3",
	"a replacement character":   "cut\uFFFD[...]",
	"spaces at both ends":       "  x  ",
	"spaces only":               "   ",
	"four spaces of code":       "    rm -rf /",
	"a very long word":          strings.Repeat("#", 200),
	"front matter":              "---\ntitle: x\n---",
}

func TestVisible(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"plain text", "sh -c 'id; ls'", "sh -c 'id; ls'"},
		{"letters of any script", "Ünïcode ルール привет", "Ünïcode ルール привет"},
		{"pictures", "😀", "😀"},
		{"line breaks", "a\nb\r\nc", `a\nb\r\nc`},
		{"tabs", "a\tb", `a\tb`},
		{"NUL", "\x00", `\x00`},
		{"delete", "\x7f", `\x7f`},
		{"ANSI", "\x1b[31m", `\x1b[31m`},
		{"one-byte ANSI", "\u009b31m", `\u009b31m`},
		{"direction", "\u202e", `\u202e`},
		{"zero width", "\u200b\ufeff", `\u200b\ufeff`},
		{"fillers that show nothing", "\u3164\u2800", `\u3164\u2800`},
		{"variation selectors", "a\ufe0f", `a\ufe0f`},
		{"spaces that are none of ASCII's", "a\u00a0b\u3000", `a\u00a0b\u3000`},
		{"line separators", "\u2028", `\u2028`},
		{"tags", "\U000e0041", `\U000e0041`},
		{"private use", "\ue000", `\ue000`},
		{"bytes that are no UTF-8, one by one", "a\xff\xc3", `a\xff\xc3`},
		{"a replacement character is one", "\uFFFD", "\uFFFD"},
		{"backslashes stay", `\n`, `\n`},
		{"nothing", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := Visible(row.in)
			require.Equal(t, row.want, got)
			require.Equal(t, got, Visible(got), "what is visible stays")
			require.True(t, utf8.ValidString(got))
		})
	}
}

func TestCodeSpan(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"plain", "ls", "`ls`"},
		{"empty", "", "(empty)"},
		{"a backtick inside", "a`b", "``a`b``"},
		{"the fence is longer than every run", "a`b```c", "````a`b```c````"},
		{"a backtick at the start needs room", "`a", "`` `a ``"},
		{"a backtick at the end needs room", "a`", "`` a` ``"},
		{"a space at one end stays", " a", "` a`"},
		{"spaces at both ends would lose one each", " a ", "`  a  `"},
		{"spaces only lose none", "  ", "`  `"},
		{"a line break", "a\nb", "`a\\nb`"},
	} {
		t.Run(row.name, func(t *testing.T) { require.Equal(t, row.want, CodeSpan(row.in)) })
	}
}

// What a reader's Markdown makes of a code span is the value, and only that.
func TestCodeSpanHolds(t *testing.T) {
	for name, v := range hostileTexts {
		t.Run(name, func(t *testing.T) {
			for _, page := range []string{"see " + CodeSpan(v) + " there", CodeSpan(v), "- **x**: " + CodeSpan(v), "# " + CodeSpan(v)} {
				doc := parse(page)
				require.Equal(t, []string{Visible(v)}, doc.code, page)
				require.Empty(t, doc.foreign, page)
			}
		})
	}
}

func TestCodeCellHolds(t *testing.T) {
	for name, v := range hostileTexts {
		t.Run(name, func(t *testing.T) {
			doc := parse("| a | b |\n|---|---|\n| " + CodeCell(v) + " | end |\n")
			require.Equal(t, []string{Visible(v)}, doc.code)
			require.Equal(t, "end", doc.lastCell)
			require.Equal(t, 4, doc.cells)
			require.Empty(t, doc.foreign)
		})
	}
}

func TestCodeBlockHolds(t *testing.T) {
	for name, v := range hostileTexts {
		t.Run(name, func(t *testing.T) {
			for _, page := range []string{CodeBlock("sh", v), "- x:\n\n" + indented("sh", v) + "\n  after\n"} {
				doc := parse(page)
				require.Len(t, doc.blocks, 1, page)
				require.Empty(t, doc.foreign, page)
				lines := strings.Split(strings.TrimRight(v, "\n"), "\n")
				require.Equal(t, len(lines), strings.Count(doc.blocks[0], "\n"), "lines are kept")
			}
		})
	}
	require.Equal(t, "```sh\na\n\tb\\x1b\n```\n", CodeBlock("sh", "a\n\tb\x1b\n\n"), "tabs are kept, control characters shown")
}

func TestEscapeHolds(t *testing.T) {
	for name, v := range hostileTexts {
		t.Run(name, func(t *testing.T) {
			for _, page := range []string{Escape(v), "# " + Escape(v), "- **" + Escape(v) + "**: x", "| " + Escape(v) + " |\n|---|\n| x |\n"} {
				doc := parse(page)
				require.Empty(t, doc.code, page)
				require.Empty(t, doc.foreign, page)
			}
			if Escape(v) != "" {
				require.Equal(t, []string{"Document", "Paragraph"}, parse(Escape(v)).shape)
			}
			require.Equal(t, strings.TrimSpace(Visible(v)), strings.TrimSpace(parse("x" + Escape(v)).text[1:]), "nothing is lost")
		})
	}
	require.Equal(t, "Falco internal: syscall event drop, 10% of 5/s", Escape("Falco internal: syscall event drop, 10% of 5/s"), "prose stays readable")
}

// Values of an alert change what a report says, and nothing of how it is built.
func TestReportKeepsItsShapeWhateverTheAlertSays(t *testing.T) {
	plain := reportOf(t, hostileAlert("plain"))
	want := parse(plain.Markdown)
	require.NotEmpty(t, want.shape)
	for name, v := range hostileTexts {
		t.Run(name, func(t *testing.T) {
			r := reportOf(t, hostileAlert("x"+v+"x"))
			got := parse(r.Markdown)
			require.Equal(t, want.shape, got.shape)
			require.Equal(t, want.links, got.links)
			require.Empty(t, got.foreign)
			requireTerminalSafe(t, r.Markdown)
			require.Equal(t, plain.Summary.Plain(), strings.ReplaceAll(r.Summary.Plain(), "x"+Visible(string([]rune(v)))+"x", "plain"))
		})
	}
}

// hostileAlert has v wherever an attacker, or anyone who can publish, may put it.
func hostileAlert(v string) []byte {
	over := fields{"hostname": v, "output": v, "tags": []string{v}, "rule": "r " + v, "source": v}
	for _, name := range []string{
		"proc.cmdline", "proc.name", "proc.exepath", "fd.name", "user.name", "user.loginname", "k8s.ns.name", "k8s.pod.name",
		"container.name", "container.id", "container.image.repository", "container.image.tag", "evt.type", "custom.field",
	} {
		over[name] = v
	}
	over["evt."+v+".name"] = "a field whose name is hostile"
	return alertJSON(shellRule, epoch, over)
}

// requireTerminalSafe: a page may be printed as it is.
func requireTerminalSafe(t *testing.T, page string) {
	t.Helper()
	for line := range strings.SplitSeq(page, "\n") {
		require.Equal(t, visibleLine(line), line)
	}
}

func FuzzMarkdown(f *testing.F) {
	for _, v := range hostileTexts {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if v == "" {
			return
		}
		require.Equal(t, []string{Visible(v)}, parse("x "+CodeSpan(v)).code)
		require.Equal(t, []string{"Document", "Paragraph", "code"}, parse(CodeSpan(v)).shape)
		require.Equal(t, []string{"Document", "Paragraph"}, parse("x"+Escape(v)).shape)
		if Escape(v) != "" {
			require.Equal(t, []string{"Document", "Paragraph"}, parse(Escape(v)).shape)
		}
		require.Equal(t, []string{Visible(v)}, parse("|"+CodeCell(v)+"|\n|-|\n").code)
		require.Len(t, parse(CodeBlock("", v)).blocks, 1)
		for _, page := range []string{CodeSpan(v), "| " + CodeCell(v) + " |\n|---|\n", CodeBlock("sh", v), Escape(v), "# " + Escape(v)} {
			require.Empty(t, parse(page).foreign, page)
			requireTerminalSafe(t, page)
		}
	})
}

// parsed is what a CommonMark reader with GitHub's extensions makes of a page.
type parsed struct {
	shape    []string // kinds of nodes in order, text left out
	foreign  []string // nodes that only markup of our own may make, and here nothing did
	links    []string
	code     []string // contents of code spans
	blocks   []string // contents of code blocks
	text     string
	cells    int
	lastCell string
}

// ours are links that the report itself makes.
const ours = "https://attack.mitre.org/"

func parse(page string) parsed {
	src := []byte(page)
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote)).Parser().Parse(gmtext.NewReader(src))
	var p parsed
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			return p.visit(n, src), nil
		}
		return ast.WalkContinue, nil
	})
	return p
}

func (p *parsed) visit(n ast.Node, src []byte) ast.WalkStatus {
	switch n := n.(type) {
	case *ast.Text:
		p.text += unescape(n, src)
		return ast.WalkContinue
	case *ast.String:
		p.text += string(n.Value)
		return ast.WalkContinue
	case *ast.CodeSpan:
		p.code = append(p.code, childText(n, src))
		p.shape = append(p.shape, "code")
		return ast.WalkSkipChildren
	case *ast.FencedCodeBlock:
		p.blocks = append(p.blocks, string(n.Lines().Value(src)))
	case *ast.Link:
		p.links = append(p.links, string(n.Destination))
		if !strings.HasPrefix(string(n.Destination), ours) {
			p.foreign = append(p.foreign, "link")
		}
	case *ast.AutoLink, *ast.Image, *ast.RawHTML, *ast.HTMLBlock, *ast.CodeBlock, *ast.Blockquote, *extast.TaskCheckBox,
		*extast.Strikethrough, *extast.FootnoteLink, *extast.Footnote:
		p.foreign = append(p.foreign, n.Kind().String())
	case *extast.TableCell:
		p.cells++
		p.lastCell = childText(n, src)
	}
	p.shape = append(p.shape, n.Kind().String())
	return ast.WalkContinue
}

func childText(n ast.Node, src []byte) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			b.Write(c.Segment.Value(src))
		case *ast.String:
			b.Write(c.Value)
		}
	}
	return b.String()
}

// unescape undoes backslashes before punctuation, as a renderer does.
func unescape(n *ast.Text, src []byte) string {
	raw := string(n.Segment.Value(src))
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) && strings.IndexByte("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", raw[i+1]) >= 0 {
			i++
		}
		b.WriteByte(raw[i])
	}
	return b.String()
}

func indented(lang, body string) string {
	p := &page{}
	p.block(lang, body)
	return p.String()
}
