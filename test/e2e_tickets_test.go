//go:build unix

package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

// natsCLI is the nats command, as somebody uses it who writes a consumer.
type natsCLI struct {
	t    *testing.T
	path string
	url  string
}

// installedNATS skips the test where the nats command can be had neither from
// FALCONER_NATS_CLI nor from the module proxy.
func installedNATS(t *testing.T, url string) natsCLI {
	t.Helper()
	path, err := natsBinary()
	if err == nil {
		path, err = exec.LookPath(path)
	}
	if err != nil {
		t.Skipf("no nats command; FALCONER_NATS_CLI may name one: %v", err)
	}
	return natsCLI{t, path, url}
}

func (n natsCLI) must(args ...string) string {
	n.t.Helper()
	r := run(n.t, n.path, append([]string{"--server", n.url}, args...)...)
	require.Zero(n.t, r.code, "nats %s:\n%s%s", strings.Join(args, " "), r.stdout, r.stderr)
	return r.stdout
}

// received is a message as the nats command prints it.
type received struct {
	subject string
	tries   int
	header  map[string]string
	body    string
}

var (
	firstLine  = regexp.MustCompile(`^\[[0-9:]+\] subj: (\S+) / tries: (\d+) /`)
	headerLine = regexp.MustCompile(`^  ([A-Za-z-]+): (.*)$`)
)

// next fetches so many messages and acknowledges them.
func (n natsCLI) next(consumer string, count int) (out []received) {
	n.t.Helper()
	text := n.must("consumer", "next", subjects.OutputStream, consumer, "--count", strconv.Itoa(count), "--ack")
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := firstLine.FindStringSubmatch(line); m != nil {
			tries, err := strconv.Atoi(m[2])
			require.NoError(n.t, err)
			out = append(out, received{subject: m[1], tries: tries, header: map[string]string{}})
		} else if m := headerLine.FindStringSubmatch(line); m != nil {
			out[len(out)-1].header[m[1]] = m[2]
		} else if strings.HasPrefix(line, "{") {
			out[len(out)-1].body = line
		}
	}
	return out
}

// waiting asks what the consumer has still to deliver, and what it has delivered twice.
func (n natsCLI) waiting(consumer string) (pending, unacknowledged, redelivered int) {
	n.t.Helper()
	var info struct {
		Pending     int `json:"num_pending"`
		AckPending  int `json:"num_ack_pending"`
		Redelivered int `json:"num_redelivered"`
	}
	require.NoError(n.t, json.Unmarshal([]byte(n.must("consumer", "info", subjects.OutputStream, consumer, "--json")), &info))
	return info.Pending, info.AckPending, info.Redelivered
}

// task is what the tests look at in a task.
type task struct {
	ID         string `json:"id"`
	Incident   string `json:"incident"`
	Previous   string `json:"previous"`
	Mitigation string `json:"mitigation"`
	Severity   string `json:"severity"`
	Kind       string `json:"kind"`
	Key        string `json:"idempotency_key"`
}

func TestTicketingConsumerWithTheNatsCLI(t *testing.T) {
	t.Parallel()
	s, l := overServerInside(t), load{fingerprints: 20}
	cli := installedNATS(t, s.url)
	cli.must("consumer", "add", subjects.OutputStream, "tickets", "--pull", "--filter", subjects.Tasks,
		"--deliver", "all", "--ack", "explicit", "--replay", "instant", "--defaults")

	s.publisher(l).publish(0, 200)
	first := s.tickets(cli, 20)
	s.publisher(l).publish(200, 400)
	s.quiet()
	pending, _, _ := cli.waiting("tickets")
	require.Zero(t, pending, "the same again brings no second ticket")

	s.publisher(l).publish(400, 600)
	again := s.tickets(cli, 20)
	for key, task := range again {
		require.Contains(t, first, key, "what returns has the key of its old ticket")
		require.Equal(t, first[key].Incident, task.Previous)
		require.NotEqual(t, first[key].ID, task.ID)
	}
	s.requireExact(l, 600)
}

// tickets fetches so many tasks, which must be all there are, and returns them
// by their idempotency keys.
func (s *system) tickets(cli natsCLI, want int) map[string]task {
	s.t.Helper()
	until(s.t, waitForOutputs, fmt.Sprintf("%d tasks", want), func() bool { pending, _, _ := cli.waiting("tickets"); return pending >= want })
	out := map[string]task{}
	for _, m := range cli.next("tickets", want) {
		task := requireTask(s.t, m, s.watch.schemas["task.v1"])
		require.NotContains(s.t, out, task.Key)
		out[task.Key] = task
	}
	require.Len(s.t, out, want)
	pending, unacknowledged, redelivered := cli.waiting("tickets")
	require.Zero(s.t, pending+unacknowledged+redelivered)
	return out
}

// requireTask holds a task against its schema, its subject and its headers.
func requireTask(t *testing.T, m received, schema *jsonschema.Schema) (out task) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(m.body)))
	require.NoError(t, err, m.body)
	require.NoError(t, schema.Validate(doc), m.body)
	require.NoError(t, json.Unmarshal([]byte(m.body), &out))
	require.Equal(t, 1, m.tries)
	require.Equal(t, subjects.Task(out.Severity, out.Kind, out.Incident, out.Mitigation), m.subject)
	for key, want := range map[string]string{
		"Falconer-Id": out.ID, "Nats-Msg-Id": out.ID, "Falconer-Schema": "task.v1",
		"Content-Type": "application/json", "Nats-TTL": "168h0m0s",
	} {
		require.Equal(t, want, m.header[key], key)
	}
	return out
}
