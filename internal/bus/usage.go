package bus

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/trace"
	"apim-dr/internal/usage"
)

var _ usage.Bus = (*Bus)(nil)

// Export implements usage.Bus.
func (b *Bus) Export(ctx context.Context, m usage.Message, at time.Time) error {
	return b.knock(ctx, engine.Operations, Message{Usage: &m}, m.MessageID(), at)
}

// Exported implements usage.Bus. The event is far below maxEvent: its lists are as long as there are reports and days to catch up, its texts are short.
func (b *Bus) Exported(ctx context.Context, e usage.Event) error {
	body, err := exportedEvent(e, b.source)
	if err != nil {
		return err
	}
	properties := traced(trace.From(ctx))
	for name, value := range e.Properties() {
		properties[name] = value
	}
	contentType := "application/cloudevents+json"
	return b.lanes[Results].send(ctx, &azservicebus.Message{MessageID: &e.ID, ContentType: &contentType, Body: body, ApplicationProperties: properties})
}

func exportedEvent(e usage.Event, source string) ([]byte, error) {
	return envelope(dr.Event{ID: e.ID, Type: usage.EventType, Subject: e.Subject, Time: e.Time}, e.Data, source)
}
