package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/subjects"
)

// Order stores an order to silence in the raw stream and returns its place there:
// it takes effect for the alerts behind it. The same order again, within the two
// minutes in which the broker knows it, is stored once.
func Order(ctx context.Context, js jetstream.JetStream, order processor.SilenceOrder) (seq uint64, err error) {
	order.Schema = processor.SilenceSchema
	if err := order.Check(); err != nil {
		return 0, err
	}
	id, action := orderName(order)
	msg := nats.NewMsg(subjects.Silence(id))
	if msg.Data, err = EncodeJSON(order); err != nil {
		return 0, err
	}
	ack, err := js.PublishMsg(ctx, msg, jetstream.WithMsgID("silence/"+id+"/"+action), jetstream.WithExpectStream(subjects.RawStream))
	if err != nil {
		return 0, fmt.Errorf("storing the order in stream %s: %w", subjects.RawStream, missingStream(err))
	}
	return ack.Sequence, nil
}

// orderName names the silence that a valid order is about, and what it does.
func orderName(o processor.SilenceOrder) (id, action string) {
	if o.Add != nil {
		return o.Add.ID, "add"
	}
	return o.Expire.ID, "expire"
}

// Silence is what became of a silence in all partitions together.
type Silence struct {
	processor.SilenceRecord
	// Partitions is how many have come to its place in the stream, of Of.
	Partitions int `json:"partitions"`
	Of         int `json:"of"`
}

// ListSilences returns the silences that the partitions know of, in the order of
// their places, with the counts of all added up.
func ListSilences(ctx context.Context, js jetstream.JetStream) ([]Silence, error) {
	_, n, err := rawStream(ctx, js)
	if err != nil {
		return nil, err
	}
	all := []Silence{}
	for p := range n {
		list, err := storedSilences(ctx, js, p)
		if err != nil {
			return nil, err
		}
		for _, r := range list.List {
			all = addSilence(all, r, n)
		}
	}
	slices.SortStableFunc(all, func(a, b Silence) int { return a.Since.Compare(b.Since) })
	return all, nil
}

func storedSilences(ctx context.Context, js jetstream.JetStream, partition int) (list processor.Silences, err error) {
	msg, err := lastOf(ctx, js, subjects.OutputStream, subjects.SilencedIn(partition))
	if errors.Is(err, errNotFound) {
		return list, nil
	}
	if err == nil {
		err = json.Unmarshal(msg.Data, &list)
	}
	if err != nil {
		return list, fmt.Errorf("reading the silences of partition %d: %w", partition, err)
	}
	return list, checkForm(msg.Subject, list.Schema, processor.SilencesSchema)
}

// silencesBefore returns the silences of a partition whose orders the raw stream,
// which now begins at first, has dropped: as they were there.
func silencesBefore(ctx context.Context, js jetstream.JetStream, partition int, first uint64) (processor.Silences, error) {
	list, err := storedSilences(ctx, js, partition)
	before := processor.Silences{}
	for _, r := range list.List {
		if r.Seq >= first {
			continue
		}
		if r.Ended != nil && r.Ended.Seq >= first {
			r.Ended = nil
		}
		r.Count, r.Last = 0, time.Time{}
		before.List = append(before.List, r)
	}
	return before, err
}

// addSilence adds a partition's record to those of the others.
func addSilence(all []Silence, r processor.SilenceRecord, of int) []Silence {
	i := slices.IndexFunc(all, func(s Silence) bool { return s.ID == r.ID })
	if i < 0 {
		return append(all, Silence{SilenceRecord: r, Partitions: 1, Of: of})
	}
	s := &all[i]
	s.Partitions++
	s.Count += r.Count
	if r.Last.After(s.Last) {
		s.Last = r.Last
	}
	if r.Ended != nil {
		s.Ended = r.Ended
	}
	return all
}
