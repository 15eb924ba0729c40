package servicebus_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/standin/servicebus"
)

const (
	peekLock         = azservicebus.ReceiveModePeekLock
	receiveAndDelete = azservicebus.ReceiveModeReceiveAndDelete
)

func TestAMessageArrivesAsItWasSent(t *testing.T) {
	b := start(t)
	sent := &azservicebus.Message{
		Body: []byte("hello"), MessageID: ptr("id-1"), Subject: ptr("subject"), CorrelationID: ptr("corr"),
		ContentType: ptr("application/json"), To: ptr("to"), ReplyTo: ptr("reply"), PartitionKey: ptr("pk"),
		TimeToLive: ptr(time.Hour),
		ApplicationProperties: map[string]any{
			"text": "a", "int": int64(-7), "small": int32(3), "flag": true, "ratio": 1.5, "float": float32(2.5), "byte": uint8(9), "i8": int8(-2),
		},
	}
	b.send("operations", sent)
	got := b.receive(b.receiver("operations", peekLock), 1)[0]
	if string(got.Body) != "hello" || got.MessageID != "id-1" || *got.Subject != "subject" || *got.CorrelationID != "corr" ||
		*got.ContentType != "application/json" || *got.To != "to" || *got.ReplyTo != "reply" || *got.PartitionKey != "pk" || *got.TimeToLive != time.Hour {
		t.Errorf("got %+v", got)
	}
	if !reflect.DeepEqual(got.ApplicationProperties, sent.ApplicationProperties) {
		t.Errorf("properties %#v, want %#v", got.ApplicationProperties, sent.ApplicationProperties)
	}
	if got.DeliveryCount != 1 || *got.SequenceNumber != 1 || got.State != azservicebus.MessageStateActive || time.Since(*got.EnqueuedTime) > time.Minute {
		t.Errorf("count %d, sequence %d, state %d, enqueued %v", got.DeliveryCount, *got.SequenceNumber, got.State, got.EnqueuedTime)
	}
	if left := time.Until(*got.LockedUntil); left < 55*time.Second || left > 60*time.Second {
		t.Errorf("locked for %v, want the default of 60 s", left)
	}
}

func TestAWrongKeyOrKeyNameIsRefused(t *testing.T) {
	b := start(t)
	good := b.ConnectionString(b.addr)
	for _, bad := range []string{strings.Replace(good, testKey, "d3Jvbmc=", 1), strings.Replace(good, testKeyName, "other", 1)} {
		s, err := b.dial(bad).NewSender("operations", nil)
		must(t, err)
		wantCode(t, s.SendMessage(b.ctx, text("x"), nil), azservicebus.CodeUnauthorizedAccess)
	}
	b.holds("operations", 0, 0, 0)
}

func TestAnUnknownEntityIsNotFound(t *testing.T) {
	b := start(t)
	wantCode(t, b.sender("nowhere").SendMessage(b.ctx, text("x"), nil), azservicebus.CodeNotFound)
	_, err := b.receiver("nowhere", peekLock).ReceiveMessages(b.ctx, 1, nil)
	wantCode(t, err, azservicebus.CodeNotFound)
	if _, _, _, err := b.Count("nowhere"); err == nil {
		t.Error("Count of an unknown entity succeeded")
	}
}

func TestNamesMatchInAnyCase(t *testing.T) {
	b := start(t)
	b.send("OPERATIONS", text("x"))
	b.receive(b.receiver("Operations", receiveAndDelete), 1)
}

func TestABatchArrivesWholeAndInOrder(t *testing.T) {
	b := start(t)
	s := b.sender("operations")
	batch, err := s.NewMessageBatch(b.ctx, nil)
	must(t, err)
	for i := range 100 {
		must(t, batch.AddMessage(text(fmt.Sprint(i)), nil))
	}
	must(t, s.SendMessageBatch(b.ctx, batch, nil))
	for i, m := range b.receive(b.receiver("operations", receiveAndDelete), 100) {
		if string(m.Body) != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, m.Body)
		}
	}
	b.holds("operations", 0, 0, 0)
}

