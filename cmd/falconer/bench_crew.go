package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"falconer/processor/bench"
)

// crew are the workers of one measurement.
type crew struct {
	server  *child
	workers []*child
	leaving sync.Once
	quit    context.CancelCauseFunc
	sent    sent
}

// hire starts workers and waits until each is ready to begin. The context that it
// returns ends when one of them, or the server, ends before its time.
func (r *round) hire(ctx context.Context, n int) (*crew, context.Context, error) {
	ctx, quit := context.WithCancelCause(ctx)
	c := &crew{server: r.server, quit: quit}
	if c.server != nil {
		go c.mourn(ctx, c.server)
	}
	for i := range n {
		w, err := r.startWorker(i+1, n)
		if err != nil {
			c.dismiss()
			return nil, nil, err
		}
		c.workers = append(c.workers, w)
		go c.mourn(ctx, w)
	}
	for _, w := range c.workers {
		if _, err := w.line(ctx); err != nil {
			c.dismiss()
			return nil, nil, err
		}
	}
	return c, ctx, nil
}

// startWorker starts one worker with the settings of this command. Which partitions
// are whose follows from the workers' ids, and these from the seed and the run: one
// seed gives the same shares again, and another run may have more luck.
func (r *round) startWorker(i, of int) (*child, error) {
	cfg := r.app.cfg
	settings := map[string]string{
		"NATS": cfg.NATS, "CREDS": cfg.Creds, "RULES": strings.Join(cfg.Rules, ","), "REDACT": cfg.Redact,
		"REOPEN": cfg.Reopen.String(), "RETENTION": cfg.Retention.String(), "LOG_LEVEL": cfg.LogLevel, "LOG_FORMAT": "json",
		"ID": fmt.Sprintf("bench-%d-%d-%d-%d", r.load.Seed, r.run, of, i),
	}
	file := r.profile("worker", r.load.Mix.Name, strconv.Itoa(i), "of", strconv.Itoa(of))
	return startChild(fmt.Sprintf("worker-%d", i), r.dir, settings, "bench-worker", "--profile="+file)
}

// mourn ends the measurement when a process of it ends before the measurement.
func (c *crew) mourn(ctx context.Context, p *child) {
	select {
	case <-ctx.Done():
	case <-p.ended:
		c.quit(p.failure())
	}
}

// begin tells all workers to begin.
func (c *crew) begin() error {
	var errs []error
	for _, w := range c.workers {
		errs = append(errs, w.tell("begin"))
	}
	return errors.Join(errs...)
}

// dismiss has the workers end, and returns what they have sent all together.
func (c *crew) dismiss() sent {
	c.leaving.Do(func() {
		c.quit(nil)
		for _, w := range c.workers {
			w.close()
		}
		for _, w := range c.workers {
			w.stop()
			var s sent
			for line := range w.said {
				if json.Unmarshal([]byte(line), &s) == nil {
					c.sent.Messages += s.Messages
					c.sent.Bytes += s.Bytes
				}
			}
		}
	})
	return c.sent
}

// used is what the processes of a measurement have used.
type used struct {
	workers, server bench.Usage
	known           bool
}

// usage asks what the workers have used, and the server if it is this bench's own.
func (c *crew) usage() (u used) {
	for _, w := range c.workers {
		one, err := bench.UsageOf(w.process.Pid)
		if err != nil {
			return used{}
		}
		u.workers.CPU += one.CPU
		u.workers.Peak = max(u.workers.Peak, one.Peak)
	}
	u.known = true
	if c.server != nil {
		u.server, _ = bench.UsageOf(c.server.process.Pid) // as the workers', which were found
	}
	return u
}
