package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"falconer/processor"
	"falconer/subjects"
)

// load reads the partition's incident states and its silences, up to the fence:
// what stands before it is complete, and nothing that counts can come after it.
// States are decoded beside the reading, on all cores.
func (w *Worker) load(ctx context.Context, p *partition) ([]*processor.Incident, processor.Silences, error) {
	decoding := errgroup.Group{}
	decoding.SetLimit(runtime.GOMAXPROCS(0))
	var parts []*part
	silences, err := w.readStates(ctx, p, func(next *part) {
		parts = append(parts, next)
		decoding.Go(next.decode)
	})
	if err := errors.Join(err, decoding.Wait()); err != nil {
		return nil, silences, err
	}
	var states []*processor.Incident
	for _, part := range parts {
		for i, in := range part.states {
			p.revs[in.Fingerprint] = part.revs[i]
		}
		states = append(states, part.states...)
	}
	return states, silences, nil
}

// part is some of the stored states.
type part struct {
	msgs   []jetstream.Msg
	revs   []uint64
	states []*processor.Incident
}

// loadSize is how many states are decoded together.
const loadSize = 256

func (pt *part) decode() error {
	for _, msg := range pt.msgs {
		in := &processor.Incident{}
		if err := json.Unmarshal(msg.Data(), in); err != nil {
			return fmt.Errorf("state %s: %w", msg.Subject(), err)
		}
		if err := checkForm(msg.Subject(), in.Schema, processor.IncidentSchema); err != nil {
			return err
		}
		pt.states = append(pt.states, in)
	}
	pt.msgs = nil
	return nil
}

// readStates hands the stored states on in parts, and returns the silences.
func (w *Worker) readStates(ctx context.Context, p *partition, hand func(*part)) (silences processor.Silences, err error) {
	c, err := w.cfg.JS.CreateConsumer(ctx, subjects.OutputStream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
		FilterSubjects: []string{
			subjects.PartitionStates(p.n), subjects.SilencedIn(p.n), subjects.Cursor(p.n),
		},
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return silences, err
	}
	defer func() { _ = w.cfg.JS.DeleteConsumer(ctx, subjects.OutputStream, c.CachedInfo().Name) }()
	msgs, err := c.Messages(jetstream.PullMaxMessages(1000), jetstream.PullExpiry(pullExpiry))
	if err != nil {
		return silences, err
	}
	defer msgs.Stop()
	defer context.AfterFunc(ctx, msgs.Stop)()
	next := &part{}
	defer func() { hand(next) }()
	for number := uint64(1); ; number++ {
		msg, err := msgs.Next(jetstream.NextMaxWait(time.Second))
		switch {
		case errors.Is(err, nats.ErrTimeout) && p.connection == w.connection() && ctx.Err() == nil:
			number--
			continue
		case err != nil:
			return silences, err
		}
		meta, err := contiguous(msg, number)
		if err != nil {
			return silences, err
		}
		switch msg.Subject() {
		case subjects.Cursor(p.n):
			if meta.Sequence.Stream != p.rev {
				err = errFenced
			}
			return silences, err
		case subjects.SilencedIn(p.n):
			silences, err = p.silences(msg, meta)
		default:
			if next.add(msg, meta); len(next.msgs) == loadSize {
				hand(next)
				next = &part{}
			}
		}
		if err != nil {
			return silences, err
		}
		w.reach(atLoading)
		if w.mutated(noFenceLoad) && meta.NumPending < 20 {
			return silences, nil
		}
	}
}

// add adds a stored incident; an empty body is one that was forgotten.
func (pt *part) add(msg jetstream.Msg, meta *jetstream.MsgMetadata) {
	if len(msg.Data()) > 0 {
		pt.msgs, pt.revs = append(pt.msgs, msg), append(pt.revs, meta.Sequence.Stream)
	}
}

// silences reads the stored list of silences.
func (p *partition) silences(msg jetstream.Msg, meta *jetstream.MsgMetadata) (list processor.Silences, err error) {
	p.silencesRev = meta.Sequence.Stream
	if err := json.Unmarshal(msg.Data(), &list); err != nil {
		return list, fmt.Errorf("state %s: %w", msg.Subject(), err)
	}
	return list, checkForm(msg.Subject(), list.Schema, processor.SilencesSchema)
}