func TestReceiveAndDeleteRemovesOnDelivery(t *testing.T) {
	b := start(t)
	b.send("operations", text("x"))
	b.receive(b.receiver("operations", receiveAndDelete), 1)
	b.holds("operations", 0, 0, 0)
}

func TestALockedMessageIsHiddenUntilItIsSettled(t *testing.T) {
	b := start(t)
	b.send("operations", text("x"))
	r := b.receiver("operations", peekLock)
	m := b.receive(r, 1)[0]
	b.nothing(b.receiver("operations", peekLock))
	b.holds("operations", 1, 0, 0)
	must(t, r.CompleteMessage(b.ctx, m, nil))
	b.holds("operations", 0, 0, 0)
	wantCode(t, r.CompleteMessage(b.ctx, &azservicebus.ReceivedMessage{LockToken: m.LockToken}, nil), azservicebus.CodeLockLost)
}

func TestAbandonDeliversAgainWithAHigherCountAndNewProperties(t *testing.T) {
	b := start(t)
	b.send("operations", text("x"))
	r := b.receiver("operations", peekLock)
	must(t, r.AbandonMessage(b.ctx, b.receive(r, 1)[0], &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{"why": "later"}}))
	m := b.receive(r, 1)[0]
	if m.DeliveryCount != 2 || m.ApplicationProperties["why"] != "later" {
		t.Errorf("count %d, properties %v", m.DeliveryCount, m.ApplicationProperties)
	}
}

func TestWhatIsNotSupportedIsRefused(t *testing.T) {
	b := start(t)
	b.send("operations", text("x"))
	s, r := b.sender("operations"), b.receiver("operations", peekLock)
	m := b.receive(r, 1)[0]
	if err := r.DeferMessage(b.ctx, m, nil); err == nil || b.ctx.Err() != nil { // first: the others make the client dial anew
		t.Errorf("defer: %v", err)
	}
	for name, ask := range map[string]func() error{
		"receive deferred": func() error { _, err := r.ReceiveDeferredMessages(b.ctx, []int64{1}, nil); return err },
		"schedule": func() error {
			_, err := s.ScheduleMessages(b.ctx, []*azservicebus.Message{text("x")}, time.Now().Add(time.Hour), nil)
			return err
		},
		"cancel a scheduled one": func() error { return s.CancelScheduledMessages(b.ctx, []int64{1}, nil) },
		"session":                func() error { _, err := b.client.AcceptSessionForQueue(b.ctx, "operations", "s", nil); return err },
		"next session":           func() error { _, err := b.client.AcceptNextSessionForQueue(b.ctx, "operations", nil); return err },
	} {
		if err := ask(); err == nil || b.ctx.Err() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.holds("operations", 1, 0, 0)
}

// A message whose link is gone is settled through $management.
func TestSettlingByLockTokenDoesWhatSettlingOnTheLinkDoes(t *testing.T) {
	b := start(t)
	b.send("operations", text("x"))
	r := b.receiver("operations", peekLock)
	byToken := func(m *azservicebus.ReceivedMessage) *azservicebus.ReceivedMessage {
		return &azservicebus.ReceivedMessage{LockToken: m.LockToken}
	}
	first := b.receive(r, 1)[0]
	must(t, r.AbandonMessage(b.ctx, byToken(first), &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{"why": "later"}}))
	second := b.receive(r, 1)[0]
	if second.DeliveryCount != 2 || second.ApplicationProperties["why"] != "later" {
		t.Errorf("count %d, properties %v", second.DeliveryCount, second.ApplicationProperties)
	}
	wantCode(t, r.AbandonMessage(b.ctx, byToken(first), nil), azservicebus.CodeLockLost)
	must(t, r.DeadLetterMessage(b.ctx, byToken(second), &azservicebus.DeadLetterOptions{Reason: ptr("unreadable"), ErrorDescription: ptr("no id")}))
	m := b.receive(b.deadLetters("operations"), 1)[0]
	if *m.DeadLetterReason != "unreadable" || *m.DeadLetterErrorDescription != "no id" || m.ApplicationProperties["why"] != "later" {
		t.Errorf("got %+v", m)
	}
}

