// Package bus sends over Service Bus: wake messages and ticks to the queues `operations` and `polls`, result events to the topic `results`.
// It decodes what the queues carry, too. Receiving is the Functions host's.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/trace"
)

// Results is the topic of result events.
const Results = "results"

// tokenWithin bounds the wait for a token, which azservicebus asks for without a deadline.
const tokenWithin = 10 * time.Second

// Options are what a Bus needs besides its access.
type Options struct {
	Source string           // CloudEvents source of the result events, a URI reference, for example /apim-dr/contoso-north
	Now    func() time.Time // the clock; required
	Log    *slog.Logger     // nil: no log
	// Dial, when set, opens the connections instead of TCP and TLS: a websocket, or a pipe in a test.
	Dial func(context.Context, azservicebus.NewWebSocketConnArgs) (net.Conn, error)
}

// Bus implements engine.Bus. It may be used from many goroutines; each send returns within about 20 seconds, with nil when Service Bus has
// accepted the message, else with an *Error, or ErrMalformed for what no receiver would read.
type Bus struct {
	lanes  map[string]*lane
	source string
	now    func() time.Time
}

var _ engine.Bus = (*Bus)(nil)

// FromConnectionString returns a Bus for a namespace, with a key. Nothing is sent before the first message.
func FromConnectionString(connectionString string, o Options) (*Bus, error) {
	return newBus(o, func(co *azservicebus.ClientOptions) (*azservicebus.Client, error) {
		client, err := azservicebus.NewClientFromConnectionString(connectionString, co)
		if err != nil { // its text may quote the string
			return nil, errors.New("the Service Bus connection string cannot be read; accepted: Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…")
		}
		return client, nil
	})
}

// FromCredential returns a Bus for a namespace (contoso.servicebus.windows.net), with an identity that has the role Azure Service Bus Data
// Sender. Nothing is sent before the first message.
func FromCredential(namespace string, credential azcore.TokenCredential, o Options) (*Bus, error) {
	if credential == nil {
		return nil, errors.New("bus: no credential")
	}
	return newBus(o, func(co *azservicebus.ClientOptions) (*azservicebus.Client, error) {
		return azservicebus.NewClient(namespace, impatient{credential}, co)
	})
}

func newBus(o Options, connect func(*azservicebus.ClientOptions) (*azservicebus.Client, error)) (*Bus, error) {
	if o.Source == "" || o.Now == nil {
		return nil, errors.New("bus: Options need Source and Now")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dial := func() (*azservicebus.Client, error) {
		return connect(&azservicebus.ClientOptions{
			ApplicationID: "apim-dr", NewWebSocketConn: o.Dial,
			// Waits about 1, 3 and 6 s: a throttled sender shall wait 2 to 10 s (Azure docs, Service Bus messaging exceptions).
			RetryOptions: azservicebus.RetryOptions{MaxRetries: 3, RetryDelay: time.Second, MaxRetryDelay: 6 * time.Second},
		})
	}
	if _, err := dial(); err != nil { // connects nothing, but reads what it was given
		return nil, err
	}
	b := &Bus{lanes: map[string]*lane{}, source: o.Source, now: o.Now}
	for _, entity := range []string{string(engine.Operations), string(engine.Polls), Results} {
		b.lanes[entity] = &lane{entity: entity, dial: dial, log: o.Log, gate: make(chan struct{}, 1)}
	}
	return b, nil
}

// Close ends all connections; they are gone within 5 seconds. Sends fail from then on.
func (b *Bus) Close(ctx context.Context) {
	for _, l := range b.lanes {
		l.close(ctx)
	}
}

// Wake implements engine.Bus.
func (b *Bus) Wake(ctx context.Context, w dr.Wake, queue engine.Queue, at time.Time) error {
	if queue != engine.Operations && queue != engine.Polls {
		return fmt.Errorf("bus: there is no queue %q of wakes", queue)
	}
	return b.knock(ctx, queue, Message{Wake: &w}, w.MessageID(), at)
}

// Tick implements engine.Bus.
func (b *Bus) Tick(ctx context.Context, t dr.Tick, at time.Time) error {
	return b.knock(ctx, engine.Operations, Message{Tick: &t}, t.MessageID(), at)
}

// Publish implements engine.Bus.
func (b *Bus) Publish(ctx context.Context, e dr.Event) error {
	body, err := cloudEvent(e, b.source)
	if err != nil {
		return err
	}
	properties := traced(e.Traceparent)
	for name, value := range e.Properties {
		properties[name] = value
	}
	contentType := "application/cloudevents+json"
	return b.lanes[Results].send(ctx, &azservicebus.Message{
		MessageID: &e.ID, ContentType: &contentType, Body: body, ApplicationProperties: properties,
	})
}

func (b *Bus) knock(ctx context.Context, queue engine.Queue, m Message, id string, at time.Time) error {
	body, err := Encode(m)
	if err != nil {
		return err
	}
	contentType := "application/json"
	message := &azservicebus.Message{MessageID: &id, ContentType: &contentType, Body: body, ApplicationProperties: traced(trace.From(ctx))}
	if at.After(b.now()) {
		due := at.Add(time.Millisecond - 1).Truncate(time.Millisecond).UTC() // AMQP knows milliseconds, and early would be too soon
		message.ScheduledEnqueueTime = &due
	}
	return b.lanes[string(queue)].send(ctx, message)
}

// traced returns application properties with traceparent in them: under its own name, and under that which older Azure SDKs look for.
func traced(traceparent string) map[string]any {
	if traceparent = trace.Parent(traceparent); traceparent == "" {
		return map[string]any{}
	}
	return map[string]any{"traceparent": traceparent, "Diagnostic-Id": traceparent}
}

// impatient bounds the wait for a token.
type impatient struct{ azcore.TokenCredential }

func (c impatient) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenWithin)
	defer cancel()
	return c.TokenCredential.GetToken(ctx, o)
}
