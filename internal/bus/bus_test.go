package bus

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/standin/servicebus"
	"apim-dr/internal/trace"
)

const host, keyName, key = "contoso.servicebus.windows.net", "contoso-key", "bm90IGEgc2VjcmV0"

// rig is a Bus that reaches a stand-in over pipes, inside a synctest bubble: time is fake, and the client is the real one.
type rig struct {
	*Bus
	*servicebus.Server
	t     *testing.T
	dials int
	down  bool // the network swallows what is sent
	mu    sync.Mutex
}

// inBubble runs test with a namespace that has the given queues besides the topic.
func inBubble(t *testing.T, queues []string, test func(*testing.T, *rig)) {
	t.Helper()
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		config := servicebus.Config{KeyName: keyName, Key: key, Topics: []servicebus.Topic{{
			Name: Results, DuplicateWindow: time.Hour, Subscriptions: []servicebus.Subscription{
				{Queue: servicebus.Queue{Name: "all"}}, {Queue: servicebus.Queue{Name: "bad"}, Filter: map[string]string{"outcome": "failed"}},
			},
		}}}
		for _, q := range queues {
			config.Queues = append(config.Queues, servicebus.Queue{Name: q, DuplicateWindow: time.Hour})
		}
		server, err := servicebus.New(config)
		must(t, err)
		r := &rig{Server: server, t: t}
		r.Bus, err = FromConnectionString(server.ConnectionString(host), r.options())
		must(t, err)
		defer func() { // after a failure, too: no bubble may leave goroutines behind
			r.Bus.Close(context.Background())
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(t, r)
	})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v of real time", took)
	}
}

func (r *rig) options() Options {
	return Options{Source: source, Now: time.Now, Log: slog.New(slog.NewTextHandler(r.t.Output(), nil)), Dial: r.dial}
}

func (r *rig) dial(context.Context, azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dials++
	near, far := net.Pipe()
	if !r.down {
		go r.ServeConn(far)
	}
	return near, nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// one receives a message from a queue, or a subscription of the topic, and completes it.
func (r *rig) one(queue, subscription string) *azservicebus.ReceivedMessage {
	r.t.Helper()
	client, err := azservicebus.NewClientFromConnectionString(r.ConnectionString(host), &azservicebus.ClientOptions{NewWebSocketConn: r.dial})
	must(r.t, err)
	defer client.Close(context.Background())
	receiver, err := client.NewReceiverForQueue(queue, nil)
	if subscription != "" {
		receiver, err = client.NewReceiverForSubscription(queue, subscription, nil)
	}
	must(r.t, err)
	got, err := receiver.ReceiveMessages(r.t.Context(), 1, nil)
	must(r.t, err)
	must(r.t, receiver.CompleteMessage(r.t.Context(), got[0], nil))
	return got[0]
}

// fails checks that err is an *Error of a kind that names the entity, came within the limit and gives away no secret.
func (r *rig) fails(err error, kind Kind, entity string, began time.Time) {
	r.t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || e.Entity != entity || !strings.Contains(err.Error(), entity) {
		r.t.Fatalf("got %v, want %q for %s", err, kind, entity)
	}
	if took := time.Since(began); took > 20*time.Second {
		r.t.Errorf("failed after %v, want at most 20 s", took)
	}
	for _, secret := range []string{key, "SharedAccess", "sig="} {
		if strings.Contains(err.Error(), secret) {
			r.t.Errorf("%q gives away a secret", err)
		}
	}
}

var bothQueues = []string{"operations", "polls"}

func TestAWakeArrivesWithItsIDAndTrace(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		ctx, w := trace.With(t.Context(), traceparent), wake()
		must(t, r.Wake(ctx, w, engine.Polls, time.Now()))
		m := r.one("polls", "")
		if got, err := Decode(m.Body); err != nil || *got.Wake != w {
			t.Errorf("got %+v, %v", got, err)
		}
		if m.MessageID != w.MessageID() || *m.ContentType != "application/json" || m.ApplicationProperties["traceparent"] != traceparent || m.ApplicationProperties["Diagnostic-Id"] != traceparent {
			t.Errorf("got %q, %q, %v", m.MessageID, *m.ContentType, m.ApplicationProperties)
		}
		if sent := r.Sent("polls"); !sent[0].EnqueueAt.IsZero() {
			t.Errorf("scheduled for %v although it is due", sent[0].EnqueueAt)
		}
	})
}

