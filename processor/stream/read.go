package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/subjects"
)

// pullExpiry bounds one pull request; stalls equal to the client's default of
// thirty seconds were seen.
const pullExpiry = 5 * time.Second

// contiguous reads a message's metadata and checks that none before it was lost.
func contiguous(msg jetstream.Msg, next uint64) (*jetstream.MsgMetadata, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, err
	}
	if meta.Sequence.Consumer != next {
		return nil, fmt.Errorf("delivery %d came where %d was due", meta.Sequence.Consumer, next)
	}
	return meta, nil
}

// reader delivers a partition's messages, in order and without a gap, until it
// is stopped or in doubt.
type reader struct {
	consumer string // its name
	msgs     jetstream.MessagesContext
	done     chan struct{}
}

// delivery is a message for the worker's loop, or the reason why none follow.
type delivery struct {
	p *partition
	// number counts the reader's deliveries from 1.
	number uint64
	msg    processor.Message
	behind uint64
	err    error
}

// read prepares to read the raw stream after the partition's cursor. The loop
// starts the reader once it owns the partition, not before: it passes over what
// comes of partitions that it does not own.
func (w *Worker) read(ctx context.Context, p *partition) (*reader, error) {
	c, err := w.cfg.JS.CreateConsumer(ctx, subjects.RawStream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: p.cur.Seq + 1,
		FilterSubjects: subjects.Raw(p.n, w.partitions), AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	// The stream may have been made anew since the fence looked at it.
	if raw, err := w.rawInfo(ctx); err != nil || !raw.Created.Equal(p.cur.Created) {
		return nil, errors.Join(err, fmt.Errorf("stream %s was made anew just now", subjects.RawStream))
	}
	msgs, err := c.Messages(jetstream.PullMaxMessages(w.cfg.Prefetch), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(2*time.Second))
	if err != nil {
		return nil, err
	}
	return &reader{consumer: c.CachedInfo().Name, msgs: msgs, done: make(chan struct{})}, nil
}

// run sends deliveries to the worker's inbox, the last of them with an error.
func (r *reader) run(w *Worker, p *partition) {
	for next := uint64(1); ; next++ {
		d := delivery{p: p, number: next}
		msg, err := r.msgs.Next()
		var meta *jetstream.MsgMetadata
		if err == nil {
			meta, err = contiguous(msg, next)
		}
		if err == nil {
			d.msg, d.behind = message(msg, meta, p.n), meta.NumPending
		}
		d.err = err
		select {
		case w.inbox <- d:
		case <-r.done:
			return
		}
		if err != nil {
			return
		}
	}
}

// stop ends the reader. Deliveries that wait in the inbox are the caller's to ignore.
func (r *reader) stop() {
	close(r.done)
	r.msgs.Stop()
}

func message(msg jetstream.Msg, meta *jetstream.MsgMetadata, partition int) processor.Message {
	return processor.Message{
		Seq: meta.Sequence.Stream, Time: meta.Timestamp.UTC(), Subject: subjects.Origin(msg.Subject()),
		Data: msg.Data(), Kind: kindOf(msg.Subject(), partition),
	}
}

func kindOf(subject string, partition int) processor.MessageKind {
	switch {
	case subjects.IsTick(subject):
		return processor.TickMessage
	case subjects.IsSilence(subject):
		return processor.SilenceMessage
	case subjects.IsForeign(subject, partition):
		return processor.DropMessage
	}
	return processor.AlertMessage
}
