package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/bench/yardstick"
	"apim-dr/internal/standin/devstack"
	"apim-dr/internal/standin/servicebus"
)

// bare is the yardstick's client, with a bus of its own beside the app's, and a container in the same Azurite.
type bare struct {
	bus   *servicebus.Server
	lanes []yardstick.Exchange // each with a queue of its own, so that it receives its own messages
	n     int                  // backups so far
}

func newBare(ctx context.Context, stack *devstack.Stack) (*bare, error) {
	queue := servicebus.Queue{LockDuration: time.Minute, MaxDeliveryCount: 10, DuplicateWindow: 10 * time.Minute}
	c := servicebus.Config{KeyName: "local", Key: "YmVuY2g="}
	for i := range atOnce {
		queue.Name = lane(i)
		c.Queues = append(c.Queues, queue)
	}
	queue.Name, queue.DuplicateWindow = "bench", 0
	c.Topics = []servicebus.Topic{{Name: "results", DuplicateWindow: 10 * time.Minute, Subscriptions: []servicebus.Subscription{{Queue: queue}}}}
	bus, err := servicebus.New(c)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { _ = bus.Serve(l) }()
	b := &bare{bus: bus}
	if err := b.open(ctx, stack, l.Addr().String()); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func lane(i int) string { return fmt.Sprint("hops", i) }

func (b *bare) open(ctx context.Context, stack *devstack.Stack, addr string) error {
	client, err := azservicebus.NewClientFromConnectionString(b.bus.ConnectionString(addr), nil)
	if err != nil {
		return err
	}
	const container = "bench"
	if _, err := stack.State.CreateContainer(ctx, container, nil); err != nil {
		return err
	}
	topic, err := client.NewSender("results", nil)
	if err != nil {
		return err
	}
	for i := range atOnce {
		x := yardstick.Exchange{Topic: topic, Blobs: stack.State.ServiceClient().NewContainerClient(container), Body: []byte(strings.Repeat("x", 1500))}
		if x.Queue, err = client.NewSender(lane(i), nil); err != nil {
			return err
		}
		if x.Receiver, err = client.NewReceiverForQueue(lane(i), nil); err != nil {
			return err
		}
		b.lanes = append(b.lanes, x)
	}
	return nil
}

func (b *bare) close() { _ = b.bus.Close() }

// run does the exchanges of n backups, as many at a time as there are lanes.
func (b *bare) run(ctx context.Context, n int) (time.Duration, error) {
	var wg sync.WaitGroup
	errs := make([]error, len(b.lanes))
	began := time.Now()
	for i, x := range b.lanes {
		wg.Go(func() {
			for k := i; k < n && errs[i] == nil; k += len(b.lanes) {
				errs[i] = x.Run(ctx, fmt.Sprint("backup-", b.n+k), yardstick.Backup)
			}
		})
	}
	wg.Wait()
	b.n += n
	return time.Since(began), errors.Join(errs...)
}
