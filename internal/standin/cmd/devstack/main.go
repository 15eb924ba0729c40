// Command devstack runs the staged app on this machine: `devstack -app FOLDER [-port N] run|demo|region-loss`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path"
	"strconv"
	"syscall"
	"time"

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
	case ctx.Err() != nil && flag.Arg(0) != "run": // an interrupted demo has shown nothing
		fmt.Fprintln(os.Stderr, "devstack: interrupted")
		os.Exit(130)
	case err != nil && ctx.Err() == nil:
		fmt.Fprintln(os.Stderr, "devstack:", err)
		os.Exit(1)
	}
}

// demoWithin is how long a demo may take from the first timer on.
const demoWithin = 90 * time.Second

func run(ctx context.Context, app string, port int, command string) error {
	story, fleet := devstack.NewStory(os.Stderr), devstack.DemoFleet()
	switch command {
	case "run":
		story, fleet = devstack.NewStory(os.Stdout), devstack.RunFleet()
	case "demo":
	case "region-loss":
		story.Tell("stack", "starting one Resource Manager and two stamps, each with Azurite, Service Bus and a Functions host")
		return devstack.RegionLoss(ctx, story, app, demoWithin)
	default:
		return fmt.Errorf("%q is no command; accepted: run, demo, region-loss", command)
	}
	addr, err := address(port)
	if err != nil {
		return err
	}
	story.Tell("stack", "starting Azurite and the stand-ins: Service Bus, Resource Manager, Functions host")
	stack, err := devstack.Start(ctx, devstack.Options{App: app, Addr: addr, Instances: fleet, Output: story.Output,
		// As the runbook tells: whoever tries its calls here gives them the time that they have there.
		Settings: map[string]string{"TIMING_RESTORE_WITHIN": "30m", "TIMING_MAX_WAIT": "60s"}})
	if err != nil {
		return err
	}
	defer stack.Close()
	story.Tell("stack", "the Functions host listens on %s", stack.Host.URL())
	last, err := stack.Demo(ctx, story, os.Stdout, demoWithin)
	if err != nil || command == "demo" {
		return err
	}
	if err := stack.Linger(ctx, story, os.Stdout); err != nil {
		return err
	}
	fmt.Printf(hints, stack.Host.URL(), devstack.FunctionKey, path.Base(last), stack.BusConnection())
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
It stays up; Ctrl-C ends it. The dashboard, which asks for a key:

  %[1]s/api/dashboard    key: %[2]s

contoso-us is the active instance now. Try, in another terminal (what ARM does takes 20 seconds now):

  export APIMDR_URL=%[1]s APIMDR_KEY=%[2]s PATH=$PWD/dist/app:$PATH

  # is everything protected, which instance is active, what is in flight
  apim-dr status

  # fail back: shows the plan and asks for the name of what is overwritten
  apim-dr failover contoso-us --final-backup require --wait

  # prove that a backup can be restored
  apim-dr drill contoso-eu --wait

  # back one instance up
  apim-dr backup contoso-us --reason 'before a change' --wait

  # what happened today, and one operation: here the last one above
  apim-dr operations
  apim-dr operations %[3]s

  # its recovery points, and why each would stay or go
  apim-dr recovery-points contoso-eu --prune-preview

  # a line for each event
  SERVICEBUS='%[4]s' go run ./examples/terminal

  # the same over HTTP
  curl -s %[1]s/api/status -H 'x-functions-key: %[2]s'

`
