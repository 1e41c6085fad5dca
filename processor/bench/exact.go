package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor/stream"
	"falconer/subjects"
)

// Exact says what does not add up after workers have counted all of so many alerts;
// nothing means that every alert was counted once, and that as many reports and
// tasks are stored as the workers say.
func Exact(ctx context.Context, js jetstream.JetStream, published uint64) (st stream.Status, wrong []string, err error) {
	if st, err = stream.Inspect(ctx, js); err != nil {
		return st, nil, err
	}
	t := st.Totals
	hold := func(what string, found, want uint64) {
		if found != want {
			wrong = append(wrong, fmt.Sprintf("%s %d, not %d", what, found, want))
		}
	}
	hold("alerts counted:", t.In, published)
	hold("alerts that wait:", st.Lag, 0)
	hold("alerts not understood:", t.Dead, 0)
	hold("gaps:", t.Gaps, 0)
	if !st.Balanced {
		wrong = append(wrong, "the sums of a partition are not balanced")
	}
	for filter, want := range map[string]uint64{subjects.Reports: t.Reports, subjects.Tasks: t.Tasks} {
		n, err := count(ctx, js, filter)
		if err != nil {
			return st, nil, err
		}
		hold("stored under "+filter+":", n, want)
	}
	return st, wrong, nil
}

// count counts the messages of the output stream that match.
func count(ctx context.Context, js jetstream.JetStream, filter string) (uint64, error) {
	c, err := js.CreateConsumer(ctx, subjects.OutputStream, jetstream.ConsumerConfig{
		FilterSubject: filter, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return 0, fmt.Errorf("counting %s: %w", filter, stream.Explain(err))
	}
	defer func() { _ = js.DeleteConsumer(ctx, subjects.OutputStream, c.CachedInfo().Name) }()
	return c.CachedInfo().NumPending, nil
}
