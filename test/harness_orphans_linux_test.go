package test

import "syscall"

// dieWithTest makes the kernel end a process when the test's own process ends
// without its clean-up, as it does at a time limit.
func dieWithTest() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
