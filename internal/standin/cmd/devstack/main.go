// Command devstack runs the staged app on this machine: `devstack -app FOLDER [-port N] run|demo`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

func main() {
	app := flag.String("app", "dist/app", "the staged folder")
	port := flag.Int("port", 7071, "where the Functions host listens on 127.0.0.1; 0: any free port")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, *app, *port, flag.Arg(0))
	switch {
	case ctx.Err() != nil && flag.Arg(0) == "demo": // an interrupted demo has shown nothing
		fmt.Fprintln(os.Stderr, "devstack: interrupted")
		os.Exit(130)
	case err != nil && ctx.Err() == nil:
		fmt.Fprintln(os.Stderr, "devstack:", err)
		os.Exit(1)
	}
}

// demoWithin is how long the demo may take from the first timer on.
const demoWithin = 60 * time.Second

func run(ctx context.Context, app string, port int, command string) error {
	if command != "run" && command != "demo" {
		return fmt.Errorf("%q is no command; accepted: run, demo", command)
	}
	addr, err := address(port)
	if err != nil {
		return err
	}
	services := []string{"contoso-eu", "contoso-us"}
	story := devstack.NewStory(os.Stderr)
	if command == "run" {
		story = devstack.NewStory(os.Stdout)
	}
	story.Tell("stack", "starting Azurite and the stand-ins: Service Bus, Resource Manager, Functions host")
	stack, err := devstack.Start(ctx, devstack.Options{
		App: app, Addr: addr, Services: services, BackupDuration: 2 * time.Second, RetryAfter: time.Second, Output: story.Output,
	})
	if err != nil {
		return err
	}
	defer stack.Close()
	story.Tell("stack", "the Functions host listens on %s", stack.Host.URL())
	last, err := stack.Demo(ctx, story, services, os.Stdout, demoWithin)
	if err != nil {
		return err
	}
	if command == "demo" {
		story.Tell("stack", "all %d events arrived, all blobs exist", len(services)+1)
		return nil
	}
	stack.ARM.Change(func(c *arm.Config) { c.BackupDuration = 20 * time.Second }) // long enough to be looked at
	fmt.Printf(hints, stack.Host.URL(), devstack.FunctionKey, last)
	go func() {
		_ = stack.Events(ctx, func(e devstack.Event) bool { return story.Event(e, os.Stdout) == nil })
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-stack.Ended():
		return errors.Join(errors.New("the Functions host stopped"), err)
	}
}

// address refuses a port that is taken before anything is started.
func address(port int) (string, error) {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("port %d cannot be used (%w); choose another: make run PORT=%d", port, err, port+1)
	}
	return addr, l.Close()
}

const hints = `
It stays up; Ctrl-C ends it. Try, in another terminal:

  # back one instance up; it takes 20 seconds now
  curl -si -X POST %[1]s/api/backups -H 'x-functions-key: %[2]s' -H 'content-type: application/json' -d '{"service":"contoso-us","reason":"before a change"}'

  # what is in flight, and what happened today
  curl -s '%[1]s/api/operations?inFlight=true' -H 'x-functions-key: %[2]s'
  curl -s %[1]s/api/operations -H 'x-functions-key: %[2]s'

  # one operation: the Location of the first answer; here the one above
  curl -s %[3]s -H 'x-functions-key: %[2]s'

`