func TestMessagesBeyondWhatWasAskedForAreReleasedWithoutCounting(t *testing.T) {
	b := start(t)
	r := b.receiver("operations", peekLock)
	b.send("operations", text("1"))
	if got, err := r.ReceiveMessages(b.ctx, 10, nil); err != nil || len(got) != 1 { // nine credits are left
		t.Fatal(len(got), err)
	}
	b.send("operations", text("2")) // goes to that receiver, whose client releases it
	other := b.receiver("operations", peekLock)
	if m := b.receive(other, 1)[0]; string(m.Body) != "2" || m.DeliveryCount != 1 {
		t.Errorf("got %q with count %d", m.Body, m.DeliveryCount)
	}
}

func TestDeadLetteringKeepsReasonDescriptionAndProperties(t *testing.T) {
	b := start(t)
	b.send("operations", &azservicebus.Message{Body: []byte("x"), ApplicationProperties: map[string]any{"kind": "backup"}})
	r := b.receiver("operations", peekLock)
	must(t, r.DeadLetterMessage(b.ctx, b.receive(r, 1)[0], &azservicebus.DeadLetterOptions{
		Reason: ptr("unreadable"), ErrorDescription: ptr("no id"), PropertiesToModify: map[string]any{"by": "test"},
	}))
	b.holds("operations", 0, 0, 1)
	dlq := b.deadLetters("operations")
	m := b.receive(dlq, 1)[0]
	if *m.DeadLetterReason != "unreadable" || *m.DeadLetterErrorDescription != "no id" || m.ApplicationProperties["kind"] != "backup" ||
		m.ApplicationProperties["by"] != "test" || string(m.Body) != "x" {
		t.Errorf("got %+v", m)
	}
	must(t, dlq.AbandonMessage(b.ctx, m, nil)) // there it does not count
	m = b.receive(dlq, 1)[0]
	if m.DeliveryCount != 1 {
		t.Errorf("count %d after abandoning a dead letter, want 1", m.DeliveryCount)
	}
	must(t, dlq.CompleteMessage(b.ctx, m, nil))
	b.holds("operations", 0, 0, 0)
}

func TestTooManyDeliveriesDeadLetter(t *testing.T) {
	b := start(t)
	b.send("operations", text("x"))
	r := b.receiver("operations", peekLock)
	for i := range 10 {
		m := b.receive(r, 1)[0]
		if m.DeliveryCount != uint32(i+1) {
			t.Fatalf("delivery %d has count %d", i+1, m.DeliveryCount)
		}
		must(t, r.AbandonMessage(b.ctx, m, nil))
	}
	m := b.receive(b.deadLetters("operations"), 1)[0]
	if *m.DeadLetterReason != "MaxDeliveryCountExceeded" || *m.DeadLetterErrorDescription == "" {
		t.Errorf("reason %q, description %q", *m.DeadLetterReason, *m.DeadLetterErrorDescription)
	}
}

func TestAnExpiredLockCountsAndCannotSettle(t *testing.T) {
	b := start(t)
	b.send("short-lock", text("x"))
	r := b.receiver("short-lock", peekLock)
	first := b.receive(r, 1)[0]
	second := b.receive(r, 1)[0]
	if second.DeliveryCount != 2 || *second.SequenceNumber != *first.SequenceNumber {
		t.Errorf("count %d, sequence %d", second.DeliveryCount, *second.SequenceNumber)
	}
	wantCode(t, r.CompleteMessage(b.ctx, first, nil), azservicebus.CodeLockLost)
	wantCode(t, r.RenewMessageLock(b.ctx, first, nil), azservicebus.CodeLockLost)
	b.holds("short-lock", 0, 0, 1) // the second lock expires too, and two are the most
}

func TestClosingAReceiverKeepsItsLocksAndOthersCanSettle(t *testing.T) {
	b := start(t)
	b.send("operations", text("x"))
	r := b.receiver("operations", peekLock)
	m := b.receive(r, 1)[0]
	must(t, r.Close(b.ctx))
	other := b.receiver("operations", peekLock)
	b.nothing(other)
	must(t, other.CompleteMessage(b.ctx, &azservicebus.ReceivedMessage{LockToken: m.LockToken}, nil)) // through $management
	b.holds("operations", 0, 0, 0)
}

