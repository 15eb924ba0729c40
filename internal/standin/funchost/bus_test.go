package funchost

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/standin/servicebus"
)

// namespace is a Service Bus stand-in on a port of its own.
type namespace struct {
	*servicebus.Server
	t          *testing.T
	connection string
	client     *azservicebus.Client
}

func newNamespace(t *testing.T, queues []servicebus.Queue, topics ...servicebus.Topic) *namespace {
	t.Helper()
	server, err := servicebus.New(servicebus.Config{Queues: queues, Topics: topics, KeyName: "root", Key: "c2VjcmV0"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := server.Serve(ln); err != nil {
			t.Error(err)
		}
	}()
	n := &namespace{Server: server, t: t, connection: server.ConnectionString(ln.Addr().String())}
	if n.client, err = azservicebus.NewClientFromConnectionString(n.connection, &azservicebus.ClientOptions{
		RetryOptions: azservicebus.RetryOptions{RetryDelay: 50 * time.Millisecond},
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.client.Close(t.Context())
		server.Close()
	})
	return n
}

func (n *namespace) send(entity string, messages ...*azservicebus.Message) {
	n.t.Helper()
	sender, err := n.client.NewSender(entity, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, m := range messages {
		if err := sender.SendMessage(n.t.Context(), m, nil); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *namespace) awaitCount(entity string, active, dead int) {
	n.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		a, _, d, err := n.Count(entity)
		if err != nil {
			n.t.Fatal(err)
		}
		if a == active && d == dead {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s holds %d active and %d dead messages, want %d and %d", entity, a, d, active, dead)
		}
	}
}

func message(id, body string) *azservicebus.Message {
	return &azservicebus.Message{MessageID: &id, Body: []byte(body)}
}

// busFunction is a function.json; source is queueName or topicName with subscriptionName.
func busFunction(source string) string {
	return `{"bindings":[{"type":"serviceBusTrigger","direction":"in","name":"msg","connection":"BUS",` + source + `}]}`
}

func (n *namespace) options(t *testing.T, host string, functions map[string]string) Options {
	return Options{Root: stage(t, host, functions), Settings: map[string]string{"BUS": n.connection, "QUEUE": "orders"}}
}

func TestA2xxCompletesAndAnythingElseAbandonsUntilTheMessageIsDead(t *testing.T) {
	n := newNamespace(t, []servicebus.Queue{{Name: "orders", MaxDeliveryCount: 3}})
	r := runReady(t, n.options(t, plainHost, map[string]string{
		"Orders": busFunction(`"queueName":"%QUEUE%","dataType":"binary"`), "Dead": busFunction(`"queueName":"orders/$DeadLetterQueue","dataType":"binary"`),
	}), func(w http.ResponseWriter, req *http.Request) {
		raw, _ := io.ReadAll(req.Body)
		status := http.StatusOK
		if req.URL.Path == "/Orders" && strings.Contains(string(raw), `"MessageId":"\"bad\""`) {
			status = http.StatusInternalServerError
		}
		// In the application properties, and nowhere else.
		if req.URL.Path == "/Dead" && (!strings.Contains(string(raw), `"DeadLetterReason":"MaxDeliveryCountExceeded"`) ||
			strings.Contains(string(raw), `"DeadLetterReason":"\"`)) {
			t.Errorf("the dead letter's properties: %s", raw)
		}
		reply(w, status, `{}`)
	})
	n.send("orders", message("good", "1"), message("bad", "2"))
	r.await("the dead letter", func() bool { return len(r.endsOf("Dead")) == 1 })
	n.awaitCount("orders", 0, 0)
	deliveries := map[string]int{}
	for _, e := range r.endsOf("Orders") {
		if deliveries[e.MessageID]++; (e.Err != nil) != (e.MessageID == "bad") {
			t.Errorf("event %+v", e)
		}
	}
	if deliveries["good"] != 1 || deliveries["bad"] != 3 {
		t.Errorf("deliveries %v", deliveries)
	}
}

func TestAConnectionIsFoundByItsNameThenWithAzureWebJobsBeforeIt(t *testing.T) {
	for _, test := range []struct {
		connection, want string
		settings         map[string]string
	}{
		{`"BUS"`, "own", map[string]string{"BUS": "own", "AzureWebJobsBUS": "prefixed"}},
		{`"BUS"`, "prefixed", map[string]string{"AzureWebJobsBUS": "prefixed"}},
		{`""`, "default", map[string]string{"AzureWebJobsServiceBus": "default", "ServiceBus": "other"}},
	} {
		function := strings.Replace(busFunction(`"queueName":"orders"`), `"BUS"`, test.connection, 1)
		h, err := New(Options{Root: stage(t, plainHost, map[string]string{"Orders": function}), Settings: test.settings})
		if err != nil || h.app.function("Orders").bus.connection != test.want {
			t.Errorf("%s among %v: %v, want %s", test.connection, test.settings, err, test.want)
		}
	}
}

func TestATopicsSubscriptionIsATrigger(t *testing.T) {
	n := newNamespace(t, nil, servicebus.Topic{Name: "results", Subscriptions: []servicebus.Subscription{{Queue: servicebus.Queue{Name: "mail"}}}})
	r := runReady(t, n.options(t, plainHost, map[string]string{"Mail": busFunction(`"topicName":"results","subscriptionName":"mail","dataType":"binary"`)}), fine)
	n.send("results", message("m-1", "x"))
	r.await("the message", func() bool { return len(r.endsOf("Mail")) == 1 })
	n.awaitCount("results/Subscriptions/mail", 0, 0)
}

func TestMessagesAreEncodedAsTheHostDoesAndJSONBodiesLeakUnlessBinary(t *testing.T) {
	n := newNamespace(t, []servicebus.Queue{{Name: "plain"}, {Name: "binary"}})
	var rec recorder
	r := runReady(t, n.options(t, plainHost, map[string]string{
		"Plain": busFunction(`"queueName":"plain"`), "Binary": busFunction(`"queueName":"binary","dataType":"binary"`),
	}), rec.ServeHTTP)
	const body = `{"orderId":"A-17","deliveryCount":99,"n":null,"list":[1,"<"],"nested":{"a":"b"},"smsTrigger":"x"}`
	kind, subject := "application/json", "created"
	full, ttl, past := []string{"c", "r", "t", "s"}, time.Hour, time.Now().Add(-time.Hour)
	for _, queue := range []string{"plain", "binary"} {
		m := message("m-1", body)
		m.ContentType, m.Subject, m.ApplicationProperties = &kind, &subject, map[string]any{"tenant": "a"}
		if queue == "binary" {
			m.CorrelationID, m.ReplyTo, m.To, m.SessionID, m.PartitionKey, m.TimeToLive = &full[0], &full[1], &full[2], &full[3], &full[3], &ttl
			m.ScheduledEnqueueTime = &past
		}
		n.send(queue, m)
		function := strings.ToUpper(queue[:1]) + queue[1:]
		r.await(function, func() bool { return len(r.endsOf(function)) == 1 })
		var got struct {
			Data     map[string]string
			Metadata map[string]any
		}
		if err := json.Unmarshal([]byte(rec.last(t).body), &got); err != nil {
			t.Fatal(err)
		}
		meta := got.Metadata
		want := map[string]string{
			"MessageId": `"\"m-1\""`, "DeliveryCount": `"1"`, "SequenceNumber": `"1"`, "ContentType": `"\"application/json\""`, "Subject": `"\"created\""`,
			"Label": `"\"created\""`, "ApplicationProperties": `{"tenant":"a"}`, "UserProperties": `{"tenant":"a"}`, "MessageReceiver": `{}`, "MessageActions": `{}`,
			"orderId": `null`, "list": `null`, "nested": `null`, "n": `null`, "smsTrigger": `null`, "CorrelationId": `null`, "deliveryCount": `null`,
			"ReplyTo": `null`, "To": `null`, "SessionId": `null`, "PartitionKey": `null`, "DeadLetterSource": `null`,
			"ScheduledEnqueueTime": `null`, "TimeToLive": `null`, "DeadLetterReason": `null`, // never sent
		}
		data := base64.StdEncoding.EncodeToString([]byte(body))
		if queue == "plain" {
			data = string(plainJSON(body))
			want["DeliveryCount"], want["orderId"], want["list"], want["nested"] = `"99"`, `"\"A-17\""`, `"[1,\"<\"]"`, `{"a":"b"}`
		} else {
			want["CorrelationId"], want["ReplyTo"], want["To"], want["SessionId"], want["PartitionKey"] = `"\"c\""`, `"\"r\""`, `"\"t\""`, `"\"s\""`, `"\"s\""`
		}
		if got.Data["msg"] != data {
			t.Errorf("%s: data %q", queue, got.Data["msg"])
		}
		for name, value := range want {
			got, sent := meta[name]
			if g := string(plainJSON(got)); g != value || sent != (value != "null") { // nulls are left out
				t.Errorf("%s: %s is %s, want %s", queue, name, g, value)
			}
		}
		for name, layout := range map[string]string{
			"EnqueuedTime": "2006-01-02T15:04:05+00:00", "EnqueuedTimeUtc": "2006-01-02T15:04:05",
			"ExpiresAt": "2006-01-02T15:04:05+00:00", "ExpiresAtUtc": "2006-01-02T15:04:05",
		} {
			if text, ok := meta[name]; ok || strings.HasPrefix(name, "Enqueued") || queue == "binary" {
				if at, err := time.Parse(layout, fmt.Sprint(text)); err != nil || at.Format(layout) != text { // Parse takes parts of a second
					t.Errorf("%s: %s is %v (%v)", queue, name, text, err)
				}
			}
		}
		if meta["EnqueuedTime"] != fmt.Sprint(meta["EnqueuedTimeUtc"])+"+00:00" {
			t.Errorf("%s: enqueued at %v, %v", queue, meta["EnqueuedTime"], meta["EnqueuedTimeUtc"])
		}
		var token string
		if err := json.Unmarshal([]byte(meta["LockToken"].(string)), &token); err != nil || len(token) != 36 {
			t.Errorf("%s: lock token %v", queue, meta["LockToken"])
		}
		client := meta["Client"].(map[string]any)
		if client["IsClosed"] != false || client["TransportType"] != 0.0 || client["Identifier"] == "" {
			t.Errorf("%s: client %v", queue, client)
		}
		if ns := client["FullyQualifiedNamespace"]; !strings.Contains(n.connection, fmt.Sprintf("sb://%s;", ns)) {
			t.Errorf("%s: namespace %v", queue, ns)
		}
	}
}

// The stand-in of Service Bus forwards nothing, so that nothing there has a source.
func TestTheSourceOfADeadLetterIsMetadata(t *testing.T) {
	source := "orders"
	e := busEnvelope(&function{}, "ns", &azservicebus.ReceivedMessage{DeadLetterSource: &source}, time.Now())
	if got := e.Metadata["DeadLetterSource"]; got != `"orders"` {
		t.Errorf("%v", got)
	}
}

func TestAtMostMaxConcurrentCallsRunAtOnceAndAllOfThemDo(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, []servicebus.Queue{{Name: "orders"}})
	host := strings.Replace(plainHost, `"customHandler"`, `"extensions":{"serviceBus":{"maxConcurrentCalls":3}},"customHandler"`, 1)
	var running, most atomic.Int32
	entered, release := make(chan struct{}, 20), make(chan struct{})
	r := runReady(t, n.options(t, host, map[string]string{"Orders": busFunction(`"queueName":"orders","dataType":"binary"`)}), func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/Orders" {
			now := running.Add(1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			entered <- struct{}{}
			<-release
			running.Add(-1)
		}
		reply(w, 200, `{}`)
	})
	for i := range 8 {
		n.send("orders", message(fmt.Sprint(i), "x"))
	}
	for range 3 {
		select {
		case <-entered:
		case <-time.After(10 * time.Second):
			t.Fatal("three calls do not run at once")
		}
	}
	close(release)
	n.awaitCount("orders", 0, 0)
	if got := most.Load(); got != 3 {
		t.Errorf("%d calls at once, want 3", got)
	}
	if ends := r.endsOf("Orders"); len(ends) != 8 {
		t.Errorf("%d invocations, want 8", len(ends))
	}
}

