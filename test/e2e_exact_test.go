//go:build unix

package test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// size is that of the load: FALCONER_LONG=1 makes it long.
func size() (alerts int, of load) {
	if os.Getenv("FALCONER_LONG") == "1" {
		return 200_000, load{fingerprints: 1000}
	}
	return 10_000, load{fingerprints: 500}
}

func TestFourWorkersCountEveryAlertOnce(t *testing.T) {
	for name, over := range map[string]func(*testing.T) *system{
		"over the server inside one of them": overServerInside,
		"over a server of its own":           overServerOutside,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fourWorkers(t, over(t))
		})
	}
}

func fourWorkers(t *testing.T, s *system) {
	s.fill(4)
	n, l := size()
	began := time.Now()
	s.publisher(l).publish(0, n)
	published := time.Since(began)
	_, _, stored := l.counts(n)
	s.drained(stored, 5*time.Minute)
	drained := time.Since(began)
	t.Logf("%d alerts published in %s, folded in %s: %.0f a second", stored, published, drained, float64(stored)/drained.Seconds())
	s.requireExact(l, n)
	require.Len(t, s.status().owners(), 4)
}
