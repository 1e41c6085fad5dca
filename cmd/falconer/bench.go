package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"falconer/processor/bench"
)

// benchOptions are what a bench is asked to measure.
type benchOptions struct {
	mixes   []string
	alerts  int
	seed    uint64
	workers []int
	rate    int
	lasts   time.Duration
	repeat  int
	memory  bool
	profile string
}

func (a *app) benchCommand() *cobra.Command {
	o := benchOptions{mixes: []string{"storm", "mixed", "unique"}, alerts: 200_000, seed: 1, workers: []int{1, 2}, rate: 2000, lasts: 10 * time.Second, repeat: 1}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast Falconer is on this machine or your NATS",
		Long: `Measure Falconer as it runs: a server and workers, each a process of its own, and
alerts as falcosidekick publishes them, of some 1,250 bytes, 18 output fields and
40 rules. For each mix of alerts

  - they are published, and every acknowledgement is awaited;
  - they are read once by a plain consumer that does nothing ("raw"), which is what
    the speeds are compared with;
  - workers fold them, from when they are told to begin until the last alert is
    counted in a commit; playbooks are loaded before;
  - at a given rate, the time is taken from when the server stored an alert that
    opens an incident to when it stored the report, both by the server's clock.

Mixes: storm (1,000 distinct alerts), mixed (a tenth distinct, repeats mostly soon),
mixed-scattered (a tenth distinct, repeats at any time), unique (all distinct; of
--alerts and --rate it takes a tenth, since each alert makes a report and tasks).

CPU is user and system time of the workers, and of the server, for each alert; RSS
the highest of any worker; "written" the bytes that workers sent to NATS, and the
messages that FALCONER stored, for each alert; "held" what it keeps of them, with
all that the server counts for its size (--json: by kind, messages and bytes).
After each run the sums must show that every alert was counted once: if not, it is
said, and the exit code is 1.

Without --nats a server is started for it, with its files in a temporary folder
(TMPDIR says where: it should be on the disk that you want to know about). With
--nats the streams FALCO and FALCONER are made there and removed at the end. If
they exist already, nothing is touched and nothing measured, unless an earlier
bench has left them. A second bench there is refused, and one beside workers.`,
		Example: "  falconer bench --repeat 5\n  falconer bench --mix storm --workers 1 --rate 0\n  falconer bench --nats nats://bench:secret@nats:4222 --replicas 3 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.checkBench(o); err != nil {
				return misuse{err}
			}
			return a.bench(cmd.Context(), o)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.mixes, "mix", o.mixes, "mixes of alerts to measure: "+strings.Join(mixNames(), ", "))
	f.IntVar(&o.alerts, "alerts", o.alerts, "how many alerts are published for each mix, to be folded as fast as can be")
	f.Uint64Var(&o.seed, "seed", o.seed, "what the alerts are made from; the same seed makes the same")
	f.IntSliceVar(&o.workers, "workers", o.workers, "how many workers run, one measurement for each number")
	f.IntVar(&o.rate, "rate", o.rate, "alerts a second while the time to a report is measured; 0 leaves that out")
	f.DurationVar(&o.lasts, "for", o.lasts, "how long alerts come at that rate")
	f.IntVar(&o.repeat, "repeat", o.repeat, "how often all is measured; medians are printed, with the least and the most")
	f.BoolVar(&o.memory, "memory", o.memory, "keep the streams in memory")
	f.StringVar(&o.profile, "profile", o.profile, "folder for CPU profiles of workers and server, for go tool pprof")
	return a.jsonFlag(c)
}

func mixNames() (names []string) {
	for _, m := range bench.Mixes() {
		names = append(names, m.Name)
	}
	return names
}

// most bounds how many processes and how many alerts are asked for by mistake.
const (
	mostWorkers = 64
	mostAlerts  = 50_000_000
)

// checkBench says what is wrong with the options and what is allowed.
func (a *app) checkBench(o benchOptions) error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, name := range o.mixes {
		_, err := bench.MixNamed(name)
		errs = append(errs, err)
	}
	for _, n := range o.workers {
		want(n >= 1 && n <= mostWorkers, "--workers has %d: want 1 to %d", n, mostWorkers)
	}
	want(len(o.mixes) > 0, "--mix is empty: name one")
	want(len(o.workers) > 0, "--workers is empty: give a number")
	want(o.alerts >= 1 && o.alerts <= mostAlerts, "--alerts is %d: want 1 to %d", o.alerts, mostAlerts)
	want(o.rate >= 0 && o.rate <= 1_000_000, "--rate is %d: want 0 to 1000000", o.rate)
	want(o.lasts >= time.Second && o.lasts <= time.Hour, "--for is %s: want 1s to 1h", o.lasts)
	want(o.repeat >= 1, "--repeat is %d: want at least 1", o.repeat)
	want(a.cfg.NATS != "" || a.cfg.Replicas <= 1, "--replicas %d needs a cluster: name yours with --nats", a.cfg.Replicas)
	want(a.cfg.SourceStream == "", "--source-stream is not for the bench, which publishes alerts of its own: leave it out")
	return errors.Join(errs...)
}

// bench measures all that was asked for, and prints it.
func (a *app) bench(ctx context.Context, o benchOptions) (err error) {
	if _, err := a.book(); err != nil { // whose faults are better said here than by a worker
		return err
	}
	b := &bencher{app: a, opts: o}
	if b.dir, err = os.MkdirTemp("", "falconer-bench-"); err != nil {
		return fmt.Errorf("making a folder for the bench: %w: set TMPDIR to one that can be written", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := makeFolder(o.profile); err != nil {
		return err
	}
	if err := b.join(ctx); err != nil {
		return err
	}
	err = b.rounds(ctx)
	err = errors.Join(err, b.leave())
	if ctx.Err() != nil {
		a.say("Interrupted: what the bench made is removed.")
		return errSaid
	}
	return err
}

// makeFolder makes the folder for profiles, if one is named.
func makeFolder(name string) error {
	if name == "" {
		return nil
	}
	if err := os.MkdirAll(name, 0o700); err != nil {
		return fmt.Errorf("making the folder for profiles: %w", err)
	}
	return nil
}
