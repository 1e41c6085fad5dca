//go:build unix

package test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

func (r *faultRun) killServer() error {
	s := r.cluster.servers[r.rng.IntN(len(r.cluster.servers))]
	s.proc.kill()
	r.moment(0, 1500*time.Millisecond)
	s.again()
	return r.wait(30*time.Second, "the streams to have leaders", func() bool { return r.cluster.hasLeaders(r.js) })
}

func (r *faultRun) killServers() error {
	for _, s := range r.cluster.servers {
		s.proc.signal(syscall.SIGKILL)
	}
	for _, s := range r.cluster.servers {
		<-s.proc.ended
		s.start()
	}
	return r.wait(time.Minute, "the streams to have leaders", func() bool { return r.cluster.hasLeaders(r.js) })
}

// cutServer takes one server's routes away while its clients still reach it.
func (r *faultRun) cutServer(holds bool) error {
	n := r.rng.IntN(len(r.cluster.servers))
	for _, w := range r.cluster.wires {
		if w.touches(n) {
			w.sever(holds)
		}
	}
	r.moment(time.Second, 5*time.Second)
	for _, w := range r.cluster.wires {
		w.mend()
	}
	return r.wait(30*time.Second, "the streams to have leaders", func() bool { return r.cluster.hasLeaders(r.js) })
}

func (r *faultRun) stepDown() error {
	var errs []error
	for _, name := range []string{subjects.RawStream, subjects.OutputStream} {
		_, err := r.js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+name, nil, 3*time.Second)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// fillOutput leaves the output stream no room until the workers say so. They stand
// still while the limit is lowered: a commit that one server alone is storing at
// that moment is held against the old limit as a whole and against the new one
// message by message, and ends torn (nats-server 2.15.2; see DESIGN).
func (r *faultRun) fillOutput() error {
	before, was := r.full.Load(), int64(0)
	still := r.fleet.up()
	for _, s := range still {
		s.signal(syscall.SIGSTOP)
	}
	r.moment(300*time.Millisecond, 500*time.Millisecond) // what is on its way gets stored
	err := r.editOutput(func(info *jetstream.StreamInfo) {
		was, info.Config.MaxBytes = info.Config.MaxBytes, int64(info.State.Bytes)+4096
	})
	for _, s := range still {
		s.signal(syscall.SIGCONT)
	}
	if err != nil {
		return err
	}
	full := r.wait(15*time.Second, "a worker to say that the stream is full", func() bool { return r.full.Load() > before })
	r.moment(0, time.Second)
	return errors.Join(full, r.wait(30*time.Second, "the stream to be given room again", func() bool {
		return r.editOutput(func(info *jetstream.StreamInfo) { info.Config.MaxBytes = was }) == nil
	}))
}

func (r *faultRun) editOutput(edit func(*jetstream.StreamInfo)) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	s, err := r.js.Stream(ctx, subjects.OutputStream)
	if err != nil {
		return err
	}
	info := s.CachedInfo()
	edit(info)
	_, err = r.js.UpdateStream(ctx, info.Config)
	return err
}

// maxRemakes bounds how often a run makes the raw stream anew: each time it must
// drain first.
const maxRemakes = 2

// remakeRaw deletes the raw stream when everything in it is counted, and makes
// it again, while workers run or while none does.
func (r *faultRun) remakeRaw(workersDown bool) error {
	if r.remade >= maxRemakes {
		return fmt.Errorf("done %d times already", r.remade)
	}
	r.feed.pause()
	defer r.feed.resume()
	for _, s := range r.fleet.up() {
		s.clocked(func() { s.signal(syscall.SIGKILL) }) // it would wait for hours
	}
	err := r.wait(time.Minute, "the alerts to be counted and the incidents to close", func() bool {
		t := r.witness.totals()
		return r.raw.caughtUp() && r.drained() && t.Opened == t.Closed
	})
	if err != nil {
		return err
	}
	if r.remade == 0 {
		if diffs := r.replayDiffers(); len(diffs) > 0 {
			r.witness.breaks("before %s was made anew: %v", subjects.RawStream, diffs)
		}
	}
	n := len(r.fleet.up())
	if workersDown {
		r.fleet.scale(0, syscall.SIGKILL)
	}
	r.raw.reading().stop()
	for _, diff := range r.raw.check() {
		r.witness.breaks("%s", diff)
	}
	if err := r.deleteAndMake(); err != nil {
		return err
	}
	r.remade++
	r.fleet.scale(n, syscall.SIGTERM)
	return nil
}

func (r *faultRun) deleteAndMake() error {
	s, err := r.js.Stream(context.Background(), subjects.RawStream)
	if err != nil {
		return err
	}
	cfg := s.CachedInfo().Config
	born := s.CachedInfo().Created
	err = r.wait(30*time.Second, subjects.RawStream+" to be deleted and made anew", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		s, err := r.js.Stream(ctx, subjects.RawStream)
		switch {
		case err == nil && s.CachedInfo().Created.Equal(born):
			_ = r.js.DeleteStream(ctx, subjects.RawStream)
		case err == nil:
			return true
		case errors.Is(err, jetstream.ErrStreamNotFound):
			_, _ = r.js.CreateStream(ctx, cfg)
		}
		return false
	})
	if err != nil {
		return err
	}
	return r.wait(30*time.Second, "the new raw stream to be read", func() bool { return r.raw.begin() == nil })
}