func TestAWakeIsAcceptedOverTCP(t *testing.T) {
	server, err := servicebus.New(servicebus.Config{KeyName: keyName, Key: key, Queues: []servicebus.Queue{{Name: "polls"}}})
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	b, err := FromConnectionString(server.ConnectionString(listener.Addr().String()), Options{Source: source, Now: time.Now})
	must(t, err)
	must(t, b.Wake(t.Context(), wake(), engine.Polls, time.Now()))
	if sent := server.Sent("polls"); len(sent) != 1 || sent[0].MessageID != wake().MessageID() {
		t.Errorf("got %+v", sent)
	}
	b.Close(t.Context())
	must(t, server.Close())
	must(t, <-served)
}

func TestAWakeGoesOnlyToAQueueOfWakes(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		if err := r.Wake(t.Context(), wake(), "results", time.Now()); err == nil {
			t.Error("it was sent")
		}
	})
}

func TestAScheduledWakeArrivesInTenHoursAndNotBefore(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		due := time.Now().Add(10*time.Hour + 300*time.Microsecond)
		must(t, r.Wake(t.Context(), wake(), engine.Operations, due))
		r.one("operations", "")
		if late := time.Since(due); late < 0 || late > time.Second {
			t.Errorf("it came %v after it was due", late)
		}
	})
}

func TestATickArrives(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		tick := dr.Tick{V: dr.Version, Plan: "nightly", At: night, Try: 2}
		must(t, r.Tick(t.Context(), tick, time.Now().Add(time.Minute)))
		m := r.one("operations", "")
		if got, err := Decode(m.Body); err != nil || *got.Tick != tick || m.MessageID != tick.MessageID() {
			t.Errorf("got %+v, %v, %s", got, err, m.MessageID)
		}
	})
}

func TestARepeatedSendCollapsesAndANewOneDoesNot(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		first, heal := wake(), wake()
		heal.Epoch++
		for _, w := range []dr.Wake{first, first, heal} {
			must(t, r.Wake(t.Context(), w, engine.Operations, time.Now()))
		}
		if active, _, _, err := r.Count("operations"); active != 2 || err != nil {
			t.Errorf("%d messages, want 2 (%v)", active, err)
		}
	})
}

func TestAResultReachesTheSubscriptionsThatAskForIt(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		good, op := endings(t)[dr.Succeeded], endings(t)[dr.Failed]
		good.ID = dr.TickID(dr.KindBackup, "nightly", "contoso-us", night)
		for _, op := range []dr.Operation{good, op, op} { // publishing twice is one event
			must(t, r.Publish(t.Context(), dr.ResultEvent(op)))
		}
		if active, _, _, err := r.Count("results/Subscriptions/bad"); active != 1 || err != nil {
			t.Fatalf("%d failures, want 1 (%v)", active, err)
		}
		m := r.one(Results, "bad")
		if m.MessageID != op.ID+":result" || *m.ContentType != "application/cloudevents+json" {
			t.Errorf("got %s, %s", m.MessageID, *m.ContentType)
		}
		for name, want := range map[string]string{
			"type": "apimdr.backup.failed", "kind": "backup", "outcome": "failed", "service": "contoso-eu", "trigger": "http", "traceparent": traceparent,
		} {
			if m.ApplicationProperties[name] != want {
				t.Errorf("%s is %v, want %s", name, m.ApplicationProperties[name], want)
			}
		}
		if fault := readSchema(t, resultSchema).fault(m.Body); fault != nil {
			t.Error(fault)
		}
	})
}

func TestNothingIsDialledBeforeTheFirstSend(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		time.Sleep(time.Hour)
		if r.dials != 0 {
			t.Errorf("%d connections", r.dials)
		}
		var senders sync.WaitGroup
		for i := range 50 {
			senders.Go(func() {
				w := wake()
				w.N = i
				if err := r.Wake(t.Context(), w, engine.Polls, time.Now()); err != nil {
					t.Error(err)
				}
			})
		}
		senders.Wait()
		if active, _, _, _ := r.Count("polls"); active != 50 || r.dials != 1 {
			t.Errorf("%d messages over %d connections, want 50 over 1", active, r.dials)
		}
		if links, err := r.DetachLinks("polls", "amqp:link:detach-forced", "test"); links != 1 || err != nil {
			t.Errorf("%d links, want 1 (%v)", links, err)
		}
	})
}

