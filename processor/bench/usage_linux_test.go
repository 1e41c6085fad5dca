package bench

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUsageIsReadFromTheKernelsForm(t *testing.T) {
	cpu, err := cpuTime([]byte("42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 123 45 0 0 20 0 8 0 1000 0 0"))
	require.NoError(t, err)
	require.Equal(t, 1680*time.Millisecond, cpu)
	_, err = cpuTime([]byte("42 (a) S 1 42"))
	require.ErrorContains(t, err, "want 13 or more")
	require.EqualValues(t, 2048<<10, peak([]byte("Name:\tx\nVmPeak:\t  9999 kB\nVmHWM:\t    2048 kB\n")))
	require.Zero(t, peak([]byte("Name:\tx\n")))
}

func TestUsageOfThisProcess(t *testing.T) {
	u, err := UsageOf(os.Getpid())
	require.NoError(t, err)
	require.Greater(t, u.Peak, uint64(1<<20))
	_, err = UsageOf(1 << 30)
	require.Error(t, err)
}
