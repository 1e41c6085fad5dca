package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/subjects"
)

// Status is a look at the whole system from outside, at one moment.
type Status struct {
	Members    []Member          `json:"members"`
	Partitions []PartitionStatus `json:"partitions"`
	Totals     processor.Totals  `json:"totals"`
	// Balanced says that the totals of every partition add up.
	Balanced bool `json:"balanced"`
	// Open counts the open incidents, Lag the alerts that wait.
	Open int      `json:"open"`
	Lag  uint64   `json:"lag"`
	Raw  Fullness `json:"raw"`
	Out  Fullness `json:"out"`
}

// PartitionStatus is one partition's part of Status.
type PartitionStatus struct {
	Cursor
	// Live says that the owner is among the members.
	Live bool   `json:"live"`
	Lag  uint64 `json:"lag"`
	// Gap says that the raw stream has dropped messages beyond what the partition
	// is known to have read: some of its own may have been among them.
	Gap bool `json:"gap,omitempty"`
}

// Fullness is how full a stream is.
type Fullness struct {
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Messages uint64    `json:"messages"`
	Bytes    uint64    `json:"bytes"`
	MaxBytes int64     `json:"max_bytes"`
	FirstSeq uint64    `json:"first_seq"`
	LastSeq  uint64    `json:"last_seq"`
}

// Inspect reads the state of all partitions, members and streams.
func Inspect(ctx context.Context, js jetstream.JetStream) (Status, error) {
	raw, n, err := rawStream(ctx, js)
	if err != nil {
		return Status{}, err
	}
	out, err := js.Stream(ctx, subjects.OutputStream)
	if err != nil {
		return Status{}, fmt.Errorf("stream %s: %w", subjects.OutputStream, missingStream(err))
	}
	st := Status{Balanced: true, Raw: fullness(raw.CachedInfo()), Out: fullness(out.CachedInfo())}
	if st.Members, err = Members(ctx, js); err != nil {
		return Status{}, err
	}
	for p := range n {
		ps, err := inspectPartition(ctx, js, raw, p, st.Members)
		if err != nil {
			return Status{}, fmt.Errorf("partition %d: %w", p, err)
		}
		st.Partitions = append(st.Partitions, ps)
		st.Totals = st.Totals.Add(ps.Totals)
		st.Balanced = st.Balanced && ps.Totals.Balanced()
		st.Lag += ps.Lag
	}
	st.Open = int(st.Totals.Opened - st.Totals.Closed)
	return st, nil
}

func fullness(info *jetstream.StreamInfo) Fullness {
	return Fullness{
		Name: info.Config.Name, Created: info.Created, Messages: info.State.Msgs, Bytes: info.State.Bytes,
		MaxBytes: info.Config.MaxBytes, FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq,
	}
}

func inspectPartition(ctx context.Context, js jetstream.JetStream, raw jetstream.Stream, p int, members []Member) (PartitionStatus, error) {
	cur, _, err := readCursor(ctx, js, p)
	if err != nil {
		return PartitionStatus{}, err
	}
	lag, err := waiting(ctx, raw, p, cur.Seq)
	if err != nil {
		return PartitionStatus{}, err
	}
	return PartitionStatus{
		Cursor: cur, Lag: lag, Gap: raw.CachedInfo().State.FirstSeq > max(cur.Seq, cur.Read)+1,
		Live: slices.ContainsFunc(members, func(m Member) bool { return m.ID == cur.Owner }),
	}, nil
}

// waiting counts the alerts of a partition after a sequence.
func waiting(ctx context.Context, raw jetstream.Stream, p int, after uint64) (uint64, error) {
	c, err := raw.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, FilterSubjects: subjects.RawAlerts(p),
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = raw.DeleteConsumer(ctx, c.CachedInfo().Name) }()
	return c.CachedInfo().NumPending, nil
}

// Members lists the live workers, by id.
func Members(ctx context.Context, js jetstream.JetStream) ([]Member, error) {
	kv, err := js.KeyValue(ctx, subjects.MembersBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return []Member{}, nil // nobody can announce itself; the doctor says so
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", subjects.MembersBucket, Explain(err))
	}
	keys, err := kv.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing members: %w", err)
	}
	members := []Member{}
	for key := range keys.Keys() {
		e, err := kv.Get(ctx, key)
		if err != nil {
			continue // it left just now
		}
		var m Member
		if json.Unmarshal(e.Value(), &m) == nil {
			members = append(members, m)
		}
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return members, nil
}
