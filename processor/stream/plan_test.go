package stream

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

// standing is a worker of so many partitions that owns those which have read so far.
func standing(of int, read map[int]uint64) *Worker {
	w := &Worker{partitions: of, owned: map[int]*partition{}, readers: map[*reader]bool{}}
	for n, seq := range read {
		w.owned[n] = &partition{n: n, read: seq, ledger: processor.NewLedger(processor.Options{Book: noBook{}})}
	}
	return w
}

func numbers(list []*partition) (out []int) {
	for _, p := range list {
		out = append(out, p.n)
	}
	slices.Sort(out)
	return out
}

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		of       int
		read     map[int]uint64
		together []int
		alone    []int
	}{
		"nothing":                     {of: 16},
		"the only partition":          {of: 1, read: map[int]uint64{0: 5}, alone: []int{0}},
		"all":                         {of: 4, read: map[int]uint64{0: 5, 1: 0, 2: near, 3: 7}, together: []int{0, 1, 2, 3}},
		"too few to read all for":     {of: 16, read: map[int]uint64{0: 5, 7: 5, 9: 5}, alone: []int{0, 7, 9}},
		"just enough":                 {of: 16, read: map[int]uint64{0: 5, 7: 5, 9: 5, 11: 5}, together: []int{0, 7, 9, 11}},
		"one is far behind":           {of: 4, read: map[int]uint64{0: 1 << 20, 1: 1<<20 + 9, 2: 5}, together: []int{0, 1}, alone: []int{2}},
		"one is far ahead":            {of: 4, read: map[int]uint64{0: 5, 1: 9, 2: 1 << 20}, together: []int{0, 1}, alone: []int{2}},
		"all far from each other":     {of: 4, read: map[int]uint64{0: 5, 1: 1 << 20, 2: 1 << 21}, alone: []int{0, 1, 2}},
		"two pairs: those behind":     {of: 4, read: map[int]uint64{0: 5, 1: 9, 2: 1 << 20, 3: 1 << 20}, together: []int{0, 1}, alone: []int{2, 3}},
		"those near each other count": {of: 8, read: map[int]uint64{0: 5, 1: 1 << 20, 2: 1 << 20, 3: 1 << 21}, together: []int{1, 2}, alone: []int{0, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			together, alone := standing(c.of, c.read).plan()
			require.Equal(t, c.together, numbers(together))
			require.Equal(t, c.alone, numbers(alone))
		})
	}
}

// What a reader of all has passed over counts as read, so that a quiet partition is
// near the others.
func TestAQuietPartitionStandsWhereItsReaderIs(t *testing.T) {
	w := standing(4, map[int]uint64{0: 5, 1: 5, 2: 1 << 20})
	r := &reader{upto: 1<<20 - 9}
	w.owned[0].reader, w.owned[1].reader = r, r
	require.Equal(t, r.upto+1, w.owned[0].next())
	together, _ := w.plan()
	require.Equal(t, []int{0, 1, 2}, numbers(together))
	require.False(t, shareReader(together))
	w.owned[2].reader = r
	require.True(t, shareReader(together))
	r.filter = []string{"one partition's"}
	require.False(t, shareReader(together))
}
