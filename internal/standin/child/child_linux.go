// Package child says how the stand-ins start other programs: in a process group of their own, so that Ctrl-C in a terminal reaches only us, who end
// them in order, and so that they can be killed with their children.
package child

import "syscall"

// Attr also lets the program die with us on Linux, however we are killed.
func Attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
