//go:build !faults

package stream

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// What a build for tests injects (fault_on.go) is not in this one: the calls
// below are all that is left of it, and nothing from outside can reach them.

func (w *Worker) reach(faultPoint) {}

func (w *Worker) mutated(mutation) bool { return false }

func defaultClock() func() time.Time { return time.Now }

func (w *Worker) publishBatch(ctx context.Context, msgs []*nats.Msg) (*jetstreamext.BatchAck, error) {
	return jetstreamext.PublishMsgBatch(ctx, w.cfg.JS, msgs)
}
