//go:build unix

package test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a program that runs until it is stopped, or the test ends.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	log   *capture
	ended chan struct{}
}

// capture keeps what a process writes, and may have somebody hear each line.
type capture struct {
	hear func(line string)
	mu   sync.Mutex
	buf  bytes.Buffer
	rest []byte // the beginning of a line
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hear != nil {
		c.rest = append(c.rest, p...)
		for line, rest, ok := bytes.Cut(c.rest, []byte("\n")); ok; line, rest, ok = bytes.Cut(c.rest, []byte("\n")) {
			c.hear(string(line))
			c.rest = rest
		}
	}
	return c.buf.Write(p)
}

func (c *capture) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

// start runs a program. Its last words are printed if the test fails.
func start(t *testing.T, name, path string, args ...string) *process {
	t.Helper()
	p, err := launch(t, environment(t), nil, name, path, args...)
	require.NoError(t, err)
	t.Cleanup(p.cleanup)
	return p
}

// launch runs a program that the caller ends. Somebody may hear what it says.
func launch(t *testing.T, env []string, hear func(line string), name, path string, args ...string) (*process, error) {
	p := &process{t: t, name: name, cmd: exec.Command(path, args...), log: &capture{hear: hear}, ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, p.log, p.log
	p.cmd.SysProcAttr = dieWithTest()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // the exit code is read from ProcessState
		close(p.ended)
	}()
	return p, nil
}

// environment is the test's without the settings of Falconer and NATS that
// whoever runs the tests may have.
func environment(t testing.TB) []string {
	t.Helper()
	home, err := builds()
	require.NoError(t, err)
	env := []string{"HOME=" + home}
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "_"); name != "FALCONER" && name != "NATS" && name != "XDG" && !strings.HasPrefix(e, "HOME=") {
			env = append(env, e)
		}
	}
	return env
}

func (p *process) cleanup() {
	p.kill()
	if p.t.Failed() {
		p.t.Logf("last words of %s:\n%s", p.name, lastLines(p.log.String(), 20))
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the process as a crash does.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// stop asks the process to end and returns its exit code. It must end in time.
func (p *process) stop(limit time.Duration) int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(limit):
		require.FailNow(p.t, "no end after SIGTERM", "%s still runs after %s:\n%s", p.name, limit, lastLines(p.log.String(), 40))
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// says waits until the process has written what the pattern matches, and returns
// the pattern's first group.
func (p *process) says(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	until(p.t, 30*time.Second, p.name+" to say "+pattern, func() bool {
		running := p.running()
		found = re.FindStringSubmatch(p.log.String())
		require.True(p.t, running || found != nil, "%s has ended:\n%s", p.name, p.log)
		return found != nil
	})
	return found[len(found)-1]
}

// until waits for a condition.
func until(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(limit)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-deadline:
			require.FailNow(t, "waited in vain", "%s for %s", limit, what)
		}
	}
}

// result is what came of a program that ended by itself.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a program to its end.
func run(t *testing.T, path string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = environment(t), &stdout, &stderr, dieWithTest()
	err := cmd.Run()
	require.NoError(t, ctx.Err(), "%s %v has not ended:\n%s%s", path, args, &stdout, &stderr)
	if cmd.ProcessState == nil {
		require.NoError(t, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
