package yardstick

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// FanOut sends messages one after the other, as a loop in a nightly job would: each with its body, its own id and its own time.
func FanOut(ctx context.Context, sender *azservicebus.Sender, bodies [][]byte, at time.Time) error {
	for i, body := range bodies {
		id := fmt.Sprintf("fan-out-%d-%d", at.UnixNano(), i)
		if err := sender.SendMessage(ctx, &azservicebus.Message{MessageID: &id, Body: body, ScheduledEnqueueTime: to.Ptr(at)}, nil); err != nil {
			return err
		}
	}
	return nil
}

// Request is a kind of request for a blob.
type Request string

const (
	Put    Request = "put"
	Get    Request = "get"
	Look   Request = "look" // at the properties
	Delete Request = "delete"
)

// Backup is what the product asks of storage for a backup with one poll: at the call, at the message to operations, and at the one to polls up to the
// event. The marker goes after the event and is not waited for. internal/cost holds this against what the product asks.
var Backup = [][]Request{
	{Put, Put},
	{Get, Put, Put, Put},
	{Get, Look, Put, Put, Get, Put, Delete, Put},
}

// Exchange is a client that sends a backup's messages to itself. Its links are its own, and stay open.
type Exchange struct {
	Queue    *azservicebus.Sender
	Receiver *azservicebus.Receiver // of the same queue
	Topic    *azservicebus.Sender   // takes the event
	Blobs    *container.Client
	Body     []byte // of each message and blob
}

// Run makes the requests of each stage in their order, without deciding anything. A message leads from one stage to the next, and the event is the last.
// name is a folder of its own.
func (x Exchange) Run(ctx context.Context, name string, stages [][]Request) error {
	var received *azservicebus.ReceivedMessage
	blobs := 0
	for i, requests := range stages {
		for _, r := range requests {
			switch r {
			case Put:
				blobs++
			case Delete:
				blobs--
			}
			if err := x.ask(ctx, r, name, blobs); err != nil {
				return fmt.Errorf("%s %s: %w", r, name, err)
			}
		}
		next := x.Queue
		if i == len(stages)-1 {
			next = x.Topic
		}
		id := fmt.Sprintf("%s-%d", name, i)
		if err := next.SendMessage(ctx, &azservicebus.Message{MessageID: &id, Body: x.Body}, nil); err != nil {
			return err
		}
		if received != nil {
			if err := x.Receiver.CompleteMessage(ctx, received, nil); err != nil {
				return err
			}
		}
		if next == x.Topic {
			break
		}
		messages, err := x.Receiver.ReceiveMessages(ctx, 1, nil)
		if err != nil {
			return err
		}
		received = messages[0]
	}
	return nil
}

// ask makes one request: of so many blobs the newest is put, the one that follows it deleted, and the first asked for.
func (x Exchange) ask(ctx context.Context, r Request, name string, blobs int) error {
	first := x.Blobs.NewBlockBlobClient(name + "/1")
	switch r {
	case Put:
		_, err := x.Blobs.NewBlockBlobClient(fmt.Sprintf("%s/%d", name, blobs)).UploadBuffer(ctx, x.Body, nil)
		return err
	case Look:
		_, err := first.GetProperties(ctx, nil)
		return err
	case Delete:
		_, err := x.Blobs.NewBlobClient(fmt.Sprintf("%s/%d", name, blobs+1)).Delete(ctx, nil)
		return err
	}
	resp, err := first.DownloadStream(ctx, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body) // to its end: what is left unread costs the connection
	return err
}
