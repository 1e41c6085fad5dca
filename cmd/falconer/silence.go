package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

func (a *app) silenceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "silence",
		Short: "Keep alerts quiet for a time: add, list, expire",
		Long: `A silence keeps the alerts that it matches from making reports and tasks until it
ends. They are counted all the same, and their incident says so.

It takes effect at a place of the raw stream: for every alert stored behind it,
and for none before, whichever worker reads them and whenever. A replay does the
same.`,
	}
	c.AddCommand(a.silenceAddCommand(), a.silenceListCommand(), a.silenceExpireCommand())
	return c
}

func (a *app) silenceAddCommand() *cobra.Command {
	var author, reason, until string
	var lasts time.Duration
	c := a.jsonFlag(&cobra.Command{
		Use:   "add MATCHER...",
		Short: "Begin a silence",
		Long: `Begin a silence. All matchers must hold for an alert:

  NAME=VALUE      equal                 NAME!=VALUE     not equal
  NAME=~REGEXP    matches as a whole    NAME!~REGEXP    does not (RE2 syntax)

NAME is rule, source, priority, severity, tag, hostname, an output field such as
k8s.ns.name, or one of ` + strings.Join(processor.DerivedNames(), ", ") + `.
A value that an alert lacks is empty. Secrets are compared as they are redacted.`,
		Example: "  falconer silence add 'rule=Terminal shell in container' k8s.ns.name=ci --for 2h --reason 'debugging the build, CHG-1234'",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			end, err := silenceEnd(lasts, until, time.Now())
			if err != nil {
				return misuse{err}
			}
			s, err := newSilence(args, cmp.Or(author, whoami()), reason, end)
			if err != nil {
				return misuse{err}
			}
			return a.silenceAdd(cmd.Context(), s)
		},
	})
	c.Flags().StringVar(&author, "author", "", "who silences (default: user and host)")
	c.Flags().StringVar(&reason, "reason", "", "why, for whoever wonders later (required)")
	c.Flags().DurationVar(&lasts, "for", 0, "how long, such as 90m or 8h")
	c.Flags().StringVar(&until, "until", "", "when it ends instead, such as 2026-01-31T12:00:00Z")
	return c
}

func silenceEnd(lasts time.Duration, until string, now time.Time) (time.Time, error) {
	switch {
	case lasts != 0 && until != "":
		return time.Time{}, errors.New("give --for or --until, not both")
	case lasts == 0 && until == "":
		return time.Time{}, errors.New("say how long: --for 2h, or --until 2026-01-31T12:00:00Z")
	case lasts < 0:
		return time.Time{}, fmt.Errorf("--for is %s: want a time to come, such as 2h", lasts)
	case lasts > 0:
		return now.Add(lasts).Truncate(time.Second), checkSilenceLength(lasts)
	}
	end, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return end, fmt.Errorf("--until is %q: want a time such as 2026-01-31T12:00:00Z", until)
	}
	if !end.After(now) {
		return end, fmt.Errorf("--until is %s, which is over", until)
	}
	return end, checkSilenceLength(end.Sub(now))
}

func checkSilenceLength(d time.Duration) error {
	if d > processor.MaxSilence {
		return fmt.Errorf("a silence of %d days: at most %d are allowed; what is to be quiet for good belongs into a Falco exception", d/(24*time.Hour), processor.MaxSilence/(24*time.Hour))
	}
	return nil
}

func newSilence(matchers []string, author, reason string, until time.Time) (processor.Silence, error) {
	var list []processor.Matcher
	for _, text := range matchers {
		m, err := processor.ParseMatcher(text)
		if err != nil {
			return processor.Silence{}, err
		}
		list = append(list, m)
	}
	return processor.NewSilence(list, author, reason, until)
}

