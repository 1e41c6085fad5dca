package stream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
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

// reader delivers messages of the raw stream to partitions, in order and without a
// gap, until it is stopped or in doubt: to one by the subjects of that partition,
// or to several out of the whole stream. See plan.
type reader struct {
	// lanes are those that it delivers to, by partition; nil for the others.
	lanes []*lane
	// from is the first sequence to read.
	from   uint64
	filter []string
	ctx    context.Context
	stop   context.CancelFunc
	// waits is how many messages the server had for it beyond the last delivery.
	waits atomic.Uint64
	// upto belongs to the loop: its partitions have folded all that is theirs up to there.
	upto uint64
}

// lane is the way of one partition's messages through a reader.
type lane struct {
	p       *partition
	created time.Time // when the raw stream was made that the partition was taken of
	after   uint64    // what stands up to here is folded already
	number  uint64    // of deliveries so far
}

// batch is some of what a reader delivers, in order.
type batch struct {
	r          *reader
	deliveries []delivery
	upto       uint64
	// err is why nothing follows.
	err error
	// prepared is closed when all that can be done ahead is done.
	prepared chan struct{}
}

// delivery is a message for a partition.
type delivery struct {
	p *partition
	// number counts the partition's deliveries by this reader, from 1.
	number uint64
	msg    processor.Message
}

// How much a batch holds, and how long the first may wait for others when more
// are known to come.
const (
	batchSize = 64
	batchSeen = 512
	batchWait = 5 * time.Millisecond
)

// run reads until the reader is stopped or in doubt; the last batch says why.
func (r *reader) run(w *Worker) {
	err := r.read(w)
	_ = w.enqueue(&batch{r: r, err: err, upto: r.from - 1}) // stopped: nobody asks why
}

func (r *reader) read(w *Worker) error {
	c, err := w.cfg.JS.CreateConsumer(r.ctx, subjects.RawStream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.from,
		FilterSubjects: r.filter, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return err
	}
	defer w.deleteConsumer(c.CachedInfo().Name)
	// The stream may have been made anew since the fences looked at it.
	raw, err := w.rawInfo(r.ctx)
	if err != nil {
		return err
	}
	for _, l := range r.lanes {
		if l != nil && !raw.Created.Equal(l.created) {
			return fmt.Errorf("stream %s was made anew just now", subjects.RawStream)
		}
	}
	msgs, err := c.Messages(jetstream.PullMaxMessages(w.cfg.Prefetch), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(2*time.Second))
	if err != nil {
		return err
	}
	defer msgs.Stop()
	defer context.AfterFunc(r.ctx, msgs.Stop)()
	return r.deliver(w, msgs)
}

// deleteConsumer takes a reader's consumer away: those that nobody reads would
// count against the account's limit until they expire.
func (w *Worker) deleteConsumer(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = w.cfg.JS.DeleteConsumer(ctx, subjects.RawStream, name) // it expires if this fails
}

// deliver gathers messages into batches for as long as more are known to come.
func (r *reader) deliver(w *Worker, msgs jetstream.MessagesContext) error {
	b := &batch{r: r}
	seen, began := 0, time.Time{}
	for next := uint64(1); ; next++ {
		msg, err := msgs.Next()
		var meta *jetstream.MsgMetadata
		if err == nil {
			meta, err = contiguous(msg, next)
		}
		if err != nil {
			return errors.Join(err, w.enqueue(b))
		}
		if seen++; seen == 1 {
			began = time.Now()
		}
		r.waits.Store(meta.NumPending)
		r.add(b, msg, meta)
		if meta.NumPending > 0 && len(b.deliveries) < batchSize && seen < batchSeen && (seen%8 != 0 || time.Since(began) < batchWait) {
			continue
		}
		if err := w.enqueue(b); err != nil {
			return err
		}
		b, seen = &batch{r: r, deliveries: make([]delivery, 0, batchSize+8)}, 0
	}
}

// add appends the message for every partition of the reader that reads it.
func (r *reader) add(b *batch, msg jetstream.Msg, meta *jetstream.MsgMetadata) {
	b.upto = meta.Sequence.Stream
	home, all := subjects.ReadBy(msg.Subject(), len(r.lanes))
	for n, l := range r.lanes {
		if all || n == home {
			l.add(b, msg, meta)
		}
	}
}

func (l *lane) add(b *batch, msg jetstream.Msg, meta *jetstream.MsgMetadata) {
	if l == nil || meta.Sequence.Stream <= l.after {
		return
	}
	l.number++
	b.deliveries = append(b.deliveries, delivery{p: l.p, number: l.number, msg: message(msg, meta, l.p.n)})
}

// enqueue hands a batch to the loop, and does meanwhile what can be done ahead.
func (w *Worker) enqueue(b *batch) error {
	b.prepared = make(chan struct{})
	select {
	case w.inbox <- b:
	case <-b.r.ctx.Done():
		return b.r.ctx.Err()
	}
	select {
	case w.preparing <- struct{}{}:
	case <-b.r.ctx.Done(): // the loop will pass over it
		close(b.prepared)
		return b.r.ctx.Err()
	}
	w.running.Go(func() {
		defer func() { <-w.preparing }()
		defer close(b.prepared)
		opts := w.options("")
		for i := range b.deliveries {
			opts.Prepare(&b.deliveries[i].msg)
		}
	})
	return nil
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
