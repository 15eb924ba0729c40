package bus_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/bus"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/trace"
)

// TestServiceBusKeepsTheContract is what apim-dr relies on when it sends, seen by the real client as the receiver: against the stand-in or,
// with AZURE_LIVE=1, in a namespace in Azure (docs/live.md).
func TestServiceBusKeepsTheContract(t *testing.T) {
	run := where(t)
	for _, c := range contract {
		t.Run(c.holds, func(t *testing.T) { run(t, c.test) })
	}
}

var contract = []struct {
	holds string
	test  func(*place)
}{
	{"a wake arrives whole, with its MessageID and its trace", func(p *place) {
		for _, queue := range []engine.Queue{engine.Operations, engine.Polls} {
			w := wake(0)
			must(p.t, p.Wake(p.ctx(), w, queue, time.Now()))
			m := p.receives(string(queue), "", w.MessageID())[0]
			if got, err := bus.Decode(m.Body); err != nil || got.Wake == nil || *got.Wake != w {
				p.t.Errorf("%s: got %s, %v", queue, m.Body, err)
			}
			if m.ContentType == nil || *m.ContentType != "application/json" || m.ApplicationProperties["Diagnostic-Id"] != p.trace {
				p.t.Errorf("%s: got %+v", queue, m)
			}
		}
	}},
	{"a tick arrives whole, with its MessageID", func(p *place) {
		tick := dr.Tick{V: dr.Version, Plan: "nightly", At: time.Now().UTC(), Try: 2}
		must(p.t, p.Tick(p.ctx(), tick, time.Now()))
		m := p.receives("operations", "", tick.MessageID())[0]
		if got, err := bus.Decode(m.Body); err != nil || got.Tick == nil || *got.Tick != tick {
			p.t.Errorf("got %s, %v", m.Body, err)
		}
	}},
	{"a scheduled wake comes when it is due, and not before", func(p *place) {
		w, due := wake(0), time.Now().Add(10*time.Second)
		must(p.t, p.Wake(p.ctx(), w, engine.Polls, due))
		p.receives("polls", "", w.MessageID())
		if late := p.came.Sub(due); late < -p.skew || late > soon {
			p.t.Errorf("it came %v after it was due", late)
		}
	}},
	{"the same send twice is one message, and the next wake is another", func(p *place) {
		first, next := wake(0), wake(1)
		next.ID = first.ID
		for _, w := range []dr.Wake{first, first, next} {
			must(p.t, p.Wake(p.ctx(), w, engine.Operations, time.Now()))
		}
		p.receives("operations", "", first.MessageID(), next.MessageID())
	}},
	{"the same scheduled send twice is one message", func(p *place) {
		w, due := wake(0), time.Now().Add(3*time.Second)
		for range 2 {
			must(p.t, p.Wake(p.ctx(), w, engine.Polls, due))
		}
		p.receives("polls", "", w.MessageID())
	}},
	{"a dead letter is the message that it was", func(p *place) {
		w := wake(0)
		must(p.t, p.Wake(p.ctx(), w, engine.Operations, time.Now()))
		p.buries("operations", w.MessageID())
		m := p.receivesFrom("operations", "", &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter}, w.MessageID())[0]
		if got, err := bus.Decode(m.Body); err != nil || got.Wake == nil || *got.Wake != w {
			p.t.Errorf("got %s, %v", m.Body, err)
		}
	}},
	{"a result is a CloudEvent with its id, its properties and its trace, and twice it is one", func(p *place) {
		e := dr.ResultEvent(p.ended(dr.Failed))
		for range 2 {
			must(p.t, p.Publish(p.t.Context(), e))
		}
		p.receives("results", "all", e.ID)
		m := p.receives("results", "failed", e.ID)[0]
		if m.ContentType == nil || *m.ContentType != "application/cloudevents+json" {
			p.t.Errorf("content type %v", m.ContentType)
		}
		want := map[string]any{"traceparent": p.trace, "Diagnostic-Id": p.trace}
		for name, value := range e.Properties {
			want[name] = value
		}
		if diff := cmp.Diff(want, m.ApplicationProperties); diff != "" {
			p.t.Errorf("application properties (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(e.Data, p.read(m, e)); diff != "" {
			p.t.Errorf("data (-want +got):\n%s", diff)
		}
	}},
	{"a subscription gets what its filter lets through, and nothing else", func(p *place) {
		good, bad := dr.ResultEvent(p.ended(dr.Succeeded)), dr.ResultEvent(p.ended(dr.Failed))
		must(p.t, p.Publish(p.t.Context(), good))
		must(p.t, p.Publish(p.t.Context(), bad))
		p.receives("results", "failed", bad.ID)
		p.receives("results", "all", good.ID, bad.ID)
	}},
	{"a large result arrives whole, and a larger one shortened", func(p *place) {
		op := p.ended(dr.Succeeded)
		for len(op.Evidence) < 180 { // 190,000 bytes: the Standard tier takes 256 KiB
			op.Evidence = append(op.Evidence, dr.Note{At: op.CreatedAt, Text: strings.Repeat("ä", 500)})
		}
		whole := dr.ResultEvent(op)
		must(p.t, p.Publish(p.t.Context(), whole))
		m := p.receives("results", "all", whole.ID)[0]
		if diff := cmp.Diff(whole.Data, p.read(m, whole)); len(m.Body) < 185_000 || diff != "" {
			p.t.Errorf("%d bytes (-want +got):\n%s", len(m.Body), diff)
		}
		op.ID = wake(0).ID
		for len(op.Evidence) < 5000 {
			op.Evidence = append(op.Evidence, op.Evidence[0])
		}
		long := dr.ResultEvent(op)
		must(p.t, p.Publish(p.t.Context(), long))
		m = p.receives("results", "all", long.ID)[0]
		if got := p.read(m, long); len(got.Evidence) == 0 || len(got.Evidence) == len(op.Evidence) || got.Outcome != op.Outcome {
			p.t.Errorf("%d notes, %s", len(got.Evidence), got.Outcome)
		}
	}},
	{"an entity that is not there is named, and stops no other", func(p *place) {
		b := p.open(p.prefix + "never-made-")
		defer p.ends(b)
		began := time.Now()
		p.fails(b.Wake(p.ctx(), wake(0), engine.Polls, time.Now()), bus.Missing, p.prefix+"never-made-polls", began)
		began = time.Now()
		p.fails(b.Publish(p.t.Context(), dr.ResultEvent(p.ended(dr.Failed))), bus.Missing, p.prefix+"never-made-results", began)
		w := wake(0)
		must(p.t, p.Wake(p.ctx(), w, engine.Polls, time.Now()))
		p.receives("polls", "", w.MessageID())
	}},
	{"a key that is not the namespace's is refused, told by entity and not shown", func(p *place) {
		b := p.wrong()
		defer p.ends(b)
		began := time.Now()
		p.fails(b.Wake(p.ctx(), wake(0), engine.Operations, time.Now()), bus.Refused, p.prefix+"operations", began)
		began = time.Now()
		p.fails(b.Publish(p.t.Context(), dr.ResultEvent(p.ended(dr.Failed))), bus.Refused, p.prefix+"results", began)
	}},
	{"a send ends with its context", func(p *place) {
		ctx, cancel := context.WithCancel(p.ctx())
		cancel()
		began := time.Now()
		p.fails(p.Wake(ctx, wake(0), engine.Polls, time.Now()), bus.Stopped, p.prefix+"polls", began)
		if took := time.Since(began); took > time.Second {
			p.t.Errorf("cancelled before it began, it took %v", took)
		}
		w := wake(0) // the next send is not concerned
		must(p.t, p.Wake(p.ctx(), w, engine.Polls, time.Now()))
		p.receives("polls", "", w.MessageID())
	}},
	{"a namespace that says nothing holds a send to its deadline, and 20 seconds at most", func(p *place) {
		b := adapter(p.t, p.prefix)(bus.FromConnectionString("Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey="+wrongKey,
			options(p.t, func(context.Context, azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
				near, _ := net.Pipe()
				return near, nil
			})))
		defer p.ends(b)
		ctx, cancel := context.WithTimeout(p.ctx(), 2*time.Second)
		defer cancel()
		began := time.Now()
		p.fails(b.Wake(ctx, wake(0), engine.Polls, time.Now()), bus.Late, p.prefix+"polls", began)
		if took := time.Since(began); took < time.Second || took > 3*time.Second {
			p.t.Errorf("with a deadline of 2 s it took %v", took)
		}
		began = time.Now()
		p.fails(b.Wake(p.ctx(), wake(0), engine.Polls, time.Now()), bus.Unreachable, p.prefix+"polls", began)
	}},
}