func TestAScheduledMessageArrivesWhenDueWithANewSequenceNumber(t *testing.T) {
	b := start(t)
	due := time.Now().Add(400 * time.Millisecond).Truncate(time.Millisecond)
	b.send("operations", &azservicebus.Message{Body: []byte("later"), ScheduledEnqueueTime: &due}, text("now"))
	r := b.receiver("operations", peekLock)
	peeked, err := r.PeekMessages(b.ctx, 10, nil)
	must(t, err)
	if len(peeked) != 2 || peeked[0].State != azservicebus.MessageStateScheduled || *peeked[0].SequenceNumber != 1 {
		t.Errorf("peeked %d messages, the first %+v", len(peeked), peeked[0])
	}
	b.holds("operations", 1, 1, 0)
	got := b.receive(r, 2)
	if string(got[0].Body) != "now" || string(got[1].Body) != "later" || *got[1].SequenceNumber != 3 {
		t.Errorf("got %q and %q, sequence %d", got[0].Body, got[1].Body, *got[1].SequenceNumber)
	}
	if time.Now().Before(due) {
		t.Error("a scheduled message came early")
	}
	if sent := b.Sent("operations"); len(sent) != 2 || !sent[0].EnqueueAt.Equal(due) || !sent[1].EnqueueAt.IsZero() {
		t.Errorf("sent %+v", sent)
	}
}

func TestASoonerMessageDoesNotWaitForALaterOne(t *testing.T) {
	b := start(t)
	late, soon := time.Now().Add(time.Hour), time.Now().Add(100*time.Millisecond)
	b.send("operations", &azservicebus.Message{ScheduledEnqueueTime: &late})
	b.send("operations", &azservicebus.Message{ScheduledEnqueueTime: &soon})
	b.receive(b.receiver("operations", receiveAndDelete), 1)
}

func TestADuplicateIsAcceptedAndDroppedAlsoWhenScheduled(t *testing.T) {
	b := start(t)
	later := time.Now().Add(time.Hour)
	b.send("polls",
		&azservicebus.Message{MessageID: ptr("a"), ScheduledEnqueueTime: &later},
		&azservicebus.Message{MessageID: ptr("a")},
		&azservicebus.Message{MessageID: ptr("b")},
		&azservicebus.Message{MessageID: ptr("b"), ScheduledEnqueueTime: &later})
	b.holds("polls", 1, 1, 0)
	var duplicates []bool
	for _, s := range b.Sent("polls") {
		duplicates = append(duplicates, s.Duplicate)
	}
	if want := []bool{false, true, false, true}; !reflect.DeepEqual(duplicates, want) {
		t.Errorf("duplicates %v, want %v", duplicates, want)
	}
}

func TestAnExpiredMessageIsDroppedOrDeadLettered(t *testing.T) {
	b := start(t)
	b.send("short-life", text("x"))
	b.send("forgetful", text("x"))
	b.send("operations", &azservicebus.Message{TimeToLive: ptr(30 * time.Millisecond)})
	b.holds("short-life", 0, 0, 1)
	b.holds("forgetful", 0, 0, 0)
	b.holds("operations", 0, 0, 0)
	if m := b.receive(b.deadLetters("short-life"), 1)[0]; *m.DeadLetterReason != "TTLExpiredException" {
		t.Errorf("reason %q", *m.DeadLetterReason)
	}
}

func TestATopicCopiesToTheSubscriptionsWhoseFilterMatches(t *testing.T) {
	b := start(t)
	for i, properties := range []map[string]any{
		{"outcome": "failed", "kind": "backup", "more": "x"}, {"outcome": "failed"}, {"outcome": "succeeded", "kind": "backup"}, nil,
	} {
		id := ptr(fmt.Sprint(i))
		b.send("results", &azservicebus.Message{MessageID: id, ApplicationProperties: properties}, &azservicebus.Message{MessageID: id})
	}
	b.holds("results/Subscriptions/all", 4, 0, 0)
	b.holds("results/Subscriptions/failed", 1, 0, 0)
	r, err := b.client.NewReceiverForSubscription("results", "failed", nil)
	must(t, err)
	m := b.receive(r, 1)[0]
	if m.MessageID != "0" {
		t.Errorf("got message %s", m.MessageID)
	}
	must(t, r.DeadLetterMessage(b.ctx, m, nil))
	b.holds("results/subscriptions/failed", 0, 0, 1)
	b.holds("results/Subscriptions/all", 4, 0, 0)
}

