package doctor

import (
	"cmp"
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// errUnmade stands for a stream that does not exist: the check of the streams
// says so, and the others have nothing to look at.
var errUnmade = errors.New("the streams are not all there yet")

// errSilent stands for a JetStream that does not answer.
var errSilent = errors.New("JetStream does not answer")

// silent tells that JetStream does not answer at all; a user who may not ask
// for the account may still ask for the streams.
func (c *chart) silent() error {
	if c.accountErr == nil || isLacking(c.accountErr) && !errors.Is(c.accountErr, c.asker.inbox) {
		return nil
	}
	return errSilent
}

func working(c *chart) error { return c.silent() }

func accountKnown(c *chart) error { return c.accountErr }

func allStreams(c *chart) error { return c.allErr }

func rawMade(c *chart) error { return c.seen(subjects.RawStream) }

// rawStream is needed as it was at both samples.
func rawStream(c *chart) error {
	return cmp.Or(rawMade(c), c.first.rawErr, c.second.rawErr)
}

func outputStream(c *chart) error { return c.seen(subjects.OutputStream) }

func (c *chart) seen(name string) error {
	if err := c.silent(); err != nil {
		return err
	}
	s := c.streams[name]
	if isCode(s.err, jetstream.JSErrCodeStreamNotFound) {
		return errUnmade
	}
	return s.err
}

func alertsRead(c *chart) error { return c.second.newestErr }

func deadRead(c *chart) error { return c.deadErr }

func statesRead(c *chart) error { return c.states.err }

func statusKnown(c *chart) error {
	if err := rawStream(c); err != nil {
		return err
	}
	err := errors.Join(outputStream(c), c.seen(subjects.BucketStream(subjects.MembersBucket)))
	if errors.Is(err, errUnmade) {
		return errUnmade
	}
	return cmp.Or(err, c.first.statusErr, c.second.statusErr)
}

func theTime(c *chart) error {
	if c.unsure > 0 {
		return nil
	}
	if err := c.silent(); err != nil {
		return err
	}
	for _, s := range c.streams {
		if isLacking(s.err) {
			return s.err
		}
	}
	return errUnmade
}

// unseen is the finding for what could not be looked at.
func unseen(err error) Finding {
	if l, ok := errors.AsType[lacking](err); ok {
		return note(l.Error(), "allow this user to "+l.verb+" "+l.subject+", which is harmless, or run the doctor as a user who may")
	}
	switch {
	case errors.Is(err, errUnmade):
		return note(err.Error(), "see streams above")
	case errors.Is(err, errSilent):
		return note(err.Error(), "see jetstream above")
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
		return warn(err.Error(), "run falconer doctor again; if it stays so, look into the server's log")
	}
	return wrong(err.Error(), "look into the log of the workers and of the server")
}
