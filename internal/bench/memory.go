package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/bench/yardstick"
	"apim-dr/internal/bus"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/standin/devstack"
	"apim-dr/internal/store"
)

const inFlight = 10_000

// memory is what the process holds for operations in flight, beside one goroutine each that waits in the SDK's poller.
func memory(ctx context.Context, r rig) ([]row, error) {
	theirs, err := waiting(ctx, inFlight)
	if err != nil {
		return nil, err
	}
	stack, err := devstack.Start(ctx, devstack.Options{App: r.app, Services: names(1), BackupDuration: time.Hour, RetryAfter: time.Minute, Settings: quiet})
	if err != nil {
		return nil, err
	}
	defer stack.Close()
	real, err := running(ctx, stack)
	if err != nil {
		return nil, err
	}
	poll := func(n int) error { return pollAll(ctx, stack, real, n) }
	if err := poll(inFlight / 10); err != nil { // connections, pools and the heap of whoever is at work
		return nil, err
	}
	before, err := resident(stack.Host.PID())
	if err != nil {
		return nil, err
	}
	if err := poll(inFlight); err != nil {
		return nil, err
	}
	after, err := resident(stack.Host.PID())
	if err != nil {
		return nil, err
	}
	ours := float64(after-before) / inFlight // KiB
	return []row{atMost(fmt.Sprintf("memory for each of %d operations in flight", inFlight), max(0, ours)/theirs, 0.05,
		"%.2f KiB (RSS %.1f MiB, before %.1f) beside %.1f KiB of a goroutine in PollUntilDone", ours, float64(after)/1024, float64(before)/1024, theirs)}, nil
}

// waiting is what a goroutine that waits in PollUntilDone holds, in KiB.
func waiting(ctx context.Context, n int) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := held()
	var wg sync.WaitGroup
	asked, ended := make(chan struct{}, n), make(chan error, n)
	client := &http.Client{Transport: still{asked}}
	for range n {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://management.azure.com/x/backup", http.NoBody)
			if err == nil {
				err = yardstick.Wait(ctx, client, accepted(req, time.Second))
			}
			ended <- err
		})
	}
	for range n {
		select {
		case <-asked:
		case err := <-ended:
			return 0, fmt.Errorf("PollUntilDone does not wait: %w", err)
		}
	}
	time.Sleep(time.Second) // until the last one sleeps
	after := held()
	cancel()
	wg.Wait()
	return float64(after-before) / 1024 / float64(n), nil
}

// still is a Resource Manager that is at work.
type still struct{ asked chan struct{} }

func (s still) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	return accepted(r, time.Minute), nil
}

func accepted(r *http.Request, retryAfter time.Duration) *http.Response {
	h := http.Header{"Location": {"https://management.azure.com/x/operationresults/1"}, "Retry-After": {fmt.Sprint(retryAfter.Seconds())}}
	return &http.Response{StatusCode: http.StatusAccepted, Header: h, Request: r, Body: io.NopCloser(strings.NewReader(""))}
}

// pollAll puts so many operations in flight, by their records, and lets each be polled once, by a message.
func pollAll(ctx context.Context, stack *devstack.Stack, real dr.Operation, n int) error {
	records := store.New(stack.State.ServiceClient().NewContainerClient(devstack.StateContainer), store.Options{})
	sender, err := stack.Client.NewSender(string(engine.Polls), nil)
	if err != nil {
		return err
	}
	defer sender.Close(ctx)
	done := sends(stack, string(engine.Polls)) + 2*n // each message, and its successor
	work := make(chan string)
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for range cap(errs) {
		wg.Go(func() {
			var err error
			for id := range work {
				if err == nil {
					err = begin(ctx, records, sender, real, id)
				}
			}
			errs <- err
		})
	}
	for i := range n {
		work <- dr.NewID(dr.KindBackup, real.CreatedAt, fmt.Sprint("bench ", done, i))
	}
	close(work)
	wg.Wait()
	for range cap(errs) {
		if err := <-errs; err != nil {
			return err
		}
	}
	return sent(ctx, stack, string(engine.Polls), done)
}

// begin puts an operation like a real one in flight, and has it polled.
func begin(ctx context.Context, records *store.Store, sender *azservicebus.Sender, real dr.Operation, id string) error {
	op := real
	op.ID, op.Rev = id, 1
	if _, err := records.CreateOperation(ctx, op); err != nil {
		return err
	}
	w := dr.Wake{ID: id, Location: op.Legs[0].Location, Lease: time.Now().Add(time.Hour)}
	if err := records.Mark(ctx, w); err != nil {
		return err
	}
	body, err := bus.Encode(bus.Message{Wake: &w})
	if err != nil {
		return err
	}
	return sender.SendMessage(ctx, &azservicebus.Message{MessageID: to.Ptr(w.MessageID()), Body: body}, nil)
}

// running has a real backup that Resource Manager is at work on.
func running(ctx context.Context, stack *devstack.Stack) (dr.Operation, error) {
	resp, err := stack.Post(ctx, "/api/backups", `{"service":"`+names(1)[0]+`"}`, nil)
	if err != nil {
		return dr.Operation{}, err
	}
	resp.Body.Close()
	id := path.Base(resp.Header.Get("Location"))
	records := store.New(stack.State.ServiceClient().NewContainerClient(devstack.StateContainer), store.Options{})
	for range 300 {
		op, _, err := records.Operation(ctx, id)
		if err != nil || op.Phase == dr.Running {
			return op, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return dr.Operation{}, fmt.Errorf("%s is not running after 30 s", id)
}
