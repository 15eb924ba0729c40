package servicebus_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"apim-dr/internal/standin/servicebus"
	"apim-dr/internal/standin/servicebus/amqp"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// inBubble runs f with the real client over net.Pipe and a fake clock. dials counts its connections.
func inBubble(t *testing.T, f func(t *testing.T, client *azservicebus.Client, dials *int)) {
	synctest.Test(t, func(t *testing.T) {
		server, err := servicebus.New(namespace())
		must(t, err)
		dials := 0
		client, err := azservicebus.NewClientFromConnectionString(server.ConnectionString("contoso.servicebus.windows.net"), &azservicebus.ClientOptions{
			NewWebSocketConn: func(context.Context, azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
				near, far := net.Pipe()
				dials++
				go server.ServeConn(far)
				return near, nil
			},
		})
		must(t, err)
		f(t, client, &dials)
		must(t, client.Close(t.Context()))
		must(t, server.Close())
	})
}

// The receiver waits for ten hours: empty frames keep the connection, and tokens are renewed.
func TestTenHoursPassInAMoment(t *testing.T) {
	began := time.Now()
	inBubble(t, func(t *testing.T, client *azservicebus.Client, dials *int) {
		sender, err := client.NewSender("polls", nil)
		must(t, err)
		due := time.Now().Add(10 * time.Hour)
		must(t, sender.SendMessage(t.Context(), &azservicebus.Message{Body: []byte("x"), MessageID: ptr("m"), ScheduledEnqueueTime: &due}, nil))
		receiver, err := client.NewReceiverForQueue("polls", nil)
		must(t, err)
		got, err := receiver.ReceiveMessages(t.Context(), 1, nil)
		must(t, err)
		if len(got) != 1 || time.Since(due) > time.Second || time.Now().Before(due) {
			t.Fatalf("got %d messages %v after they were due", len(got), time.Since(due))
		}
		time.Sleep(time.Minute + time.Second) // the lock expires, to the second
		if got, err = receiver.ReceiveMessages(t.Context(), 1, nil); err != nil || len(got) != 1 || got[0].DeliveryCount != 2 {
			t.Fatalf("second delivery: %v, %v", got, err)
		}
		must(t, receiver.CompleteMessage(t.Context(), got[0], nil))
		if *dials != 1 {
			t.Errorf("%d connections, want one that lasts", *dials)
		}
	})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestARenewedLockLasts(t *testing.T) {
	inBubble(t, func(t *testing.T, client *azservicebus.Client, _ *int) {
		sender, err := client.NewSender("operations", nil)
		must(t, err)
		must(t, sender.SendMessage(t.Context(), text("x"), nil))
		receiver, err := client.NewReceiverForQueue("operations", nil)
		must(t, err)
		got, err := receiver.ReceiveMessages(t.Context(), 1, nil)
		must(t, err)
		for range 5 {
			time.Sleep(59 * time.Second) // of 60
			must(t, receiver.RenewMessageLock(t.Context(), got[0], nil))
			if left := time.Until(*got[0].LockedUntil); left != time.Minute {
				t.Fatalf("locked for %v more", left)
			}
		}
		time.Sleep(59 * time.Second)
		must(t, receiver.CompleteMessage(t.Context(), got[0], nil))
	})
}

// onPipe runs f in a bubble of a fake clock, with a connection to a server.
func onPipe(t *testing.T, f func(t *testing.T, c net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		server, err := servicebus.New(namespace())
		must(t, err)
		near, far := net.Pipe()
		go server.ServeConn(far)
		f(t, near)
		must(t, near.Close())
		must(t, server.Close())
	})
}

func TestATokenThatExpiredOpensNoLink(t *testing.T) {
	onPipe(t, func(t *testing.T, c net.Conn) {
		p := rawOn(t, c)
		const audience = "amqp://contoso/operations"
		if code := p.putToken(audience, audience, testKey, time.Now().Add(time.Minute), sasType); code != 202 {
			t.Fatalf("put-token: %d", code)
		}
		p.send(0, amqp.Attach, sender("s", 1, "operations")...)
		p.expect(amqp.Attach)
		p.expect(amqp.Flow)
		time.Sleep(time.Minute)
		p.send(0, amqp.Attach, sender("late", 2, "operations")...)
		p.expectRefusal(6, "amqp:unauthorized-access")
	})
}

func TestAPeerThatSaysNothingForTooLongIsHungUpOn(t *testing.T) {
	for name, greet := range map[string]bool{"from the start": false, "after the handshake": true} {
		onPipe(t, func(t *testing.T, c net.Conn) {
			if greet {
				rawOn(t, c)
			}
			began := time.Now()
			must(t, c.SetReadDeadline(began.Add(time.Hour)))
			if f, err := amqp.ReadFrame(c, 1024); !errors.Is(err, io.EOF) {
				t.Fatalf("%s: frame %+v, error %v", name, f, err)
			}
			if took := time.Since(began); took < 2*time.Minute || took > 10*time.Minute {
				t.Errorf("%s: hung up after %s", name, took)
			}
		})
	}
}
