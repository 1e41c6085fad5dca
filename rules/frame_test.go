package rules

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"falconer/processor"
)

// hostileValues are all payloads, numbers as YAML may mean them, and values that
// every form takes.
func hostileValues() []string {
	all := slices.Concat(slices.Collect(maps.Values(payloads))...)
	slices.Sort(all)
	all = append(all, "0", "7", "08", "0777", "0o17", "4294967295", "999999999999999999", "1_000", "12:30:45", "web", "a.b-c", "kube-system", "x'y", "é", "\U0001f985", " x", "x ", "x: y #z")
	if underRace {
		all = all[:len(all)/10]
	}
	return all
}

// eachConfig calls look with every configuration of the book that has a tree, and
// the scope of its mitigation.
func eachConfig(b *Book, look func(m *mitigation, c *config)) {
	seen := map[*config]bool{}
	for _, p := range b.playbooks {
		for _, m := range p.measures {
			for _, c := range m.configs {
				if c.format != "text" && !seen[c] {
					seen[c] = true
					look(m.mitigation, c)
				}
			}
		}
	}
}

// alertFor has for each placeholder of the configuration, and what its lets are
// taken from, what value gives.
func alertFor(m *mitigation, c *config, value func() string) *processor.Alert {
	a := &processor.Alert{Rule: value(), Source: value(), Hostname: value(), Output: value(), Fields: map[string]string{}}
	for _, t := range c.holes {
		for _, name := range t.names() {
			a.Fields[name] = value()
		}
	}
	for _, lets := range []map[string]*extract{m.scope.own, m.scope.all} {
		for e := range maps.Values(lets) {
			for _, from := range e.from {
				a.Fields[from] = value()
			}
		}
	}
	for name, of := range map[string]string{"namespace": "k8s.ns.name", "pod": "k8s.pod.name", "image": "container.image.repository", "user": "user.name", "executable": "proc.exepath"} {
		if _, ok := a.Fields[name]; ok {
			a.Fields[of] = value()
		}
	}
	return a
}

// What is written into a frame must be, byte for byte, what the encoder makes of
// the whole tree: the frame saves work and decides nothing.
func TestFramesAreWhatTheEncoderWrites(t *testing.T) {
	book, all := builtin(t), hostileValues()
	configs, filled, ready := 0, 0, 0
	eachConfig(book, func(m *mitigation, c *config) {
		configs++
		rng := rand.New(rand.NewPCG(1, uint64(configs)))
		pick := func() string { return all[rng.IntN(len(all))] }
		for i, s := range all {
			value := func() string { return s }
			switch i % 3 {
			case 1:
				value = pick
			case 2:
				value = func() string { return pick() + s }
			}
			r := newReader()
			r.set(alertFor(m, c, value))
			r.scope = m.scope
			whole, framed := &filling{}, &filling{}
			require.Equal(t, c.encode(c.fillTree(c.tree, r, whole)), c.fillFrame(r, framed), "%s of %s, line %d", c.tool, m.ID, c.tree.Line)
			require.Equal(t, whole, framed)
			filled++
			if len(framed.missing) == 0 {
				ready++
			}
		}
	})
	t.Logf("%d configurations filled %d times, %d of them ready", configs, filled, ready)
	if !underRace {
		require.Greater(t, configs, 100)
		require.Greater(t, ready, filled/10)
	}
}

func TestFramesKeepWhatStandsBesideAHole(t *testing.T) {
	book := bookOf(t, sound+`    mitigations:
      - id: m
        title: M
        kind: tune
        horizon: now
        risk: reversible
        configs:
          - tool: kubernetes-patch
            yaml:
              # above
              a: "{fd.name}" # beside hole "hole" holes
              b: !!int "{proc.pid}" # a number
              c: [x, "{fd.name}", {d: "{fd.name}"}]
              hole: '"hole"'
              # below
          - tool: kubernetes-patch
            json: {a: "{fd.name}", b: !!int "{proc.pid}", holes: [hole, "\"hole\"", {}, []]}
`)
	for _, name := range []string{"x", `"hole"`, "a\n# b", "holes", "\u202e"} {
		for _, pid := range []string{"1", "007", "0", "x", ""} {
			a := alert(map[string]string{"fd.name": name, "proc.pid": pid})
			for _, c := range book.playbooks[len(book.playbooks)-1].measures[0].configs {
				r := newReader()
				r.set(a)
				r.scope = &scope{}
				want := c.encode(c.fillTree(c.tree, r, &filling{}))
				require.Equal(t, want, c.fillFrame(r, &filling{}))
				require.Len(t, c.frame().text, len(c.holes)+1)
			}
		}
	}
}

func TestExceptionsAreWhatTheEncoderWrites(t *testing.T) {
	book, all, checked := builtin(t), hostileValues(), 0
	for k, p := range book.playbooks {
		if p.except == nil {
			continue
		}
		fields, comps := append(slices.Clip(p.except.fields), "container.image.repository"), append(slices.Clip(p.except.comps), "=")
		for i := k % 5; i < len(all); i += 5 {
			n := 1 + i%len(fields)
			values := make([]string, n)
			for j := range values {
				if values[j] = falcoQuote(strings.ToValidUTF8(all[(i+j)%len(all)], "?")); i%7 == 0 {
					values[j] = "<" + fields[j] + ">"
				}
			}
			rule := all[i]
			want := encodeYAML(exceptionTree(rule, p.except.nameFor(values), fields[:n], comps[:n], values))
			require.Equal(t, want, p.except.body(rule, fields[:n], comps[:n], values), p.ID)
			checked++
		}
	}
	t.Logf("%d exceptions", checked)
}

func TestScalarsAreWhatTheEncoderWrites(t *testing.T) {
	var parts []string
	for c := ' '; c <= '~'; c++ {
		parts = append(parts, string(c))
	}
	parts = append(parts, hostileValues()...)
	parts = append(parts, "true", "null", "No", "y", "a", "Z9", "1", "0x1f", "2001-01-01", "_", "  ", " - ", "1_000", "é", "")
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		s := ""
		for range 1 + rng.IntN(4) {
			s += parts[rng.IntN(len(parts))]
		}
		s = strings.ToValidUTF8(s, "?")
		for _, n := range []*yaml.Node{word(s), {Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: s}} {
			require.Equal(t, encodeYAML(n), scalarYAML(n)+"\n")
			at := encodeYAML(mapping(pair{"a", block(mapping(pair{"b", n}, pair{"c", word("d")}))}))
			require.Equal(t, "a:\n  - b: "+scalarYAML(n)+"\n    c: d\n", at)
		}
	}
}
