package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"falconer/processor/broker"
)

// The parts that falconer plays in processes of its own while it is measured. They
// speak with the bench by lines, and end when their standard input does.

func (a *app) benchServerCommand() *cobra.Command {
	var profile string
	c := &cobra.Command{
		Use: "bench-server", Hidden: true, Short: "Be the server of a bench, which starts it",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchServer(cmd.Context(), profile) },
	}
	c.Flags().StringVar(&profile, "profile", "", "file for a CPU profile")
	return c
}

// benchServer is the server of "falconer run" on a free port. It says its URL.
func (a *app) benchServer(ctx context.Context, profile string) error {
	b, err := broker.Start(ctx, broker.Config{Listen: "127.0.0.1:0", Dir: a.cfg.Data, Log: a.log()})
	if err != nil {
		return err
	}
	defer b.Close()
	stop, err := startProfile(profile)
	if err != nil {
		return err
	}
	defer stop()
	if _, err := fmt.Fprintln(a.out, b.URL()); err != nil {
		return err
	}
	<-untilClosed(ctx, a.in).Done()
	return nil
}

func (a *app) benchWorkerCommand() *cobra.Command {
	var profile string
	c := &cobra.Command{
		Use: "bench-worker", Hidden: true, Short: "Be a worker of a bench, which starts it",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchWorker(cmd.Context(), profile) },
	}
	c.Flags().StringVar(&profile, "profile", "", "file for a CPU profile")
	return c
}

// sent is what a worker has sent to NATS.
type sent struct {
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

// benchWorker is "falconer run" with a pause before the work: it says when it is
// ready, works once it was told a line, and says at its end what it has sent.
func (a *app) benchWorker(ctx context.Context, profile string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	in := bufio.NewReader(a.in)
	a.cfg.bench = true
	var conn *nats.Conn
	stopProfile := func() {}
	err := a.work(ctx, func(nc *nats.Conn) (err error) {
		conn = nc
		fmt.Fprintln(a.out, "ready")
		if _, err := in.ReadString('\n'); err != nil {
			return fmt.Errorf("nobody says when to begin: %w", err)
		}
		context.AfterFunc(untilClosed(ctx, in), stop)
		stopProfile, err = startProfile(profile)
		return err
	})
	stopProfile()
	if err != nil {
		return err
	}
	st := conn.Stats()
	return json.NewEncoder(a.out).Encode(sent{st.OutMsgs, st.OutBytes})
}

// untilClosed returns a context that ends with ctx, or when there is no more to read.
// What reads goes on until then, which is the end of the process.
func untilClosed(ctx context.Context, r io.Reader) context.Context {
	ctx, stop := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, r)
		stop()
	}()
	return ctx
}

// startProfile writes a CPU profile of this process to a file, if one is named,
// until the returned func is called.
func startProfile(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return func() {}, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return func() {}, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil // a profile that is cut short is seen to be
}
