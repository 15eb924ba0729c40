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
