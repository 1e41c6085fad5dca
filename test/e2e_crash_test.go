//go:build unix

package test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pace is how many alerts a second come while workers come and go.
const pace = 2000

// One worker is killed and one is stopped by SIGSTOP for so long that another
// takes from it what it was working on; then it goes on as if nothing had been.
func TestKillNineInTheMiddle(t *testing.T) {
	t.Parallel()
	s, l := overServerOutside(t), load{fingerprints: 500}
	workers := s.fill(4)
	stop := s.publisher(l).feed(pace)
	s.folded(pace)
	s.reached("in the middle")
	workers[0].kill()
	s.worker("worker-5")
	s.owns("worker-5")
	s.reached("one killed, another started")
	s.makeZombie(workers[3], "worker-4", "worker-6")
	s.reached("all back")
	s.folded(s.status().Totals.In + pace)
	n := stop()
	_, _, stored := l.counts(n)
	s.drained(stored, time.Minute)
	s.requireExact(l, n)
	require.NotContains(t, s.status().owners(), "worker-1", "the dead own nothing")
	require.True(t, workers[3].running(), "the zombie lives on")
}

// folded waits until so many alerts are folded.
func (s *system) folded(alerts int) {
	s.t.Helper()
	until(s.t, time.Minute, fmt.Sprintf("%d alerts to be folded", alerts), func() bool { return s.status().Totals.In >= alerts })
}

// owns waits until a worker owns a partition.
func (s *system) owns(id string) {
	s.t.Helper()
	until(s.t, time.Minute, id+" to own a partition", func() bool { return s.status().owners()[id] > 0 })
}

// makeZombie stops a worker for three seconds, and longer if need be: until
// another that joins owns a partition that was the worker's.
func (s *system) makeZombie(w *process, id, joins string) {
	s.t.Helper()
	before := s.status()
	w.signal(syscall.SIGSTOP)
	defer w.signal(syscall.SIGCONT)
	began := time.Now()
	s.worker(joins)
	until(s.t, 30*time.Second, joins+" to own what was "+id+"'s", func() bool {
		if time.Since(began) < 3*time.Second {
			return false
		}
		for i, p := range s.status().Partitions {
			if p.Owner == joins && before.Partitions[i].Owner == id {
				return true
			}
		}
		return false
	})
}

func TestRollingRestart(t *testing.T) {
	t.Parallel()
	s, l := overServerOutside(t), load{fingerprints: 500}
	workers := s.fill(3)
	stop := s.publisher(l).feed(pace)
	s.folded(pace)
	s.reached("in the middle")
	for i, w := range workers {
		require.Zero(t, w.stop(10*time.Second), "exit code after SIGTERM")
		require.Contains(t, w.log.String(), "stopped; what was folded is committed")
		id := fmt.Sprintf("worker-%d", 4+i)
		s.worker(id)
		s.owns(id)
		s.reached("one restarted")
	}
	n := stop()
	_, _, stored := l.counts(n)
	s.drained(stored, time.Minute)
	s.requireExact(l, n)
	for id := range s.status().owners() {
		require.Contains(t, []string{"worker-4", "worker-5", "worker-6"}, id)
	}
}

// The process with the server inside is killed and started again on the same
// folder and port, while another worker stays and alerts keep coming.
func TestKillNineOfTheServerInside(t *testing.T) {
	t.Parallel()
	s, l := overServerInside(t), load{fingerprints: 500}
	s.fill(2)
	stop := s.publisher(l).feed(pace)
	s.folded(pace)
	s.reached("in the middle")
	s.server.kill()
	s.startInside()
	s.reached("all back")
	s.folded(s.status().Totals.In + 2*pace)
	n := stop()
	_, _, stored := l.counts(n)
	s.drained(stored, time.Minute)
	s.requireExact(l, n)
}
