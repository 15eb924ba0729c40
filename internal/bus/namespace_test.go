package bus_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/bus"
	"apim-dr/internal/standin/live"
	"apim-dr/internal/standin/servicebus"
)

const (
	source = "/apim-dr/contoso-north"
	soon   = 30 * time.Second // how long something may take that Service Bus has accepted
	quiet  = 5 * time.Second  // how long nothing more may come
)

// suite is the trace id of all messages of the suite, in every run: by it a run knows what an earlier one has left behind and may take away.
var suite = "00-" + hex.EncodeToString([]byte("apim-dr-livetest")) + "-"

// place is a namespace with the entities that docs/live.md names, as one test of the suite sees it.
type place struct {
	*bus.Bus // the adapter
	t        *testing.T
	prefix   string        // of the names of the entities
	trace    string        // traceparent of what this test sends, and of nothing else
	skew     time.Duration // between our clock and the namespace's, at most
	came     time.Time     // when the last message came that was wanted

	open   func(prefix string) *bus.Bus // another adapter, for entities whose names begin otherwise
	wrong  func() *bus.Bus              // one with a key that is not the namespace's
	client *azservicebus.Client         // the real client, as the receiver
}

// environment runs a test of the suite with a place of its own.
type environment func(t *testing.T, test func(*place))

// where is Azure with AZURE_LIVE=1, else the stand-in.
func where(t *testing.T) environment {
	t.Helper()
	if !live.On(t, map[string]string{
		"AZURE_LIVE_SERVICEBUS": "a connection string, or the host of a namespace such as contoso.servicebus.windows.net for whoever ran az login",
		"AZURE_LIVE_PREFIX":     "what the names of the suite's own queues and topic there begin with",
	}) {
		return standIn
	}
	return azure(t, os.Getenv("AZURE_LIVE_SERVICEBUS"), os.Getenv("AZURE_LIVE_PREFIX"))
}

// trial makes what differs from test to test, runs it and closes what it opened.
func trial(t *testing.T, p place, test func(*place)) {
	var span [8]byte
	_, _ = rand.Read(span[:])
	p.t, p.trace = t, suite+hex.EncodeToString(span[:])+"-01"
	p.Bus = p.open(p.prefix)
	defer func() { // no t.Cleanup: a bubble must be left without goroutines
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		p.Bus.Close(ctx)
		_ = p.client.Close(ctx)
	}()
	test(&p)
}

func options(t *testing.T, dial func(context.Context, azservicebus.NewWebSocketConnArgs) (net.Conn, error)) bus.Options {
	return bus.Options{Source: source, Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Dial: dial}
}

// adapter checks what a constructor of the adapter returned.
func adapter(t *testing.T, prefix string) func(*bus.Bus, error) *bus.Bus {
	t.Helper()
	return func(b *bus.Bus, err error) *bus.Bus {
		t.Helper()
		must(t, err)
		bus.Prefix(b, prefix)
		return b
	}
}

// standIn is our stand-in behind pipes in a synctest bubble, so that the suite's waits take no time. Each test has a namespace of its own.
func standIn(t *testing.T, test func(*place)) {
	synctest.Test(t, func(t *testing.T) {
		const host, key, prefix = "contoso.servicebus.windows.net", "bm90IGEgc2VjcmV0", "live-"
		queue := func(name string) servicebus.Queue {
			return servicebus.Queue{Name: prefix + name, LockDuration: 5 * time.Minute, DuplicateWindow: 10 * time.Minute}
		}
		server, err := servicebus.New(servicebus.Config{
			KeyName: "contoso-key", Key: key, Queues: []servicebus.Queue{queue("operations"), queue("polls")},
			Topics: []servicebus.Topic{{Name: prefix + "results", DuplicateWindow: 10 * time.Minute, Subscriptions: []servicebus.Subscription{
				{Queue: servicebus.Queue{Name: "all"}}, {Queue: servicebus.Queue{Name: "failed"}, Filter: map[string]string{"outcome": "failed"}},
			}}},
		})
		must(t, err)
		defer func() { must(t, server.Close()) }()
		dial := func(context.Context, azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
			near, far := net.Pipe()
			go server.ServeConn(far)
			return near, nil
		}
		access := server.ConnectionString(host)
		client, err := azservicebus.NewClientFromConnectionString(access, &azservicebus.ClientOptions{NewWebSocketConn: dial})
		must(t, err)
		trial(t, place{
			prefix: prefix, client: client,
			open: func(prefix string) *bus.Bus {
				return adapter(t, prefix)(bus.FromConnectionString(access, options(t, dial)))
			},
			wrong: func() *bus.Bus {
				return adapter(t, prefix)(bus.FromConnectionString(strings.Replace(access, key, wrongKey, 1), options(t, dial)))
			},
		}, test)
	})
}

