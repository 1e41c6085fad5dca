//go:build unix

package test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// What tests inject must be out of reach in what users run.
func TestAReleaseBuildKnowsNoFaults(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(program(t, falconerBinary))
	require.NoError(t, err)
	for _, name := range []string{"FALCONER_FAULT", "FALCONER_MUTATION", "FALCONER_CLOCK"} {
		require.NotContains(t, string(data), name)
	}
}
