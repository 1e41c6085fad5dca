//go:build unix && !linux

package test

import "syscall"

// dieWithTest does what only Linux can do; see there.
func dieWithTest() *syscall.SysProcAttr { return nil }
