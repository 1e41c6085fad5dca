package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"falconer/processor/bench"
	"falconer/processor/stream"
	"falconer/subjects"
)

// round takes the measurements of one mix, once.
type round struct {
	*bencher
	load bench.Load
	run  int
	raw  float64 // alerts a second that were read and no more
}

// begin is a measurement of this round, not taken yet.
func (r *round) begin(measure string, workers int) measurement {
	storage := "file"
	if r.opts.memory {
		storage = "memory"
	}
	return measurement{
		Measure: measure, Mix: r.load.Mix.Name, Seed: r.load.Seed, Run: r.run, Workers: workers,
		Storage: storage, Replicas: max(1, r.app.cfg.Replicas), Alerts: r.load.Alerts,
	}
}

// bar shows how far a measurement is.
func (r *round) bar(what string, alerts int) (step func(n int), done func()) {
	if r.opts.repeat > 1 {
		what = fmt.Sprintf("%s, run %d of %d", what, r.run, r.opts.repeat)
	}
	bar := r.app.bar(int64(alerts), "alerts", r.load.Mix.Name+", "+what, true)
	return func(n int) { _ = bar.Add(n) }, func() { _ = bar.Finish() }
}

// feed makes the streams and publishes the alerts.
func (r *round) feed(ctx context.Context) error {
	if err := r.bed(r.load).Make(ctx); err != nil {
		return err
	}
	step, done := r.bar("publishing", r.load.Alerts)
	defer done()
	took, err := bench.Feed{Conn: r.nc, Load: r.load, Progress: step}.All(ctx)
	if err != nil {
		return err
	}
	m := r.begin("publish", 0)
	m.Distinct = r.load.Distinct()
	m.during(took)
	return r.take(m)
}

// drain reads the alerts once.
func (r *round) drain(ctx context.Context) error {
	step, done := r.bar("reading", r.load.Alerts)
	defer done()
	took, err := bench.Drain(ctx, r.js, step)
	if err != nil {
		return err
	}
	m := r.begin("drain", 0)
	m.during(took)
	r.raw = m.PerSecond
	return r.take(m)
}

// fold has workers fold what is stored.
func (r *round) fold(ctx context.Context, workers int) (err error) {
	if err := r.bed(r.load).Renew(ctx); err != nil {
		return err
	}
	c, working, err := r.hire(ctx, workers)
	if err != nil {
		return err
	}
	defer c.dismiss()
	step, done := r.bar(workersText(workers), r.load.Alerts)
	defer done()
	watch := bench.NewWatch(working, r.js)
	defer watch.Close()
	m := r.begin("fold", workers)
	before := c.usage()
	began := time.Now()
	if err := c.begin(); err != nil {
		return err
	}
	if err := watch.Counted(working, uint64(r.load.Alerts), step); err != nil {
		return err
	}
	m.during(time.Since(began))
	m.cost(before, c.usage())
	m.Ratio = m.PerSecond / r.raw
	if err := r.verify(working, &m, uint64(r.load.Alerts)); err != nil {
		return err
	}
	m.wrote(c.dismiss())
	if m.Held, err = bench.Held(ctx, r.js); err != nil {
		return err
	}
	return r.take(m)
}

// react has workers fold alerts as they come, at the rate that was asked for.
func (r *round) react(ctx context.Context, workers int) error {
	rate, load := r.load.Mix.Of(r.opts.rate), r.load
	load.Alerts = int(float64(rate) * r.opts.lasts.Seconds())
	if err := r.bed(load).Make(ctx); err != nil {
		return err
	}
	c, ctx, err := r.hire(ctx, workers)
	if err != nil {
		return err
	}
	defer c.dismiss()
	if err := c.begin(); err != nil {
		return err
	}
	if err := bench.Settled(ctx, r.js, workers, r.partitions()); err != nil {
		return err
	}
	watch := bench.NewWatch(ctx, r.js)
	defer watch.Close()
	m := r.begin("latency", workers)
	m.Alerts, m.Distinct, m.Rate = load.Alerts, load.Distinct(), rate
	step, done := r.bar(workersText(workers)+" at the rate", load.Alerts)
	defer done()
	began := time.Now()
	if _, err := (bench.Feed{Conn: r.nc, Load: load, Progress: step}).Paced(ctx, rate); err != nil {
		return err
	}
	if err := watch.Counted(ctx, uint64(load.Alerts), nil); err != nil {
		return err
	}
	m.during(time.Since(began))
	if err := r.verify(ctx, &m, uint64(load.Alerts)); err != nil {
		return err
	}
	return r.waited(ctx, m)
}

// behind is how much longer than the alerts came the workers may take to count them
// before they are said not to keep up.
const behind = 2 * time.Second

// waited adds how long the reports took, and says when that was because of a queue.
func (r *round) waited(ctx context.Context, m measurement) error {
	waits, err := bench.Latencies(ctx, r.js)
	if err != nil {
		return err
	}
	m.took(waits)
	if took := time.Duration(m.Seconds * float64(time.Second)); took > r.opts.lasts+behind {
		r.app.say("%s, %s: %d alerts/s are more than is folded here (%.0f/s were): reports waited in a queue that grew, and the times say how long.",
			m.Mix, workersText(m.Workers), m.Rate, m.PerSecond)
	}
	return r.take(m)
}

// verify checks that each alert was counted once.
func (r *round) verify(ctx context.Context, m *measurement, published uint64) error {
	st, wrong, err := bench.Exact(ctx, r.js, published)
	if err != nil {
		return err
	}
	exact := len(wrong) == 0
	m.Exact, m.Wrong = &exact, wrong
	m.Incidents, m.Reports, m.Tasks = st.Totals.Opened, st.Totals.Reports, st.Totals.Tasks
	m.messages, m.OutBytes = st.Out.LastSeq, st.Out.Bytes
	m.Share = largestShare(st)
	return nil
}

// largestShare is how many partitions the busiest worker has.
func largestShare(st stream.Status) (most int) {
	shares := map[string]int{}
	for _, p := range st.Partitions {
		shares[p.Owner]++
		most = max(most, shares[p.Owner])
	}
	return most
}

func (r *round) partitions() int { return cmp.Or(r.app.cfg.Partitions, subjects.DefaultPartitions) }

func workersText(n int) string {
	if n == 1 {
		return "1 worker"
	}
	return fmt.Sprintf("%d workers", n)
}
