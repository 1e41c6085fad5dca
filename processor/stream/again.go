package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// Again publishes the alerts of dead letters again, each once, whoever else does
// so at the same time and whatever crashes on the way. A letter is replayed in
// three steps, each of which a later run finds done or not done:
//
//  1. The record beside the letter is made, if there is none: the claim. It says
//     after which sequence the alert will stand.
//  2. The alert is published, unless it stands there. Looking and publishing are
//     one: the server stores it only if nothing came on its subject since.
//  3. The record is completed with the alert's new place.
type Again struct {
	JS jetstream.JetStream
	// By says in the records who did it.
	By string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Patience is how long to wait for an alert to come from a source stream into
	// the raw stream; zero means five seconds.
	Patience time.Duration
}

// maxRaces is how often the alert is tried again when others publish on its
// subject between looking and publishing.
const maxRaces = 100

// Errors that end a replay.
var (
	errRaces   = errors.New("others publish on its subject all the time; nothing was published, run it again when it is quieter")
	errUnknown = errors.New("it was claimed before, and whether it was published then cannot be known any more: publishing it now could count it twice")
)

// Replay replays the letter of a sequence and an era; without era, the newest of
// the sequence. Fresh is false when it had been replayed before, and nothing was
// done. After an error the same call may be made again.
func (a *Again) Replay(ctx context.Context, seq uint64, era string) (rec Replayed, fresh bool, err error) {
	l, err := readLetter(ctx, a.JS, seq, era)
	if err != nil {
		return rec, false, err
	}
	raw, home, err := a.streams(ctx)
	if err != nil {
		return rec, false, err
	}
	o, err := l.original(ctx, a.JS, Era(raw.CachedInfo().Created))
	if err != nil {
		return rec, false, err
	}
	rec, rev, err := a.claim(ctx, l, o, home)
	if err != nil || rec.RawSeq > 0 {
		return rec, false, err
	}
	if rec.RawSeq, err = a.publish(ctx, l, o, rec, home); err != nil {
		return rec, false, err
	}
	if raw != home {
		if rec.RawSeq, err = a.arrived(ctx, l, o, raw, rec); err != nil {
			return rec, false, err
		}
	}
	return a.complete(ctx, l, rec, rev)
}

// streams returns the raw stream, and the one that alerts are published to: the
// same, unless the raw stream has a source.
func (a *Again) streams(ctx context.Context) (raw, home jetstream.Stream, err error) {
	if raw, err = a.JS.Stream(ctx, subjects.RawStream); err != nil {
		return nil, nil, fmt.Errorf("stream %s: %w", subjects.RawStream, missingStream(err))
	}
	sources := raw.CachedInfo().Config.Sources
	if len(sources) == 0 {
		return raw, raw, nil
	}
	if home, err = a.JS.Stream(ctx, sources[0].Name); err != nil {
		return nil, nil, fmt.Errorf("stream %s, the source of %s: %w", sources[0].Name, subjects.RawStream, Explain(err))
	}
	return raw, home, nil
}

// record reads the record beside a letter, if there is one, and its revision for
// the next one.
func (a *Again) record(ctx context.Context, l letter) (rec Replayed, rev uint64, err error) {
	m, err := lastOf(ctx, a.JS, subjects.OutputStream, subjects.Replay(l.Seq, l.era))
	if errors.Is(err, errNotFound) {
		return Replayed{}, 0, nil
	}
	if err != nil {
		return Replayed{}, 0, err
	}
	rec, err = decodeReplayed(m.Data)
	return rec, m.Seq, err
}

// claim returns the letter's record and its revision, making it if there is none.
func (a *Again) claim(ctx context.Context, l letter, o original, home jetstream.Stream) (Replayed, uint64, error) {
	rec, rev, err := a.record(ctx, l)
	if err != nil || rec.ID != "" {
		return rec, rev, err
	}
	if err := a.publishable(o); err != nil {
		return rec, 0, err
	}
	info, err := home.Info(ctx)
	if err != nil {
		return rec, 0, Explain(err)
	}
	now := time.Now
	if a.Now != nil {
		now = a.Now
	}
	rec = Replayed{
		Schema: ReplayedSchema, Seq: l.Seq, ID: l.id, By: a.By, At: now().UTC().Truncate(time.Millisecond),
		Stream: info.Config.Name, Era: Era(info.Created), After: info.State.LastSeq,
	}
	rev, err = a.write(ctx, l, rec, rev)
	if judge(err) == conflict { // someone else has just claimed it
		return a.record(ctx, l)
	}
	return rec, rev, err
}

// publishable checks what can be known before anything is written.
func (a *Again) publishable(o original) error {
	const headers = 1 << 10 // more than ours take
	if o.why != nil {
		return o.why
	}
	if limit := a.JS.Conn().MaxPayload(); int64(len(o.data)+headers) > limit {
		return fmt.Errorf("the alert has %d bytes, and with its headers would pass the %d that the server takes (max_payload)", len(o.data), limit)
	}
	return nil
}

// write stores a record if its subject is still at revision rev. It is kept as
// long as a letter is from now on, which is longer than its own letter will be.
func (a *Again) write(ctx context.Context, l letter, rec Replayed, rev uint64) (uint64, error) {
	data, err := EncodeJSON(rec)
	if err != nil {
		return 0, err
	}
	m := nats.NewMsg(subjects.Replay(l.Seq, l.era))
	m.Data = data
	m.Header.Set(subjects.HeaderSchema, ReplayedSchema)
	m.Header.Set(subjects.HeaderContentType, "application/json")
	if l.ttl != "" {
		m.Header.Set(jetstream.MsgTTLHeader, l.ttl)
	}
	ack, err := a.JS.PublishMsg(ctx, m, jetstream.WithExpectStream(subjects.OutputStream), jetstream.WithExpectLastSequencePerSubject(rev))
	if err != nil {
		return 0, fmt.Errorf("writing the record of the replay: %w", Explain(err))
	}
	return ack.Sequence, nil
}

