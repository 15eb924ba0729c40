package customhandler

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func payload(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeTimer(body []byte) (TimerInvocation, error) {
	req, err := DecodeInvokeRequest(body)
	if err != nil {
		return TimerInvocation{}, err
	}
	return req.Timer()
}

func decodeMessage(body []byte) (MessageInvocation, error) {
	req, err := DecodeInvokeRequest(body)
	if err != nil {
		return MessageInvocation{}, err
	}
	return req.Message()
}

func mustMessage(t *testing.T, body string) MessageInvocation {
	t.Helper()
	m, err := decodeMessage([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// reencode encodes an envelope again after decoding it.
func reencode(t testing.TB, body []byte) []byte {
	t.Helper()
	req, err := DecodeInvokeRequest(body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTimerPayloadsDecodeToTheirGoldenStructs(t *testing.T) {
	for name, want := range map[string]TimerInvocation{
		"timer.json": {},
		"timer_status.json": {IsPastDue: true, Status: &ScheduleStatus{
			Last: time.Date(2026, 1, 30, 2, 0, 0, 0, time.UTC),
			Next: time.Date(2026, 1, 31, 2, 0, 0, 0, time.UTC), // +01:00 in the file
		}},
	} {
		for _, body := range [][]byte{payload(t, name), reencode(t, payload(t, name))} {
			got, err := decodeTimer(body)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
			}
		}
	}
}

func TestMessagePayloadsDecodeToTheirGoldenStructs(t *testing.T) {
	golden := MessageInvocation{
		Body:      []byte(`{"orderId":"A-17"}`),
		MessageID: "m-1", CorrelationID: "c-9", Subject: "orders", ContentType: "application/json",
		DeliveryCount: 1, SequenceNumber: 9007199254740993, // beyond a float64
		EnqueuedTime:          time.Date(2023, 10, 12, 20, 13, 49, 0, time.UTC),
		ExpiresAt:             time.Date(2023, 10, 26, 20, 13, 49, 0, time.UTC),
		ApplicationProperties: map[string]string{"tenant": "a", "attempt": "2"},
	}
	for name, encoding := range map[string]BodyEncoding{
		"message_binary.json": BodyBinary, "message_double.json": BodyDouble, "message_single.json": BodySingle, "message_object.json": BodyJSON,
	} {
		want := golden
		want.BodyEncoding = encoding
		for _, body := range [][]byte{payload(t, name), reencode(t, payload(t, name))} {
			got, err := decodeMessage(body)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, want)
			}
		}
	}
}

func TestMetadataSpoofedByTheBodyLeavesItsFieldsEmptyAndTheRestWhole(t *testing.T) {
	got := mustMessage(t, string(payload(t, "message_leak.json")))
	want := MessageInvocation{
		Body:         []byte(`{"deliveryCount":"many","messageId":{"id":7},"sequenceNumber":[1],"enqueuedTimeUtc":"yesterday","subject":9}`),
		BodyEncoding: BodyDouble, CorrelationID: "c-9", ContentType: "application/json",
		EnqueuedTime:          time.Date(2023, 10, 12, 20, 13, 49, 0, time.UTC), // from EnqueuedTime, which was not spoofed
		ExpiresAt:             time.Date(2023, 10, 26, 20, 13, 49, 0, time.UTC),
		ApplicationProperties: map[string]string{"tenant": "a", "attempt": "2"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestHTTPEnvelopeSurvivesARoundTrip(t *testing.T) {
	body := payload(t, "http_envelope.json")
	var a, b any
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(reencode(t, body), &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("got  %v\nwant %v", b, a)
	}
}

func TestMetadataIsReadHoweverOftenItIsEncoded(t *testing.T) {
	for _, meta := range []string{
		`{"MessageId":"\"17\"","DeliveryCount":"3","EnqueuedTimeUtc":"2023-10-12T20:13:49.25","ApplicationProperties":"{\"k\":\"v\"}","Label":"\"l\""}`,
		`{"MessageId":"17","DeliveryCount":3,"EnqueuedTimeUtc":"\"2023-10-12T22:13:49.25+02:00\"","UserProperties":{"k":"v"},"Subject":"l"}`,
		`"{\"MessageId\":\"17\",\"DeliveryCount\":3,\"EnqueuedTime\":\"2023-10-12T20:13:49.25Z\",\"ApplicationProperties\":{\"k\":\"v\"},\"Subject\":\"l\"}"`,
	} {
		got := mustMessage(t, `{"Data":{"msg":"e30="},"Metadata":`+meta+`}`)
		want := MessageInvocation{Body: []byte("{}"), BodyEncoding: BodyBinary, MessageID: "17", DeliveryCount: 3, Subject: "l",
			EnqueuedTime: time.Date(2023, 10, 12, 20, 13, 49, 250e6, time.UTC), ApplicationProperties: map[string]string{"k": "v"}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", meta, got, want)
		}
	}
}

func TestAWrongTypeInMetadataNeverFailsTheDecode(t *testing.T) {
	for _, junk := range []string{`null`, `true`, `-1.5`, `""`, `"\""`, `"null"`, `[]`, `[[1]]`, `{}`, `{"a":1}`, `1e999`, `"99999999999999999999"`} {
		fields := []string{}
		for _, name := range []string{"MessageId", "DeliveryCount", "SequenceNumber", "EnqueuedTimeUtc", "ExpiresAt", "ApplicationProperties", "DeadLetterSource"} {
			fields = append(fields, `"`+name+`":`+junk)
		}
		for _, meta := range []string{junk, "{" + strings.Join(fields, ",") + "}"} {
			m := mustMessage(t, `{"Data":{"msg":"e30="},"Metadata":`+meta+`}`)
			if string(m.Body) != "{}" || m.DeliveryCount != 0 || m.SequenceNumber != 0 || !m.EnqueuedTime.IsZero() || !m.ExpiresAt.IsZero() {
				t.Errorf("%s: got %+v", meta, m)
			}
		}
		if got, err := decodeTimer([]byte(`{"Data":{"timer":{"IsPastDue":` + junk + `,"ScheduleStatus":` + junk + `}}}`)); err != nil || got.IsPastDue && junk != "true" {
			t.Errorf("timer with %s: got %+v, %v", junk, got, err)
		}
	}
}

func TestDotNetsMinValueIsNoTime(t *testing.T) {
	for _, s := range []string{"0001-01-01T00:00:00", "0001-01-01T00:00:00+00:00", "0001-01-01T00:00:00-08:00"} {
		if got := instant(json.RawMessage(`"` + s + `"`)); !got.IsZero() {
			t.Errorf("%s: got %v", s, got)
		}
	}
}

func TestBodiesAreToldApartByTheirEncoding(t *testing.T) {
	for _, c := range []struct {
		data, body string
		encoding   BodyEncoding
	}{
		{`{}`, "", BodyNone},
		{`{"m":null}`, "", BodyNone},
		{`{"m":""}`, "", BodyNone},
		{`{"m":"AAH/"}`, "\x00\x01\xff", BodyBinary},
		{`{"m":"AAH"}`, "AAH", BodySingle}, // no padding, no base64
		{`{"m":"AAH/\n"}`, "AAH/\n", BodySingle},
		{`{"m":"\"AAH/\""}`, "AAH/", BodyDouble},
		{`{"m":"\"\""}`, "", BodyDouble},
		{`{"m":"null"}`, "\x9e\xe9\x65", BodyBinary}, // four letters are base64: the documented ambiguity
		{`{"m":"[1,2]"}`, "[1,2]", BodySingle},
		{`{"m":[1, 2]}`, "[1, 2]", BodyJSON},
	} {
		m := mustMessage(t, `{"Data":`+c.data+`}`)
		if string(m.Body) != c.body || m.BodyEncoding != c.encoding {
			t.Errorf("%s: got %q %q, want %q %q", c.data, m.Body, m.BodyEncoding, c.body, c.encoding)
		}
	}
}

func TestWhatIsNoEnvelopeIsRefused(t *testing.T) {
	deep := strings.Repeat("[", 10001) + strings.Repeat("]", 10001)
	for _, body := range []string{
		``, `null`, `{}`, `[]`, `"x"`, `{"Data":null}`, `{"Data":"x"}`, `{"Data":{}} {}`, `{"Data":{}`,
		`{"Data":{"m":` + deep + `}}`, `{"Data":{"m":"e30="},"Metadata":` + deep + `}`, strings.Repeat(`{"Data":`, MaxEnvelope/8),
	} {
		if req, err := DecodeInvokeRequest([]byte(body)); err == nil {
			t.Errorf("%.60q: got %+v, want an error", body, req)
		}
	}
	two := []byte(`{"Data":{"a":"e30=","b":{"IsPastDue":true}}}`)
	if _, err := decodeMessage(two); err == nil {
		t.Error("a message with two bindings must be refused")
	}
	if _, err := decodeTimer(two); err == nil {
		t.Error("a timer with two bindings must be refused")
	}
}

func TestDeepNestingWithinTheLimitIsFine(t *testing.T) {
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	if m := mustMessage(t, `{"Data":{"m":`+deep+`}}`); string(m.Body) != deep {
		t.Error("the body changed")
	}
}
