package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"falconer/processor/bench"
)

// measurement is one thing measured once: a line of --json. What was not measured
// is left out. Times of CPU are microseconds an alert.
type measurement struct {
	Measure  string `json:"measure"` // publish, drain, fold or latency
	Mix      string `json:"mix"`
	Seed     uint64 `json:"seed"`
	Run      int    `json:"run"`
	Workers  int    `json:"workers,omitempty"`
	Storage  string `json:"storage"`
	Replicas int    `json:"replicas"`

	Alerts    int     `json:"alerts"`
	Distinct  int     `json:"distinct,omitempty"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	// Ratio is to the drain of the same run.
	Ratio float64 `json:"ratio,omitempty"`

	WorkerCPU  float64 `json:"worker_cpu_us,omitempty"`
	ServerCPU  float64 `json:"server_cpu_us,omitempty"`
	WorkerPeak uint64  `json:"worker_peak_bytes,omitempty"` // of the worker that had most
	ServerPeak uint64  `json:"server_peak_bytes,omitempty"`
	// Share is how many partitions the worker with the most had.
	Share int `json:"largest_share,omitempty"`

	// SentBytes and Stored are an alert's part of what workers sent to NATS and of
	// the messages that FALCONER stored; OutBytes is what it holds at the end, and
	// Held the same by kind.
	SentBytes float64 `json:"sent_bytes,omitempty"`
	Stored    float64 `json:"stored_messages,omitempty"`
	OutBytes  uint64  `json:"output_bytes,omitempty"`
	messages  uint64

	Held map[bench.Kind]bench.Holding `json:"held,omitempty"`

	Rate int     `json:"rate,omitempty"`
	P50  float64 `json:"p50_ms,omitempty"`
	P99  float64 `json:"p99_ms,omitempty"`
	P999 float64 `json:"p999_ms,omitempty"`
	Max  float64 `json:"max_ms,omitempty"`

	Incidents uint64   `json:"incidents,omitempty"`
	Reports   uint64   `json:"reports,omitempty"`
	Tasks     uint64   `json:"tasks,omitempty"`
	Exact     *bool    `json:"exact,omitempty"`
	Wrong     []string `json:"wrong,omitempty"`
}

func (m *measurement) during(d time.Duration) {
	m.Seconds = d.Seconds()
	m.PerSecond = float64(m.Alerts) / d.Seconds()
}

// cost notes what was used between two looks.
func (m *measurement) cost(before, after used) {
	if !before.known || !after.known {
		return
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(m.Alerts) }
	m.WorkerCPU, m.ServerCPU = each(after.workers.CPU-before.workers.CPU), each(after.server.CPU-before.server.CPU)
	m.WorkerPeak, m.ServerPeak = after.workers.Peak, after.server.Peak
}

// wrote notes what the workers sent, and what was stored of it.
func (m *measurement) wrote(s sent) {
	m.SentBytes = float64(s.Bytes) / float64(m.Alerts)
	m.Stored = float64(m.messages) / float64(m.Alerts)
}

// took notes how long reports took, of durations in order.
func (m *measurement) took(waits []time.Duration) {
	at := func(thousandths int) float64 {
		return float64(bench.Quantile(waits, thousandths).Microseconds()) / 1000
	}
	m.P50, m.P99, m.P999, m.Max = at(500), at(990), at(999), at(1000)
}

// column is one of the table's: what it shows of which measurement.
type column struct {
	above, head string
	width       int
	measure     string
	value       func(m *measurement) float64
	digits      int
}

func benchColumns(rate int) []column {
	const mib = 1 << 20
	cols := []column{
		{"", "alerts/s", 9, "fold", func(m *measurement) float64 { return m.PerSecond }, 0},
		{"", "of raw", 7, "fold", func(m *measurement) float64 { return m.Ratio }, 3},
		{"CPU µs", "worker", 7, "fold", func(m *measurement) float64 { return m.WorkerCPU }, 1},
		{"an alert", "server", 9, "fold", func(m *measurement) float64 { return m.ServerCPU }, 1},
		{"RSS", "MiB", 5, "fold", func(m *measurement) float64 { return float64(m.WorkerPeak) / mib }, 0},
		{"written", "bytes", 8, "fold", func(m *measurement) float64 { return m.SentBytes }, 0},
		{"an alert", "msgs", 9, "fold", func(m *measurement) float64 { return m.Stored }, 2},
	}
	if rate == 0 {
		return cols
	}
	return append(cols,
		column{"report", "p50", 7, "latency", func(m *measurement) float64 { return m.P50 }, 0},
		column{"in ms", "p99", 6, "latency", func(m *measurement) float64 { return m.P99 }, 0},
		column{"", "p99.9", 6, "latency", func(m *measurement) float64 { return m.P999 }, 0})
}

// printBench prints the table of one mix: a row for each number of workers, with
// medians; and when all was measured more than once, the least and the most.
func (a *app) printBench(o benchOptions, mix bench.Mix, taken []measurement) {
	fmt.Fprintf(a.out, "%s: %d alerts (%s)\n", mix.Name, mix.Of(o.alerts), mix.About)
	for _, what := range []struct{ measure, words string }{{"publish", "published"}, {"drain", "read, raw"}} {
		s := spread(taken, what.measure, 0, func(m *measurement) float64 { return m.PerSecond })
		fmt.Fprintf(a.out, "%-10s %s\n", what.words, rateText(s, o.repeat))
	}
	if o.rate > 0 {
		fmt.Fprintf(a.out, "%-10s at %d alerts/s for %s\n", "reports", mix.Of(o.rate), o.lasts)
	}
	cols := benchColumns(o.rate)
	a.benchRow("", cols, func(c column) string { return c.above })
	a.benchRow("workers", cols, func(c column) string { return c.head })
	for _, n := range o.workers {
		row := func(label string, pick func(bench.Spread) float64) {
			a.benchRow(label, cols, func(c column) string { return c.cell(pick(spread(taken, c.measure, n, c.value))) })
		}
		row(strconv.Itoa(n), func(s bench.Spread) float64 { return s.Median })
		if o.repeat > 1 {
			row("  min", func(s bench.Spread) float64 { return s.Min })
			row("  max", func(s bench.Spread) float64 { return s.Max })
		}
	}
	if held := heldText(taken); held != "" {
		fmt.Fprintln(a.out, held)
	}
	fmt.Fprintln(a.out)
}

// heldText says how much room a state, a report and a task take in FALCONER, the
// median of all runs; nothing if none was folded.
func heldText(taken []measurement) string {
	var parts []string
	for _, kind := range []struct {
		is    bench.Kind
		words string
	}{{bench.OpenStates, "a state"}, {bench.Reports, "a report"}, {bench.Tasks, "a task"}} {
		var sizes []float64
		for _, m := range taken {
			if h := m.Held[kind.is]; h.Messages > 0 {
				sizes = append(sizes, float64(h.Bytes)/float64(h.Messages))
			}
		}
		if len(sizes) > 0 {
			parts = append(parts, fmt.Sprintf("%.1f KB %s", bench.SpreadOf(sizes).Median/1000, kind.words))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "held: " + strings.Join(parts, ", ")
}

func (a *app) benchRow(label string, cols []column, text func(column) string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-7s", label)
	for _, c := range cols {
		fmt.Fprintf(&b, " %*s", c.width-1, text(c)) // a space even beside a figure that is too long
	}
	fmt.Fprintln(a.out, strings.TrimRight(b.String(), " "))
}

// cell is a figure, or a dash for what was not measured. From a thousand on nobody
// wants to know the part behind the point.
func (c column) cell(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', c.digits, 64)
}

func rateText(s bench.Spread, repeat int) string {
	if repeat == 1 {
		return fmt.Sprintf("%.0f alerts/s", s.Median)
	}
	return fmt.Sprintf("%.0f alerts/s (min %.0f, max %.0f)", s.Median, s.Min, s.Max)
}

// spread gathers a figure of all runs.
func spread(taken []measurement, measure string, workers int, value func(*measurement) float64) bench.Spread {
	var values []float64
	for i := range taken {
		if m := &taken[i]; m.Measure == measure && m.Workers == workers {
			values = append(values, value(m))
		}
	}
	return bench.SpreadOf(values)
}
