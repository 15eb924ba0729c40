package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/usage"
)

// What a message may hold. The bounds keep a MessageID under the 128 characters of Service Bus.
const (
	maxMessage = 64 << 10 // bytes
	maxName    = 64       // bytes of an operation's id or a plan's name
	maxService = 50       // bytes of an instance's name (Azure docs, "Naming rules and restrictions for Azure resources", Microsoft.ApiManagement)
	maxChange  = 200      // bytes of the type of an event or the name of an operation
	maxCount   = 1e9
)

// ErrMalformed is content that no version of apim-dr sends. It will not get better: keep it and go on.
var ErrMalformed = errors.New("not a message of apim-dr")

// NewerError is a message of a newer version, to be left to that version. It is an engine.ErrNewer.
type NewerError struct{ V int }

func (e *NewerError) Error() string {
	return fmt.Sprintf("the message has version %d, this apim-dr reads up to %d: update it", e.V, dr.Version)
}

// Is makes it an engine.ErrNewer.
func (e *NewerError) Is(target error) bool { return target == engine.ErrNewer }

// Message is what the queues carry: exactly one of the three is set.
type Message struct {
	Wake  *dr.Wake       // flat in JSON
	Tick  *dr.Tick       // {"v":1,"tick":{"plan":…,"at":…,"try":…}}
	Usage *usage.Message // {"v":1,"usage":{"service":…,"at":…,"n":…,"try":…}}
}

type tick struct {
	Plan    string    `json:"plan"`
	At      time.Time `json:"at"`
	Try     int       `json:"try"`
	Service string    `json:"service,omitempty"`
	Change  string    `json:"change,omitempty"`
}

// Encode writes m in the present version; ErrMalformed when Decode would refuse it.
func Encode(m Message) ([]byte, error) {
	if m.Wake != nil {
		w := *m.Wake
		w.V = dr.Version
		if !printable(w.Location, dr.MaxLocation) {
			w.Location = "" // a hint: the record has one too
		}
		m.Wake = &w
	}
	if err := m.check(maxCount); err != nil {
		return nil, err
	}
	if t := m.Tick; t != nil {
		return json.Marshal(map[string]any{"v": dr.Version, "tick": tick{t.Plan, t.At.UTC(), t.Try, t.Service, t.Change}})
	}
	if u := m.Usage; u != nil {
		turn := *u
		turn.At = turn.At.UTC()
		return json.Marshal(map[string]any{"v": dr.Version, "usage": turn})
	}
	return json.Marshal(m.Wake)
}

// Decode reads the body of a message of the queues or their dead letters; ErrMalformed, *NewerError. What it returns comes from outside: shapes and
// sizes are checked, but a Location may lead anywhere.
func Decode(body []byte) (Message, error) {
	var in struct {
		dr.Wake
		Tick  *tick
		Usage *usage.Message
	}
	if len(body) > maxMessage {
		return Message{}, fmt.Errorf("%w: %d bytes, at most %d are accepted", ErrMalformed, len(body), maxMessage)
	} else if err := older(body); err != nil {
		return Message{}, err
	} else if err := json.Unmarshal(body, &in); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	} else if in.V > dr.Version { // said twice: sent on as it is read, it would be refused
		return Message{}, &NewerError{V: in.V}
	} else if in.V < 1 || count(in.ID != "", in.Tick != nil, in.Usage != nil) != 1 {
		return Message{}, fmt.Errorf("%w: it needs a version (v) and either an id, a tick or a usage", ErrMalformed)
	}
	m := Message{Wake: &in.Wake}
	if in.Usage != nil {
		in.Usage.At = in.Usage.At.UTC()
		m = Message{Usage: in.Usage}
	}
	if in.Tick != nil {
		m = Message{Tick: &dr.Tick{V: in.V, Plan: in.Tick.Plan, At: in.Tick.At.UTC(), Try: in.Tick.Try, Service: in.Tick.Service, Change: in.Tick.Change}}
	}
	if err := m.check(maxCount / 2); err != nil {
		return Message{}, err
	}
	return m, nil
}

// present begins each wake of the present version.
var present = fmt.Appendf(nil, `{"v":%d,`, dr.Version)

// older refuses a message of a newer version, which may give every other field another shape.
func older(body []byte) error {
	if bytes.HasPrefix(body, present) {
		return nil
	}
	var version struct{ V int }
	if err := json.Unmarshal(body, &version); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if version.V > dr.Version {
		return &NewerError{V: version.V}
	}
	return nil
}

func (m Message) check(most int) error {
	fault := ""
	switch w, t, u := m.Wake, m.Tick, m.Usage; {
	case count(w != nil, t != nil, u != nil) != 1:
		fault = "none or several of wake, tick and usage"
	case u != nil && (u.Service == "" || !printable(u.Service, maxName)):
		fault = "an instance's name has 1 to 64 printable bytes"
	case u != nil && (u.At.Year() < 2000 || u.At.Year() > 2999 || min(u.N, u.Try) < 0 || max(u.N, u.Try) > most):
		fault = "the time or a number of an export is out of range"
	case t != nil && (t.Plan == "" || !printable(t.Plan, maxName)):
		fault = "a plan's name has 1 to 64 printable bytes"
	case t != nil && !printable(t.Service, maxService):
		fault = "a service's name has up to 50 printable bytes"
	case t != nil && !printable(t.Change, maxChange):
		fault = "a change has up to 200 printable bytes"
	case t != nil && (t.At.Year() < 2000 || t.At.Year() > 2999 || t.Try < 0 || t.Try > most):
		fault = "the time or the try of a tick is out of range"
	case w != nil && (len(w.ID) > maxName || !dr.ValidID(w.ID)):
		fault = "the id is not that of an operation"
	case w != nil && (min(w.Epoch, w.N, w.Try, w.Leg, w.Attempt) < 0 || max(w.Epoch, w.N, w.Try, w.Leg, w.Attempt) > most):
		fault = "a number of a wake is out of range"
	case w != nil && !printable(w.Location, dr.MaxLocation):
		fault = "the Location of a wake has more than 8192 bytes, or some that are not printable"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s", ErrMalformed, fault)
}

func count(all ...bool) (n int) {
	for _, one := range all {
		if one {
			n++
		}
	}
	return n
}

func printable(s string, most int) bool {
	return len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar })
}
