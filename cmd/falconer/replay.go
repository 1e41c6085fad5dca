package main

import (
	"bytes"
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
		Use:   "replay",
		Short: "Fold stored alerts again, in memory, and show what comes out",
		Long: `Fold the raw stream again with the playbooks given now. Nothing is published.

Without --diff, one line is printed for each report (--json: the reports). With
--diff, only what differs from what was published: reports that are new, changed
or gone. Reports are compared byte for byte; one that has expired counts as new.

--from and --to bound the time at which alerts were stored, in RFC 3339 or as a
duration before now, such as 6h. A part that does not begin at the stream's start
opens incidents anew that were open before it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			part, err := rawPart(from, to, time.Now())
			if err != nil {
				return misuse{err}
			}
			if part.Committed = diff; diff && from+to != "" {
				return misuse{errors.New("--diff compares the whole stream up to where the workers are: leave --from and --to out")}
			}
			return a.replay(cmd.Context(), part, diff)
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
	part.To, err = parseMoment("--to", to, now)
	return part, err
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

func (a *app) replay(ctx context.Context, part stream.Raw, diff bool) error {
	book, err := a.book()
	if err != nil {
		return err
	}
	nc, js, err := a.connect("replay")
	if err != nil {
		return err
	}
	defer nc.Close()
	rp := &replayed{app: a, diff: diff}
	if diff {
		if rp.published, err = published(ctx, js); err != nil {
			return err
		}
	}
	raw, err := js.Stream(ctx, subjects.RawStream)
	if err != nil {
		return fmt.Errorf("stream %s: %w; run falconer setup first", subjects.RawStream, err)
	}
	bar := a.progress(int64(raw.CachedInfo().State.Msgs), "alerts")
	part.Progress = func(uint64) { _ = bar.Add(1) }
	opts := processor.Options{Book: book, Redaction: processor.Redaction(a.cfg.Redact), Reopen: a.cfg.Reopen}
	if err := stream.Refold(ctx, js, opts, part, rp.partition); err != nil {
		return err
	}
	_ = bar.Finish()
	return rp.finish()
}

// published reads every stored report, by its subject.
func published(ctx context.Context, js jetstream.JetStream) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := stream.List(ctx, js, []string{subjects.Reports}, func(o stream.Output) error {
		out[o.Subject] = o.Data
		return nil
	})
	return out, err
}

// replayed gathers what a replay has shown.
type replayed struct {
	app                 *app
	diff                bool
	published           map[string][]byte
	totals              processor.Totals
	same, changed, anew int
}

func (rp *replayed) partition(_ int, ch processor.Changes) error {
	rp.totals = rp.totals.Add(ch.Cursor.Totals)
	for i := range ch.Reports {
		if err := rp.report(&ch.Reports[i]); err != nil {
			return err
		}
	}
	return nil
}

func (rp *replayed) report(r *processor.Report) error {
	if !rp.diff {
		return rp.app.reportLine(r, "")
	}
	subject := stream.ReportSubject(r)
	data, err := stream.EncodeJSON(r)
	if err != nil {
		return err
	}
	old, known := rp.published[subject]
	delete(rp.published, subject)
	switch {
	case !known:
		rp.anew++
		return rp.app.reportLine(r, "new")
	case bytes.Equal(old, data):
		rp.same++
		return nil
	}
	rp.changed++
	return rp.app.reportLine(r, "changed")
}

func (rp *replayed) finish() error {
	t := rp.totals
	rp.app.say("%d alerts: %d incidents, %d reports, %d copies, %d about Falco itself, %d not understood.", t.In, t.Opened, t.Reports, t.Resent, t.Internal, t.Dead)
	if !rp.diff {
		return nil
	}
	for subject := range rp.published {
		rp.app.say("gone: %s (published, and not made again: the alerts may have aged out)", subject)
	}
	rp.app.say("%d reports the same, %d changed, %d new, %d gone.", rp.same, rp.changed, rp.anew, len(rp.published))
	if rp.changed+rp.anew > 0 {
		return errSaid
	}
	return nil
}
