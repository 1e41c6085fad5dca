//go:build !linux

package bench

// UsageOf cannot tell here what a process has used.
func UsageOf(int) (Usage, error) { return Usage{}, ErrNotMeasured }
