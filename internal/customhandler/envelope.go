package customhandler

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// InvokeRequest is the envelope the host posts to /<Function>. Its values are kept as they came: see Timer and Message.
type InvokeRequest struct {
	// Data holds the trigger under the name its binding has in function.json.
	Data map[string]json.RawMessage
	// Metadata holds what the trigger says about itself; nil when the host sent none or something that is no object.
	Metadata map[string]json.RawMessage `json:",omitempty"`
}

// DecodeInvokeRequest reads an envelope. It fails when body is not one JSON object with an object "Data" in it; anything odd in
// Metadata is left out instead, since a message must not be lost over a remark about it.
func DecodeInvokeRequest(body []byte) (InvokeRequest, error) {
	var raw struct {
		Data     map[string]json.RawMessage
		Metadata json.RawMessage
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return InvokeRequest{}, fmt.Errorf("customhandler: the envelope cannot be read: %w", err)
	}
	if raw.Data == nil {
		return InvokeRequest{}, errors.New(`customhandler: the envelope has no object "Data"`)
	}
	return InvokeRequest{Data: raw.Data, Metadata: object(raw.Metadata)}, nil
}

// trigger returns the only binding in Data; nil if there is none, as the host leaves out nulls.
func (r InvokeRequest) trigger() (raw json.RawMessage, err error) {
	if len(r.Data) > 1 {
		return nil, fmt.Errorf("customhandler: Data has %d bindings, want the trigger alone: remove other inputs from function.json", len(r.Data))
	}
	for _, raw = range r.Data {
	}
	return raw, nil
}

// invokeResponse is what the host expects from a function that got an envelope. It reads this only with a 2xx status and writes
// Logs at level Information.
type invokeResponse struct {
	Outputs     struct{}
	Logs        []string // never nil: the host wants an array
	ReturnValue any
}

// TimerInvocation is one firing of a timerTrigger.
type TimerInvocation struct {
	// IsPastDue says that the host fires later than the schedule asked.
	IsPastDue bool
	// Status is nil unless the host monitors the schedule (useMonitor) and has something stored.
	Status *ScheduleStatus
}

// ScheduleStatus is what the host keeps about a monitored schedule; UTC, zero where the host knows nothing.
type ScheduleStatus struct {
	Last, Next, LastUpdated time.Time
}

// Timer reads the envelope of a timerTrigger. It fails only when Data has more than one binding.
func (r InvokeRequest) Timer() (TimerInvocation, error) {
	raw, err := r.trigger()
	if err != nil {
		return TimerInvocation{}, err
	}
	fields := object(raw)
	t := TimerInvocation{IsPastDue: scalar[bool](fields["IsPastDue"])}
	if s := object(fields["ScheduleStatus"]); s != nil {
		t.Status = &ScheduleStatus{Last: instant(s["Last"]), Next: instant(s["Next"]), LastUpdated: instant(s["LastUpdated"])}
	}
	return t, nil
}
