package bench

import (
	"errors"
	"time"
)

// Usage is what a process has used since it began.
type Usage struct {
	// CPU is user and system time.
	CPU time.Duration
	// Peak is the most memory that was resident at once, in bytes.
	Peak uint64
}

// ErrNotMeasured says that this system has no way to ask what a process uses.
var ErrNotMeasured = errors.New("not measured here")
