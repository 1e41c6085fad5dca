//go:build unix

package test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// faultTime is for how long faults happen to each kind of server: FALCONER_FAULTS,
// such as 3m, or a time that fits a developer's patience.
func faultTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("FALCONER_FAULTS")
	if text == "" {
		return 12 * time.Second
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err, "FALCONER_FAULTS")
	return d
}

// longFaults says that there is time.
func longFaults() bool { return os.Getenv("FALCONER_FAULTS") != "" }

// What this asserts is the promise: whatever crashes, hangs, is cut off or fills
// up, what was published is what one fold of the stored alerts makes, each output
// once, and the read positions only went forward.
func TestExactUnderEveryFault(t *testing.T) {
	for _, kind := range []struct {
		name          string
		servers, pace int
	}{
		{"R1", 1, 1000},
		{"R3", 3, 500},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			r := startFaultRun(t, faultSeed(t), kind.servers, kind.pace, 6*time.Second)
			t.Logf("seed %d", r.seed)
			r.fleet.scale(3, syscall.SIGTERM)
			r.play(faultTime(t))
			var diffs []string
			if err := r.settle(3 * time.Minute); err != nil {
				diffs = append(diffs, err.Error())
			}
			diffs = append(diffs, r.differences()...)
			t.Log(r.summary(diffs))
			t.Log(r.table())
			for _, d := range diffs[:min(len(diffs), maxDifferences)] {
				t.Error(d)
			}
			require.Positive(t, r.faults(), "no fault happened")
		})
	}
}
