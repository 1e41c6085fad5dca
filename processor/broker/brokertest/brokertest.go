// Package brokertest starts real brokers for tests.
package brokertest

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor/broker"
)

// Start runs a broker with file storage in t.TempDir and a free port on loopback
// until the test ends. Each change may alter its configuration first.
func Start(t testing.TB, change ...func(*broker.Config)) *broker.Broker {
	t.Helper()
	cfg := broker.Config{Listen: "127.0.0.1:0", Dir: t.TempDir()}
	for _, c := range change {
		c(&cfg)
	}
	b, err := broker.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// Connect returns a connection to b that is closed when the test ends.
func Connect(t testing.TB, b *broker.Broker, opts ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := b.Connect(opts...)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

// JetStream returns JetStream on a connection of its own, see Connect.
func JetStream(t testing.TB, b *broker.Broker, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(Connect(t, b, opts...))
	require.NoError(t, err)
	return js
}
