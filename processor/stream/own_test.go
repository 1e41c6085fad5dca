package stream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/broker/brokertest"
	"falconer/subjects"
)

// noBook is for alerts that are never explained.
type noBook struct{ processor.Book }

// The loop passes over the deliveries of partitions that it does not own, so none
// may come before it knows that it owns this one.
func TestAPartitionIsNotReadBeforeTheLoopOwnsIt(t *testing.T) {
	js := brokertest.JetStream(t, brokertest.Start(t))
	_, err := Setup(t.Context(), js, subjects.Layout{Partitions: 1})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "falco.warning.a_rule", []byte("the first alert"))
	require.NoError(t, err)
	w, err := New(t.Context(), Config{JS: js, Book: noBook{}})
	require.NoError(t, err)
	t.Cleanup(w.running.Wait)

	p, err := w.own(t.Context(), 0)
	require.NoError(t, err)
	t.Cleanup(func() { p.reader.stop() })
	require.Never(t, func() bool { return len(w.inbox) > 0 }, 500*time.Millisecond, 10*time.Millisecond)

	w.wanted[0] = true
	w.acquire(t.Context(), acquisition{n: 0, p: p})
	b := <-w.inbox
	require.NoError(t, b.err)
	require.Len(t, b.deliveries, 1)
	require.Equal(t, "the first alert", string(b.deliveries[0].msg.Data))
}

// What is lost between servers is known to nobody: the consumer has delivered it,
// and the reader hears of the gap with the next delivery only.
func TestAPartitionWhoseAlertDoesNotComeIsTakenAnew(t *testing.T) {
	js := brokertest.JetStream(t, brokertest.Start(t))
	_, err := Setup(t.Context(), js, subjects.Layout{Partitions: 1})
	require.NoError(t, err)
	now := time.Now()
	w, err := New(t.Context(), Config{JS: js, Book: noBook{}, Now: func() time.Time { return now }})
	require.NoError(t, err)
	t.Cleanup(w.running.Wait)
	p, err := w.own(t.Context(), 0)
	require.NoError(t, err)
	w.wanted[0], w.owned[0] = true, p // its reader is never run
	_, err = js.Publish(t.Context(), "falco.warning.a_rule", []byte("lost on the way"))
	require.NoError(t, err)

	w.survey(t.Context())
	require.Equal(t, p, w.owned[0], "it may be on its way")
	now = now.Add(surveyEvery)
	w.survey(t.Context())
	require.Nil(t, w.owned[0])
	require.NotZero(t, w.retryAt[0])
}
