//go:build unix && !linux

package child

import "syscall"

// Attr is for a program that outlives us when we are killed with SIGKILL: only Linux can help that.
func Attr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