// publish publishes the alert unless it was, and returns where it stands in home.
func (a *Again) publish(ctx context.Context, l letter, o original, rec Replayed, home jetstream.Stream) (uint64, error) {
	if o.subject == "" {
		return 0, o.why
	}
	last, seq, err := a.look(ctx, l, o, rec, home)
	if err == nil && seq == 0 {
		err = a.publishable(o)
	}
	for range maxRaces {
		if err != nil || seq > 0 {
			return seq, err
		}
		m := nats.NewMsg(o.subject)
		m.Data = o.data
		m.Header.Set(subjects.HeaderReplay, l.id)
		ack, failed := a.JS.PublishMsg(ctx, m, jetstream.WithMsgID("replay/"+l.id),
			jetstream.WithExpectStream(rec.Stream), jetstream.WithExpectLastSequencePerSubject(last))
		switch {
		case failed == nil:
			return ack.Sequence, nil
		case judge(failed) != conflict:
			return 0, fmt.Errorf("publishing to %s: %w; run it again to see whether it was stored", o.subject, Explain(failed))
		}
		last, seq, err = a.catchUp(ctx, l, o, rec, last)
	}
	return 0, errRaces
}

// look returns where the alert stands in home, or zero: then it is sure that it
// was not published, as long as last is the newest sequence of its subject.
func (a *Again) look(ctx context.Context, l letter, o original, rec Replayed, home jetstream.Stream) (last, seq uint64, err error) {
	m, err := lastOf(ctx, a.JS, rec.Stream, rec.filter(o))
	if err != nil && !errors.Is(err, errNotFound) {
		return 0, 0, err
	}
	if m.Seq > rec.After {
		from := jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{rec.filter(o)}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: rec.After + 1,
		}
		if seq, err = find(ctx, home, from, l); err != nil || seq > 0 {
			return 0, seq, err
		}
	}
	info, err := home.Info(ctx)
	if err != nil {
		return 0, 0, Explain(err)
	}
	if info.Config.Name != rec.Stream || Era(info.Created) != rec.Era || info.State.FirstSeq > rec.After+1 {
		return 0, 0, fmt.Errorf("%w (claimed by %s at %s; stream %s has lost what came after sequence %d)",
			errUnknown, rec.By, rec.At.Format(time.RFC3339), rec.Stream, rec.After)
	}
	return m.Seq, 0, nil
}

// filter matches the alert in the stream that it is published to.
func (r Replayed) filter(o original) string {
	if r.Stream == subjects.RawStream {
		return subjects.StoredAs(o.subject)
	}
	return o.subject
}

// catchUp looks at what came on the alert's subject after last, one by one: there
// is little of it, and the less time passes the likelier it stays all.
func (a *Again) catchUp(ctx context.Context, l letter, o original, rec Replayed, last uint64) (now, seq uint64, err error) {
	for {
		m, err := nextOf(ctx, a.JS, rec.Stream, rec.filter(o), last+1)
		switch {
		case errors.Is(err, errNotFound):
			return last, 0, nil
		case err != nil:
			return last, 0, err
		case m.Header.Get(subjects.HeaderReplay) == l.id && l.is(m.Data):
			return m.Seq, m.Seq, nil
		}
		last = m.Seq
	}
}

// find reads a part of a stream and returns where the letter's alert stands, or zero.
func find(ctx context.Context, s jetstream.Stream, from jetstream.OrderedConsumerConfig, l letter) (seq uint64, err error) {
	c, err := s.OrderedConsumer(ctx, from)
	if err != nil {
		return 0, Explain(err)
	}
	err = each(ctx, c, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if m.Headers().Get(subjects.HeaderReplay) != l.id || !l.is(m.Data()) {
			return nil
		}
		seq = meta.Sequence.Stream
		return errEnd
	})
	if errors.Is(err, errEnd) {
		err = nil
	}
	return seq, err
}

// arrived waits until the alert has come from the source into the raw stream,
// and returns its place there.
func (a *Again) arrived(ctx context.Context, l letter, o original, raw jetstream.Stream, rec Replayed) (uint64, error) {
	patience := a.Patience
	if patience == 0 {
		patience = 5 * time.Second
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	since := rec.At.Add(-time.Hour) // clocks differ
	from := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjects.StoredAs(o.subject)}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}
	for {
		if seq, err := find(ctx, raw, from, l); err != nil || seq > 0 {
			return seq, err
		}
		select {
		case <-waiting.Done():
			return 0, fmt.Errorf("it was published to stream %s as sequence %d and has not come to %s yet; run it again to note its place", rec.Stream, rec.RawSeq, subjects.RawStream)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// complete writes where the alert stands now, unless someone else has.
func (a *Again) complete(ctx context.Context, l letter, rec Replayed, rev uint64) (Replayed, bool, error) {
	_, err := a.write(ctx, l, rec, rev)
	if judge(err) != conflict {
		return rec, err == nil, err
	}
	now, _, err := a.record(ctx, l)
	if err == nil && now.RawSeq != rec.RawSeq {
		err = fmt.Errorf("its record was changed meanwhile: it says sequence %d, found was %d", now.RawSeq, rec.RawSeq)
	}
	return now, false, err
}
