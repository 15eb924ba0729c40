package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/bench/yardstick"
	"apim-dr/internal/engine"
	"apim-dr/internal/standin/devstack"
	"apim-dr/internal/standin/servicebus"
)

const (
	backups = 240 // each of an instance of its own
	atOnce  = 16
	singles = 12 // one after the other
)

// names are those of the instances of a fleet.
func names(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("contoso-%04d", i))
	}
	return list
}

// quiet are settings of a stack in which nothing begins by itself.
var quiet = map[string]string{"WATCHDOG_SCHEDULE": "0 0 0 1 1 *", "LOG_LEVEL": "warn"}

// through is a backup from its HTTP call to its event, through the real handler, the bus stand-in and Azurite: one at a time, and many at once.
// Resource Manager is done at once and asks for the shortest Retry-After, a second, which is taken off.
func through(ctx context.Context, r rig) ([]row, error) {
	stack, err := devstack.Start(ctx, devstack.Options{App: r.app, Services: names(backups), RetryAfter: time.Second, Settings: quiet, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer stack.Close()
	bare, err := newBare(ctx, stack)
	if err != nil {
		return nil, err
	}
	defer bare.close()
	if err := backUp(ctx, stack, names(backups)[:1]); err != nil { // the connections of both
		return nil, err
	}
	if _, err := bare.run(ctx, 1, 1); err != nil {
		return nil, err
	}
	var ours, theirs []time.Duration
	for i := range singles {
		began := time.Now()
		if err := backUp(ctx, stack, names(backups)[i:i+1]); err != nil {
			return nil, err
		}
		ours = append(ours, time.Since(began)-time.Second)
		took, err := bare.run(ctx, 1, 1)
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, took)
	}
	began := time.Now()
	if err := backUp(ctx, stack, names(backups)); err != nil {
		return nil, err
	}
	many := time.Since(began) - time.Second
	bareMany, err := bare.run(ctx, backups, atOnce)
	if err != nil {
		return nil, err
	}
	return []row{
		atMost("backup from call to event", float64(median(ours))/float64(median(theirs)), 2, "%.0f ms, without the second that ARM asks to wait, beside %.0f ms of a bare client's messages and blobs", ms(median(ours)), ms(median(theirs))),
		atMost("backups at once", many.Seconds()/bareMany.Seconds(), 2, "%.0f a second beside %.0f", backups/many.Seconds(), backups/bareMany.Seconds()),
	}, nil
}

// backUp asks for a backup of each instance, and waits for all events.
func backUp(ctx context.Context, stack *devstack.Stack, instances []string) error {
	before := len(stack.Bus.Sent("results"))
	var wg sync.WaitGroup
	errs := make([]error, len(instances))
	free := make(chan struct{}, atOnce)
	for i, name := range instances {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			errs[i] = ask(ctx, stack, "/api/backups", fmt.Sprintf(`{"service":%q}`, name))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return sent(ctx, stack, "results", before+len(instances))
}

func ask(ctx context.Context, stack *devstack.Stack, route, body string) error {
	resp, err := stack.Post(ctx, route, body, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("%s %s: %s: %s", route, body, resp.Status, text)
	}
	return err
}

// sent waits until so many messages were sent to an entity.
func sent(ctx context.Context, stack *devstack.Stack, entity string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		if got := len(stack.Bus.Sent(entity)); got >= n {
			tick.Stop()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages were sent to %s: %w", len(stack.Bus.Sent(entity)), n, entity, ctx.Err())
		}
	}
}

// bare is the yardstick's client, with a bus of its own beside the app's, and a container in the same Azurite.
type bare struct {
	yardstick.Exchange
	bus *servicebus.Server
	n   int
}

// The exchanges of a backup with one poll, as internal/cost counts them.
const (
	hops   = 2 // a message to operations, one to polls
	writes = 10 + 2 + 3
	gets   = 8 + 1
)

func newBare(ctx context.Context, stack *devstack.Stack) (*bare, error) {
	queue := servicebus.Queue{LockDuration: time.Minute, MaxDeliveryCount: 10, DuplicateWindow: 10 * time.Minute}
	c := servicebus.Config{KeyName: "local", Key: "YmVuY2g="}
	for i := range atOnce { // each its own, so that each receives its own messages
		queue.Name = fmt.Sprint("hops", i)
		c.Queues = append(c.Queues, queue)
	}
	c.Topics = []servicebus.Topic{{Name: "results", DuplicateWindow: 10 * time.Minute, Subscriptions: []servicebus.Subscription{{Queue: servicebus.Queue{Name: "bench", LockDuration: time.Minute, MaxDeliveryCount: 10}}}}}
	b := &bare{}
	var err error
	if b.bus, err = servicebus.New(c); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { _ = b.bus.Serve(l) }()
	client, err := azservicebus.NewClientFromConnectionString(b.bus.ConnectionString(l.Addr().String()), nil)
	if err != nil {
		return nil, err
	}
	if _, err := stack.State.CreateContainer(ctx, "bench", nil); err != nil {
		return nil, err
	}
	b.Exchange = yardstick.Exchange{Client: client, Topic: "results", Blobs: stack.State, Container: "bench", Hops: hops, Writes: writes, Reads: gets, Body: []byte(strings.Repeat("x", 1500))}
	return b, nil
}

func (b *bare) close() { _ = b.bus.Close() }

// run does the exchanges of n backups, so many at a time.
func (b *bare) run(ctx context.Context, n, parallel int) (time.Duration, error) {
	topic, err := b.Client.NewSender(b.Topic, nil)
	if err != nil {
		return 0, err
	}
	defer topic.Close(ctx)
	work := make(chan string, n)
	for range n {
		b.n++
		work <- fmt.Sprint("backup-", b.n)
	}
	close(work)
	var wg sync.WaitGroup
	errs := make([]error, parallel)
	began := time.Now()
	for i := range parallel {
		wg.Go(func() { errs[i] = b.worker(ctx, fmt.Sprint("hops", i), topic, work) })
	}
	wg.Wait()
	return time.Since(began), errors.Join(errs...)
}

func (b *bare) worker(ctx context.Context, queue string, topic *azservicebus.Sender, work <-chan string) error {
	sender, err := b.Client.NewSender(queue, nil)
	if err != nil {
		return err
	}
	defer sender.Close(ctx)
	receiver, err := b.Client.NewReceiverForQueue(queue, nil)
	if err != nil {
		return err
	}
	defer receiver.Close(ctx)
	for name := range work {
		if err := b.Run(ctx, receiver, sender, topic, name); err != nil {
			return err
		}
	}
	return nil
}

// fleetFile has the fleet in a file: so many instances are too long for an environment variable.
func fleetFile(dir string, instances []string) (map[string]string, error) {
	var services []map[string]string
	for _, name := range instances {
		services = append(services, map[string]string{"id": devstack.ResourceID(name), "plan": "nightly"})
	}
	b, err := json.Marshal(map[string]any{
		"storages": map[string]any{"main": map[string]string{"account": "contosodrbackups", "container": devstack.BackupContainer, "access": "storageKey", "keyVariable": "BACKUP_STORAGE_KEY"}},
		"plans":    map[string]any{"nightly": map[string]string{"storage": "main"}},
		"services": services,
	})
	if err != nil {
		return nil, err
	}
	settings := maps.Clone(quiet)
	settings["FLEET"], settings["FLEET_FILE"] = "", filepath.Join(dir, "fleet.json")
	return settings, os.WriteFile(settings["FLEET_FILE"], b, 0o600)
}

const fleetSize = 1000

// fanOut is a night of a thousand services from the timer to the last message, beside a loop that sends the same messages.
func fanOut(ctx context.Context, r rig) ([]row, error) {
	settings, err := fleetFile(r.dir, names(fleetSize))
	if err != nil {
		return nil, err
	}
	stack, err := devstack.Start(ctx, devstack.Options{App: r.app, Services: names(fleetSize), BackupDuration: time.Hour, RetryAfter: time.Minute, Settings: settings, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer stack.Close()
	operations := string(engine.Operations)
	before := len(stack.Bus.Sent(operations))
	began := time.Now()
	if err := stack.Host.Invoke(ctx, "BackupSchedule"); err != nil {
		return nil, err
	}
	if err := sent(ctx, stack, operations, before+1+fleetSize); err != nil { // the tick, and a wake for each service
		return nil, err
	}
	ours := time.Since(began)
	bare, err := newBare(ctx, stack)
	if err != nil {
		return nil, err
	}
	defer bare.close()
	var bodies [][]byte
	for _, s := range stack.Bus.Sent(operations)[before+1:][:fleetSize] {
		bodies = append(bodies, s.Body)
	}
	began = time.Now()
	if err := yardstick.FanOut(ctx, bare.Client, "hops0", bodies, time.Now().Add(time.Hour)); err != nil {
		return nil, err
	}
	theirs := time.Since(began)
	if n := len(bare.bus.Sent("hops0")); n != fleetSize {
		return nil, fmt.Errorf("the loop has sent %d messages", n)
	}
	for i, body := range bodies { // what makes a killed fan-out harmless: a record and a marker before each message
		for _, kind := range []string{"record", "marker"} {
			if _, err := stack.State.UploadBuffer(ctx, bare.Container, fmt.Sprint(kind, "/", i), body, nil); err != nil {
				return nil, err
			}
		}
	}
	withBlobs := time.Since(began)
	return []row{
		atMost("fan-out of 1,000 services", ours.Seconds()/theirs.Seconds(), 1.5, "%.2f s, with a record and a marker for each, beside %.2f s of a loop that sends the same messages", ours.Seconds(), theirs.Seconds()),
		atMost("fan-out, beside a loop that writes as many blobs", ours.Seconds()/withBlobs.Seconds(), 1.5, "%.2f s beside %.2f s", ours.Seconds(), withBlobs.Seconds()),
		atMost("fan-out of 1,000 services, of 5 s", ours.Seconds()/5, 1, "%.2f s", ours.Seconds()),
	}, nil
}
