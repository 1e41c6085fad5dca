package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"falconer/processor"
	"falconer/processor/stream/doctor"
)

func (a *app) doctorCommand() *cobra.Command {
	observe := 3 * time.Second
	c := a.jsonFlag(&cobra.Command{
		Use:   "doctor",
		Short: "Find out what is wrong, and say what to do",
		Long: `Look at everything that Falconer needs of NATS, and at how the work goes: server
and JetStream, permissions, streams and their settings, replicas, clocks, whether
alerts come in, loops, rules under several subjects, room, workers, backlog, dead
letters. Each finding says what to do next. Give it the settings that workers have
(--nats, --creds, --config).

It stores and changes nothing. Permissions are tried with messages that the server
must refuse; whoever subscribes to falconer.> without JetStream sees them, empty.

A line begins with ok, note, WARN (will be wrong if it goes on) or WRONG. The exit
code is 1 when something is wrong, else 0.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if observe <= 0 {
				return misuse{fmt.Errorf("--observe is %s: want a time such as 3s", observe)}
			}
			return a.doctor(cmd.Context(), observe)
		},
	})
	c.Flags().DurationVar(&observe, "observe", observe, "how long to watch what moves")
	return c
}

func (a *app) doctor(ctx context.Context, observe time.Duration) error {
	findings, err := a.diagnose(ctx, observe)
	if err != nil {
		return err
	}
	if err := a.printFindings(findings); err != nil {
		return err
	}
	if doctor.Worst(findings) == doctor.Wrong {
		return errSaid
	}
	return nil
}

func (a *app) diagnose(ctx context.Context, observe time.Duration) ([]doctor.Finding, error) {
	nc, js, err := a.connect("doctor")
	if err != nil {
		return []doctor.Finding{a.unreached(err)}, nil
	}
	defer nc.Close()
	a.say("Watching for %s ...", observe)
	findings := doctor.Diagnose(ctx, doctor.Config{JS: js, Layout: a.cfg.layout(), Reopen: a.cfg.Reopen, Observe: observe})
	return findings, ctx.Err()
}

// unreached is the finding when there is no connection.
func (a *app) unreached(err error) doctor.Finding {
	f := doctor.Finding{Level: doctor.Wrong, Check: "connection", Found: err.Error()}
	if strings.HasPrefix(f.Found, "no NATS at ") { // what follows stands in Next
		f.Found, _, _ = strings.Cut(f.Found, ": ")
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Next = "give --creds a file that is there"
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		f.Next = "falconer doctor --nats nats://USER:PASSWORD@HOST:4222, or --creds FILE"
	case a.cfg.NATS == "":
		f.Next = "falconer run, which starts a server inside; or name yours: falconer doctor --nats nats://HOST:4222"
	default:
		f.Next = "start the server; or mend host and port of --nats, or what lies between (firewall, TLS)"
	}
	return f
}

// label is a level as people see it: what needs them stands out.
func label(l doctor.Level) string {
	if l == doctor.Warn || l == doctor.Wrong {
		return strings.ToUpper(string(l))
	}
	return string(l)
}

func (a *app) printFindings(findings []doctor.Finding) error {
	if a.asJSON {
		for _, f := range findings {
			if err := a.printJSON(f); err != nil {
				return err
			}
		}
		return nil
	}
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Check))
	}
	for _, f := range findings {
		if _, err := fmt.Fprintf(a.out, "%-5s  %-*s  %s\n", label(f.Level), width, f.Check, processor.Visible(f.Found)); err != nil {
			return err
		}
		if f.Next != "" {
			fmt.Fprintf(a.out, "%-5s  %-*s  -> %s\n", "", width, "", processor.Visible(f.Next))
		}
	}
	a.say("%s", summary(findings))
	return nil
}

func summary(findings []doctor.Finding) string {
	var parts []string
	for _, l := range []doctor.Level{doctor.Wrong, doctor.Warn, doctor.Note, doctor.OK} {
		if n := len(findings) - len(slices.DeleteFunc(slices.Clone(findings), func(f doctor.Finding) bool { return f.Level == l })); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, label(l)))
		}
	}
	return strings.Join(parts, ", ")
}
