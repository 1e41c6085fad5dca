package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"falconer/processor/stream"
)

func TestQuantilesAreMeasuredValues(t *testing.T) {
	var sorted []time.Duration
	for i := range 1000 {
		sorted = append(sorted, time.Duration(i+1))
	}
	for thousandths, want := range map[int]time.Duration{0: 1, 1: 1, 500: 500, 990: 990, 999: 999, 1000: 1000} {
		require.Equal(t, want, Quantile(sorted, thousandths), thousandths)
	}
	require.Equal(t, time.Duration(3), Quantile([]time.Duration{1, 2, 3}, 999))
	require.Zero(t, Quantile(nil, 500))
}

func TestSpread(t *testing.T) {
	require.Equal(t, Spread{Median: 2, Min: 1, Max: 9}, SpreadOf([]float64{9, 1, 2}))
	require.Equal(t, Spread{Median: 3, Min: 1, Max: 9}, SpreadOf([]float64{9, 1, 2, 4}))
	require.Zero(t, SpreadOf(nil))
}

func TestOpenedByReadsTheSequenceOfTheIncident(t *testing.T) {
	seq, err := openedBy("falconer.report.high.terminal_shell.0123456789abcdef-1z-era.opened")
	require.NoError(t, err)
	require.EqualValues(t, 71, seq)
	for _, subject := range []string{"falconer.task.high.x.y.z", "falconer.report.high.rule.no_id.opened", "falconer.report.high.rule.a-!-c.opened"} {
		_, err := openedBy(subject)
		require.Error(t, err, subject)
	}
}

func TestPartitionsAreSharedOutWhenEachIsHeldOnce(t *testing.T) {
	hold := func(shares ...[]int) (out []stream.Member) {
		for _, s := range shares {
			out = append(out, stream.Member{Partitions: s})
		}
		return out
	}
	require.True(t, shared(hold([]int{0, 2}, []int{1}), 2, 3))
	require.True(t, shared(hold([]int{0, 2, 1}, nil), 2, 3), "one may have none")
	require.False(t, shared(hold([]int{0, 1, 2}, []int{1}), 2, 3), "one has not let go yet, or not said so")
	require.False(t, shared(hold([]int{0}, []int{1}), 2, 3))
	require.False(t, shared(hold([]int{0, 1, 2}), 2, 3), "one is not there yet")
}
