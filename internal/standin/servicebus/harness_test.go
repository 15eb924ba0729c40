package servicebus_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"apim-dr/internal/standin/servicebus"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

const (
	testKeyName = "contoso-key"
	testKey     = "bm90IGEgc2VjcmV0"
)

// bench is one server with one real client.
type bench struct {
	*servicebus.Server
	t      testing.TB
	ctx    context.Context
	addr   string
	client *azservicebus.Client
}

func namespace() servicebus.Config {
	return servicebus.Config{
		KeyName: testKeyName, Key: testKey,
		Queues: []servicebus.Queue{
			{Name: "operations"},
			{Name: "polls", DuplicateWindow: 10 * time.Minute},
			{Name: "short-lock", LockDuration: 150 * time.Millisecond, MaxDeliveryCount: 2},
			{Name: "short-life", DefaultTTL: 80 * time.Millisecond, DeadLetterOnExpiration: true},
			{Name: "forgetful", DefaultTTL: 80 * time.Millisecond},
		},
		Topics: []servicebus.Topic{{Name: "results", DuplicateWindow: time.Minute, Subscriptions: []servicebus.Subscription{
			{Queue: servicebus.Queue{Name: "all"}},
			{Queue: servicebus.Queue{Name: "failed"}, Filter: map[string]string{"outcome": "failed", "kind": "backup"}},
		}}},
	}
}

// start serves the namespace on a TCP port. Retries of the client are quick and few.
func start(t testing.TB) *bench {
	t.Helper()
	config := namespace()
	config.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	server, err := servicebus.New(config)
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	b := &bench{Server: server, t: t, ctx: ctx, addr: listener.Addr().String()}
	b.client = b.dial(server.ConnectionString(b.addr))
	t.Cleanup(func() {
		cancel()
		must(t, server.Close())
		if err := <-served; err != nil {
			t.Errorf("Serve after Close: %v", err)
		}
	})
	return b
}

func (b *bench) dial(connectionString string) *azservicebus.Client {
	b.t.Helper()
	client, err := azservicebus.NewClientFromConnectionString(connectionString, &azservicebus.ClientOptions{
		RetryOptions: azservicebus.RetryOptions{MaxRetries: 3, RetryDelay: time.Millisecond, MaxRetryDelay: 10 * time.Millisecond},
	})
	must(b.t, err)
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = client.Close(ctx)
	})
	return client
}

func (b *bench) sender(entity string) *azservicebus.Sender {
	b.t.Helper()
	s, err := b.client.NewSender(entity, nil)
	must(b.t, err)
	return s
}

func (b *bench) send(entity string, messages ...*azservicebus.Message) {
	b.t.Helper()
	s := b.sender(entity)
	defer s.Close(b.ctx)
	for _, m := range messages {
		must(b.t, s.SendMessage(b.ctx, m, nil))
	}
}

func (b *bench) receiver(queue string, mode azservicebus.ReceiveMode) *azservicebus.Receiver {
	b.t.Helper()
	r, err := b.client.NewReceiverForQueue(queue, &azservicebus.ReceiverOptions{ReceiveMode: mode})
	must(b.t, err)
	return r
}

func (b *bench) deadLetters(queue string) *azservicebus.Receiver {
	b.t.Helper()
	r, err := b.client.NewReceiverForQueue(queue, &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
	must(b.t, err)
	return r
}

// receive gets exactly n messages, or fails.
func (b *bench) receive(r *azservicebus.Receiver, n int) []*azservicebus.ReceivedMessage {
	b.t.Helper()
	var all []*azservicebus.ReceivedMessage
	for len(all) < n {
		got, err := r.ReceiveMessages(b.ctx, n-len(all), nil)
		must(b.t, err)
		all = append(all, got...)
	}
	return all
}

// nothing fails when the receiver gets a message within a moment.
func (b *bench) nothing(r *azservicebus.Receiver) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
	defer cancel()
	if got, err := r.ReceiveMessages(ctx, 1, nil); !errors.Is(err, context.DeadlineExceeded) {
		b.t.Fatalf("received %d messages (%v), want none", len(got), err)
	}
}

// holds waits until the entity holds these counts.
func (b *bench) holds(entity string, active, scheduled, dead int) {
	b.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		a, s, d, err := b.Count(entity)
		must(b.t, err)
		if a == active && s == scheduled && d == dead {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s holds %d active, %d scheduled, %d dead; want %d, %d, %d", entity, a, s, d, active, scheduled, dead)
		}
		time.Sleep(time.Millisecond)
	}
}

func text(body string) *azservicebus.Message { return &azservicebus.Message{Body: []byte(body)} }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code azservicebus.Code) {
	t.Helper()
	var sb *azservicebus.Error
	if !errors.As(err, &sb) || sb.Code != code {
		t.Fatalf("error is %v, want code %s", err, code)
	}
}

func ptr[T any](v T) *T { return &v }
