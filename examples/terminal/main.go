// Command terminal prints a line for each event of apim-dr: a subscriber in its smallest form. ../README.md tells how to run it.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

type event struct { // docs/events.md has the rest
	ID, Type string
	Data     struct {
		Service string
		Error   struct{ Code, Message string }
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := connect()
	if err == nil {
		err = follow(ctx, client)
	}
	if ctx.Err() == nil { // Ctrl-C is no failure
		log.Fatal(err)
	}
}

func follow(ctx context.Context, client *azservicebus.Client) error {
	receiver, err := client.NewReceiverForSubscription("results", cmp.Or(os.Getenv("SUBSCRIPTION"), "examples"), nil)
	for seen := map[string]bool{}; err == nil; {
		var messages []*azservicebus.ReceivedMessage
		messages, err = receiver.ReceiveMessages(ctx, 10, nil)
		for _, m := range messages {
			var e event
			if bad := json.Unmarshal(m.Body, &e); bad != nil {
				reason := bad.Error() // it will not get better: put it aside, and say why
				err = errors.Join(err, receiver.DeadLetterMessage(ctx, m, &azservicebus.DeadLetterOptions{Reason: &reason}))
				continue
			}
			if !seen[e.ID] { // an event may come twice, with the same id
				fmt.Println(m.EnqueuedTime.UTC().Format(time.TimeOnly), line(e))
			}
			seen[e.ID] = true
			err = errors.Join(err, receiver.CompleteMessage(ctx, m, nil))
		}
	}
	return err
}

func line(e event) string {
	s := fmt.Sprintf("%-28s %s", e.Type, e.Data.Service)
	if e.Data.Error.Code == "" {
		return s
	}
	return s + fmt.Sprintf("  %s: %q", e.Data.Error.Code, e.Data.Error.Message) // quoted: the text is Azure's
}

// connect reads SERVICEBUS, a connection string, or SERVICEBUS_NAMESPACE, for whoever is logged in (az login, an identity).
func connect() (*azservicebus.Client, error) {
	if s := os.Getenv("SERVICEBUS"); s != "" {
		return azservicebus.NewClientFromConnectionString(s, nil)
	}
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, err
	}
	return azservicebus.NewClient(os.Getenv("SERVICEBUS_NAMESPACE"), credential, nil)
}