func TestABusyServerIsTriedAgainAndThenReported(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		must(t, r.RejectSends("polls", 3))
		must(t, r.Wake(t.Context(), wake(), engine.Polls, time.Now()))
		must(t, r.RejectSends("polls", 100))
		began := time.Now()
		r.fails(r.Wake(t.Context(), wake(), engine.Polls, time.Now()), Busy, "polls", began)
		if waited := time.Since(began); waited < 5*time.Second {
			t.Errorf("gave up after %v, which is no time for a throttled namespace", waited)
		}
		must(t, r.RejectSends("polls", 0))
		must(t, r.Wake(t.Context(), wake(), engine.Polls, time.Now()))
		if r.dials != 1 {
			t.Errorf("%d connections: being busy is no reason for a new one", r.dials)
		}
	})
}

func TestADroppedConnectionHealsOnTheNextSend(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		for n := range 3 {
			w := wake()
			w.N = n
			must(t, r.Wake(t.Context(), w, engine.Polls, time.Now()))
			r.DropConnections()
			time.Sleep(time.Duration(n) * time.Hour)
		}
		if active, _, _, _ := r.Count("polls"); active != 3 {
			t.Errorf("%d messages, want 3", active)
		}
	})
}

func TestManySendersHealTogether(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		for round := range 4 {
			var senders sync.WaitGroup
			for i := range 20 {
				senders.Go(func() {
					w := wake()
					w.Epoch, w.N = round, i
					if err := r.Wake(t.Context(), w, engine.Polls, time.Now()); err != nil {
						t.Error(err)
					}
				})
			}
			senders.Wait()
			if round%2 == 0 {
				r.DropConnections()
			} else if _, err := r.DetachLinks("polls", "amqp:not-found", "maintenance"); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		if active, _, _, _ := r.Count("polls"); active != 80 {
			t.Errorf("%d messages, want 80", active)
		}
		time.Sleep(closeWithin)
		must(t, r.Wake(t.Context(), wake(), engine.Polls, time.Now()))
		if links, err := r.DetachLinks("polls", "amqp:link:detach-forced", "test"); links != 1 || err != nil {
			t.Errorf("%d links are left, want 1 (%v)", links, err)
		}
	})
}

// azservicebus takes these conditions for fatal and keeps the detached link.
func TestALinkThatWasDetachedForGoodIsReplacedByTheNextSend(t *testing.T) {
	for _, condition := range []string{"amqp:not-found", "com.microsoft:entity-disabled", "amqp:unauthorized-access", "amqp:link:detach-forced"} {
		t.Run(condition, func(t *testing.T) {
			inBubble(t, bothQueues, func(t *testing.T, r *rig) {
				must(t, r.Wake(t.Context(), wake(), engine.Polls, time.Now()))
				if n, err := r.DetachLinks("polls", condition, "maintenance"); n != 1 || err != nil {
					t.Fatalf("%d links, %v", n, err)
				}
				synctest.Wait()
				w := wake()
				w.N++
				must(t, r.Wake(t.Context(), w, engine.Polls, time.Now()))
			})
		})
	}
}

func TestASilentServerIsGivenUpInTimeAndReachedAgain(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		must(t, r.WithholdDispositions("polls", 1))
		began := time.Now()
		r.fails(r.Wake(t.Context(), wake(), engine.Polls, time.Now()), Unreachable, "polls", began)
		must(t, r.Wake(t.Context(), wake(), engine.Polls, time.Now())) // the same send again, with the same MessageID
		if active, _, _, _ := r.Count("polls"); active != 1 {
			t.Errorf("%d messages, want 1", active)
		}
		if r.dials != 2 {
			t.Errorf("%d connections, want a new one: the old one said nothing", r.dials)
		}
	})
}

