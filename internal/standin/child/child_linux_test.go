package child_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"apim-dr/internal/standin/child"
)

// TestMain is also the parent in between: it starts a program, tells its id and waits to be killed.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD_TEST_PARENT") == "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr, cmd.Stdout = child.Attr(), os.Stdout
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(cmd.Process.Pid)
	_ = cmd.Wait()
}

func TestAProgramHasAGroupOfItsOwnAndDiesWithUs(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "CHILD_TEST_PARENT=1")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	parent.Stdout, parent.Stderr = write, os.Stderr
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	var pid int
	if _, err := fmt.Fscanln(read, &pid); err != nil {
		t.Fatal(err)
	}
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("it is in group %d (%v), not in its own, %d", group, err, pid)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	// The program holds the other end of the pipe for as long as it lives.
	_ = read.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := read.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("it outlives us: %v", err)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
