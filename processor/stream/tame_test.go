package stream

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// What is left alone is copied in runs; the same must come of it as rune by rune.
func TestTameEscapesRuneByRune(t *testing.T) {
	runes := []rune("ab\"\\<&~\x7f\u0080\u009b\u00a0\u00adé–…世\u200b\u202e\u2028\u3164\ufe0f\ufeff\ufffd\U0001f985\U000e0041\U0010ffff")
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		var text, want strings.Builder
		for range rng.IntN(12) {
			r := runes[rng.IntN(len(runes))]
			text.WriteRune(r)
			if !unsafeRune(r) {
				want.WriteRune(r)
				continue
			}
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&want, `\u%04x`, unit)
			}
		}
		require.Equal(t, want.String(), string(tame([]byte(text.String()))))
	}
}