// wake returns one of an operation that no other test has; Service Bus remembers MessageIDs for ten minutes, over runs.
func wake(n int) dr.Wake {
	return dr.Wake{
		V: dr.Version, ID: dr.NewID(dr.KindBackup, time.Now(), rand.Text()), Epoch: 2, N: n, Attempt: 1,
		Location: "https://management.azure.com/subscriptions/0//operationresults/x%3D?api-version=2024-05-01", Lease: time.Now().UTC().Truncate(time.Second),
	}
}

// ended is a backup that has ended.
func (p *place) ended(outcome dr.Outcome) dr.Operation {
	now := time.Now().UTC()
	op := dr.Operation{
		V: dr.Version, ID: wake(0).ID, Kind: dr.KindBackup, Service: "contoso-eu", Trigger: dr.TriggerHTTP, RequestedBy: "the conformance suite",
		Traceparent: p.trace, CreatedAt: now.Add(-40 * time.Minute), EndedAt: now, Phase: dr.Done, Outcome: outcome,
		Legs: []dr.Leg{{
			Verb: dr.VerbBackup, Service: "contoso-eu", Attempt: 1, Outcome: outcome,
			ResourceID: "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso/providers/Microsoft.ApiManagement/service/contoso-eu",
		}},
		Evidence: []dr.Note{{At: now, Text: "seen ✓"}},
	}
	if outcome == dr.Failed {
		op.Error = &dr.Error{Source: "arm", Code: "ActivationFailed", Message: "the container is not there", Status: 400}
	}
	return op
}

