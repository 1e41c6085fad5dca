package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor/bench"
)

// bencher measures, one thing after the other.
type bencher struct {
	app     *app
	opts    benchOptions
	dir     string
	server  *child // nil when it is somebody else's
	nc      *nats.Conn
	alone   func() // lets other benches begin
	js      jetstream.JetStream
	inexact int
	taken   []measurement
}

// join starts the server, or joins the one that is named.
func (b *bencher) join(ctx context.Context) (err error) {
	if b.app.cfg.NATS == "" {
		if err := b.startServer(ctx); err != nil {
			return err
		}
	}
	if b.nc, b.js, err = b.app.connect("bench"); err != nil {
		b.stopServer()
		return err
	}
	where := "a server of its own"
	b.alone = func() {}
	if b.server == nil {
		where = b.nc.ConnectedUrlRedacted()
		host, _ := os.Hostname()
		if b.alone, err = (bench.Bed{JS: b.js}).Alone(ctx, fmt.Sprintf("process %d on %s", os.Getpid(), host)); err != nil {
			b.nc.Close()
			return err
		}
	}
	b.app.say("Measuring on %s, nats-server %s; %s/%s, %d CPUs.", where, b.nc.ConnectedServerVersion(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	return nil
}

func (b *bencher) startServer(ctx context.Context) (err error) {
	settings := map[string]string{"DATA": filepath.Join(b.dir, "server"), "LOG_FORMAT": "json"}
	if b.server, err = startChild("server", b.dir, settings, "bench-server", "--profile="+b.profile("server")); err != nil {
		return err
	}
	b.app.cfg.NATS, err = b.server.line(ctx)
	if err != nil {
		b.stopServer()
	}
	return err
}

func (b *bencher) stopServer() {
	if b.server != nil {
		b.server.stop()
	}
}

// profile names the file of a process's profile, or nothing.
func (b *bencher) profile(of ...string) string {
	if b.opts.profile == "" {
		return ""
	}
	return filepath.Join(b.opts.profile, strings.Join(of, "-")+".pprof")
}

// leave removes what was made on somebody else's server, and ends an own one.
func (b *bencher) leave() error {
	defer b.stopServer()
	defer b.nc.Close()
	defer b.alone()
	if b.server != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := bench.Bed{JS: b.js}.Remove(ctx)
	if errors.Is(err, bench.ErrForeign) {
		return nil // why nothing was measured; it has been said
	}
	if err != nil {
		err = fmt.Errorf("the bench's streams may be left on the server; another run there removes them: %w", err)
	}
	return err
}

// rounds measures every mix as often as asked for, and prints what came out.
func (b *bencher) rounds(ctx context.Context) error {
	for _, name := range b.opts.mixes {
		mix, err := bench.MixNamed(name)
		if err != nil {
			return err
		}
		from := len(b.taken)
		for run := range b.opts.repeat {
			if err := b.round(ctx, mix, run+1); err != nil {
				return err
			}
		}
		if !b.app.asJSON {
			b.app.printBench(b.opts, mix, b.taken[from:])
		}
	}
	return b.verdict()
}

// verdict is an error if any run was not exact.
func (b *bencher) verdict() error {
	if b.inexact > 0 {
		return fmt.Errorf("%d measurement(s) were not exact, as said above: please report this", b.inexact)
	}
	return nil
}

// round takes every measurement of one mix once.
func (b *bencher) round(ctx context.Context, mix bench.Mix, run int) error {
	r := &round{bencher: b, load: bench.Load{Mix: mix, Alerts: mix.Of(b.opts.alerts), Seed: b.opts.seed}, run: run}
	if err := r.feed(ctx); err != nil {
		return err
	}
	if err := r.drain(ctx); err != nil {
		return err
	}
	for _, n := range b.opts.workers {
		if err := r.fold(ctx, n); err != nil {
			return err
		}
	}
	for _, n := range b.opts.workers {
		if b.opts.rate == 0 {
			break
		}
		if err := r.react(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// take keeps a measurement, and prints it when each is a line.
func (b *bencher) take(m measurement) error {
	b.taken = append(b.taken, m)
	if len(m.Wrong) > 0 {
		b.inexact++
		b.app.say("NOT EXACT: %s, %s, %s, run %d: %s", m.Mix, m.Measure, workersText(m.Workers), m.Run, strings.Join(m.Wrong, "; "))
	}
	if b.app.asJSON {
		return b.app.printJSON(m)
	}
	b.app.say("%s, %s%s, run %d of %d: %.0f alerts/s", m.Mix, m.Measure, ofWorkers(m.Workers), m.Run, b.opts.repeat, m.PerSecond)
	return nil
}

func ofWorkers(n int) string {
	if n == 0 {
		return ""
	}
	return " by " + workersText(n)
}

// bed is where the alerts of a load have room, and what comes of them.
func (b *bencher) bed(load bench.Load) bench.Bed {
	layout := b.app.cfg.layout()
	layout.Bench = true
	layout.Memory = b.opts.memory
	layout.RawMaxBytes = cmp.Or(layout.RawMaxBytes, roomRaw+int64(load.Alerts)*perAlert)
	layout.OutputMaxBytes = cmp.Or(layout.OutputMaxBytes, roomOut+int64(load.Distinct())*perIncident)
	return bench.Bed{JS: b.js, Layout: layout}
}

// How much room the streams are made with, unless that is given: nothing may be
// dropped, and no worker wait, whatever the mix.
const (
	roomRaw, perAlert    = 256 << 20, 2 << 10
	roomOut, perIncident = 1 << 30, 160 << 10
)
