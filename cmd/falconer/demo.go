package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"falconer/processor"
	"falconer/processor/broker"
	"falconer/processor/stream"
	"falconer/subjects"
)

// demoAlerts are the scenes of the demo: an alert and how often it comes.
//
//go:embed demo.jsonl
var demoAlerts []byte

// demoIdle is the demo's idle window, short enough to see incidents close.
const demoIdle = 3 * time.Second

// demoLimit is when the demo gives up: it should take some ten seconds.
const demoLimit = 2 * time.Minute

func (a *app) demoCommand() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show everything at work on a server inside, in memory",
		Long: `Start a NATS server inside (in memory, on a free port of 127.0.0.1) and a worker,
publish real-looking alerts as falcosidekick would, and print the reports and
tasks as a consumer receives them. It ends by itself after some seconds.

The only difference to a real run: incidents close after 3 seconds without a new
alert instead of an hour.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), keep) },
	}
	c.Flags().BoolVar(&keep, "keep", false, "stay until Ctrl-C, so that you can look around with the nats CLI and falconer --nats URL")
	return c
}

// demo is one run of the demonstration.
type demo struct {
	app   *app
	js    jetstream.JetStream
	began time.Time
	sent  uint64
	shown atomic.Uint64 // outputs printed

	// The consumer's, until it has ended.
	first time.Duration // from the start to the first report
	model processor.Report
}

func (a *app) demo(ctx context.Context, keep bool) error {
	d := &demo{app: a, began: time.Now()}
	book, err := a.book()
	if err != nil {
		return err
	}
	b, err := broker.Start(ctx, broker.Config{Listen: "127.0.0.1:0", Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	defer b.Close()
	nc, err := b.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	if d.js, err = jetstream.New(nc); err != nil {
		return err
	}
	layout := subjects.Layout{Memory: true, RawMaxBytes: 64 << 20, OutputMaxBytes: 256 << 20}
	if _, err := stream.Setup(ctx, d.js, layout); err != nil {
		return err
	}
	a.say("NATS server inside at %s (in memory). Alerts go to %s; reports and tasks come from %s and %s.\n",
		b.URL(), subjects.Alerts, subjects.Reports, subjects.Tasks)
	return d.play(ctx, nc, shortBook{book}, keep)
}

// shortBook is a book with the demo's idle window.
type shortBook struct{ processor.Book }

func (b shortBook) Identity(a *processor.Alert) processor.Identity {
	id := b.Book.Identity(a)
	id.Idle = demoIdle
	return id
}

// play runs worker, consumer and alerts beside each other until all is folded
// and shown.
func (d *demo) play(ctx context.Context, nc *nats.Conn, book processor.Book, keep bool) error {
	w, err := stream.New(ctx, d.app.workerConfig(d.js, book, zerolog.Nop()))
	if err != nil {
		return err
	}
	inner, stop := context.WithCancel(ctx)
	worker := make(chan error, 1)
	go func() { worker <- w.Run(inner) }()
	err = d.perform(ctx, nc)
	if err == nil && keep {
		d.stay(ctx)
	}
	stop()
	return errors.Join(err, <-worker)
}

// perform publishes the alerts, shows what comes of them, and sums up.
func (d *demo) perform(ctx context.Context, nc *nats.Conn) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	consumer := make(chan error, 1)
	filters := []string{subjects.Reports, subjects.Tasks, subjects.DeadLetters}
	go func() { consumer <- stream.Follow(inner, d.js, filters, true, d.show) }()
	if err := d.publish(nc); err != nil {
		return err
	}
	totals, err := d.settled(ctx)
	stop()
	if err := errors.Join(err, <-consumer); err != nil {
		return err
	}
	d.sumUp(totals)
	return nil
}

// scene is one line of demo.jsonl.
type scene struct {
	Times int             `json:"times"`
	Pods  []string        `json:"pods"` // taken in turn
	Alert json.RawMessage `json:"alert"`
}

// publish plays the scenes by plain NATS publish, without acknowledgement, as
// falcosidekick's NATS output does.
func (d *demo) publish(nc *nats.Conn) error {
	lines := bufio.NewScanner(bytes.NewReader(demoAlerts))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s scene
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return fmt.Errorf("demo.jsonl: %w", err)
		}
		for i := range s.Times {
			if err := d.send(nc, s, i); err != nil {
				return err
			}
		}
	}
	// One copy of an event, as a second falcosidekick sends it, and one message
	// that is no alert.
	d.sent++
	if err := nc.Publish("falco.notice.not_an_alert", []byte("Falco version 0.44.1")); err != nil {
		return err
	}
	return nc.Flush()
}

func (d *demo) send(nc *nats.Conn, s scene, i int) error {
	var alert map[string]any
	dec := json.NewDecoder(bytes.NewReader(s.Alert))
	dec.UseNumber()
	if err := dec.Decode(&alert); err != nil {
		return fmt.Errorf("demo.jsonl: %w", err)
	}
	now := time.Now().UTC()
	alert["time"] = now.Format(time.RFC3339Nano)
	fields := alert["output_fields"].(map[string]any)
	fields["evt.time"] = now.UnixNano()
	if len(s.Pods) > 0 {
		fields["k8s.pod.name"] = s.Pods[i%len(s.Pods)]
	}
	data, err := json.Marshal(alert)
	if err != nil {
		return err
	}
	priority, _ := alert["priority"].(string)
	rule, _ := alert["rule"].(string)
	subject := "falco." + strings.ToLower(priority) + "." + processor.Slug(rule)
	for range 1 + i%50/49 { // every fiftieth event comes twice, as through two falcosidekicks
		d.sent++
		if err := nc.Publish(subject, data); err != nil {
			return err
		}
	}
	return nil
}

// show prints an output as a consumer receives it.
func (d *demo) show(o stream.Output) error {
	defer d.shown.Add(1)
	if d.first == 0 {
		d.first = time.Since(d.began)
	}
	switch {
	case strings.HasPrefix(o.Subject, "falconer.report."):
		var r processor.Report
		if err := decode(o, &r); err != nil {
			return err
		}
		if r.Rule == "Execution from /dev/shm" && r.Kind == processor.KindOpened {
			d.model = r
		}
		fmt.Fprintf(d.app.out, "REPORT  %-8s  %-8s  %4dx  %s\n", r.Severity, r.Kind, r.Occurrences.Count, brief(r.Title))
	case strings.HasPrefix(o.Subject, "falconer.task."):
		var t processor.Task
		if err := decode(o, &t); err != nil {
			return err
		}
		fmt.Fprintf(d.app.out, "  task  %-8s  %-11s  %-11s  %s\n", t.Severity, t.Kind, t.Risk, brief(t.Title))
	default:
		var l processor.DeadLetter
		if err := decode(o, &l); err != nil {
			return err
		}
		fmt.Fprintf(d.app.out, "DEAD    seq %d on %s: %s\n", l.Seq, l.Subject, l.Reason)
	}
	return nil
}

// settled waits until every alert is folded, every incident closed, and all
// that follows from them shown.
func (d *demo) settled(ctx context.Context) (processor.Totals, error) {
	for {
		st, err := stream.Inspect(ctx, d.js)
		if err != nil {
			return processor.Totals{}, err
		}
		t := st.Totals
		if t.In == d.sent && t.Opened == t.Closed && d.shown.Load() == t.Reports+t.Tasks+t.Dead {
			return t, nil
		}
		if time.Since(d.began) > demoLimit {
			return t, fmt.Errorf("the demo did not come to its end in %s: %d of %d alerts taken, %d of %d incidents closed; please report this", demoLimit, t.In, d.sent, t.Closed, t.Opened)
		}
		select {
		case <-ctx.Done():
			return t, errSaid
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// sumUp prints one report in full, and the figures.
func (d *demo) sumUp(t processor.Totals) {
	fmt.Fprintf(d.app.out, "\nOne of the reports in full:\n\n%s\n", d.model.Markdown)
	d.app.say("%d alerts = %d reported + %d merged + %d resent + %d internal + %d dead.", t.In, t.Reported, t.Merged, t.Resent, t.Internal, t.Dead)
	d.app.say("%d incidents, %d reports, %d tasks. First report %d ms after the start.", t.Opened, t.Reports, t.Tasks, d.first.Milliseconds())
}

func (d *demo) stay(ctx context.Context) {
	url := d.js.Conn().ConnectedUrl()
	d.app.say("\nStill here. In another terminal:\n  falconer --nats %s reports list\n  nats -s %s sub 'falconer.>'\nCtrl-C ends it.", url, url)
	<-ctx.Done()
}
