//go:build unix

package test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

// mutations are guards of the engine that a build for tests can leave out, each
// with what brings out that it is missing, and what must then be found.
var mutations = []struct {
	name    string
	provoke func(*faultRun) error
	finds   string
}{
	{"no-compare", (*faultRun).makeZombies, `went from epoch|writes in epoch`},
	{"no-batch", (*faultRun).killHalfway, `count is|is missing|outputs before its cursor`},
	{"no-fence-load", (*faultRun).killLoaded, `count is|is missing|should not be`},
	{"no-mark", (*faultRun).raiseGhosts, `counts \{|stands at sequence|should not be`},
}

// maxTries bounds how often a mutation is tried: what brings it out is a race.
const maxTries = 3

// A harness that finds nothing proves nothing: it must find each guard that is
// taken out, and find the same run exact with the guard in its place.
func TestHarnessFindsEachGuardThatIsTakenOut(t *testing.T) {
	seed := faultSeed(t)
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			wanted := regexp.MustCompile(m.finds)
			for i := range uint64(maxTries) {
				diffs := provoked(t, seed+i, m.provoke, "FALCONER_MUTATION="+m.name)
				found := slices.IndexFunc(diffs, wanted.MatchString)
				t.Logf("seed %d with %s: %d differences, the first:\n%.2000s", seed+i, m.name, len(diffs), strings.Join(diffs[:min(len(diffs), 5)], "\n"))
				if found < 0 {
					continue
				}
				t.Logf("among them: %.300s", diffs[found])
				require.Empty(t, provoked(t, seed+i, m.provoke), "seed %d without %s", seed+i, m.name)
				return
			}
			require.FailNow(t, "not noticed", "%s in %d tries from seed %d", m.name, maxTries, seed)
		})
	}
}

// provoked runs two workers under load, has the thing happen to them, and
// returns what differs.
func provoked(t *testing.T, seed uint64, provoke func(*faultRun) error, env ...string) (diffs []string) {
	t.Helper()
	r := startFaultRun(t, seed, 1, 400, time.Second, env...)
	defer r.end()
	r.fleet.scale(2, syscall.SIGTERM)
	require.NoError(t, r.wait(time.Minute, "alerts to be counted", func() bool { return r.witness.totals().In > 400 }))
	if err := provoke(r); err != nil {
		diffs = append(diffs, err.Error())
	}
	limit := time.Minute
	if len(env) > 0 {
		limit = 8 * time.Second
	}
	if err := r.settle(limit); err != nil {
		diffs = append(diffs, err.Error())
	}
	return append(diffs, r.differences()...)
}

// makeZombies lets workers sleep while others write the fences of their partitions.
func (r *faultRun) makeZombies() error {
	for range 3 {
		s := r.someWorker()
		s.signal(syscall.SIGSTOP)
		r.stealFrom(s.id)
		r.moment(300*time.Millisecond, 600*time.Millisecond)
		s.signal(syscall.SIGCONT)
		r.moment(100*time.Millisecond, 300*time.Millisecond)
	}
	return nil
}

// killHalfway kills workers with half of a commit sent.
func (r *faultRun) killHalfway() error {
	for range 3 {
		if err := r.failAt("half:%d:kill"); err != nil {
			return err
		}
	}
	return nil
}

// killLoaded kills workers that have many incidents open.
func (r *faultRun) killLoaded() error {
	for range 3 {
		if err := r.failAt("acked:%d:kill"); err != nil {
			return err
		}
	}
	return nil
}

// failAt restarts a worker that fails soon, and waits until it has.
func (r *faultRun) failAt(fault string) error {
	before, s := r.faults(), r.someWorker()
	s.before("FALCONER_FAULT=" + fmt.Sprintf(fault, 3+r.rng.IntN(5)))
	s.signal(syscall.SIGKILL)
	return r.wait(20*time.Second, "a worker to fail", func() bool { return r.faults() > before })
}

// raiseGhosts has the server bring back states of incidents that closed long ago.
// nats-server does so when the newest message of a subject was removed, by its TTL
// or by a purge, and the server is then killed: it finds the revision before that
// in its files. While no worker runs the incidents' time passes, so that they are
// closed and forgotten by one commit, and the revision before is an open one.
// The purge is for those who cannot wait for a minute.
func (r *faultRun) raiseGhosts() error {
	r.feed.stop()
	r.fleet.scale(0, syscall.SIGKILL)
	r.moment(4*time.Second, 4*time.Second+1)
	r.fleet.scale(2, syscall.SIGTERM)
	err := r.wait(30*time.Second, "the incidents to be forgotten", func() bool {
		t := r.witness.totals()
		return r.drained() && t.Opened == t.Closed && r.witness.remembered() == 0
	})
	if err != nil {
		return err
	}
	if err := r.removeForgotten(); err != nil {
		return err
	}
	r.fleet.scale(0, syscall.SIGKILL)
	r.cluster.servers[0].proc.kill()
	r.cluster.servers[0].again()
	if err := r.wait(30*time.Second, "the streams", func() bool { return r.cluster.hasLeaders(r.js) }); err != nil {
		return err
	}
	ghosts := r.ghosts()
	r.event("the server has brought %d states back", len(ghosts))
	if len(ghosts) == 0 {
		r.t.Skip("this nats-server brings no removed state back")
	}
	r.fleet.scale(2, syscall.SIGTERM)
	return r.wait(30*time.Second, "the partitions to be taken again", func() bool { return len(r.ghosts()) == 0 })
}

// removeForgotten waits until the empty messages have expired that stand for
// forgotten incidents, or makes short work of them.
func (r *faultRun) removeForgotten() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := r.js.Stream(ctx, subjects.OutputStream)
	if err != nil {
		return err
	}
	if !longFaults() {
		return s.Purge(ctx, jetstream.WithPurgeSubject(subjects.States))
	}
	return r.wait(2*time.Minute, "the forgotten states to expire", func() bool {
		left, err := readAll(r.js, subjects.OutputStream, subjects.States)
		return err == nil && len(left) == 0
	})
}