func TestLocksAreRenewedButNotBeyondMaxAutoLockRenewalDuration(t *testing.T) {
	t.Parallel()
	const lock = 800 * time.Millisecond // renewed at half time, which a busy machine must not miss
	n := newNamespace(t, []servicebus.Queue{{Name: "orders", LockDuration: lock}, {Name: "short", LockDuration: lock}})
	host := strings.Replace(plainHost, `"customHandler"`, `"extensions":{"serviceBus":{"maxAutoLockRenewalDuration":"00:00:02"}},"customHandler"`, 1)
	var entered, shortEntered atomic.Int32
	r := runReady(t, n.options(t, host, map[string]string{
		"Orders": busFunction(`"queueName":"orders","dataType":"binary"`), "Short": busFunction(`"queueName":"short","dataType":"binary"`),
	}), func(w http.ResponseWriter, req *http.Request) {
		// Longer than the lock; for Short longer than the renewals last, too, the first time.
		switch {
		case req.URL.Path == "/Orders":
			entered.Add(1)
			time.Sleep(2 * lock)
		case req.URL.Path == "/Short" && shortEntered.Add(1) == 1:
			time.Sleep(2*time.Second + 2*lock)
		}
		reply(w, 200, `{}`)
	})
	n.send("orders", message("m-1", "x"))
	n.send("short", message("m-2", "x"))
	r.await("both", func() bool { return len(r.endsOf("Orders")) >= 1 && len(r.endsOf("Short")) >= 2 })
	n.awaitCount("orders", 0, 0)
	n.awaitCount("short", 0, 0)
	if got := entered.Load(); got != 1 {
		t.Errorf("delivered %d times although its lock is renewed", got)
	}
	if got := shortEntered.Load(); got != 2 {
		t.Errorf("delivered %d times, want 2: the second after the renewals ended", got)
	}
}

