package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/subjects"
)

// cursorSchema is the form of a partition's stored cursor.
const cursorSchema = "cursor.v1"

// Cursor is a partition's stored read position, and who owns it.
type Cursor struct {
	Schema    string `json:"schema"`
	Partition int    `json:"partition"`
	// Epoch counts the owners the partition has had; it never decreases.
	Epoch uint64 `json:"epoch"`
	// Owner is the worker that wrote the last fence. It may be gone since.
	Owner string `json:"owner"`
	// Created is when the raw stream was made; a change starts a new era.
	Created time.Time `json:"created"`
	// Read, when it is beyond Seq, is up to where the raw stream holds nothing for
	// this partition.
	Read uint64 `json:"read,omitempty"`
	processor.Cursor
}

// Era names a life of the raw stream by when it was made, as it stands in
// incident ids.
func Era(created time.Time) string { return strconv.FormatInt(created.UnixMilli(), 36) }

// stored is the newest message of a subject.
type stored struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`

	Header nats.Header `json:"-"`
	Data   []byte      `json:"-"`
}

// Errors of lastOf that callers branch on.
var errNotFound = errors.New("no message found")

// lastOf asks the stream's leader for the newest message of a subject. It never
// uses direct get, which a follower that lags behind may answer.
func lastOf(ctx context.Context, js jetstream.JetStream, stream, subject string) (stored, error) {
	return get(ctx, js, stream, fmt.Sprintf(`{"last_by_subj":%q}`, subject))
}

// at asks the stream's leader for the message at a sequence.
func at(ctx context.Context, js jetstream.JetStream, stream string, seq uint64) (stored, error) {
	return get(ctx, js, stream, fmt.Sprintf(`{"seq":%d}`, seq))
}

// nextOf asks the stream's leader for the first message at or after a sequence
// whose subject matches.
func nextOf(ctx context.Context, js jetstream.JetStream, stream, subject string, seq uint64) (stored, error) {
	return get(ctx, js, stream, fmt.Sprintf(`{"seq":%d,"next_by_subj":%q}`, seq, subject))
}

func get(ctx context.Context, js jetstream.JetStream, stream, request string) (stored, error) {
	msg, err := js.Conn().RequestWithContext(ctx, APIPrefix(js)+"STREAM.MSG.GET."+stream, []byte(request))
	if err != nil {
		return stored{}, fmt.Errorf("getting a message of %s: %w", stream, err)
	}
	var resp struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			stored
			Header []byte `json:"hdrs"`
			Data   []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(msg.Data, &resp); err != nil {
		return stored{}, fmt.Errorf("getting a message of %s: %w", stream, err)
	}
	switch {
	case resp.Error != nil && resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return stored{}, errNotFound
	case resp.Error != nil:
		return stored{}, fmt.Errorf("getting a message of %s: %w", stream, resp.Error)
	case resp.Message == nil:
		return stored{}, fmt.Errorf("getting a message of %s: empty answer", stream)
	}
	out := resp.Message.stored
	out.Data = resp.Message.Data
	if len(resp.Message.Header) > 0 {
		out.Header, err = nats.DecodeHeadersMsg(resp.Message.Header)
	}
	return out, err
}

// APIPrefix is what every subject of the JetStream API begins with for js, which
// may have a domain or a prefix of its own.
func APIPrefix(js jetstream.JetStream) string {
	opts := js.Options()
	switch {
	case opts.APIPrefix != "":
		return opts.APIPrefix
	case opts.Domain != "":
		return "$JS." + opts.Domain + ".API."
	}
	return jetstream.DefaultAPIPrefix
}

// readCursor returns a partition's cursor and its revision, which are zero when
// the partition has never been owned.
func readCursor(ctx context.Context, js jetstream.JetStream, partition int) (Cursor, uint64, error) {
	msg, err := lastOf(ctx, js, subjects.OutputStream, subjects.Cursor(partition))
	if errors.Is(err, errNotFound) {
		return Cursor{Schema: cursorSchema, Partition: partition}, 0, nil
	}
	if err != nil {
		return Cursor{}, 0, err
	}
	c, err := decodeCursor(msg.Data)
	return c, msg.Seq, err
}

// rawStream looks at the raw stream, and how many partitions it has.
func rawStream(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, int, error) {
	raw, err := js.Stream(ctx, subjects.RawStream)
	if err != nil {
		return nil, 0, fmt.Errorf("stream %s: %w", subjects.RawStream, missingStream(err))
	}
	n, err := subjects.PartitionsOf(raw.CachedInfo().Config)
	return raw, n, err
}

// Cursors reads how far the workers have come, by partition.
func Cursors(ctx context.Context, js jetstream.JetStream) ([]Cursor, error) {
	_, n, err := rawStream(ctx, js)
	if err != nil {
		return nil, err
	}
	cursors := make([]Cursor, n)
	for p := range cursors {
		if cursors[p], _, err = readCursor(ctx, js, p); err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return cursors, nil
}

func decodeCursor(data []byte) (Cursor, error) {
	var c Cursor
	if err := json.Unmarshal(data, &c); err != nil {
		return Cursor{}, fmt.Errorf("reading a cursor: %w", err)
	}
	if c.Schema != cursorSchema {
		return Cursor{}, fmt.Errorf("reading the cursor of partition %d: its form is %q, this falconer writes %q: run one version of falconer only", c.Partition, c.Schema, cursorSchema)
	}
	return c, nil
}
