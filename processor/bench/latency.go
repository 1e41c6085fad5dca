package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/subjects"
)

// Latencies returns, in order of size, how long after the alert that opened each
// incident its first report stood, by the times at which the server stored both.
//
// One clock says both, and nobody needs to look while the work is done: an incident's
// id names the sequence of the alert that opened it, so that all is read afterwards.
// What it leaves out is the way of the alert to the server and that of the report to
// its reader, which are NATS' and no work of Falconer's.
func Latencies(ctx context.Context, js jetstream.JetStream) ([]time.Duration, error) {
	stored := map[uint64]time.Time{}
	headers := jetstream.OrderedConsumerConfig{HeadersOnly: true}
	err := each(ctx, js, subjects.RawStream, headers, func(_ jetstream.Msg, meta *jetstream.MsgMetadata) error {
		stored[meta.Sequence.Stream] = meta.Timestamp
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []time.Duration
	headers.FilterSubjects = []string{subjects.Report("*", "*", "*", processor.KindOpened)}
	err = each(ctx, js, subjects.OutputStream, headers, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		seq, err := openedBy(msg.Subject())
		if err != nil {
			return err
		}
		out = append(out, meta.Timestamp.Sub(stored[seq]))
		return nil
	})
	slices.Sort(out)
	return out, err
}

// openedBy reads from a report's subject which message of the raw stream opened
// its incident. An incident's id is fingerprint, first sequence, era.
func openedBy(subject string) (uint64, error) {
	name, err := subjects.ParseReport(subject)
	if err != nil {
		return 0, err
	}
	parts := strings.Split(name.Incident, "-")
	if len(parts) != 3 {
		return 0, fmt.Errorf("report %s: %q is no incident's id", subject, name.Incident)
	}
	return strconv.ParseUint(parts[1], 36, 64)
}

// Quantile returns what so many thousandths of the sorted durations do not exceed,
// or zero when there are none.
func Quantile(sorted []time.Duration, thousandths int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*thousandths + 999) / 1000
	return sorted[max(rank, 1)-1]
}
