package bus

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

const (
	sendWithin  = 20 * time.Second // one send with its retries, the opening of the link included
	closeWithin = 5 * time.Second  // over a dead connection a close takes as long as it may
)

// lane sends to one queue or topic. It has a client, that is a connection, of its own, so that a broken link can be replaced from the
// ground up without cutting another lane's sends.
type lane struct {
	entity string
	log    *slog.Logger
	gate   chan struct{} // guards what follows; azservicebus opens, and loses, a second link when two sends open one at once
	dial   func() (*azservicebus.Client, error)
	link   *link
}

type link struct {
	client *azservicebus.Client
	sender *azservicebus.Sender
	broken atomic.Bool
}

// send returns when Service Bus has accepted m, or with an *Error.
func (l *lane) send(ctx context.Context, m *azservicebus.Message) error {
	err := ctx.Err() // a send that cannot begin says nothing about the link
	if err == nil {
		within, cancel := context.WithTimeout(ctx, sendWithin)
		defer cancel()
		err = l.try(within, m)
	}
	if err == nil {
		return nil
	}
	kind := kindOf(err)
	if kind == Unreachable && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		kind = Late
	}
	return &Error{Entity: l.entity, Kind: kind, Err: err}
}

// try sends m, and once more over a new link when an old one turns out to be broken.
func (l *lane) try(ctx context.Context, m *azservicebus.Message) error {
	for again := false; ; again = true {
		k, fresh, err := l.open(ctx)
		if err != nil {
			return err
		}
		if err = k.sender.SendMessage(ctx, m, nil); !breaks(err) {
			return err
		}
		if k.broken.CompareAndSwap(false, true) {
			l.log.WarnContext(ctx, "the link to Service Bus broke and will be replaced", "entity", l.entity, "error", err)
		}
		if fresh || again || ctx.Err() != nil {
			return err
		}
	}
}

// open returns the lane's link, and whether this call has made it.
func (l *lane) open(ctx context.Context) (k *link, fresh bool, err error) {
	select {
	case l.gate <- struct{}{}:
		defer func() { <-l.gate }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	if l.link != nil && !l.link.broken.Load() {
		return l.link, false, nil
	}
	l.shut(ctx)
	client, err := l.dial()
	if err != nil {
		return nil, false, err
	}
	l.link = &link{client: client}
	if l.link.sender, err = client.NewSender(l.entity, nil); err == nil {
		_, err = l.link.sender.NewMessageBatch(ctx, nil) // attaches the link; the batch itself is not used
	}
	if err != nil {
		l.shut(ctx)
		return nil, false, err
	}
	return l.link, true, nil
}

// shut closes the link, if there is one, beside the work at hand.
func (l *lane) shut(ctx context.Context) {
	k := l.link
	if l.link = nil; k == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	go func() {
		defer cancel()
		_ = k.client.Close(ctx) // nothing is lost: what was accepted was answered
	}()
}

// close ends the lane, after waiting for a link that is just being opened.
func (l *lane) close(ctx context.Context) {
	select {
	case l.gate <- struct{}{}:
		l.dial = func() (*azservicebus.Client, error) { return nil, errClosed }
		l.shut(ctx)
		<-l.gate
	case <-ctx.Done():
	}
}
