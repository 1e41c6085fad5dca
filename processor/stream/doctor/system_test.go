package doctor_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/broker/brokertest"
	"falconer/processor/stream"
	"falconer/subjects"
)

// book knows nothing, which is enough to count alerts.
type book struct{}

func (book) Identity(*processor.Alert) processor.Identity { return processor.Identity{} }
func (book) Grade(*processor.Alert) processor.Severity    { return processor.Info }
func (book) Judge(*processor.Alert) processor.Verdict     { return processor.Verdict{} }
func (book) Advise(*processor.Alert) processor.Advice     { return processor.Advice{} }

// setup starts a broker and makes the streams.
func setup(t *testing.T, layout subjects.Layout) (jetstream.JetStream, func() jetstream.JetStream) {
	t.Helper()
	b := brokertest.Start(t)
	connect := func() jetstream.JetStream { return brokertest.JetStream(t, b) }
	js := connect()
	_, err := stream.Setup(t.Context(), js, layout)
	require.NoError(t, err)
	return js, connect
}

// start runs a worker until the test ends.
func start(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	w, err := stream.New(t.Context(), stream.Config{JS: js, Book: book{}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
}

// publish stores n alerts of a few rules.
func publish(t *testing.T, js jetstream.JetStream, n int) {
	t.Helper()
	for i := range n {
		rule := fmt.Sprintf("Rule %d", i%7)
		_, err := js.Publish(t.Context(), "falco.warning."+processor.Slug(rule), fmt.Appendf(nil, `{"rule":%q,"priority":"Warning","output_fields":{"evt.time":%d}}`, rule, i))
		require.NoError(t, err)
	}
}

// totals adds up the partitions' stored totals.
func totals(t *testing.T, js jetstream.JetStream) processor.Totals {
	t.Helper()
	st, err := stream.Inspect(t.Context(), js)
	require.NoError(t, err)
	return st.Totals
}

// drained waits until the workers have folded n alerts.
func drained(t *testing.T, js jetstream.JetStream, n uint64) {
	t.Helper()
	require.Eventually(t, func() bool { return totals(t, js).In == n }, time.Minute, 50*time.Millisecond)
}