func TestATriggerSurvivesDroppedConnectionsAndAMissingQueueDoesNotStopTheHost(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, []servicebus.Queue{{Name: "orders"}})
	r := runReady(t, n.options(t, plainHost, map[string]string{
		"Orders": busFunction(`"queueName":"orders","dataType":"binary"`), "Lost": busFunction(`"queueName":"nowhere","dataType":"binary"`),
	}), fine)
	for i := range 3 {
		n.send("orders", message(fmt.Sprint(i), "x"))
		r.await("the message", func() bool { return len(r.endsOf("Orders")) > i })
		n.awaitCount("orders", 0, 0)
		n.DropConnections()
	}
	// The client recovers from a drop; this it gives up on, and the host begins anew.
	for detached := 0; detached == 0; time.Sleep(time.Millisecond) {
		var err error
		if detached, err = n.DetachLinks("orders", "amqp:not-allowed", "disabled"); err != nil {
			t.Fatal(err)
		}
	}
	n.send("orders", message("last", "x"))
	r.await("the message after a fatal error", func() bool { return len(r.endsOf("Orders")) > 3 })
}

func TestAKilledHandlersMessageIsDeliveredAgain(t *testing.T) {
	n := newNamespace(t, []servicebus.Queue{{Name: "orders"}})
	var calls atomic.Int32
	entered := make(chan struct{})
	r := runReady(t, n.options(t, plainHost, map[string]string{"Orders": busFunction(`"queueName":"orders","dataType":"binary"`)}), func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/Orders" && calls.Add(1) == 1 {
			close(entered)
			<-req.Context().Done()
		}
		reply(w, 200, `{}`)
	})
	n.send("orders", message("m-1", "x"))
	<-entered
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	// Between the end of the process and its successor's start a delivery may fail, too.
	n.awaitCount("orders", 0, 0)
	r.await("a delivery that succeeds", func() bool { ends := r.endsOf("Orders"); return len(ends) > 1 && ends[len(ends)-1].Err == nil })
	if ends := r.endsOf("Orders"); ends[0].Err == nil {
		t.Errorf("events %+v", ends)
	}
}

func TestAMessageInFlightWhenTheHostEndsComesBackWhenItsLockExpires(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, []servicebus.Queue{{Name: "orders", LockDuration: 600 * time.Millisecond}})
	o := n.options(t, plainHost, map[string]string{"Orders": busFunction(`"queueName":"orders","dataType":"binary"`)})
	first := runReady(t, o, func(_ http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/Orders" {
			<-req.Context().Done()
		}
	})
	n.send("orders", message("m-1", "x"))
	first.awaitCount(InvocationStarted, 1)
	first.shut()
	if settled := n.Requests()[servicebus.Request{Entity: "orders", Kind: "settlement"}]; settled != 0 {
		t.Error("the host settled it when it ended")
	}
	second := runReady(t, o, fine)
	second.await("the second delivery", func() bool { return len(second.endsOf("Orders")) == 1 })
	n.awaitCount("orders", 0, 0)
	if calls := len(first.endsOf("Orders")); calls != 1 {
		t.Errorf("%d deliveries to the first host, want 1", calls)
	}
}
