package rules

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"falconer/processor"
)

// These tests read what playbooks make of alerts as the tool that it is for
// would. The checks at load look at a playbook's text; here every value stands
// where it will stand. Tools that publish types or schemas in modules of their
// own are looked at in test/validity.

// occasion is an alert and where it comes from.
type occasion struct {
	from  string
	alert *processor.Alert
}

// occasions are the alerts of all examples and, where there are any, real ones.
func occasions(t *testing.T, b *Book) []occasion {
	t.Helper()
	var out []occasion
	for _, p := range b.playbooks {
		for i := range p.Examples {
			a, err := p.Examples[i].alert()
			require.NoError(t, err)
			out = append(out, occasion{p.ID + ": " + p.Examples[i].Name, a})
		}
	}
	if os.Getenv("FALCONER_CORPUS") == "" {
		t.Log("FALCONER_CORPUS names no folder with real alerts: only examples are looked at")
		return out
	}
	for _, a := range realAlerts(t) {
		out = append(out, occasion{"real alert: " + a.Rule, a})
	}
	return out
}

// configsOf returns all configuration that the advice has, by the mitigation's
// id; the exception stands under its own name.
func configsOf(advice processor.Advice) map[string][]processor.Config {
	out := map[string][]processor.Config{}
	for _, m := range advice.Mitigations {
		out[m.ID] = m.Configs
	}
	if advice.Exception != nil {
		out["exception"] = []processor.Config{*advice.Exception}
	}
	return out
}

// readers look at configuration as the tool of that name would, and return what
// is wrong with it. A tool without one needs a word on why.
func readers(t *testing.T) map[string]func(body string) []string {
	schema := falcoSchema(t)
	elsewhere := func(string) []string { return nil } // in test/validity
	words := func(string) []string { return nil }     // nothing but names, one a line
	return map[string]func(string) []string{
		"falco":               func(body string) []string { return falcoFile(schema, body) },
		"falco.yaml":          falcoEngine,
		"falco-talon":         talonFile,
		"kubernetes":          elsewhere,
		"kubernetes-patch":    elsewhere,
		"kube-apiserver":      elsewhere,
		"kubelet":             elsewhere,
		"cilium":              elsewhere,
		"kyverno":             elsewhere,
		"seccomp":             elsewhere,
		"compose":             elsewhere,
		"helm":                yamlMap, // values of a chart: the chart knows, we do not
		"aws-iam":             iamPolicy(iamOfIdentity),
		"aws-scp":             iamPolicy(iamOfAccounts),
		"aws-rcp":             iamPolicy(iamOfResources),
		"aws-s3-policy":       iamPolicy(iamOfBucket),
		"aws-s3":              bucketEncryption,
		"auditd":              lines(auditRule),
		"fstab":               lines(fstabLine),
		"sysctl":              lines(sysctlLine),
		"kernel-command-line": lines(kernelParameters),
		"sshd":                lines(keyword("sshd", sshdKeywords)),
		"ssh":                 lines(keyword("ssh", sshKeywords)),
		"sudoers":             lines(sudoersLine),
		"apt":                 lines(aptLine),
		"cron":                words,
		"rsyslog":             rsyslogFile,
		"apparmor":            apparmorProfile,
		"shell":               shellFile,
		"systemd":             sections(systemdKeys),
		"journald":            sections(systemdKeys),
		"dnf":                 sections(dnfKeys),
		"nginx":               nginxFile,
		"npmrc":               likeThis(npmSetting),
		"pnpm-workspace":      keyed(pnpmKeys...),
		"php.ini":             likeThis(phpSetting),
		"gitlab.rb":           likeThis(gitlabSetting),
		"java":                likeThis(javaOption),
		"redis":               lines(redisLine),
		"postgresql":          likeThis(sqlStatement),
		"mysql":               sections(mysqlKeys),
		"docker":              keyed(dockerKeys...),
		"mongod":              keyed(mongodKeys...),
		"gcp-org-policy":      gcpOrgPolicy,
		"gcp-iam-deny":        gcpIAMDeny,
		"azure-policy":        azurePolicy,
	}
}

// TestConfigurationIsWhatItsToolReads is about every configuration of every
// example's alert, and of real ones.
func TestConfigurationIsWhatItsToolReads(t *testing.T) {
	book := builtin(t)
	known := readers(t)
	seen, unknown := map[string]int{}, map[string]bool{}
	for _, o := range occasions(t, book) {
		for of, configs := range configsOf(book.Advise(o.alert)) {
			for _, c := range configs {
				read, ok := known[c.Tool]
				if !ok && !unknown[c.Tool] {
					unknown[c.Tool] = true
					t.Errorf("%s, %s: tool %q: name it in readers, with what it would refuse", o.from, of, c.Tool)
				}
				if !ok {
					continue
				}
				seen[c.Tool]++
				for _, problem := range read(c.Body) {
					t.Errorf("%s, %s, %s: %s\n%s", o.from, of, c.Tool, problem, c.Body)
				}
			}
		}
	}
	t.Logf("configurations by tool: %v", seen)
}

// lines makes a reader of a format whose lines stand for themselves.
func lines(read func(line string) string) func(string) []string {
	return func(body string) (problems []string) {
		for line := range strings.Lines(body) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			if problem := read(line); problem != "" {
				problems = append(problems, fmt.Sprintf("line %q: %s", line, problem))
			}
		}
		return problems
	}
}

func yamlMap(body string) []string {
	var m map[string]any
	if err := strictYAML(body, &m); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// strictYAML reads one document.
func strictYAML(body string, into any) error {
	dec := yaml.NewDecoder(strings.NewReader(body))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		return err
	}
	if dec.Decode(new(any)) == nil {
		return fmt.Errorf("more than one document")
	}
	return nil
}

// strictJSON reads one value without unknown keys.
func strictJSON(body string, into any) error {
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if dec.More() {
		return fmt.Errorf("more than one value")
	}
	return nil
}

// facts returns the file of facts beside the real alerts, or nil.
func facts(t *testing.T, name string) []byte {
	t.Helper()
	folder := os.Getenv("FALCONER_CORPUS")
	if folder == "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(folder, "..", "facts", name))
	require.NoError(t, err)
	return data
}

// TestReadersBite gives every reader something that its tool would refuse.
func TestReadersBite(t *testing.T) {
	known := readers(t)
	rows := slices.Concat(falcoBites, lineBites, serviceBites, iamBites, cloudBites)
	for _, row := range rows {
		t.Run(row.tool+"/"+row.name, func(t *testing.T) {
			read := known[row.tool]
			require.NotNil(t, read)
			require.Empty(t, read(row.good), "what is right")
			require.Contains(t, strings.Join(read(row.bad), "\n"), row.problem)
		})
	}
}

// bite is a configuration that is right, one that is not, and what is said of it.
type bite struct{ tool, name, good, bad, problem string }
