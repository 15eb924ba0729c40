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
	"os"
	"os/signal"
	"strings"
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
func follow(ctx context.Context, client *azservicebus.Client, url string) error {
	receiver, err := client.NewReceiverForSubscription("results", cmp.Or(os.Getenv("SUBSCRIPTION"), "examples"), nil)
	for err == nil {
		var messages []*azservicebus.ReceivedMessage
		messages, err = receiver.ReceiveMessages(ctx, 1, nil)
		for _, m := range messages {
			if refused := tell(url, m); refused != nil {
				log.Print(refused)
				time.Sleep(2 * time.Second) // so that the deliveries are not gone at once
				err = errors.Join(err, receiver.AbandonMessage(ctx, m, nil))
				continue
			}
			err = errors.Join(err, receiver.CompleteMessage(ctx, m, nil))
		}
	}
	return err
}

// tell needs no more than the properties that every message has.
func tell(url string, m *azservicebus.ReceivedMessage) error {
	p := m.ApplicationProperties
	if p["outcome"] == "succeeded" && p["kind"] != "failover" {
		return nil
	}
	body, _ := json.Marshal(map[string]string{"text": fmt.Sprintf("%v of %v: %v (%s)", p["kind"], p["service"], p["outcome"], strings.TrimSuffix(m.MessageID, ":result"))})
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
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