func TestADeadNetworkFailsAllSendersInTime(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		r.down = true
		var senders sync.WaitGroup
		for range 5 {
			senders.Go(func() {
				began := time.Now()
				r.fails(r.Wake(t.Context(), wake(), engine.Polls, time.Now()), Unreachable, "polls", began)
			})
		}
		senders.Wait()
		r.down = false
		must(t, r.Wake(t.Context(), wake(), engine.Polls, time.Now()))
	})
}

func TestASendWhoseTimeIsOverIsNotBegunAndLeavesTheLinkAlone(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		must(t, r.Wake(t.Context(), wake(), engine.Polls, time.Now()))
		ctx, cancel := context.WithDeadline(t.Context(), time.Now())
		defer cancel()
		for range 10 { // a select would choose now and then
			r.fails(r.Wake(ctx, wake(), engine.Polls, time.Now()), Late, "polls", time.Now())
		}
		must(t, r.Wake(t.Context(), wake(), engine.Polls, time.Now()))
		if r.dials != 1 {
			t.Errorf("%d connections, want the first alone", r.dials)
		}
	})
}

func TestASendEndsWithItsContext(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		r.down = true
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(2*time.Second, cancel)
		r.fails(r.Wake(ctx, wake(), engine.Polls, time.Now()), Stopped, "polls", began)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAWrongKeyIsRefusedWithoutShowingIt(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		wrong, err := FromConnectionString(strings.Replace(r.ConnectionString(host), key, "d3JvbmcgYW5kIHNlY3JldA", 1), r.options())
		must(t, err)
		err = wrong.Wake(t.Context(), wake(), engine.Polls, time.Now())
		r.fails(err, Refused, "polls", time.Now())
		if strings.Contains(err.Error(), "d3JvbmcgYW5kIHNlY3JldA") {
			t.Errorf("%q shows the key", err)
		}
		wrong.Close(t.Context())
	})
}

func TestAMissingQueueIsNamedAndStopsNoOther(t *testing.T) {
	inBubble(t, []string{"polls"}, func(t *testing.T, r *rig) {
		began := time.Now()
		err := r.Wake(t.Context(), wake(), engine.Operations, time.Now())
		r.fails(err, Missing, "operations", began)
		if want := "queue operations: it does not exist: create it"; !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
		must(t, r.Wake(t.Context(), wake(), engine.Polls, time.Now())) // the other queue is not concerned
	})
}

func TestAClosedBusSendsNothing(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		must(t, r.Wake(t.Context(), wake(), engine.Polls, time.Now()))
		r.Bus.Close(t.Context())
		for _, queue := range []engine.Queue{engine.Polls, engine.Operations} {
			r.fails(r.Wake(t.Context(), wake(), queue, time.Now()), Stopped, string(queue), time.Now())
		}
	})
}

// stuck is a credential whose issuer does not answer.
type stuck struct{}

func (stuck) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	<-ctx.Done()
	return azcore.AccessToken{}, ctx.Err()
}

func TestAnIssuerThatDoesNotAnswerHoldsNoSendLonger(t *testing.T) {
	inBubble(t, bothQueues, func(t *testing.T, r *rig) {
		b, err := FromCredential(host, stuck{}, r.options())
		must(t, err)
		began := time.Now()
		r.fails(b.Publish(t.Context(), dr.ResultEvent(endings(t)[dr.Failed])), Unreachable, Results, began)
		b.Close(t.Context())
	})
}

func TestAccessThatCannotWorkIsRefusedAtOnce(t *testing.T) {
	o := Options{Source: source, Now: time.Now}
	for _, s := range []string{"", "Endpoint", "Endpoint=sb://contoso;SharedAccessKeyName=k", "Endpoint=sb://contoso;" + key} {
		if _, err := FromConnectionString(s, o); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%q: got %v", s, err)
		}
	}
	if _, err := FromCredential("", stuck{}, o); err == nil {
		t.Error("an empty namespace was taken")
	}
	if _, err := FromCredential(host, nil, o); err == nil {
		t.Error("a missing credential was taken")
	}
	if _, err := FromCredential(host, stuck{}, Options{Source: source}); err == nil {
		t.Error("a missing clock was taken")
	}
}
