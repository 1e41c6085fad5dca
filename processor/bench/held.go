package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor/stream"
	"falconer/subjects"
)

// Kind is what a message of the output stream is.
type Kind string

// The kinds that there are. A state is forgotten when an empty message stands for it,
// which the server removes a minute later; what records that a dead letter was
// replayed counts as one; lists of silences are other.
const (
	OpenStates   Kind = "open"
	ClosedStates Kind = "closed"
	Forgotten    Kind = "forgotten"
	Reports      Kind = "report"
	Tasks        Kind = "task"
	DeadLetters  Kind = "dead"
	Cursors      Kind = "cursor"
	Others       Kind = "other"
)

// Holding is how much there is of a kind.
type Holding struct {
	// Messages is also how many subjects there are: each has one message.
	Messages uint64 `json:"messages"`
	// Bytes are subject, header and body, and what the server adds for itself: what
	// it counts for the stream's size.
	Bytes uint64 `json:"bytes"`
}

// Held says what the output stream holds, by kind; a kind of which there is nothing
// is left out. It reads the stream once, headers only. What is written meanwhile may
// count twice or not at all; when nothing is, the bytes add up to the stream's own.
func Held(ctx context.Context, js jetstream.JetStream) (map[Kind]Holding, error) {
	s, err := js.Stream(ctx, subjects.OutputStream)
	if err != nil {
		return nil, fmt.Errorf("looking at stream %s: %w", subjects.OutputStream, stream.Explain(err))
	}
	file := s.CachedInfo().Config.Storage == jetstream.FileStorage
	held := map[Kind]Holding{}
	err = each(ctx, js, subjects.OutputStream, jetstream.OrderedConsumerConfig{HeadersOnly: true}, func(msg jetstream.Msg, _ *jetstream.MsgMetadata) error {
		header, body, err := unweighed(msg.Headers())
		if err != nil {
			return fmt.Errorf("%s: %w", msg.Subject(), err)
		}
		kind := kindOf(msg.Subject(), header, body)
		h := held[kind]
		h.Messages++
		h.Bytes += uint64(record(len(msg.Subject()), headerSize(header), body, file))
		held[kind] = h
		return nil
	})
	return held, err
}

// unweighed takes off the header that a consumer of headers gets in place of the
// body: how long that is.
func unweighed(header nats.Header) (nats.Header, int, error) {
	body, err := strconv.Atoi(header.Get(nats.MsgSize))
	header.Del(nats.MsgSize)
	return header, body, err
}

// kindOf tells states apart without reading them: one that is closed expires, one
// that is open does not.
func kindOf(subject string, header nats.Header, body int) Kind {
	under := func(filter string) bool { return strings.HasPrefix(subject, strings.TrimRight(filter, ".*>")+".") }
	switch {
	case under(subjects.States) && body == 0:
		return Forgotten
	case under(subjects.States) && header.Get(jetstream.MsgTTLHeader) != "":
		return ClosedStates
	case under(subjects.States):
		return OpenStates
	case under(subjects.Reports):
		return Reports
	case under(subjects.Tasks):
		return Tasks
	case under(subjects.Dead):
		return DeadLetters
	case under(subjects.Cursors):
		return Cursors
	}
	return Others
}

// headerSize is how long a header is on the wire and in the store.
func headerSize(header nats.Header) (size int) {
	for key, values := range header {
		for _, v := range values {
			size += len(key) + len(": ") + len(v) + len("\r\n")
		}
	}
	if size > 0 {
		size += len("NATS/1.0\r\n") + len("\r\n")
	}
	return size
}

// record is what nats-server counts for a message (fileStoreMsgSizeRaw in
// server/filestore.go, memStoreMsgSizeRaw in server/memstore.go): in a file there
// are lengths, sequence, time and a hash beside it, in memory sequence and time.
func record(subject, header, body int, file bool) int {
	const sequenceAndTime, inFile, ofHeader = 16, 14, 4
	size := subject + header + body + sequenceAndTime
	if file {
		size += inFile
	}
	if file && header > 0 {
		size += ofHeader
	}
	return size
}
