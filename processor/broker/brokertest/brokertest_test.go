package brokertest_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor/broker"
	"falconer/processor/broker/brokertest"
)

func TestStartGivesAFileBackedBrokerOnLoopback(t *testing.T) {
	b := brokertest.Start(t)
	require.False(t, b.Memory())
	require.Contains(t, b.URL(), "nats://127.0.0.1:")
	_, err := brokertest.JetStream(t, b).CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"})
	require.NoError(t, err)
}

func TestStartTakesChanges(t *testing.T) {
	b := brokertest.Start(t, func(c *broker.Config) { c.Listen, c.Dir = "", "" })
	require.True(t, b.Memory())
	require.Empty(t, b.URL())
	require.NoError(t, brokertest.Connect(t, b).Flush())
}