func (a *app) silenceAdd(ctx context.Context, s processor.Silence) error {
	nc, js, err := a.connect("silence")
	if err != nil {
		return err
	}
	defer nc.Close()
	seq, err := stream.Order(ctx, js, processor.SilenceOrder{Add: &s})
	if err != nil {
		return err
	}
	if a.asJSON {
		return a.printJSON(placedSilence{s, seq})
	}
	fmt.Fprintln(a.out, s.ID)
	a.say("Silenced from sequence %d of %s on, until %s. End it earlier with \"falconer silence expire %s\".", seq, subjects.RawStream, clock(s.Until), s.ID)
	return nil
}

// placedSilence is a silence and its place in the raw stream.
type placedSilence struct {
	processor.Silence
	Seq uint64 `json:"seq"`
}

func (a *app) silenceExpireCommand() *cobra.Command {
	order := processor.Expiry{}
	c := &cobra.Command{
		Use:   "expire ID",
		Short: "End a silence before its time",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			order.ID, order.Author = args[0], cmp.Or(order.Author, whoami())
			return a.silenceExpire(cmd.Context(), order)
		},
	}
	c.Flags().StringVar(&order.Author, "author", "", "who ends it (default: user and host)")
	c.Flags().StringVar(&order.Reason, "reason", "no longer needed", "why")
	return c
}

func (a *app) silenceExpire(ctx context.Context, order processor.Expiry) error {
	nc, js, err := a.connect("silence")
	if err != nil {
		return err
	}
	defer nc.Close()
	known, err := stream.ListSilences(ctx, js)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(known, func(s stream.Silence) bool { return s.ID == order.ID })
	switch {
	case i < 0:
		return fmt.Errorf("no silence %q: see \"falconer silence list\"; one that was added just now is listed when a worker has read it", order.ID)
	case known[i].Ended != nil:
		a.say("Silence %s was ended by %s at %s.", order.ID, processor.Visible(known[i].Ended.Author), clock(known[i].Ended.At))
		return nil
	}
	seq, err := stream.Order(ctx, js, processor.SilenceOrder{Expire: &order})
	if err != nil {
		return err
	}
	a.say("Silence %s ends at sequence %d of %s.", order.ID, seq, subjects.RawStream)
	return nil
}

func (a *app) silenceListCommand() *cobra.Command {
	var over bool
	c := a.jsonFlag(&cobra.Command{
		Use:   "list",
		Short: "List the silences that hold, and what they have silenced",
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.silenceList(cmd.Context(), over) },
	})
	c.Flags().BoolVar(&over, "over", false, "those too that are over")
	return c
}

func (a *app) silenceList(ctx context.Context, over bool) error {
	nc, js, err := a.connect("silence")
	if err != nil {
		return err
	}
	defer nc.Close()
	list, err := stream.ListSilences(ctx, js)
	if err != nil {
		return err
	}
	now := time.Now()
	list = slices.DeleteFunc(list, func(s stream.Silence) bool { return !over && !s.Active(now) })
	if a.asJSON {
		for _, s := range list {
			if err := a.printJSON(s); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list) == 0 {
		a.say("No silences.")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUNTIL\tSTATE\tALERTS\tMATCHERS\tAUTHOR\tREASON")
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", s.ID, clock(s.Until), silenceState(s, now), s.Count, brief(matchersText(s.Matchers)), brief(s.Author), brief(s.Reason))
	}
	return w.Flush()
}

// silenceState says whether a silence holds, and if not everywhere, where.
func silenceState(s stream.Silence, now time.Time) string {
	switch {
	case s.Ended != nil:
		return "ended"
	case !s.Active(now):
		return "over"
	case s.Partitions < s.Of:
		return fmt.Sprintf("in %d of %d partitions", s.Partitions, s.Of)
	}
	return "holds"
}

func matchersText(list []processor.Matcher) string {
	texts := make([]string, len(list))
	for i, m := range list {
		texts[i] = m.String()
	}
	return strings.Join(texts, ", ")
}
