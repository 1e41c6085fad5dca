package stream

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"falconer/subjects"
)

// A consumer that filters costs the server up to five times what one costs that
// reads all: for every message it looks for the next one that is meant. So a worker
// that owns a good part of the partitions reads the whole stream once and passes
// over what is not its own; one of many workers reads each partition by itself. A
// partition that is far from the others, since its owner died while they went on,
// is read by itself until they have come together.
const (
	// A worker reads all when it owns one partition in so many, or more.
	readAll = 4
	// near is how many messages the partitions that are read together may be apart.
	near = 20_000
)

// next is the first message that the partition may not have folded yet.
func (p *partition) next() uint64 {
	done := max(p.read, p.ledger.Cursor().Seq)
	if p.reader != nil {
		done = max(done, p.reader.upto)
	}
	return done + 1
}

// plan says which of the owned partitions are read together, and which one by one.
// Together are the most that are near each other, of equally many those behind.
func (w *Worker) plan() (together, alone []*partition) {
	all := slices.SortedFunc(maps.Values(w.owned), func(a, b *partition) int {
		return cmp.Or(cmp.Compare(a.next(), b.next()), cmp.Compare(a.n, b.n))
	})
	for i, j := 0, 0; i < len(all); i++ {
		for j < len(all) && all[j].next() <= all[i].next()+near {
			j++
		}
		if j-i > len(together) {
			together, alone = all[i:j], slices.Concat(all[:i], all[j:])
		}
	}
	if len(together) < 2 || len(together)*readAll < w.partitions {
		return nil, all
	}
	return together, alone
}

// read makes the readers follow the plan. Those that it does not change go on.
func (w *Worker) read(ctx context.Context) {
	together, alone := w.plan()
	if len(together) > 0 && !shareReader(together) {
		w.start(ctx, nil, together)
	}
	for _, p := range alone {
		if p.reader == nil || p.reader.filter == nil {
			w.start(ctx, subjects.Raw(p.n, w.partitions), []*partition{p})
		}
	}
	w.retire()
}

// shareReader reports whether one reader of the whole stream serves all of them.
func shareReader(list []*partition) bool {
	r := list[0].reader
	return r != nil && r.filter == nil && !slices.ContainsFunc(list, func(p *partition) bool { return p.reader != r })
}

// start has one reader read for the partitions from where each of them is.
func (w *Worker) start(ctx context.Context, filter []string, list []*partition) {
	r := &reader{filter: filter, lanes: make([]*lane, w.partitions)}
	r.ctx, r.stop = context.WithCancel(ctx)
	for _, p := range list {
		l := &lane{p: p, created: p.cur.Created, after: p.next() - 1}
		if r.lanes[p.n] = l; r.from == 0 || l.after < r.from {
			r.from = l.after + 1
		}
	}
	r.upto = r.from - 1
	for _, p := range list {
		p.reader, p.folded = r, 0
	}
	w.readers[r] = true
	w.running.Go(func() { r.run(w) })
}

// retire stops the readers that serve no owned partition any more.
func (w *Worker) retire() {
	used := map[*reader]bool{}
	for _, p := range w.owned {
		used[p.reader] = true
	}
	for r := range w.readers {
		if !used[r] {
			r.stop()
			delete(w.readers, r)
		}
	}
}
