package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

func (a *app) deadCommand() *cobra.Command {
	var records map[string]stream.Replayed
	c := a.outputCommand("List, show, follow and replay alerts that could not be understood", listing{
		noun: "dead", header: "TIME\tLETTER\tSIZE\tSUBJECT\tREPLAYED\tREASON",
		before: func(ctx context.Context, js jetstream.JetStream) (err error) {
			records, err = stream.ListReplayed(ctx, js)
			return err
		},
		filters: func(string) []string { return []string{subjects.DeadLetters} },
		line: func(o stream.Output) (string, bool, error) {
			var d processor.DeadLetter
			err := decode(o, &d)
			return fmt.Sprintf("%s\t%s\t%d\t%s\t%s\t%s", clock(d.Time), letterOf(o.ID), d.Size, brief(d.Subject), replayMark(records, o.ID), d.Reason), true, err
		},
		show: func(o stream.Output) (string, error) {
			var d processor.DeadLetter
			err := decode(o, &d)
			text, _ := d.Text()
			return fmt.Sprintf("Sequence %d of the raw stream, %s, published to %s\nReason: %s\nSHA-256: %s\n%s\n%s\n", d.Seq, clock(d.Time), d.Subject, d.Reason, d.SHA256, replayStory(records, o.ID), text), err
		},
		find: func(id string) ([]string, func(stream.Output) bool) {
			name, err := parseLetter(id)
			if err != nil {
				return nil, nil
			}
			return []string{subjects.DeadLetter(name.seq, cmp.Or(name.era, "*"))}, func(stream.Output) bool { return true }
		},
		beside: func(o stream.Output) (any, bool) {
			rec, ok := records[o.ID]
			return rec, ok
		},
	})
	c.AddCommand(a.deadReplayCommand())
	return c
}

// replayMark is the cell of a letter that says whether it was replayed.
func replayMark(records map[string]stream.Replayed, id string) string {
	rec, ok := records[id]
	switch {
	case !ok:
		return "no"
	case rec.RawSeq == 0:
		return "unfinished"
	}
	return fmt.Sprintf("as %d", rec.RawSeq)
}

// replayStory is a line that says what became of a letter, or nothing.
func replayStory(records map[string]stream.Replayed, id string) string {
	rec, ok := records[id]
	switch {
	case !ok:
		return ""
	case rec.RawSeq == 0:
		return fmt.Sprintf("Replay begun %s by %s and not finished: \"falconer dead replay %s\" finishes it\n", clock(rec.At), processor.Visible(rec.By), letterOf(rec.ID))
	}
	return fmt.Sprintf("Replayed %s by %s as sequence %d\n", clock(rec.At), processor.Visible(rec.By), rec.RawSeq)
}

func (a *app) deadReplayCommand() *cobra.Command {
	var all bool
	var by string
	c := &cobra.Command{
		Use:   "replay LETTER...",
		Short: "Publish alerts again, each once, when what made them fail is mended",
		Long: `Publish the alerts of dead letters again, with the bytes they had, on the subjects
they came from: for when a playbook that failed is mended, or falconer has learned
to read them. Workers with the mended playbooks must be running by then; an alert
that fails again makes a new dead letter.

LETTER is the sequence of the alert, or as in "falconer dead list" with the life
of the raw stream; without that, the newest of the sequence is meant.

An alert is published once, however often this is run, by however many, and
whatever crashes: the record beside the letter, falconer.dead.SEQ.ERA.replayed,
says where it stands now. The dead letter stays until it expires.`,
		Example: "  falconer dead replay 4711\n  falconer dead replay --all",
		Args: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return errors.New(`give dead letters, as in "falconer dead list", or --all`)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			letters, err := parseLetters(args)
			if err != nil {
				return misuse{err}
			}
			return a.deadReplay(cmd.Context(), letters, all, cmp.Or(by, whoami()))
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every dead letter that was not replayed yet, and is not a replay that failed again")
	c.Flags().StringVar(&by, "by", "", "who does this, for the record (default: user and host)")
	return a.jsonFlag(c)
}

// letterName names a dead letter: the sequence of its alert, and the life of the
// raw stream; without that the newest of the sequence is meant.
type letterName struct {
	seq uint64
	era string
}

func (n letterName) String() string {
	if n.era == "" {
		return strconv.FormatUint(n.seq, 10)
	}
	return fmt.Sprintf("%d-%s", n.seq, n.era)
}

// letterOf is the name of a dead letter by its id.
func letterOf(id string) string { return strings.TrimPrefix(id, "dead/") }

func parseLetter(text string) (letterName, error) {
	number, era, dashed := strings.Cut(text, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 || dashed && (era == "" || !subjects.Token(era)) {
		return letterName{}, fmt.Errorf("%q is no dead letter: see \"falconer dead list\"", text)
	}
	return letterName{seq, era}, nil
}

func parseLetters(args []string) (names []letterName, err error) {
	for _, arg := range args {
		name, err := parseLetter(arg)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// whoami is the user and the host, as far as they are known.
func whoami() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

func (a *app) deadReplay(ctx context.Context, letters []letterName, all bool, by string) error {
	nc, js, err := a.connect("dead replay")
	if err != nil {
		return err
	}
	defer nc.Close()
	if all {
		if letters, err = unreplayed(ctx, js); err != nil {
			return err
		}
	}
	again := &stream.Again{JS: js, By: by}
	done, failed := 0, 0
	for _, l := range letters {
		rec, fresh, err := again.Replay(ctx, l.seq, l.era)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failed++
			a.say("%s: not replayed: %v", l, err)
			continue
		case fresh:
			done++
		}
		if err := a.sayReplayed(rec, fresh); err != nil {
			return err
		}
	}
	a.say("%d replayed, %d replayed before, %d failed.", done, len(letters)-done-failed, failed)
	if failed > 0 {
		return errSaid
	}
	return nil
}

// unreplayed lists the letters that have no finished replay and come from none,
// oldest first.
func unreplayed(ctx context.Context, js jetstream.JetStream) (letters []letterName, err error) {
	records, err := stream.ListReplayed(ctx, js)
	if err != nil {
		return nil, err
	}
	again := map[letterName]bool{} // what was published again, and failed again
	for id, rec := range records {
		name, err := parseLetter(letterOf(id))
		if err != nil {
			return nil, err
		}
		if rec.Stream == subjects.RawStream {
			name.era = rec.Era
		}
		again[letterName{rec.RawSeq, name.era}] = true
	}
	err = stream.List(ctx, js, []string{subjects.DeadLetters}, func(o stream.Output) error {
		name, err := parseLetter(letterOf(o.ID))
		if err == nil && records[o.ID].RawSeq == 0 && !again[name] {
			letters = append(letters, name)
		}
		return err
	})
	slices.SortFunc(letters, func(a, b letterName) int { return cmp.Or(cmp.Compare(a.era, b.era), cmp.Compare(a.seq, b.seq)) })
	return letters, err
}

func (a *app) sayReplayed(rec stream.Replayed, fresh bool) (err error) {
	switch {
	case a.asJSON:
		return a.printJSON(rec)
	case fresh:
		_, err = fmt.Fprintf(a.out, "%s: replayed as sequence %d\n", letterOf(rec.ID), rec.RawSeq)
	default:
		_, err = fmt.Fprintf(a.out, "%s: already replayed at %s as sequence %d\n", letterOf(rec.ID), clock(rec.At), rec.RawSeq)
	}
	return err
}
