package funchost

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/uuid"
)

// envelope is the body of POST /<Function>.
type envelope struct{ Data, Metadata map[string]any }

// encode drops the Metadata the host drops: nulls and names that end in "trigger".
func (e envelope) encode() []byte {
	maps.DeleteFunc(e.Metadata, func(name string, value any) bool {
		return value == nil || strings.HasSuffix(strings.ToLower(name), "trigger")
	})
	return plainJSON(e)
}

// plainJSON encodes without the HTML escapes that .NET does not make. Its values are made of what JSON has: it cannot fail.
func plainJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n")
}

// twice is the host's way with strings and numbers: JSON inside a JSON string.
func twice(v any) any { return string(plainJSON(v)) }

// twiceIf leaves what a message does not have to encode, which drops it.
func twiceIf[T any](v *T) any {
	if v == nil {
		return nil
	}
	return twice(*v)
}

// sys is the part of Metadata that every envelope carries.
func sys(f *function, now time.Time) map[string]any {
	return map[string]any{"sys": map[string]string{
		"MethodName": f.name, "UtcNow": now.UTC().Format(time.RFC3339Nano), "RandGuid": uuid.NewString(),
	}}
}

const (
	zoneless = "2006-01-02T15:04:05"       // *Utc times carry no zone
	zoned    = "2006-01-02T15:04:05-07:00" // and none carries parts of a second
)

// busEnvelope is the envelope of a Service Bus message.
func busEnvelope(f *function, namespace string, m *azservicebus.ReceivedMessage, now time.Time) envelope {
	properties := m.ApplicationProperties
	if properties == nil {
		properties = map[string]any{}
	}
	meta := sys(f, now)
	maps.Copy(meta, map[string]any{
		"MessageReceiver": struct{}{}, "MessageActions": struct{}{},
		"Client":        map[string]any{"FullyQualifiedNamespace": namespace, "IsClosed": false, "TransportType": 0, "Identifier": f.name},
		"DeliveryCount": twice(m.DeliveryCount), "LockToken": twice(uuid.UUID(m.LockToken).String()),
		"SequenceNumber": twiceIf(m.SequenceNumber), "MessageId": twice(m.MessageID), "ContentType": twiceIf(m.ContentType),
		"Subject": twiceIf(m.Subject), "Label": twiceIf(m.Subject), "CorrelationId": twiceIf(m.CorrelationID),
		"ReplyTo": twiceIf(m.ReplyTo), "To": twiceIf(m.To), "SessionId": twiceIf(m.SessionID), "PartitionKey": twiceIf(m.PartitionKey),
		"DeadLetterSource": twiceIf(m.DeadLetterSource), "ApplicationProperties": properties, "UserProperties": properties,
	})
	for name, t := range map[string]*time.Time{"ExpiresAt": m.ExpiresAt, "EnqueuedTime": m.EnqueuedTime} {
		if t != nil {
			meta[name], meta[name+"Utc"] = t.UTC().Format(zoned), t.UTC().Format(zoneless)
		}
	}
	data := any(base64.StdEncoding.EncodeToString(m.Body))
	if !strings.EqualFold(f.trigger.DataType, "binary") {
		data = twice(string(m.Body))
		leak(meta, m.Body)
	}
	return envelope{Data: map[string]any{f.trigger.Name: data}, Metadata: meta}
}

// leak copies the top level of a JSON body over the metadata, whose names the host compares without case.
func leak(meta map[string]any, body []byte) {
	var fields map[string]any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if dec.Decode(&fields) != nil {
		return
	}
	known := slices.Collect(maps.Keys(meta))
	for name, value := range fields {
		if i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, name) }); i >= 0 {
			name = known[i]
		}
		switch value.(type) {
		case nil, map[string]any:
			meta[name] = value
		default:
			meta[name] = twice(value)
		}
	}
}

// decoded undoes what the host takes for base64: any string output that parses as such, unless the binding says binary.
func decoded(text string, output binding) []byte {
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil && !strings.EqualFold(output.DataType, "binary") {
		return raw
	}
	return []byte(text)
}
