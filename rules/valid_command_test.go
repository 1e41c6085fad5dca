package rules

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

// habitat says where a program is of use: for alerts of these places, or of
// sources that begin so. Rules widen it to alerts whose rule is about the
// program's world; anywhere lets it stand in commands for every place.
type habitat struct {
	places   []string
	sources  []string
	rules    *regexp.Regexp
	anywhere bool
}

var (
	clusters   = habitat{places: []string{"kubernetes", "cluster"}, anywhere: true}
	containers = habitat{places: []string{"kubernetes", "container", "host"}, sources: []string{"docker"}}
	// Some sources that are no machine's system calls tell of a service on one.
	machines = habitat{places: []string{"kubernetes", "container", "host"}, sources: []string{"docker", "gitlab", "nginx"}}
)

// habitats are those of programs that have one; grep is at home everywhere.
var habitats = map[string]habitat{
	"kubectl": clusters, "helm": clusters, "velero": clusters, "kubeadm": clusters, "auger": clusters, "etcdutl": clusters,
	"docker": containers, "crictl": containers, "nerdctl": containers, "ctr": containers, "podman": containers, "nsenter": containers,
	"ps": machines, "ss": machines, "systemctl": machines, "journalctl": machines, "ausearch": machines, "kill": machines,
	"iptables": machines, "nft": machines, "mount": machines, "sysctl": machines, "lsmod": machines, "chattr": machines,
	"rpm": machines, "dpkg": machines, "apt-get": machines, "dnf": machines, "usermod": machines, "passwd": machines,
	// Whoever asks for a machine's AWS credentials is stopped at AWS.
	"aws":    {sources: []string{"aws_cloudtrail"}, rules: regexp.MustCompile(`(?i)\b(aws|ec2|metadata)\b`)},
	"gcloud": {sources: []string{"gcp"}}, "gsutil": {sources: []string{"gcp"}}, "bq": {sources: []string{"gcp"}},
	"gh": {sources: []string{"github"}},
	"az": {sources: []string{"azure"}}, "okta": {sources: []string{"okta"}}, "keycloak": {sources: []string{"keycloak"}},
}

// oktaCall is a request to Okta, whichever program makes it.
var oktaCall = regexp.MustCompile(`(?i)okta[a-z-]*\.com|your\.okta|/api/v1/(users|apps|sessions|logs|policies)`)

func (h habitat) holds(a *processor.Alert, where string) bool {
	switch {
	case len(h.places) == 0 && len(h.sources) == 0:
		return true
	case slices.Contains(h.places, processor.Place(a)), h.rules != nil && h.rules.MatchString(a.Rule):
		return true
	case h.anywhere && (where == "any" || where == "local"):
		return true
	}
	return slices.ContainsFunc(h.sources, func(s string) bool { return strings.HasPrefix(a.Source, s) })
}

// strays returns what is out of place among the commands of a line.
func strays(a *processor.Alert, c processor.Command) []string {
	commands, _, err := readLine(c.Line)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, words := range commands {
		program := path.Base(words[0])
		if oktaCall.MatchString(strings.Join(words, " ")) && (program == "curl" || program == "wget") {
			program = "okta"
		}
		if !habitats[program].holds(a, c.Where) {
			out = append(out, fmt.Sprintf("%s is not at home where an alert of %s in place %s came from", program, a.Source, processor.Place(a)))
		}
	}
	return out
}

// TestCommandsBelongToTheirPlace is about every command of every example's
// alert, and of real ones: bash reads it, it is one pipe of simple commands, and
// its programs are of use for such an alert.
func TestCommandsBelongToTheirPlace(t *testing.T) {
	book := builtin(t)
	var script strings.Builder
	for _, o := range occasions(t, book) {
		for _, m := range book.Advise(o.alert).Mitigations {
			for _, c := range m.Commands {
				script.WriteString(c.Line + "\n")
				for _, problem := range strays(o.alert, c) {
					t.Errorf("%s, %s: %s\n%s", o.from, m.ID, problem, c.Line)
				}
			}
		}
	}
	requireBash(t, script.String())
}

func TestCommandsOutOfPlaceAreFound(t *testing.T) {
	pod := &processor.Alert{Source: "syscall", Rule: "R", Fields: map[string]string{"k8s.pod.name": "p"}}
	host := &processor.Alert{Source: "syscall", Rule: "R"}
	from := func(source string) *processor.Alert { return &processor.Alert{Source: source, Rule: "R"} }
	for name, row := range map[string]struct {
		alert *processor.Alert
		line  string
		good  bool
	}{
		"kubectl for a pod":                  {pod, "kubectl get pods", true},
		"kubectl for a host":                 {host, "kubectl get pods", false},
		"kubectl behind a pipe for a host":   {host, "cat x | kubectl apply -f -", false},
		"docker for an audit log":            {from("k8s_audit"), "docker ps", false},
		"crictl for a cloud":                 {from("aws_cloudtrail"), "crictl ps", false},
		"crictl by its path for a cloud":     {from("aws_cloudtrail"), "/usr/bin/crictl ps", false},
		"aws for CloudTrail":                 {from("aws_cloudtrail"), "aws iam list-users", true},
		"aws for GitHub":                     {from("github"), "aws iam list-users", false},
		"aws for a rule about AWS":           {&processor.Alert{Source: "syscall", Rule: "Find AWS Credentials"}, "aws iam list-users", true},
		"gcloud for Google":                  {from("gcp_auditlog"), "gcloud projects list", true},
		"bq for AWS":                         {from("aws_cloudtrail"), "bq ls", false},
		"gh for Okta":                        {from("okta"), "gh api user", false},
		"a call of Okta for Okta":            {from("okta"), "curl https://x.okta.com/api/v1/users/me", true},
		"a call of Okta for GitHub":          {from("github"), "curl https://x.okta.com/api/v1/users/me", false},
		"ps for a cloud":                     {from("okta"), "ps aux", false},
		"two commands":                       {pod, "kubectl get pods; kubectl get ns", false},
		"a list with &&":                     {pod, "kubectl get pods && kubectl get ns", false},
		"a subshell":                         {pod, "(kubectl get pods)", false},
		"a redirection of the error channel": {pod, "kubectl get pods 2> x", false},
		"a quote that does not end":          {pod, "kubectl get 'pods", false},
	} {
		t.Run(name, func(t *testing.T) {
			found := strays(row.alert, processor.Command{Line: row.line})
			require.Equal(t, row.good, len(found) == 0, "%q", found)
		})
	}
}
