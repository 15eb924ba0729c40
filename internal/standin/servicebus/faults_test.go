package servicebus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/standin/servicebus"
)

func TestDroppedConnectionsRecoverAndLoseNothing(t *testing.T) {
	b := start(t)
	s, r := b.sender("operations"), b.receiver("operations", peekLock)
	must(t, s.SendMessage(b.ctx, text("1"), nil))
	m := b.receive(r, 1)[0]
	b.DropConnections()
	must(t, s.SendMessage(b.ctx, text("2"), nil))
	if got := b.receive(b.receiver("operations", peekLock), 1)[0]; string(got.Body) != "2" {
		t.Errorf("got %q", got.Body)
	}
	must(t, b.receiver("operations", peekLock).CompleteMessage(b.ctx, &azservicebus.ReceivedMessage{LockToken: m.LockToken}, nil))
	b.holds("operations", 1, 0, 0)
}

func TestAReceiveThatWaitsSurvivesADrop(t *testing.T) {
	b := start(t)
	r := b.receiver("operations", peekLock)
	b.nothing(r) // attached, with credit
	got := make(chan []*azservicebus.ReceivedMessage, 1)
	go func() {
		var messages []*azservicebus.ReceivedMessage
		for len(messages) == 0 && b.ctx.Err() == nil {
			messages, _ = r.ReceiveMessages(b.ctx, 1, nil) // (nil, nil) after a drop
		}
		got <- messages
	}()
	b.DropConnections()
	b.send("operations", text("x"))
	if messages := <-got; len(messages) != 1 {
		t.Fatalf("got %d messages", len(messages))
	}
}

func TestDetachedLinksRecoverOrFailByTheirCondition(t *testing.T) {
	b := start(t)
	s, r := b.sender("operations"), b.receiver("operations", peekLock)
	must(t, s.SendMessage(b.ctx, text("1"), nil))
	m := b.receive(r, 1)[0]
	if n, err := b.DetachLinks("operations", "amqp:link:detach-forced", "maintenance"); n != 2 || err != nil {
		t.Fatalf("detached %d (%v), want a sender and a receiver", n, err)
	}
	must(t, s.SendMessage(b.ctx, text("2"), nil))
	must(t, r.CompleteMessage(b.ctx, m, nil))
	b.receive(r, 1)
	b.holds("operations", 1, 0, 0)

	go func() {
		for n := 0; n == 0 && b.ctx.Err() == nil; time.Sleep(time.Millisecond) {
			n, _ = b.DetachLinks("results/subscriptions/all", "amqp:not-allowed", "disabled")
		}
	}()
	sub, err := b.client.NewReceiverForSubscription("results", "all", nil)
	must(t, err)
	if _, err := sub.ReceiveMessages(b.ctx, 1, nil); err == nil || b.ctx.Err() != nil {
		t.Errorf("receiving after a fatal detach: %v", err)
	}
}

func TestServerBusyIsRetriedByTheClient(t *testing.T) {
	b := start(t)
	must(t, b.RejectSends("operations", 2))
	b.send("operations", text("x"))
	b.holds("operations", 1, 0, 0)
	if n := len(b.Sent("operations")); n != 1 {
		t.Errorf("%d accepted sends, want 1", n)
	}
	if n := b.Requests()[servicebus.Request{Entity: "operations", Kind: "send"}]; n != 3 {
		t.Errorf("%d sends, want 3", n)
	}
	must(t, b.RejectSends("operations", 4)) // the first try and three more
	if err := b.sender("operations").SendMessage(b.ctx, text("x"), nil); err == nil {
		t.Error("a send succeeded after four rejections")
	}
}

func TestAWithheldDispositionLeavesTheMessageSentAndTheSenderInDoubt(t *testing.T) {
	b := start(t)
	s := b.sender("operations")
	must(t, s.SendMessage(b.ctx, text("1"), nil))
	must(t, b.WithholdDispositions("operations", 1))
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	go func() {
		for len(b.Sent("operations")) < 2 && b.ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond) // an answer would be there
		cancel()
	}()
	if err := s.SendMessage(ctx, text("2"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
	must(t, s.SendMessage(b.ctx, text("3"), nil))
	b.holds("operations", 3, 0, 0)
}

func TestLostLocksDeliverAgainAndRefuseTheOldLock(t *testing.T) {
	b := start(t)
	b.send("operations", text("1"), text("2"))
	r := b.receiver("operations", peekLock)
	old := b.receive(r, 2)
	if n, err := b.LoseLocks("operations"); n != 2 || err != nil {
		t.Fatalf("lost %d (%v)", n, err)
	}
	for i, m := range b.receive(r, 2) {
		if m.DeliveryCount != 2 || string(m.Body) != string(old[i].Body) {
			t.Errorf("message %d is %q with count %d", i, m.Body, m.DeliveryCount)
		}
		must(t, r.CompleteMessage(b.ctx, m, nil))
	}
	wantCode(t, r.CompleteMessage(b.ctx, old[0], nil), azservicebus.CodeLockLost)
}

func TestAMessageDeliveredTwiceLooksTheSameAndCanBeCompletedTwice(t *testing.T) {
	b := start(t)
	must(t, b.DeliverTwice("operations"))
	b.send("operations", &azservicebus.Message{MessageID: ptr("m"), Body: []byte("x")}, text("y"))
	r := b.receiver("operations", peekLock)
	got := b.receive(r, 3)
	one, two := got[0], got[1]
	if one.MessageID != "m" || two.MessageID != "m" || *one.SequenceNumber != *two.SequenceNumber || one.DeliveryCount != two.DeliveryCount ||
		one.LockToken == two.LockToken || string(got[2].Body) != "y" {
		t.Errorf("got %+v and %+v", one, two)
	}
	for _, m := range got {
		must(t, r.CompleteMessage(b.ctx, m, nil))
	}
	b.holds("operations", 0, 0, 0)
}
