package funchost

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

const (
	settleLimit   = 10 * time.Second // settling with a lost connection would block for 40 s
	closeLimit    = time.Second
	reconnectMin  = 100 * time.Millisecond
	reconnectMax  = 5 * time.Second
	renewalBuffer = 10 * time.Second // locks are renewed this long before they end, or at half time when that is later
)

// busSession is one connection of a trigger. It is closed when its last message is settled.
type busSession struct {
	receiver  *azservicebus.Receiver
	client    *azservicebus.Client
	namespace string
	inFlight  sync.WaitGroup
}

// listenBus receives for one function until ctx ends, on a new connection after every error the client gave up on.
func (h *Host) listenBus(ctx context.Context, f *function) {
	slots := make(chan struct{}, h.app.maxCalls)
	wait := reconnectMin
	for ctx.Err() == nil {
		begun := h.opts.Now()
		err := h.receive(ctx, f, slots)
		if ctx.Err() != nil {
			return
		}
		if h.opts.Now().Sub(begun) > reconnectMax {
			wait = reconnectMin
		}
		h.opts.Log.Error("Service Bus trigger lost its connection", "function", f.name, "retryIn", wait, "error", err)
		pause(ctx, wait)
		wait = min(2*wait, reconnectMax)
	}
}

// atOnce has a message invoked as soon as it is there: Go's client would wait 20 ms for others, where the host's takes them one by one
// (azure-sdk-for-net, ReceiverManager.cs).
var atOnce = &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: time.Millisecond}

// receive hands out messages, at most maxConcurrentCalls at a time, until an error or the end of ctx.
func (h *Host) receive(ctx context.Context, f *function, slots chan struct{}) error {
	s, err := openBus(f.bus)
	if err != nil {
		return err
	}
	defer h.running.Go(func() {
		s.inFlight.Wait()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		_ = s.client.Close(closing) // nothing is left that an error could hurt
	})
	for {
		free := takeSlots(ctx, slots)
		if free == 0 {
			return ctx.Err()
		}
		messages, err := s.receiver.ReceiveMessages(ctx, free, atOnce)
		for _, m := range messages {
			s.inFlight.Go(func() {
				defer func() { <-slots }()
				h.deliver(ctx, f, s, m)
			})
		}
		for range free - len(messages) {
			<-slots
		}
		if err != nil {
			return err
		}
	}
}

// takeSlots waits for one free slot and takes every other free one; 0 when ctx ended.
func takeSlots(ctx context.Context, slots chan struct{}) int {
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n := 1; ; n++ {
		select {
		case slots <- struct{}{}:
		default:
			return n
		}
	}
}

func openBus(src busSource) (*busSession, error) {
	// From Endpoint=sb://<namespace>/;…
	_, rest, _ := strings.Cut(src.connection, "sb://")
	namespace := rest[:max(0, strings.IndexAny(rest+";", "/;"))]
	client, err := azservicebus.NewClientFromConnectionString(src.connection, &azservicebus.ClientOptions{
		RetryOptions: azservicebus.RetryOptions{MaxRetries: 2, RetryDelay: 100 * time.Millisecond, MaxRetryDelay: time.Second},
	})
	if err != nil {
		return nil, err
	}
	options := &azservicebus.ReceiverOptions{}
	if src.deadLetters {
		options.SubQueue = azservicebus.SubQueueDeadLetter
	}
	s := &busSession{client: client, namespace: namespace}
	if src.topic != "" {
		s.receiver, err = client.NewReceiverForSubscription(src.topic, src.subscription, options)
	} else {
		s.receiver, err = client.NewReceiverForQueue(src.queue, options)
	}
	return s, err
}

// deliver invokes the function with one message and settles it: complete after success, abandon after anything else.
func (h *Host) deliver(ctx context.Context, f *function, s *busSession, m *azservicebus.ReceivedMessage) {
	body := busEnvelope(f, s.namespace, m, h.opts.Now())
	stop := h.keepLocked(ctx, f, s.receiver, m)
	err := h.invoke(ctx, f, m.MessageID, body).err
	stop()
	if err != nil && ctx.Err() != nil {
		return // the host stops: the message stays locked, as when an instance is lost
	}
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleLimit)
	defer cancel()
	if err == nil {
		err = s.receiver.CompleteMessage(settling, m, nil)
	} else {
		err = s.receiver.AbandonMessage(settling, m, nil)
	}
	if err != nil {
		h.opts.Log.Error("message cannot be settled", "function", f.name, "message", m.MessageID, "error", err)
	}
}

// keepLocked renews the message's lock until stop is called, for maxAutoLockRenewalDuration at most.
func (h *Host) keepLocked(ctx context.Context, f *function, r *azservicebus.Receiver, m *azservicebus.ReceivedMessage) (stop func()) {
	ctx, cancel := context.WithTimeout(ctx, h.app.maxRenewal)
	var done sync.WaitGroup
	done.Go(func() {
		for m.LockedUntil != nil {
			left := m.LockedUntil.Sub(h.opts.Now())
			if left <= 0 || !pause(ctx, left-min(left/2, renewalBuffer)) {
				return
			}
			if err := r.RenewMessageLock(ctx, m, nil); err != nil && ctx.Err() == nil {
				h.opts.Log.Warn("message lock cannot be renewed", "function", f.name, "message", m.MessageID, "error", err)
				var known *azservicebus.Error
				if errors.As(err, &known) && known.Code == azservicebus.CodeLockLost {
					return
				}
			}
		}
	})
	return func() { cancel(); done.Wait() }
}
