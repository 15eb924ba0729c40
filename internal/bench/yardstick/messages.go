package yardstick

import (
	"context"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
)

// FanOut sends messages one after the other, as a loop in a nightly job would: each with its body, its own id and its own time.
func FanOut(ctx context.Context, client *azservicebus.Client, queue string, bodies [][]byte, at time.Time) error {
	sender, err := client.NewSender(queue, nil)
	if err != nil {
		return err
	}
	defer sender.Close(ctx)
	for i, body := range bodies {
		id := fmt.Sprintf("fan-out-%d-%d", at.UnixNano(), i)
		if err := sender.SendMessage(ctx, &azservicebus.Message{MessageID: &id, Body: body, ScheduledEnqueueTime: to.Ptr(at)}, nil); err != nil {
			return err
		}
	}
	return nil
}

// Exchange is what one backup costs in messages and blobs.
type Exchange struct {
	Client        *azservicebus.Client
	Queue         string         // sent to and received from, a message for each hop
	Topic         string         // takes the event
	Blobs         *azblob.Client // and Container: an account of its own beside the product's
	Container     string
	Hops          int // messages before the event
	Writes, Reads int // of blobs
	Body          []byte
}

// Run does the exchanges of one backup in their order, without deciding anything: write, send, receive, read, and the event at last.
func (x Exchange) Run(ctx context.Context, receiver *azservicebus.Receiver, queue, topic *azservicebus.Sender, name string) error {
	written, read := 0, 0
	for hop := range x.Hops {
		for ; written < x.Writes*(hop+1)/x.Hops; written++ {
			if _, err := x.Blobs.UploadBuffer(ctx, x.Container, fmt.Sprintf("%s/%d", name, written), x.Body, nil); err != nil {
				return err
			}
		}
		id := fmt.Sprintf("%s-%d", name, hop)
		if err := queue.SendMessage(ctx, &azservicebus.Message{MessageID: &id, Body: x.Body}, nil); err != nil {
			return err
		}
		messages, err := receiver.ReceiveMessages(ctx, 1, nil)
		if err != nil {
			return err
		}
		for ; read < x.Reads*(hop+1)/x.Hops; read++ {
			resp, err := x.Blobs.DownloadStream(ctx, x.Container, fmt.Sprintf("%s/0", name), nil)
			if err != nil {
				return err
			}
			resp.Body.Close()
		}
		if err := receiver.CompleteMessage(ctx, messages[0], nil); err != nil {
			return err
		}
	}
	id := name + ":result"
	return topic.SendMessage(ctx, &azservicebus.Message{MessageID: &id, Body: x.Body}, nil)
}