func TestPeekShowsMessagesWithoutLockingThem(t *testing.T) {
	b := start(t)
	r := b.receiver("operations", peekLock)
	if got, err := r.PeekMessages(b.ctx, 5, nil); err != nil || len(got) != 0 {
		t.Fatalf("peeked %d in an empty queue (%v)", len(got), err)
	}
	b.send("operations", text("1"), text("2"), text("3"))
	first, err := r.PeekMessages(b.ctx, 2, nil)
	must(t, err)
	rest, err := r.PeekMessages(b.ctx, 2, nil)
	must(t, err)
	if len(first) != 2 || len(rest) != 1 || string(rest[0].Body) != "3" || first[0].DeliveryCount != 1 {
		t.Errorf("peeked %d, then %d", len(first), len(rest))
	}
	b.receive(r, 3)
}

func TestALargeMessageCrossesInSeveralFramesBothWays(t *testing.T) {
	b := start(t)
	body := bytes.Repeat([]byte("0123456789"), 25_000)
	b.send("operations", &azservicebus.Message{Body: body}, text("next"))
	r := b.receiver("operations", peekLock)
	got := b.receive(r, 2)
	if !bytes.Equal(got[0].Body, body) || string(got[1].Body) != "next" {
		t.Error("a large message changed on the way")
	}
	must(t, r.CompleteMessage(b.ctx, got[0], nil))
}

func TestMoreThan256KiBIsTooLarge(t *testing.T) {
	b := start(t)
	err := b.sender("operations").SendMessage(b.ctx, &azservicebus.Message{Body: make([]byte, 256<<10)}, nil)
	if !errors.Is(err, azservicebus.ErrMessageTooLarge) {
		t.Errorf("error %v, want ErrMessageTooLarge", err)
	}
}

func TestSeveralThousandMessagesPassTheWindowsAndCredits(t *testing.T) {
	b := start(t)
	const n = 6000 // more than the client's session window, and six times a sender's credit
	s := b.sender("operations")
	for sent := 0; sent < n; {
		batch, err := s.NewMessageBatch(b.ctx, nil)
		must(t, err)
		for range 500 {
			must(t, batch.AddMessage(text(fmt.Sprint(sent)), nil))
			sent++
		}
		must(t, s.SendMessageBatch(b.ctx, batch, nil))
	}
	for range 1500 {
		must(t, s.SendMessage(b.ctx, text("single"), nil))
	}
	r := b.receiver("operations", receiveAndDelete)
	for got := 0; got < n+1500; {
		messages, err := r.ReceiveMessages(b.ctx, 5000, &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: 20 * time.Millisecond})
		must(t, err)
		for _, m := range messages {
			if want := fmt.Sprint(got); got < n && string(m.Body) != want {
				t.Fatalf("message %d is %s", got, m.Body)
			}
			got++
		}
	}
	b.holds("operations", 0, 0, 0)
}

func TestSentAndRequestsCountWhatHappened(t *testing.T) {
	b := start(t)
	b.send("operations", &azservicebus.Message{MessageID: ptr("m"), Body: []byte("b"), ApplicationProperties: map[string]any{"k": "v"}})
	r := b.receiver("operations", peekLock)
	must(t, r.CompleteMessage(b.ctx, b.receive(r, 1)[0], nil))
	once := map[servicebus.Request]int{{Entity: "operations", Kind: "send"}: 1, {Entity: "operations", Kind: "delivery"}: 1, {Entity: "operations", Kind: "settlement"}: 1}
	if n := b.Requests(); !maps.Equal(n, once) {
		t.Errorf("requests %v, want %v", n, once)
	}
	sent := b.Sent("Operations")
	if len(sent) != 1 || sent[0].MessageID != "m" || sent[0].Entity != "operations" || string(sent[0].Body) != "b" ||
		sent[0].Properties["k"] != "v" || sent[0].Duplicate || time.Since(sent[0].At) > time.Minute {
		t.Errorf("sent %+v", sent)
	}
}
