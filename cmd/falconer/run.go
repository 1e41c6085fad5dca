package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"falconer/processor"
	"falconer/processor/broker"
	"falconer/processor/stream"
	"falconer/subjects"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run a worker: fold alerts, publish reports and tasks",
		Long: `Run a worker until SIGTERM or Ctrl-C; it then commits what it has folded and
lets go of its partitions. Start as many as you like on one NATS.

Without --nats a NATS server is started inside, on 127.0.0.1:4222 with its data
in ./data; point falcosidekick's NATS output at it.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd.Context()) },
	}
}

// run is a worker that works until ctx ends.
func (a *app) run(ctx context.Context) error {
	return a.work(ctx, func(*nats.Conn) error { return nil })
}

// work wires a worker up: playbooks, NATS (its own or inside), streams, worker. It
// works when ready, which is told the connection, has returned.
func (a *app) work(ctx context.Context, ready func(*nats.Conn) error) error {
	book, err := a.book()
	if err != nil {
		return err
	}
	silences, err := a.readSilences()
	if err != nil {
		return err
	}
	log := a.log()
	nc, closeNATS, err := a.joinOrStart(ctx, log)
	if err != nil {
		return err
	}
	defer closeNATS()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	made, err := stream.Setup(ctx, js, a.cfg.layout())
	if err != nil {
		return err
	}
	if len(made) > 0 {
		log.Info().Str("made", strings.Join(made, " ")).Msg("streams set up")
	}
	if err := orderSilences(ctx, js, silences, log); err != nil {
		return err
	}
	w, err := stream.New(ctx, a.workerConfig(js, book, log))
	if err != nil {
		return err
	}
	if err := ready(nc); err != nil {
		return err
	}
	log.Info().Str("worker", w.ID()).Str("nats", nc.ConnectedUrlRedacted()).Str("alerts", subjects.Alerts).Msg("working")
	if err := w.Run(ctx); err != nil {
		return err
	}
	log.Info().Str("worker", w.ID()).Msg("stopped; what was folded is committed")
	return nil
}

func (a *app) workerConfig(js jetstream.JetStream, book processor.Book, log zerolog.Logger) stream.Config {
	return stream.Config{
		JS: js, Book: book, ID: a.cfg.ID, Log: log, Retention: a.cfg.Retention,
		Redaction: a.redaction(), Reopen: a.cfg.Reopen,
	}
}

// joinOrStart connects to the NATS that is named, or starts one inside.
func (a *app) joinOrStart(ctx context.Context, log zerolog.Logger) (*nats.Conn, func(), error) {
	if a.cfg.NATS != "" {
		nc, _, err := a.connect("worker")
		if err != nil {
			return nil, nil, err
		}
		return nc, nc.Close, nil
	}
	b, err := broker.Start(ctx, broker.Config{Listen: a.cfg.Listen, Dir: a.cfg.Data, User: a.cfg.User, Password: a.cfg.Password, Log: log})
	if err != nil {
		return nil, nil, fmt.Errorf("starting the server inside: %w", err)
	}
	nc, err := b.Connect(a.options("worker", log)...)
	if err != nil {
		b.Close()
		return nil, nil, fmt.Errorf("connecting to the server inside: %w", err)
	}
	log.Info().Str("url", b.URL()).Str("data", a.cfg.Data).Msg("NATS server inside; publish alerts here")
	return nc, func() { nc.Close(); b.Close() }, nil
}
