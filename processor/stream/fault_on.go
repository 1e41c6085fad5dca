//go:build faults && unix

package stream

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// A build with the tag "faults" obeys three variables. Tests use it; nobody else
// should.
//
//	FALCONER_FAULT     point:nth:action[:milliseconds], several by commas. Action is
//	                   kill (SIGKILL itself), pause (go on after the time, as a zombie
//	                   does) or disconnect (break the connection to NATS)
//	FALCONER_MUTATION  names the guard that is taken out
//	FALCONER_CLOCK     offset@after, such as -1h@5s: this worker's clock steps by the
//	                   offset so long after it was started
type fault struct {
	point  faultPoint
	nth    int
	action string
	wait   time.Duration
}

var armed = sync.OnceValue(func() []*fault {
	var out []*fault
	for text := range strings.SplitSeq(os.Getenv("FALCONER_FAULT"), ",") {
		if text != "" {
			out = append(out, parseFault(text))
		}
	}
	return out
})

var arming sync.Mutex

func parseFault(text string) *fault {
	part := strings.Split(text, ":")
	if len(part) < 3 {
		panic(fmt.Sprintf("FALCONER_FAULT: %q: want point:nth:action[:milliseconds]", text))
	}
	f := &fault{point: faultPoint(part[0]), action: part[2]}
	var err error
	if f.nth, err = strconv.Atoi(part[1]); err != nil {
		panic(err)
	}
	if len(part) > 3 {
		ms, err := strconv.Atoi(part[3])
		if err != nil {
			panic(err)
		}
		f.wait = time.Duration(ms) * time.Millisecond
	}
	return f
}

// due counts that a point is reached, and returns the fault that is to happen.
func due(at faultPoint) *fault {
	arming.Lock()
	defer arming.Unlock()
	var hit *fault
	for _, f := range armed() {
		if f.point == at {
			if f.nth--; f.nth == 0 {
				hit = f
			}
		}
	}
	return hit
}

func (w *Worker) reach(at faultPoint) {
	if f := due(at); f != nil {
		w.happen(f)
	}
}

func (w *Worker) happen(f *fault) {
	w.cfg.Log.Error().Str("point", string(f.point)).Str("action", f.action).Msg("fault injected")
	switch f.action {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "pause":
		<-time.After(f.wait)
	case "disconnect":
		_ = w.cfg.JS.Conn().ForceReconnect()
	default:
		panic("FALCONER_FAULT: no action " + f.action)
	}
}

func (w *Worker) mutated(m mutation) bool { return os.Getenv("FALCONER_MUTATION") == string(m) }

func defaultClock() func() time.Time {
	offset, after, ok := strings.Cut(os.Getenv("FALCONER_CLOCK"), "@")
	if !ok {
		return time.Now
	}
	step, err := time.ParseDuration(offset)
	if err != nil {
		panic(err)
	}
	wait, err := time.ParseDuration(after)
	if err != nil {
		panic(err)
	}
	began := time.Now()
	return func() time.Time {
		if time.Since(began) < wait {
			return time.Now()
		}
		return time.Now().Round(0).Add(step)
	}
}

// publishBatch is the release build's, until a fault is due in the middle of it.
func (w *Worker) publishBatch(ctx context.Context, msgs []*nats.Msg) (*jetstreamext.BatchAck, error) {
	if w.mutated(noBatch) {
		return w.publishSingly(ctx, msgs)
	}
	half, sent := (*fault)(nil), due(atSent)
	if len(msgs) > 1 {
		half = due(atHalf)
	}
	if half == nil && sent == nil {
		return jetstreamext.PublishMsgBatch(ctx, w.cfg.JS, msgs)
	}
	id := nuid.Next()
	for i, m := range msgs {
		if half != nil && i == (len(msgs)+1)/2 {
			_ = w.cfg.JS.Conn().FlushWithContext(ctx)
			w.happen(half)
		}
		m.Header.Set(jetstreamext.BatchIDHeader, id)
		m.Header.Set(jetstreamext.BatchSeqHeader, strconv.Itoa(i+1))
		m.Reply = ""
		if i == len(msgs)-1 {
			m.Header.Set(jetstreamext.BatchCommitHeader, "1")
		}
		if err := w.cfg.JS.Conn().PublishMsg(m); err != nil {
			return nil, err
		}
	}
	_ = w.cfg.JS.Conn().FlushWithContext(ctx)
	if sent != nil {
		w.happen(sent)
	}
	return nil, context.DeadlineExceeded // no acknowledgement was asked for
}

func (w *Worker) publishSingly(ctx context.Context, msgs []*nats.Msg) (*jetstreamext.BatchAck, error) {
	ack := &jetstreamext.BatchAck{}
	for i, m := range msgs {
		if i == (len(msgs)+1)/2 {
			w.reach(atHalf)
		}
		stored, err := w.cfg.JS.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
		if err != nil {
			return nil, err
		}
		ack.Sequence = stored.Sequence
	}
	return ack, nil
}
