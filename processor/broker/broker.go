// Package broker is a NATS server with JetStream inside the process, for those
// who run Falconer without one of their own.
//
// It listens on the one address it is given, or on none at all, and never
// beyond the machine without a password.
package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// Broker is a running server. Its methods may be called from any goroutine.
type Broker struct {
	cfg     Config
	store   *store
	server  *server.Server
	url     string
	closing sync.Once
}

// readyWait bounds the wait for a server that has read its store.
const readyWait = 10 * time.Second

// Start runs a server until Close. It blocks while the server reads back the
// streams in Config.Dir; when ctx ends meanwhile, it fails after that. Errors say
// what to do about a taken port, and a directory that is in use or read-only.
func Start(ctx context.Context, cfg Config) (*Broker, error) {
	if err := cmp.Or(ctx.Err(), cfg.validate()); err != nil {
		return nil, err
	}
	if err := probe(ctx, cfg.Listen); err != nil {
		return nil, err
	}
	store, err := openStore(cfg.Dir)
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, store: store}
	if err := cmp.Or(b.run(), ctx.Err()); err != nil {
		b.Close()
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	return b, nil
}

// probe finds out early, and in words of the operating system, whether the
// address can be listened on.
func probe(ctx context.Context, listen string) error {
	if listen == "" {
		return nil
	}
	addr, err := parseAddress(listen)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("starting the broker: %w: another falconer or nats-server is there; "+
			"use --nats to join it, or --listen to choose another port", err)
	}
	if err != nil {
		return fmt.Errorf("starting the broker: %w; use --listen to choose another address", err)
	}
	return l.Close()
}

func (b *Broker) run() error {
	opts, err := b.cfg.options(b.store.dir)
	if err != nil {
		return err
	}
	if b.server, err = server.NewServer(opts); err != nil {
		return err
	}
	log := &bridge{log: b.cfg.Log.With().Str("from", "nats-server").Logger()}
	b.server.SetLoggerV2(log, b.cfg.Log.GetLevel() <= zerolog.TraceLevel, false, false)
	b.server.Start()
	if err := log.failure(); err != nil {
		return err
	}
	if !b.server.ReadyForConnections(readyWait) {
		return fmt.Errorf("the server is not ready after %s", readyWait)
	}
	b.url = localURL(b.server.Addr())
	return nil
}

// localURL returns how this machine reaches an address that is listened on.
func localURL(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return ""
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "nats://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// Memory reports whether nothing outlives the broker. Make streams with memory
// storage then: file storage works, in a temporary directory.
func (b *Broker) Memory() bool { return b.cfg.Dir == "" }

// URL returns where clients on this machine find the broker, without user and
// password, or nothing when it has no port.
func (b *Broker) URL() string { return b.url }

// Connect returns a new connection, by the port if there is one and else inside
// the process, with the broker's user and password. The caller closes it, best
// before the broker, whose end it would take for an outage.
func (b *Broker) Connect(opts ...nats.Option) (*nats.Conn, error) {
	own := []nats.Option{nats.UserInfo(b.cfg.user(), b.cfg.Password)}
	if b.url == "" {
		own = append(own, nats.InProcessServer(b.server))
	}
	conn, err := nats.Connect(b.url, append(own, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the broker inside the process: %w", err)
	}
	return conn, nil
}

// Close ends the server, waits until its streams are safe, and gives the
// directory free. Further calls wait for the first and do nothing.
func (b *Broker) Close() { b.closing.Do(b.close) }

func (b *Broker) close() {
	if b.server != nil {
		b.server.Shutdown()
		b.server.WaitForShutdown()
	}
	if err := b.store.close(); err != nil {
		b.cfg.Log.Warn().Err(err).Msg("closing the broker")
	}
}
