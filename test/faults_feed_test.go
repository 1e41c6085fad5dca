//go:build unix

package test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// feed publishes the mix at a steady pace, each message until it is acknowledged.
type feed struct {
	publisher publisher
	step      int
	quit      chan struct{}
	done      chan struct{}
	once      sync.Once
	gate      sync.Mutex // held while a step is published, or the load pauses
	sent      atomic.Int64
}

const feedBeat = 50 * time.Millisecond

func startFeed(t *testing.T, js jetstream.JetStream, perSecond int) *feed {
	t.Helper()
	f := &feed{
		publisher: publisher{t: t, js: js}, step: perSecond * int(feedBeat/time.Millisecond) / 1000,
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	go f.run()
	return f
}

func (f *feed) run() {
	defer close(f.done)
	tick := time.NewTicker(feedBeat)
	defer tick.Stop()
	for n := 0; ; n += f.step {
		select {
		case <-f.quit:
			return
		case <-tick.C:
		}
		f.gate.Lock()
		f.publish(n, n+f.step)
		f.gate.Unlock()
	}
}

// publish stores the messages from up to to, however often the servers go away.
func (f *feed) publish(from, to int) {
	var msgs []*nats.Msg
	for i := from; i < to; i++ {
		msgs = append(msgs, mix{}.messages(i)...)
	}
	n := int64(len(msgs))
	for len(msgs) > 0 {
		if msgs = f.publisher.send(msgs); len(msgs) > 0 {
			select {
			case <-f.publisher.t.Context().Done():
				return
			case <-time.After(feedBeat):
			}
		}
	}
	f.sent.Add(n)
}

// published counts the acknowledged messages.
func (f *feed) published() int { return int(f.sent.Load()) }

// pause holds the load back, with nothing on its way, until resume.
func (f *feed) pause() { f.gate.Lock() }

func (f *feed) resume() { f.gate.Unlock() }

// stop ends the load for good, with nothing on its way.
func (f *feed) stop() {
	f.once.Do(func() { close(f.quit) })
	<-f.done
}
