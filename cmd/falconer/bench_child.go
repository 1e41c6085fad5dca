package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// child is falconer itself in a process of its own. It lives until its standard
// input is closed, so that none outlives the program that has started it, however
// that ends.
type child struct {
	name    string
	process *os.Process
	in      *os.File
	said    chan string // lines of its standard output; closed at their end
	log     string      // the file with what it writes to stderr
	ended   chan struct{}
	state   *os.ProcessState // when it has ended
	closing sync.Once
}

// startChild starts falconer with these arguments and settings. Of the settings
// that this process has, none is passed on but those.
func startChild(name, dir string, settings map[string]string, args ...string) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has it
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close() //nolint:errcheck // as above
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	defer theirOut.Close() //nolint:errcheck // as above
	c := &child{name: name, in: in, said: make(chan string, 16), log: log.Name(), ended: make(chan struct{})}
	attr := &os.ProcAttr{Env: environment(settings), Files: []*os.File{theirIn, theirOut, log}}
	//nolint:forbidigo // the one place: falconer itself, without a shell, with arguments of this program's own
	if c.process, err = os.StartProcess(exe, append([]string{exe}, args...), attr); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), in.Close(), out.Close())
	}
	go c.listen(out)
	go c.wait()
	return c, nil
}

// environment is that of this process with these settings of falconer and no others.
func environment(settings map[string]string) (env []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "FALCONER_") {
			env = append(env, e)
		}
	}
	for key, value := range settings {
		if value != "" {
			env = append(env, "FALCONER_"+key+"="+value)
		}
	}
	return env
}

func (c *child) listen(out *os.File) {
	defer out.Close() //nolint:errcheck // it was only read
	defer close(c.said)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		c.said <- lines.Text()
	}
}

func (c *child) wait() {
	c.state, _ = c.process.Wait() // it is this process's child, and waited for once
	close(c.ended)
}

// startWait bounds the wait for a child to be ready: it reads back streams, or
// loads playbooks, beside others that do the same.
const startWait = 2 * time.Minute

// line is the next line that the child says.
func (c *child) line(ctx context.Context) (string, error) {
	select {
	case line, ok := <-c.said:
		if !ok {
			return "", c.failure()
		}
		return line, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case <-time.After(startWait):
		return "", fmt.Errorf("%s does not answer after %s", c.name, startWait)
	}
}

// tell writes a line to the child.
func (c *child) tell(line string) error {
	_, err := fmt.Fprintln(c.in, line)
	return err
}

// close lets the child end. It may be called again.
func (c *child) close() {
	c.closing.Do(func() { _ = c.in.Close() }) // what counts is that it is closed
}

// stop has the child end and waits for it; one that does not is killed.
func (c *child) stop() {
	c.close()
	select {
	case <-c.ended:
	case <-time.After(30 * time.Second):
		_ = c.process.Kill() // it has ended if this fails
		<-c.ended
	}
}

// failure says how a child ended that should not have, and its last line.
func (c *child) failure() error {
	<-c.ended
	text, _ := os.ReadFile(c.log) // without it, the exit code must do
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%s has ended (%s); its last line: %s", c.name, c.state, lines[len(lines)-1])
}
