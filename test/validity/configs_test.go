// Package validity holds what playbooks generate against the types and schemas
// that its tools publish. It is a module of its own so that Falconer does not
// get the dependencies of a Kubernetes API server; what needs none of them
// is checked beside the playbooks, in package rules.
package validity

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/rules"
	"falconer/test/corpus"
)

// generated is a configuration and how it came about.
type generated struct {
	processor.Config
	from string
}

// alerts returns those of all examples and, where there are any, real ones, by
// where they come from.
func alerts(t *testing.T, book *rules.Book) map[string][]*processor.Alert {
	t.Helper()
	out := map[string][]*processor.Alert{}
	for _, info := range book.Playbooks() {
		p, _, _ := book.Playbook(info.ID)
		for _, e := range p.Examples {
			data, err := json.Marshal(e.Alert)
			require.NoError(t, err)
			a, err := processor.Decode(data)
			require.NoError(t, err)
			out[info.ID+", "+e.Name] = append(out[info.ID+", "+e.Name], a)
		}
	}
	if os.Getenv("FALCONER_CORPUS") != "" {
		out["real alerts"] = realAlerts(t)
	} else {
		t.Log("FALCONER_CORPUS names no folder with real alerts: only examples are looked at")
	}
	return out
}

func realAlerts(t *testing.T) (out []*processor.Alert) {
	t.Helper()
	for _, l := range corpus.Lines(t, "alerts-dev.jsonl") {
		if a, err := processor.Decode(l.Alert); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// configs returns every configuration once, whatever number of alerts it is for.
func configs(t *testing.T) (out []generated) {
	t.Helper()
	book, err := rules.Builtin()
	require.NoError(t, err)
	seen := map[string]bool{}
	for from, of := range alerts(t, book) {
		for _, a := range of {
			for _, m := range book.Advise(a).Mitigations {
				for _, c := range m.Configs {
					if key := c.Tool + c.Body; !seen[key] {
						seen[key] = true
						out = append(out, generated{c, from + ", " + m.ID})
					}
				}
			}
		}
	}
	return out
}

// standIns are what the operator might write for <a.name>: what is not ready is
// checked as it will be when it is. The first one that fits is taken.
var standIns = []struct {
	name *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`"<[^<>"]*port>"`), `8443`},
	{regexp.MustCompile(`<[^<>"]*(cidr|network)>`), `192.0.2.0/24`},
	{regexp.MustCompile(`<[^<>"]*ip>`), `192.0.2.1`},
	{regexp.MustCompile(`<[^<>"]*base64-key[^<>"]*>`), `AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=`},
	{regexp.MustCompile(`<[a-z][a-zA-Z0-9._-]*(\[\d+\])?>`), `filled-in`},
}

// filledIn returns the body with a stand-in for all that the operator fills in.
func filledIn(body string) string {
	for _, s := range standIns {
		body = s.name.ReplaceAllString(body, s.text)
	}
	return body
}

// readers are the tools that this module knows: each says what is wrong with
// configuration for it. The others have their readers in package rules.
var readers = map[string]func(body string) []string{
	"kubernetes":       manifests,
	"kubernetes-patch": patch,
	"kube-apiserver":   component,
	"kubelet":          component,
	"cilium":           manifests,
	"calico":           manifests,
	"kyverno":          manifests,
	"gatekeeper":       manifests,
	"seccomp":          seccomp,
	"compose":          composeFile,
}

// TestGeneratedConfigurationIsValid is about every configuration of every
// example's alert, and of real ones.
func TestGeneratedConfigurationIsValid(t *testing.T) {
	seen := map[string]int{}
	for _, c := range configs(t) {
		read, ok := readers[c.Tool]
		if !ok {
			continue
		}
		seen[c.Tool]++
		for _, problem := range read(filledIn(c.Body)) {
			t.Errorf("%s, %s: %s\n%s", c.from, c.Tool, problem, c.Body)
		}
	}
	t.Logf("configurations by tool, each once: %v", seen)
	require.NotEmpty(t, seen)
}

func TestStandIns(t *testing.T) {
	for body, want := range map[string]string{
		`port: "<fd.rport>"`:             `port: 8443`,
		`cidr: "<fd.rip>/32"`:            `cidr: "192.0.2.1/32"`,
		`name: "<your.claim>"`:           `name: "filled-in"`,
		`name: "<proc.aname[2]>"`:        `name: "filled-in"`,
		`expression: "a < b && c > d"`:   `expression: "a < b && c > d"`,
		`cidr: "<your.egress-cidr>"`:     `cidr: "192.0.2.0/24"`,
		`- "<your.first>/<your.second>"`: `- "filled-in/filled-in"`,
	} {
		require.Equal(t, want, filledIn(body))
	}
}
