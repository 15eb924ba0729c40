package customhandler

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// again encodes an envelope anew; ok is false if body is none.
func again(t *testing.T, body []byte) (out []byte, ok bool) {
	req, err := DecodeInvokeRequest(body)
	if err != nil {
		return nil, false
	}
	if out, err = json.Marshal(req); err != nil {
		t.Fatalf("a decoded envelope does not encode: %v", err)
	}
	return out, true
}

func FuzzTimer(f *testing.F) {
	f.Add(payload(f, "timer.json"))
	f.Add(payload(f, "timer_status.json"))
	f.Fuzz(func(t *testing.T, body []byte) {
		out, ok := again(t, body)
		if !ok {
			return
		}
		a, errA := decodeTimer(body)
		b, errB := decodeTimer(out)
		if !reflect.DeepEqual(a, b) || (errA == nil) != (errB == nil) {
			t.Fatalf("the round trip changes %+v, %v to %+v, %v", a, errA, b, errB)
		}
	})
}

func FuzzMessage(f *testing.F) {
	for _, name := range []string{"message_binary.json", "message_double.json", "message_single.json", "message_object.json", "message_leak.json"} {
		f.Add(payload(f, name))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		out, ok := again(t, body)
		if !ok {
			return
		}
		a, errA := decodeMessage(body)
		b, errB := decodeMessage(out)
		if a.BodyEncoding == BodyJSON { // encoding compacts and escapes it
			var x, y any
			if json.Unmarshal(a.Body, &x) != nil || json.Unmarshal(b.Body, &y) != nil || !reflect.DeepEqual(x, y) {
				t.Fatalf("the round trip changes the body %q to %q", a.Body, b.Body)
			}
			b.Body = a.Body
		}
		if !reflect.DeepEqual(a, b) || (errA == nil) != (errB == nil) {
			t.Fatalf("the round trip changes %+v, %v to %+v, %v", a, errA, b, errB)
		}
		if a.DeliveryCount < 0 || (a.BodyEncoding == BodyNone) != (a.Body == nil) {
			t.Fatalf("got %+v", a)
		}
	})
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"service":"contoso-apim","count":3,"at":"2026-01-31T02:00:00Z","nested":{"deep":{"down":1}}}`))
	f.Add([]byte(`{"at":"tomorrow"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var v order
		p := DecodeJSON(jsonRequest(bytes.NewReader(body)), &v)
		if p == nil {
			out, err := json.Marshal(v)
			if err != nil {
				t.Fatalf("%q was accepted but does not encode: %v", body, err)
			}
			if p := DecodeJSON(jsonRequest(bytes.NewReader(out)), &order{}); p != nil {
				t.Fatalf("%q was accepted, its own encoding %q is not: %+v", body, out, p)
			}
			return
		}
		if p.Status != 400 && p.Status != 413 || p.Detail == "" || strings.HasPrefix(p.Detail, " ") && p.Errors == nil {
			t.Fatalf("%q: got %+v", body, p)
		}
		w := httptest.NewRecorder()
		WriteProblem(w, httptest.NewRequest("POST", "/", nil), *p)
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q: the problem is no JSON: %q", body, w.Body)
		}
	})
}