func (p *place) ctx() context.Context { return trace.With(p.t.Context(), p.trace) }

// receives takes the messages with these ids, each once, from a queue or a subscription, in any order, and completes them. Others of the same
// test must not come, also not a little later; what an earlier test or run has left is taken away.
func (p *place) receives(entity, subscription string, ids ...string) []*azservicebus.ReceivedMessage {
	p.t.Helper()
	return p.receivesFrom(entity, subscription, nil, ids...)
}

func (p *place) receivesFrom(entity, subscription string, o *azservicebus.ReceiverOptions, ids ...string) []*azservicebus.ReceivedMessage {
	p.t.Helper()
	receiver := receiverOf(p.t, p.client, p.prefix+entity, subscription, o)
	defer receiver.Close(p.t.Context())
	got, left := make([]*azservicebus.ReceivedMessage, len(ids)), len(ids)
	for {
		within := soon
		if left == 0 {
			within = quiet
		}
		m := p.next(receiver, within)
		if m == nil && left == 0 {
			return got
		} else if m == nil {
			p.t.Fatalf("%d of %v did not come from %s %s within %v", left, ids, entity, subscription, within)
		}
		must(p.t, receiver.CompleteMessage(p.t.Context(), m, nil))
		i := slices.Index(ids, m.MessageID)
		if i < 0 || got[i] != nil {
			p.t.Fatalf("%s %s handed out %q, once more or unasked; wanted: %v (is duplicate detection on, and the filter as docs/live.md says?)", entity, subscription, m.MessageID, ids)
		}
		got[i], left, p.came = m, left-1, time.Now()
	}
}

// next is the next message of this test; nil when none comes in time.
func (p *place) next(receiver *azservicebus.Receiver, within time.Duration) *azservicebus.ReceivedMessage {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), within)
	defer cancel()
	for {
		messages, err := receiver.ReceiveMessages(ctx, 1, nil)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		must(p.t, err)
		for _, m := range messages { // one, or none after a broken connection
			switch of := traceOf(m); {
			case of == p.trace:
				return m
			case strings.HasPrefix(of, suite):
				must(p.t, receiver.CompleteMessage(ctx, m, nil))
			default:
				p.t.Fatalf("message %q is not of this suite: it is left locked, and nothing more is received", m.MessageID)
			}
		}
	}
}

// buries moves a message to the dead letters.
func (p *place) buries(queue, id string) {
	p.t.Helper()
	receiver := receiverOf(p.t, p.client, p.prefix+queue, "", nil)
	defer receiver.Close(p.t.Context())
	m := p.next(receiver, soon)
	if m == nil || m.MessageID != id {
		p.t.Fatalf("got %v, want %s", m, id)
	}
	must(p.t, receiver.DeadLetterMessage(p.t.Context(), m, nil))
}

// read decodes a result and checks its envelope.
func (p *place) read(m *azservicebus.ReceivedMessage, e dr.Event) (data dr.Result) {
	p.t.Helper()
	var ce event.Event
	must(p.t, json.Unmarshal(m.Body, &ce))
	must(p.t, ce.Validate())
	if ce.ID() != e.ID || ce.Type() != e.Type || ce.Subject() != e.Subject || ce.Source() != source || !ce.Time().Equal(e.Time) || ce.Extensions()["traceparent"] != p.trace {
		p.t.Errorf("envelope %s", ce)
	}
	must(p.t, json.Unmarshal(ce.Data(), &data))
	return data
}

// fails checks that err tells the kind, names the entity, came in time and gives nothing away.
func (p *place) fails(err error, kind bus.Kind, entity string, began time.Time) {
	p.t.Helper()
	e, ok := errors.AsType[*bus.Error](err)
	if !ok || e.Kind != kind || e.Entity != entity || !strings.Contains(err.Error(), entity) {
		p.t.Errorf("got %v, want %q for %s", err, kind, entity)
	} else if strings.Contains(err.Error(), wrongKey) || strings.Contains(err.Error(), "sig=") {
		p.t.Errorf("%q gives away a secret", err)
	}
	if took := time.Since(began); took > 21*time.Second {
		p.t.Errorf("it took %v, want at most 20 s", took)
	}
}

func (p *place) ends(b *bus.Bus) { b.Close(context.WithoutCancel(p.t.Context())) }
