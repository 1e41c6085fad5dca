// Package secrets finds credentials in the text of alerts, with the rules of
// gitleaks.
package secrets

import (
	"cmp"
	"slices"

	"github.com/zricethezav/gitleaks/v8/detect"
)

// Finder knows what credentials look like: some 220 forms of keys and tokens of
// services, and values of high entropy behind names such as "api_key". Any number
// of goroutines may use it.
type Finder struct{ detector *detect.Detector }

// New returns a Finder. It takes some 50 ms, for the rules.
func New() *Finder {
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		panic("secrets: the rules that gitleaks brings: " + err.Error()) // a test loads them
	}
	return &Finder{d}
}

// Find returns the secrets in text, each once, longer ones first, so that one that
// is part of another is replaced after it. What it finds depends on text and the
// version of gitleaks alone.
func (f *Finder) Find(text string) []string {
	var out []string
	for _, finding := range f.detector.DetectString(text) {
		out = append(out, finding.Secret)
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(out)
}
