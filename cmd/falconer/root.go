package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"falconer/processor"
	"falconer/processor/secrets"
	"falconer/rules"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitMisuse = 2
)

// misuse is an error in how the program was called.
type misuse struct{ error }

func (m misuse) Unwrap() error { return m.error }

// silent ends the program with exit code 1 without another word: what went
// wrong has been said.
var errSaid = errors.New("already said")

// app is what every command shares: its streams and the configuration.
type app struct {
	in       io.Reader
	out, err io.Writer
	cfg      Config
	asJSON   bool
	// load is rules.Load; tests have one that remembers what it has loaded.
	load func(dirs ...string) (*rules.Book, error)
}

// execute runs the command line and returns the exit code. Results go to out,
// words to err.
func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut, cfg: defaults(), load: rules.Load}
	return a.execute(ctx, args)
}

func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var wrong misuse
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSaid):
		return exitFailed
	case errors.As(err, &wrong):
		fmt.Fprintf(a.err, "falconer: %v\nRun \"falconer --help\" for the commands, \"falconer COMMAND --help\" for one.\n", err)
		return exitMisuse
	case strings.HasPrefix(err.Error(), "unknown command"):
		fmt.Fprintf(a.err, "falconer: %v\n", err)
		return exitMisuse
	}
	fmt.Fprintf(a.err, "falconer: %v\n", err)
	return exitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "falconer",
		Short: "Turn Falco alerts on NATS into incidents, reports and tasks",
		Long: `Falconer folds the raw Falco alerts of a JetStream stream into incidents, and
publishes an analysis report and mitigation tasks for each.

Results go to stdout, words to stderr. Exit codes: 0 ok, 1 failed, 2 misused.
Settings come from a file (--config), then FALCONER_... variables, then flags;
the later wins.`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.cfg.load(cmd.Flags(), os.LookupEnv) },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misuse{err} })
	a.cfg.bind(root.PersistentFlags())
	root.AddGroup(&cobra.Group{ID: "work", Title: "Working:"}, &cobra.Group{ID: "read", Title: "Reading what was published:"}, &cobra.Group{ID: "know", Title: "Knowing:"})
	root.AddCommand(
		grouped("work", a.runCommand(), a.demoCommand(), a.analyzeCommand(), a.replayCommand(), a.setupCommand(), a.statusCommand(), a.doctorCommand(), a.silenceCommand(), a.benchCommand())...)
	root.AddCommand(a.benchServerCommand(), a.benchWorkerCommand())
	root.AddCommand(grouped("read", a.reportsCommand(), a.incidentsCommand(), a.tasksCommand(), a.deadCommand())...)
	root.AddCommand(grouped("know", a.rulesCommand(), a.schemaCommand(), a.versionCommand())...)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.InitDefaultCompletionCmd() // after the above, which it remembers
	for _, c := range root.Commands() {
		strictArgs(c)
	}
	return root
}

func grouped(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = id
	}
	return commands
}

// strictArgs makes wrong arguments a misuse, here and in all subcommands.
func strictArgs(c *cobra.Command) {
	check := c.Args
	if check == nil {
		check = cobra.NoArgs
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return misuse{fmt.Errorf("%s: %w", cmd.CommandPath(), err)}
		}
		return nil
	}
	if c.HasSubCommands() && c.RunE == nil {
		c.RunE = func(cmd *cobra.Command, _ []string) error {
			return misuse{fmt.Errorf("%s: which of %s?", cmd.CommandPath(), strings.Join(names(cmd), ", "))}
		}
	}
	for _, sub := range c.Commands() {
		strictArgs(sub)
	}
}

func names(cmd *cobra.Command) []string {
	var out []string
	for _, c := range cmd.Commands() {
		out = append(out, c.Name())
	}
	return out
}

// log returns the logger that the configuration asks for; it writes to stderr.
func (a *app) log() zerolog.Logger {
	level, err := zerolog.ParseLevel(a.cfg.LogLevel)
	if err != nil {
		level = zerolog.InfoLevel
	}
	w := a.err
	if a.cfg.LogFormat == "console" || a.cfg.LogFormat == "auto" && isTerminal(a.err) {
		w = zerolog.ConsoleWriter{Out: a.err, NoColor: !isTerminal(a.err) || os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// say writes words for a person to stderr.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

// book loads the playbooks. Faults in them are printed one a line.
func (a *app) book() (*rules.Book, error) {
	b, err := a.load(a.cfg.Rules...)
	if err == nil {
		return b, nil
	}
	for _, p := range rules.Problems(err) {
		a.say("%v", p)
	}
	if n := len(rules.Problems(err)); n > 0 {
		return nil, fmt.Errorf("%d fault(s) in the playbooks, named above; nothing was started", n)
	}
	return nil, fmt.Errorf("loading playbooks: %w", err)
}

// redaction is how secrets are kept out of what falconer writes.
func (a *app) redaction() processor.Redaction {
	r := processor.Redaction{Level: processor.RedactionLevel(a.cfg.Redact)}
	if r.Level != processor.RedactOff {
		r.Find = secrets.New().Find
	}
	return r
}

// jsonFlag adds --json to a command.
func (a *app) jsonFlag(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&a.asJSON, "json", false, "print JSON, one value a line")
	return c
}
