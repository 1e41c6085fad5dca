package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"falconer/processor/stream"
	"falconer/subjects"
)

func (a *app) setupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "setup",
		Short: "Make the streams and buckets, or verify those that exist",
		Long: `Make the streams and buckets that are missing and verify the others. Nothing that
exists is ever changed: a difference is named, with what was found and wanted.

Workers do the same at start; run setup alone where they may not make streams.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.setup(cmd.Context()) },
	}
}

func (a *app) setup(ctx context.Context) error {
	nc, js, err := a.connect("setup")
	if err != nil {
		return err
	}
	defer nc.Close()
	made, err := stream.Setup(ctx, js, a.cfg.layout())
	for _, name := range made {
		a.say("made      %s", name)
	}
	if err != nil {
		return err
	}
	for _, name := range []string{subjects.RawStream, subjects.OutputStream, subjects.MembersBucket, subjects.TasksBucket} {
		a.say("verified  %s", name)
	}
	return nil
}

func (a *app) statusCommand() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "status",
		Short: "Show partitions, owners, lag and open incidents",
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) },
	})
}

func (a *app) status(ctx context.Context) error {
	nc, js, err := a.connect("status")
	if err != nil {
		return err
	}
	defer nc.Close()
	st, err := stream.Inspect(ctx, js)
	if err != nil {
		return err
	}
	if a.asJSON {
		return a.printJSON(st)
	}
	return a.printStatus(st)
}

func (a *app) printStatus(st stream.Status) error {
	t := st.Totals
	fmt.Fprintf(a.out, "Alerts     %d taken = %d reported + %d merged + %d resent + %d silenced + %d internal + %d dead; %d wait\n",
		t.In, t.Reported, t.Merged, t.Resent, t.Silenced, t.Internal, t.Dead, st.Lag)
	if t.Gaps > 0 {
		fmt.Fprintf(a.out, "Lost       at most %d alerts in %d gap(s): %s dropped them before they were read. Partitions count the same messages, so it is less\n", t.Lost, t.Gaps, subjects.RawStream)
	}
	fmt.Fprintf(a.out, "Incidents  %d open, %d opened, %d closed; %d reports, %d tasks\n", st.Open, t.Opened, t.Closed, t.Reports, t.Tasks)
	for _, s := range []stream.Fullness{st.Raw, st.Out} {
		fmt.Fprintf(a.out, "%-10s %d messages, %s\n", s.Name, s.Messages, fullness(s))
	}
	fmt.Fprintf(a.out, "Workers    %d\n\n", len(st.Members))
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PARTITION\tOWNER\tEPOCH\tSEQ\tLAG\tOPEN\t")
	for _, p := range st.Partitions {
		fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%d\t%d\t%s\n", p.Partition, owner(p), p.Epoch, p.Seq, p.Lag, p.Totals.Opened-p.Totals.Closed, remark(p))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(st.Members) == 0 {
		a.say("No worker is running: new alerts wait in %s. Start one with \"falconer run\".", subjects.RawStream)
	}
	return nil
}

func owner(p stream.PartitionStatus) string {
	if p.Owner == "" {
		return "none yet"
	}
	return p.Owner
}

func remark(p stream.PartitionStatus) string {
	var out []string
	if p.Owner != "" && !p.Live {
		out = append(out, "owner gone")
	}
	if p.Gap {
		out = append(out, "GAP: unread alerts may have been dropped; the next worker reports it")
	}
	return strings.Join(out, ", ")
}

func fullness(s stream.Fullness) string {
	const mib = 1 << 20
	if s.MaxBytes <= 0 {
		return fmt.Sprintf("%.1f MiB", float64(s.Bytes)/mib)
	}
	return fmt.Sprintf("%.1f of %.0f MiB (%.1f %%)", float64(s.Bytes)/mib, float64(s.MaxBytes)/mib, 100*float64(s.Bytes)/float64(s.MaxBytes))
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "schema [NAME]",
		Short:     "Print the JSON Schema of what is published: " + strings.Join(subjects.SchemaNames(), ", "),
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: subjects.SchemaNames(),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				fmt.Fprintln(a.out, strings.Join(subjects.SchemaNames(), "\n"))
				return nil
			}
			data, err := subjects.Schema(args[0])
			if err != nil {
				return misuse{err}
			}
			_, err = a.out.Write(data)
			return err
		},
	}
}

// version is set by release builds with -ldflags "-X main.version=v1.2.3".
var version string

func (a *app) versionCommand() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "version",
		Short: "Print the version",
		RunE: func(*cobra.Command, []string) error {
			v, err := a.buildVersion()
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(v)
			}
			_, err = fmt.Fprintf(a.out, "falconer %s (commit %s, %s, %s, ATT&CK %s, %d playbooks)\n", v.Version, v.Commit, v.Go, v.Platform, v.Attack, v.Playbooks)
			return err
		},
	})
}

type versionInfo struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	Go        string `json:"go"`
	Platform  string `json:"platform"`
	Attack    string `json:"attack"`
	Playbooks int    `json:"playbooks"`
}

func (a *app) buildVersion() (versionInfo, error) {
	v := versionInfo{Version: version, Commit: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v, errors.New("this binary was built without build information")
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v.Commit = s.Value[:12]
		}
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	book, err := a.load()
	if err != nil {
		return v, err
	}
	v.Attack, v.Playbooks = book.Attack().Version(), len(book.Playbooks())
	return v, nil
}
