package bus

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"apim-dr/internal/dr"
	"apim-dr/internal/trace"
)

// maxEvent bounds the body of an event, in bytes. Service Bus takes 256 KiB in the Standard tier, properties included
// (Azure docs, Service Bus quotas).
const maxEvent = 200_000

// cloudEvent returns e as CloudEvents 1.0 structured JSON. What would make it too large is shortened, always in the same way, and says so;
// the operation's record keeps everything.
func cloudEvent(e dr.Event, source string) ([]byte, error) {
	body, err := encodeEvent(e, source)
	for _, shorten := range []func(*dr.Result){fewerNotes, shorterTexts, noLists} {
		r, ok := e.Data.(dr.Result)
		if err != nil || len(body) <= maxEvent || !ok {
			break
		}
		shorten(&r)
		e.Data = r
		body, err = encodeEvent(e, source)
	}
	if err == nil && len(body) > maxEvent {
		return nil, fmt.Errorf("event %s has %d bytes however much is left out, at most %d can be sent", e.ID, len(body), maxEvent)
	}
	return body, err
}

func encodeEvent(e dr.Event, source string) ([]byte, error) {
	return envelope(e, e.Data, source)
}

// envelope puts data into the envelope of e.
func envelope(e dr.Event, content any, source string) ([]byte, error) {
	data, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", e.ID, err)
	}
	ce := event.New(event.CloudEventsVersionV1)
	ce.SetID(e.ID)
	ce.SetSource(source)
	ce.SetType(e.Type)
	ce.SetSubject(e.Subject)
	ce.SetTime(e.Time.UTC())
	ce.SetDataContentType(event.ApplicationJSON)
	ce.DataEncoded = data
	if t := trace.Parent(e.Traceparent); t != "" {
		ce.SetExtension("traceparent", t)
	}
	if err := ce.Validate(); err != nil {
		return nil, fmt.Errorf("event %s: %w", e.ID, err)
	}
	return json.Marshal(ce)
}

// fewerNotes keeps the first and the last notes: they tell how it began and why it ended.
func fewerNotes(r *dr.Result) {
	const ends = 5
	if left := len(r.Evidence) - 2*ends; left > 0 {
		text := fmt.Sprintf("%d notes left out here, because the event would be too large: the operation's record has them", left)
		r.Evidence = slices.Concat(r.Evidence[:ends], []dr.Note{{At: r.Evidence[ends].At, Text: text}}, r.Evidence[ends+left:])
	}
	r.Evidence = slices.Clone(r.Evidence)
	for i := range r.Evidence {
		r.Evidence[i].Text = cut(r.Evidence[i].Text, 1000)
	}
}

func shorterTexts(r *dr.Result) {
	r.Reason, r.Ticket, r.RequestedBy = cut(r.Reason, 1000), cut(r.Ticket, 1000), cut(r.RequestedBy, 1000)
	if r.Error != nil {
		short := *r.Error // the record's own stays whole
		short.Message = cut(short.Message, 12_000)
		r.Error = &short
	}
	if r.Recovery != nil {
		short := *r.Recovery
		short.FinalTold, short.Findings = cut(short.FinalTold, 300), slices.Clone(short.Findings)
		for i := range short.Findings {
			short.Findings[i].Detail = cut(short.Findings[i].Detail, 300)
		}
		r.Recovery = &short
	}
}

// noLists leaves out what grows with the settings of an instance. It comes last: a person needs it.
func noLists(r *dr.Result) {
	if r.Recovery == nil {
		return
	}
	short := *r.Recovery
	short.Findings, short.Gateways, short.NotCovered, short.NextSteps = nil, nil, nil, nil
	r.Recovery = &short
	r.Evidence = append(slices.Clone(r.Evidence), dr.Note{At: r.EndedAt, Text: "findings, gateways, notCovered and nextSteps are left out, because the event would be too large: the operation's record has them"})
}

// cut shortens text to about most bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "… (shortened: the operation's record has it whole)"
}
