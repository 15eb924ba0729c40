package customhandler

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"apim-dr/internal/trace"
)

// BodyEncoding says how the host wrote a message body into the envelope.
type BodyEncoding string

// The encodings of a message body. Only with BodyBinary is the metadata to be believed: in the other modes the host copies the
// top-level properties of a JSON body over it, so that a body can claim any MessageID or DeliveryCount.
const (
	BodyNone   BodyEncoding = ""       // no body
	BodyBinary BodyEncoding = "binary" // base64: the trigger has "dataType":"binary", as every one of ours should
	BodyDouble BodyEncoding = "double" // a JSON string within a JSON string: the host's way without a dataType
	BodySingle BodyEncoding = "single" // a JSON string
	BodyJSON   BodyEncoding = "json"   // a bare JSON value
)

// MessageInvocation is one delivery of a Service Bus message. Everything but the body is optional and zero when the host did not
// send it, or sent another type.
type MessageInvocation struct {
	Body         []byte
	BodyEncoding BodyEncoding

	MessageID, CorrelationID, Subject, ContentType string
	ReplyTo, To, SessionID, PartitionKey           string
	// DeadLetterSource is the queue or subscription a dead-lettered message came from. The host sends the reason, if at all, among the ApplicationProperties.
	DeadLetterSource string
	// DeliveryCount is 1 at the first delivery; 0 means unknown.
	DeliveryCount int
	// SequenceNumber is the broker's number of the message; 0 means unknown.
	SequenceNumber int64
	// EnqueuedTime and ExpiresAt are UTC in whole seconds: the host drops the fraction.
	EnqueuedTime, ExpiresAt time.Time
	// ApplicationProperties holds strings as they are and other values as JSON.
	ApplicationProperties map[string]string
}

// Message reads the envelope of a serviceBusTrigger. It fails only when Data has more than one binding.
//
// A string body that is valid base64 is taken for binary. A plain text such as "abcd" would be misread without
// "dataType":"binary"; a JSON object or array never is.
func (r InvokeRequest) Message() (MessageInvocation, error) {
	raw, err := r.trigger()
	if err != nil {
		return MessageInvocation{}, err
	}
	meta := r.Metadata
	m := MessageInvocation{
		MessageID:        str(meta["MessageId"]),
		CorrelationID:    str(meta["CorrelationId"]),
		Subject:          str(meta["Subject"], meta["Label"]), // Label in older extensions
		ContentType:      str(meta["ContentType"]),
		ReplyTo:          str(meta["ReplyTo"]),
		To:               str(meta["To"]),
		SessionID:        str(meta["SessionId"]),
		PartitionKey:     str(meta["PartitionKey"]),
		DeadLetterSource: str(meta["DeadLetterSource"]),
		DeliveryCount:    max(0, scalar[int](meta["DeliveryCount"])),
		SequenceNumber:   scalar[int64](meta["SequenceNumber"]),
		EnqueuedTime:     instant(meta["EnqueuedTimeUtc"], meta["EnqueuedTime"]),
		ExpiresAt:        instant(meta["ExpiresAtUtc"], meta["ExpiresAt"]),
	}
	props := object(meta["ApplicationProperties"])
	if props == nil {
		props = object(meta["UserProperties"]) // the name in older extensions
	}
	if len(props) > 0 {
		m.ApplicationProperties = make(map[string]string, len(props))
	}
	for name, value := range props {
		m.ApplicationProperties[name] = text(value)
	}
	m.Body, m.BodyEncoding = messageBody(raw)
	return m, nil
}

// traceparent is what the sender of the message wrote down as its trace: under the name of W3C Trace Context or, as older Azure SDKs do, as Diagnostic-Id.
func (m MessageInvocation) traceparent() string {
	if p := trace.Parent(m.ApplicationProperties["traceparent"]); p != "" {
		return p
	}
	return m.ApplicationProperties["Diagnostic-Id"]
}

// messageBody tells the encodings apart by what they cannot contain: base64 has no quote, brace or bracket.
func messageBody(raw json.RawMessage) ([]byte, BodyEncoding) {
	var outer, inner string
	if len(raw) == 0 || string(raw) == "null" || string(raw) == `""` {
		return nil, BodyNone
	}
	if json.Unmarshal(raw, &outer) != nil {
		return raw, BodyJSON
	}
	// The decoder skips line breaks, which .NET never writes: such a text is not base64.
	if body, err := base64.StdEncoding.Strict().DecodeString(outer); err == nil && !strings.ContainsAny(outer, "\r\n") {
		return body, BodyBinary
	}
	if json.Unmarshal([]byte(outer), &inner) == nil {
		return []byte(inner), BodyDouble
	}
	return []byte(outer), BodySingle
}
