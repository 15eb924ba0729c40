package main

import (
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// Whoever has the URL can post: it must not get into a log.
func TestTheURLOfTheWebhookIsNotTold(t *testing.T) {
	m := &azservicebus.ReceivedMessage{ApplicationProperties: map[string]any{"kind": "backup", "outcome": "failed", "service": "contoso-eu"}}
	for _, webhook := range []string{"http://127.0.0.1:1/services/T0/secret", "http://127.0.0.1:1/%zz-secret", "ftp://x/secret"} {
		if err := tell(webhook, m, nil); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", webhook, err)
		}
	}
}
