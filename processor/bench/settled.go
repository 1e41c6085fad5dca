package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor/stream"
)

// Settled waits until so many workers say, all together, that they hold each of so
// many partitions once. They say so every five seconds. The cursors would tell
// earlier who has taken a partition, but not whether he has loaded its states yet.
func Settled(ctx context.Context, js jetstream.JetStream, workers, partitions int) error {
	deadline := time.After(patience)
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	for {
		members, err := stream.Members(ctx, js)
		if err != nil {
			return err
		}
		if shared(members, workers, partitions) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline:
			return fmt.Errorf("%d workers have not shared %d partitions out within %s: %d are there", workers, partitions, patience, len(members))
		case <-again.C:
		}
	}
}

// shared reports whether the workers hold all partitions, and no two of them one.
func shared(members []stream.Member, workers, partitions int) bool {
	held, sum := map[int]bool{}, 0
	for _, m := range members {
		for _, p := range m.Partitions {
			held[p] = true
			sum++
		}
	}
	return len(members) == workers && len(held) == partitions && sum == partitions
}
