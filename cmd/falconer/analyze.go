package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"falconer/processor"
	"falconer/processor/stream"
)

// offlineEra is the era in the ids of what was never in a stream.
const offlineEra = "0"

// room is how many outputs an offline ledger gathers before they are printed.
const room = 1000

func (a *app) analyzeCommand() *cobra.Command {
	var follow, all bool
	c := &cobra.Command{
		Use:   "analyze FILE|-",
		Short: "Analyze alerts of a file, without NATS",
		Long: `Analyze one alert, or many as JSON lines, and print one report for each incident.
The times are those of the events. "-" reads standard input.

With --follow the file is read as it grows, and every report is printed when it
is due, as a worker would publish it.

What cannot be understood is named on stderr with its line, and the exit code is 1.`,
		Example: "  falconer analyze alert.json\n  kubectl logs -n falco ds/falco | falconer analyze --follow -",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.analyze(cmd.Context(), args[0], follow, all || follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on reading as the file grows, until Ctrl-C")
	c.Flags().BoolVar(&all, "all", false, "print every report and task that a worker would publish")
	return a.jsonFlag(c)
}

// analysis folds a file's alerts and prints what comes of them.
type analysis struct {
	app    *app
	ledger *processor.Ledger
	all    bool
	at     time.Time
	seq    uint64
	said   int // reports printed
}

func (a *app) analyze(ctx context.Context, name string, follow, all bool) error {
	in, size, err := a.open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	book, err := a.book()
	if err != nil {
		return err
	}
	an := &analysis{app: a, all: all, ledger: processor.NewLedger(processor.Options{
		Book: book, Era: offlineEra, Redaction: a.redaction(), Reopen: a.cfg.Reopen,
	})}
	bar := a.progress(size, "bytes")
	src := io.TeeReader(in, bar)
	if follow {
		src = &grower{ctx: ctx, r: in}
	}
	err = (&cutter{alert: an.alert}).read(ctx, src)
	_ = bar.Finish()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return an.finish()
}

// progress shows a bar on stderr when that is a terminal and the work is long.
func (a *app) progress(total int64, unit string) *progressbar.ProgressBar {
	return a.bar(total, unit, "", total >= 1<<20)
}

// bar is progress for work of which the caller knows what it is and whether it is long.
func (a *app) bar(total int64, unit, what string, long bool) *progressbar.ProgressBar {
	w := a.err
	if !isTerminal(a.err) || !long {
		w = io.Discard
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetDescription(what), progressbar.OptionSetItsString(unit), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
}

// alert folds one alert. The ledger's clock is the time of the events.
func (an *analysis) alert(line int, data []byte) error {
	an.seq++
	if alert, err := processor.Decode(data); err == nil && alert.Time.After(an.at) {
		an.at = alert.Time
	}
	m := processor.Message{Seq: an.seq, Time: an.at, Subject: fmt.Sprintf("line %d", line), Data: data}
	for !an.ledger.Fold(m, room) {
		if err := an.print(); err != nil {
			return err
		}
	}
	return an.print()
}

// print writes what the ledger has for publication.
func (an *analysis) print() error {
	if an.ledger.Pending() == 0 {
		return nil
	}
	ch := an.ledger.Take()
	for i := range ch.Dead {
		d := &ch.Dead[i]
		an.app.say("%s: not understood: %s", d.Subject, d.Reason)
	}
	for i := range ch.Reports {
		if r := &ch.Reports[i]; an.all || r.Kind == processor.KindClosed {
			if err := an.report(r); err != nil {
				return err
			}
		}
	}
	for i := range ch.Tasks {
		if an.all && an.app.asJSON {
			if err := an.app.printJSON(ch.Tasks[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (an *analysis) report(r *processor.Report) error {
	an.said++
	if an.app.asJSON {
		return an.app.printJSON(r)
	}
	if an.said > 1 {
		fmt.Fprintf(an.app.out, "\n\n")
	}
	_, err := io.WriteString(an.app.out, r.Markdown)
	return err
}

// finish prints the incidents that are still open, and the figures.
func (an *analysis) finish() error {
	if err := an.print(); err != nil {
		return err
	}
	if !an.all {
		for _, r := range an.ledger.Snapshot() {
			if err := an.report(&r); err != nil {
				return err
			}
		}
	}
	t := an.ledger.Cursor().Totals
	an.app.say("%d alerts: %d incidents, %d copies of events counted before, %d about Falco itself, %d not understood.",
		t.In, t.Opened, t.Resent, t.Internal, t.Dead)
	switch {
	case t.In == 0:
		return errors.New("no alert in the input")
	case t.Dead > 0:
		return errSaid
	}
	return nil
}

func (a *app) printJSON(v any) error {
	data, err := stream.EncodeJSON(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", data)
	return err
}
