package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor/stream"
	"falconer/subjects"
)

// ErrForeign says that there are streams which the bench has not made.
var ErrForeign = errors.New("nothing was touched")

// Bed is where the bench works: Falconer's streams and buckets, made by the bench.
// Those that anybody else has made are never touched.
type Bed struct {
	JS     jetstream.JetStream
	Layout subjects.Layout
}

// streams are all that Falconer needs, the raw one last: what holds results goes
// and comes more often than what holds alerts.
func (b Bed) streams() []string {
	return []string{
		subjects.BucketStream(subjects.MembersBucket), subjects.BucketStream(subjects.TasksBucket),
		subjects.OutputStream, subjects.RawStream,
	}
}

// Make makes all streams, empty. It fails with ErrForeign, and changes nothing, when
// one exists that the bench has not made.
func (b Bed) Make(ctx context.Context) error {
	if err := b.Remove(ctx); err != nil {
		return err
	}
	cfg := b.Layout.WithDefaults().Raw()
	cfg.Metadata[subjects.BenchKey] = "alerts"
	if _, err := b.JS.CreateStream(ctx, cfg); err != nil {
		return fmt.Errorf("making stream %s: %w", cfg.Name, stream.Explain(err))
	}
	return b.makeResults(ctx)
}

// Renew makes the streams of results anew, so that the alerts are folded again
// from the first.
func (b Bed) Renew(ctx context.Context) error {
	if err := b.remove(ctx, b.streams()[:3]); err != nil {
		return err
	}
	return b.makeResults(ctx)
}

func (b Bed) makeResults(ctx context.Context) error {
	full := b.Layout.WithDefaults()
	out := full.Output()
	out.Metadata[subjects.BenchKey] = "results"
	if _, err := b.JS.CreateStream(ctx, out); err != nil {
		return fmt.Errorf("making stream %s: %w", out.Name, stream.Explain(err))
	}
	for _, cfg := range []jetstream.KeyValueConfig{full.Members(), full.TaskStatus()} {
		cfg.Metadata = map[string]string{subjects.BenchKey: "results"}
		if _, err := b.JS.CreateKeyValue(ctx, cfg); err != nil {
			return fmt.Errorf("making bucket %s: %w", cfg.Bucket, stream.Explain(err))
		}
	}
	return nil
}

// Remove deletes what the bench has made. It fails with ErrForeign, and deletes
// nothing, when there is anything else under one of the names.
func (b Bed) Remove(ctx context.Context) error { return b.remove(ctx, b.streams()) }

func (b Bed) remove(ctx context.Context, names []string) error {
	present, err := b.own(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !present[name] {
			continue
		}
		if err := b.JS.DeleteStream(ctx, name); err != nil {
			return fmt.Errorf("removing the bench's stream %s: %w", name, stream.Explain(err))
		}
	}
	return nil
}

// own says which of the streams exist. One that the bench has not made is an error.
func (b Bed) own(ctx context.Context) (map[string]bool, error) {
	present := map[string]bool{}
	for _, name := range b.streams() {
		s, err := b.JS.Stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case err != nil:
			return nil, fmt.Errorf("looking at stream %s: %w", name, stream.Explain(err))
		case s.CachedInfo().Config.Metadata[subjects.BenchKey] == "":
			return nil, fmt.Errorf("stream %s exists and is not the bench's: %w; "+
				"give the bench a NATS account without Falconer's streams, or leave --nats out for a server of its own", name, ErrForeign)
		default:
			present[name] = true
		}
	}
	return present, nil
}
