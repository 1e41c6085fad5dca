package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

func (a *app) replayCommand() *cobra.Command {
	var from, to string
	var diff bool
	c := &cobra.Command{
		Use:   "replay [FILE...]",
		Short: "Fold alerts again, in memory, and show what comes out",
		Long: `Fold alerts again with the playbooks given now. Nothing is published.

Without FILE the alerts are those of the raw stream, and one line is printed for
each report (--json: the reports and tasks). --from and --to bound the time at
which alerts were stored, in RFC 3339 or as a duration before now, such as 6h. A
part that does not begin at the stream's start opens incidents anew that were open
before it.

With --diff, what comes out is compared with what was published, report by report
and task by task, and only differences are printed: what is new, changed (and in
what) or gone. The exit code is 1 if there are any. All stored alerts up to where
the workers have come are folded, so that incidents have their true beginnings;
--from and --to then bound the reports' own times. What began before the oldest
stored alert cannot be compared, and is counted apart. A playbook with another
identity makes other incidents: the old ones are gone, and others new.

With FILE, or "-" for standard input, the alerts are those of old files, as JSON
lines. They are put in the order of the events' times, across all files, and fold
as if they had come then; an alert without a time keeps its place after the one
before it. Every report that a worker would publish is printed as a line (--json:
reports, tasks and dead letters in full), the last ones of incidents that are open
at the end included. The same files give the same bytes, in whatever order they
are named. They are kept in memory, which takes somewhat more than their size.`,
		Example: "  falconer replay --from 6h\n  falconer replay --diff --from 24h --rules ./playbooks\n  falconer replay --json 2026-01-*.jsonl",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			part, err := rawPart(from, to, time.Now())
			switch {
			case err != nil:
				return misuse{err}
			case len(args) > 0 && (diff || from+to != ""):
				return misuse{errors.New("--diff, --from and --to are for the raw stream: leave them out, or the files")}
			case len(args) > 0:
				return a.backfill(cmd.Context(), args)
			case diff:
				return a.compare(cmd.Context(), part.From, part.To)
			}
			return a.replay(cmd.Context(), part)
		},
	}
	c.Flags().StringVar(&from, "from", "", "first time, such as 2026-01-31T12:00:00Z, or 6h for six hours ago")
	c.Flags().StringVar(&to, "to", "", "last time")
	c.Flags().BoolVar(&diff, "diff", false, "show what differs from what was published; exit 1 if anything does")
	return a.jsonFlag(c)
}

func rawPart(from, to string, now time.Time) (part stream.Raw, err error) {
	if part.From, err = parseMoment("--from", from, now); err != nil {
		return part, err
	}
	if part.To, err = parseMoment("--to", to, now); err != nil {
		return part, err
	}
	if !part.To.IsZero() && part.To.Before(part.From) {
		return part, fmt.Errorf("--to %s is before --from %s", to, from)
	}
	return part, nil
}

// parseMoment reads RFC 3339 or a duration before now; empty is the zero time.
func parseMoment(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%s is %q: want a time such as 2026-01-31T12:00:00Z, or a duration before now such as 6h", flag, s)
	}
	return t, nil
}

// replay prints what comes out of a part of the raw stream.
func (a *app) replay(ctx context.Context, part stream.Raw) error {
	book, err := a.book()
	if err != nil {
		return err
	}
	nc, js, err := a.connect("replay")
	if err != nil {
		return err
	}
	defer nc.Close()
	totals, err := a.refold(ctx, js, book, part, func(_ int, ch processor.Changes) error { return a.outputLines(ch) })
	if err != nil {
		return err
	}
	a.sayTotals(totals)
	return nil
}

// outputLines prints reports, a line each; as JSON the tasks too.
func (a *app) outputLines(ch processor.Changes) error {
	for i := range ch.Reports {
		if err := a.reportLine(&ch.Reports[i]); err != nil {
			return err
		}
	}
	for i := range ch.Tasks {
		if err := a.taskLine(&ch.Tasks[i]); err != nil {
			return err
		}
	}
	return nil
}

// refold folds a part of the raw stream with the settings given, and returns the
// sums.
func (a *app) refold(ctx context.Context, js jetstream.JetStream, book processor.Book, part stream.Raw, fn func(int, processor.Changes) error) (sum processor.Totals, err error) {
	raw, err := js.Stream(ctx, subjects.RawStream)
	if err != nil {
		return sum, fmt.Errorf("stream %s: %w; run falconer setup first", subjects.RawStream, err)
	}
	bar := a.progress(int64(raw.CachedInfo().State.Msgs), "alerts")
	defer bar.Finish() //nolint:errcheck // it is only shown
	part.Progress = func(uint64) { _ = bar.Add(1) }
	totals := map[int]processor.Totals{}
	opts := processor.Options{Book: book, Redaction: a.redaction(), Reopen: a.cfg.Reopen}
	err = stream.Refold(ctx, js, opts, part, func(p int, ch processor.Changes) error {
		totals[p] = ch.Cursor.Totals
		return fn(p, ch)
	})
	for _, t := range totals {
		sum = sum.Add(t)
	}
	return sum, err
}

// sayTotals says what became of the alerts that were folded.
func (a *app) sayTotals(t processor.Totals) {
	a.say("%d alerts: %d incidents, %d reports, %d tasks; %d copies of events counted before, %d about Falco itself, %d not understood.",
		t.In, t.Opened, t.Reports, t.Tasks, t.Resent, t.Internal, t.Dead)
}
