package bus

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/usage"
)

var night = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)

func wake() dr.Wake {
	return dr.Wake{
		V: dr.Version, ID: dr.TickID(dr.KindBackup, "nightly", "contoso-eu", night), Epoch: 2, N: 7, Try: 1, Attempt: 1,
		Location: "https://management.azure.com/subscriptions/0/operationresults/1?api-version=2024-05-01", Lease: night.Add(time.Hour),
	}
}

func TestWhatIsEncodedIsDecodedToTheSame(t *testing.T) {
	w, bare := wake(), dr.Wake{V: dr.Version, ID: wake().ID}
	tick := dr.Tick{V: dr.Version, Plan: "nightly", At: night, Try: 3}
	export := usage.Message{Service: "contoso-eu", At: night, N: 2, Try: 1}
	for name, m := range map[string]Message{"wake": {Wake: &w}, "bare wake": {Wake: &bare}, "tick": {Tick: &tick}, "usage": {Usage: &export}} {
		body, err := Encode(m)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := Decode(body)
		if diff := cmp.Diff(m, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

// What lies in the queues outlives a deployment: these bytes must stay readable and writable.
func TestTheWireFormatStays(t *testing.T) {
	w := wake()
	tick := dr.Tick{Plan: "nightly", At: night, Try: 3} // the version is Encode's
	export := usage.Message{Service: "contoso-eu", At: night.In(time.FixedZone("", 3600)), N: 2, Try: 1}
	for want, m := range map[string]Message{
		`{"v":1,"id":"` + w.ID + `","epoch":2,"n":7,"try":1,"attempt":1,"location":"https://management.azure.com/subscriptions/0/operationresults/1?api-version=2024-05-01","lease":"2026-11-23T03:00:00Z"}`: {Wake: &w},
		`{"tick":{"plan":"nightly","at":"2026-11-23T02:00:00Z","try":3},"v":1}`:              {Tick: &tick},
		`{"usage":{"service":"contoso-eu","at":"2026-11-23T02:00:00Z","n":2,"try":1},"v":1}`: {Usage: &export},
	} {
		if got, err := Encode(m); string(got) != want || err != nil {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
}

// foreign are bodies that no version of apim-dr sends.
func foreign() map[string]string {
	id := wake().ID
	return map[string]string{
		"nothing":             ``,
		"no JSON":             `wake up`,
		"null":                `null`,
		"an array":            `[{"v":1,"id":"` + id + `"}]`,
		"two documents":       `{"v":1,"id":"` + id + `"} {}`,
		"no version":          `{"id":"` + id + `"}`,
		"version 0":           `{"v":0,"id":"` + id + `"}`,
		"a version in quotes": `{"v":"1","id":"` + id + `"}`,
		"neither":             `{"v":1}`,
		"both":                `{"v":1,"id":"` + id + `","tick":{"plan":"nightly","at":"2026-11-23T02:00:00Z"}}`,
		"a path as id":        `{"v":1,"id":"../locks/contoso-eu"}`,
		"a very long kind":    `{"v":1,"id":"20261123-` + strings.Repeat("a", 100) + `-0123456789abcdef0123"}`,
		"a negative epoch":    `{"v":1,"id":"` + id + `","epoch":-1}`,
		"a negative leg":      `{"v":1,"id":"` + id + `","leg":-1}`,
		"a huge number":       `{"v":1,"id":"` + id + `","n":5000000000}`,
		"a fraction":          `{"v":1,"id":"` + id + `","n":1.5}`,
		"a long Location":     `{"v":1,"id":"` + id + `","location":"https://contoso.example/` + strings.Repeat("x", dr.MaxLocation) + `"}`,
		"a line in Location":  `{"v":1,"id":"` + id + `","location":"https://contoso.example/\r\nHost: x"}`,
		"no plan":             `{"v":1,"tick":{"at":"2026-11-23T02:00:00Z"}}`,
		"a long plan":         `{"v":1,"tick":{"plan":"` + strings.Repeat("x", maxName+1) + `","at":"2026-11-23T02:00:00Z"}}`,
		"no time":             `{"v":1,"tick":{"plan":"nightly"}}`,
		"a negative try":      `{"v":1,"tick":{"plan":"nightly","at":"2026-11-23T02:00:00Z","try":-1}}`,
		"a tick and a usage":  `{"v":1,"tick":{"plan":"nightly","at":"2026-11-23T02:00:00Z"},"usage":{"service":"contoso-eu","at":"2026-11-23T02:00:00Z"}}`,
		"no instance":         `{"v":1,"usage":{"at":"2026-11-23T02:00:00Z"}}`,
		"a long instance":     `{"v":1,"usage":{"at":"2026-11-23T02:00:00Z","service":"` + strings.Repeat("x", maxName+1) + `"}}`,
		"no time of export":   `{"v":1,"usage":{"service":"contoso-eu"}}`,
		"a negative turn":     `{"v":1,"usage":{"service":"contoso-eu","at":"2026-11-23T02:00:00Z","n":-1}}`,
		"a lot":               `{"v":1,"id":"` + id + `"}` + strings.Repeat(" ", maxMessage),
	}
}

func TestWhatIsNotOursIsMalformed(t *testing.T) {
	for name, body := range foreign() {
		if m, err := Decode([]byte(body)); !errors.Is(err, ErrMalformed) || m != (Message{}) {
			t.Errorf("%s: got %v, %v", name, m, err)
		}
	}
}

func TestANewerMessageIsToldFromABrokenOne(t *testing.T) {
	for _, body := range []string{`{"v":2,"id":"x"}`, `{"v":2,"id":{"shape":"new"},"tick":7}`, `{"v":1,"v":2,"id":"20260105-backup-e60287158a759c494394"}`} {
		_, err := Decode([]byte(body))
		var newer *NewerError
		if !errors.As(err, &newer) || newer.V != 2 || !errors.Is(err, engine.ErrNewer) || errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

func TestALocationThatNoReceiverWouldTakeIsLeftOut(t *testing.T) {
	w := wake()
	w.Location += strings.Repeat("x", dr.MaxLocation)
	body, err := Encode(Message{Wake: &w})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := Decode(body); err != nil || m.Wake.Location != "" || m.Wake.N != w.N {
		t.Errorf("got %+v, %v", m.Wake, err)
	}
	if w.Location == "" {
		t.Error("the caller's wake was changed")
	}
}

func TestNothingIsSentThatNoReceiverWouldTake(t *testing.T) {
	for name, m := range map[string]Message{
		"nothing": {}, "no id": {Wake: &dr.Wake{V: 1}}, "no plan": {Tick: &dr.Tick{At: night}}, "both": {Wake: &dr.Wake{ID: wake().ID}, Tick: &dr.Tick{Plan: "p", At: night}},
	} {
		if _, err := Encode(m); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What is received is followed by a message that counts further: there must be room for it.
func TestWhatIsReceivedCanBeFollowed(t *testing.T) {
	w := wake()
	for n, received := range map[int]bool{maxCount / 2: true, maxCount/2 + 1: false} {
		w.Epoch, w.N, w.Try = n, n, n
		body, err := Encode(Message{Wake: &w})
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(body)
		if (err == nil) != received {
			t.Errorf("%d: %v", n, err)
		}
		if err != nil {
			continue
		}
		m.Wake.Epoch, m.Wake.N, m.Wake.Try = n+1, n+1, n+1
		if _, err := Encode(m); err != nil {
			t.Errorf("after %d: %v", n, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	w := wake()
	for _, m := range []Message{{Wake: &w}, {Tick: &dr.Tick{Plan: "nightly", At: night}}} {
		body, err := Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, body := range foreign() {
		f.Add([]byte(body))
	}
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Decode(body)
		if err != nil {
			var newer *NewerError
			if !errors.Is(err, ErrMalformed) && !errors.As(err, &newer) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		id := ""
		if m.Wake != nil {
			id = m.Wake.MessageID()
		} else {
			id = m.Tick.MessageID()
		}
		if len(id) > 128 {
			t.Errorf("MessageID of %d bytes: %s", len(id), id)
		}
		once, err := Encode(m)
		if err != nil {
			t.Fatalf("what was decoded cannot be sent on: %v", err)
		}
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v\n%s", err, once)
		}
		if twice, err := Encode(again); err != nil || string(twice) != string(once) || !json.Valid(once) {
			t.Errorf("%s became %s, %v", once, twice, err)
		}
	})
}

// json.Marshal writes an & as six bytes; what was sent can be read all the same.
func TestTheLongestLocationSurvivesItsEscaping(t *testing.T) {
	w := dr.Wake{V: dr.Version, ID: "20260105-backup-0123456789abcdef0123", Location: "https://management.azure.com/?" + strings.Repeat("&", dr.MaxLocation-40)}
	body, err := Encode(Message{Wake: &w})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := Decode(body); err != nil || m.Wake.Location != w.Location {
		t.Errorf("%d bytes: %v", len(body), err)
	}
}