const wrongKey = "d3JvbmcgYW5kIHNlY3JldA=="

// azure is a namespace in Azure. Nothing is received before it is sure that the entities hold only what this suite has sent.
func azure(t *testing.T, access, prefix string) environment {
	t.Helper()
	keyed := strings.Contains(access, "=") // and then never shown, in no error
	wrong := "Endpoint=sb://" + access + "/;SharedAccessKeyName=apim-dr-live;SharedAccessKey=" + wrongKey
	if keyed {
		wrong = regexp.MustCompile(`(?i)(SharedAccessKey)=[^;]+`).ReplaceAllString(access, "$1="+wrongKey)
	}
	credential, err := azidentity.NewAzureCLICredential(nil)
	must(t, err)
	connect := func(t *testing.T) *azservicebus.Client {
		t.Helper()
		if !keyed {
			client, err := azservicebus.NewClient(access, credential, nil)
			must(t, err)
			return client
		}
		client, err := azservicebus.NewClientFromConnectionString(access, nil)
		if err != nil {
			t.Fatal("AZURE_LIVE_SERVICEBUS cannot be read; accepted: Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…, or the host of a namespace")
		}
		return client
	}
	client := connect(t)
	dead := &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter}
	onlyOurs(t, client, prefix+"operations", "", nil)
	onlyOurs(t, client, prefix+"operations", "", dead)
	onlyOurs(t, client, prefix+"polls", "", nil)
	onlyOurs(t, client, prefix+"results", "all", nil)
	onlyOurs(t, client, prefix+"results", "failed", nil)
	must(t, client.Close(t.Context()))
	return func(t *testing.T, test func(*place)) {
		trial(t, place{
			prefix: prefix, client: connect(t), skew: 5 * time.Second,
			open: func(prefix string) *bus.Bus {
				if keyed {
					return adapter(t, prefix)(bus.FromConnectionString(access, options(t, nil)))
				}
				return adapter(t, prefix)(bus.FromCredential(access, credential, options(t, nil)))
			},
			wrong: func() *bus.Bus {
				return adapter(t, prefix)(bus.FromConnectionString(wrong, options(t, nil)))
			},
		}, test)
	}
}

// onlyOurs looks through an entity, without locking anything, for messages that others have sent.
func onlyOurs(t *testing.T, client *azservicebus.Client, entity, subscription string, o *azservicebus.ReceiverOptions) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*soon)
	defer cancel()
	receiver := receiverOf(t, client, entity, subscription, o)
	defer receiver.Close(ctx)
	for {
		found, err := receiver.PeekMessages(ctx, 100, nil)
		if err != nil {
			t.Fatalf("look into %s %s: %v (docs/live.md tells which entities have to be there, and which rights)", entity, subscription, err)
		}
		if len(found) == 0 {
			return
		}
		for _, m := range found {
			if !strings.HasPrefix(traceOf(m), suite) {
				t.Fatalf("%s %s holds message %q, which this suite has not sent: AZURE_LIVE_PREFIX must lead to entities of its own", entity, subscription, m.MessageID)
			}
		}
	}
}

func receiverOf(t *testing.T, client *azservicebus.Client, entity, subscription string, o *azservicebus.ReceiverOptions) *azservicebus.Receiver {
	t.Helper()
	receiver, err := client.NewReceiverForQueue(entity, o)
	if subscription != "" {
		receiver, err = client.NewReceiverForSubscription(entity, subscription, o)
	}
	must(t, err)
	return receiver
}

func traceOf(m *azservicebus.ReceivedMessage) string {
	text, _ := m.ApplicationProperties["traceparent"].(string)
	return text
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
