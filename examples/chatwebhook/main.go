// Command chatwebhook posts what did not succeed, and each failover, to the incoming webhook of a chat. ../README.md tells how to run it.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := connect()
	if err == nil {
		err = follow(ctx, client, os.Getenv("WEBHOOK_URL"))
	}
	if ctx.Err() == nil { // Ctrl-C is no failure
		log.Fatal(err)
	}
}

// follow completes a message when the chat has it. One that the chat refuses is delivered again, ten times in all; then it is a dead letter.
func follow(ctx context.Context, client *azservicebus.Client, webhook string) error {
	receiver, err := client.NewReceiverForSubscription("results", cmp.Or(os.Getenv("SUBSCRIPTION"), "examples"), nil)
	for told := map[string]bool{}; err == nil; { // an event may come twice, with the same id
		var messages []*azservicebus.ReceivedMessage
		messages, err = receiver.ReceiveMessages(ctx, 1, nil)
		for _, m := range messages {
			if refused := tell(webhook, m, told); refused != nil {
				log.Print(refused)
				time.Sleep(2 * time.Second) // so that the deliveries are not gone at once
				err = errors.Join(err, receiver.AbandonMessage(ctx, m, nil))
			} else {
				told[m.MessageID] = true
				err = errors.Join(err, receiver.CompleteMessage(ctx, m, nil))
			}
		}
	}
	return err
}

func tell(webhook string, m *azservicebus.ReceivedMessage, told map[string]bool) error {
	p := m.ApplicationProperties
	if told[m.MessageID] || p["outcome"] == "succeeded" && p["kind"] != "failover" {
		return nil
	}
	body, _ := json.Marshal(map[string]string{"text": fmt.Sprintf("%v of %v: %v (%s)", p["kind"], p["service"], p["outcome"], m.MessageID)})
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Post(webhook, "application/json", bytes.NewReader(body))
	if bad, ok := errors.AsType[*url.Error](err); ok {
		return bad.Err // without the URL: whoever has it can post
	}
	if resp.StatusCode >= 300 {
		err = fmt.Errorf("the chat answered %s", resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

func connect() (*azservicebus.Client, error) { // as in ../terminal
	if s := os.Getenv("SERVICEBUS"); s != "" {
		return azservicebus.NewClientFromConnectionString(s, nil)
	}
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, err
	}
	return azservicebus.NewClient(os.Getenv("SERVICEBUS_NAMESPACE"), credential, nil)
}
