// Package azurite runs Azurite, Microsoft's Blob emulator, for the tests and the local stack. It is the real npm package at the
// version that package-lock.json pins; `make azurite` installs it.
package azurite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"apim-dr/internal/standin/child"
)

// Account and Key are Azurite's well-known development account and key, published by Microsoft.
const (
	Account = "devstoreaccount1"
	Key     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Options says how to start.
type Options struct {
	Dir      string    // where blobs are kept; empty: in memory
	Port     int       // 0: any free one
	Accounts string    // "name:key;name:key" replaces the development account; empty keeps it
	Output   io.Writer // what Azurite prints; nil: nowhere
}

// Server is a running Azurite.
type Server struct {
	cmd  *exec.Cmd
	port int
	done chan struct{}
	last string // what it said last; to be read once done is closed
}

var listening = regexp.MustCompile(`successfully (?:listens|listening) on http://127\.0\.0\.1:(\d+)`)

// Script is the path of Azurite's Blob entry point below this package's own folder.
func Script() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "node_modules", "azurite", "dist", "src", "blob", "main.js")
}

// Start starts Azurite and returns when it accepts requests, within 30 seconds. It ends with ctx or with Close.
func Start(ctx context.Context, o Options) (*Server, error) {
	script := Script()
	if _, err := os.Stat(script); err != nil {
		return nil, errors.New("azurite is not installed: run `make azurite` (it needs Node and npm)")
	}
	args := []string{script, "--blobHost", "127.0.0.1", "--blobPort", strconv.Itoa(o.Port), "--disableTelemetry"}
	if o.Dir == "" {
		args = append(args, "--inMemoryPersistence")
	} else {
		args = append(args, "--location", o.Dir)
	}
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Env = os.Environ()
	if o.Accounts != "" {
		cmd.Env = append(cmd.Env, "AZURITE_ACCOUNTS="+o.Accounts)
	}
	cmd.SysProcAttr = child.Attr()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start azurite: %w (is Node installed?)", err)
	}
	s := &Server{cmd: cmd, done: make(chan struct{})}
	port := make(chan int, 1)
	go s.read(out, o.Output, port)
	select {
	case s.port = <-port:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("azurite ended before it listened; it said: %s", s.last)
	case <-time.After(30 * time.Second):
		s.Close()
		return nil, errors.New("azurite did not listen within 30 seconds")
	}
}

// read passes the output on, finds the port in it and reaps the process.
func (s *Server) read(out io.Reader, to io.Writer, port chan<- int) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		s.last = lines.Text()
		if to != nil {
			fmt.Fprintln(to, lines.Text())
		}
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			n, _ := strconv.Atoi(m[1])
			select {
			case port <- n:
			default:
			}
		}
	}
	_ = s.cmd.Wait() // how it ended is of no interest: it is killed
	close(s.done)
}

// Addr is the address it listens on.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// BlobEndpoint is the endpoint of an account, without a slash at the end.
func (s *Server) BlobEndpoint(account string) string { return "http://" + s.Addr() + "/" + account }

// ConnectionString is that of an account with its key.
func (s *Server) ConnectionString(account, key string) string {
	return "DefaultEndpointsProtocol=http;AccountName=" + account + ";AccountKey=" + key + ";BlobEndpoint=" + s.BlobEndpoint(account) + ";"
}

// Stop ends the process in order and returns when it is gone. Only so does Options.Dir hold everything: Azurite writes its index every five
// seconds, and at its end. One that does not end within 10 seconds is killed, which is an error.
func (s *Server) Stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // gone already: s.done tells
	select {
	case <-s.done:
		return nil
	case <-time.After(10 * time.Second):
		return errors.Join(errors.New("azurite did not end within 10 seconds"), s.Close())
	}
}

// Close kills the process and returns when it is gone.
func (s *Server) Close() error {
	err := s.cmd.Process.Kill()
	<-s.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
