package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"falconer/processor/stream"
)

// Alone makes sure that no other bench and no worker is at work on the NATS, and has
// other benches find this one until the returned func is called. They ask each other
// by name; whoever hears another steps back, so that of two that begin together
// neither goes on.
func (b Bed) Alone(ctx context.Context, name string) (leave func(), err error) {
	nc := b.JS.Conn()
	here, err := nc.Subscribe(presence, func(m *nats.Msg) {
		if string(m.Data) != name {
			_ = m.Respond([]byte(name))
		}
	})
	if err != nil {
		return nil, err
	}
	leave = func() { _ = here.Unsubscribe() }
	others, err := nc.SubscribeSync(nc.NewRespInbox())
	if err == nil {
		defer others.Unsubscribe() //nolint:errcheck // it is nobody's inbox then
		err = nc.PublishRequest(presence, others.Subject, []byte(name))
	}
	if err == nil {
		if other, timeout := others.NextMsg(500 * time.Millisecond); timeout == nil && len(other.Data) > 0 {
			err = fmt.Errorf("another bench is at work there (%s): %w", other.Data, ErrForeign)
		}
	}
	if members, _ := stream.Members(ctx, b.JS); err == nil && len(members) > 0 {
		err = fmt.Errorf("workers are at work there (%s on %s): %w", members[0].ID, members[0].Host, ErrForeign)
	}
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// presence is where benches ask for each other.
const presence = "falconer.bench.presence"
