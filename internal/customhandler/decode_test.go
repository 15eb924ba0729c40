package customhandler

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// order has a field of each kind a route takes.
type order struct {
	Service  string            `json:"service"`
	Count    int8              `json:"count"`
	Size     uint16            `json:"size"`
	Ratio    float64           `json:"ratio"`
	DryRun   bool              `json:"dryRun"`
	At       time.Time         `json:"at"`
	Until    *time.Time        `json:"until"`
	Tags     []string          `json:"tags"`
	Labels   map[string]string `json:"labels"`
	Nested   struct{ Deep struct{ Down int } }
	Hidden   string `json:"-"`
	internal string
	freight
}

// freight is embedded, as what several bodies share is.
type freight struct {
	Weight int `json:"weight"`
}

func jsonRequest(body io.Reader) *http.Request {
	r := httptest.NewRequest("POST", "/api/backups", body)
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestAValidBodyIsReadOverItsDefaults(t *testing.T) {
	got := order{Service: "contoso-apim", Count: 3}
	for _, contentType := range []string{"application/json", "Application/JSON; charset=UTF-8", "application/json;odata=verbose"} {
		r := jsonRequest(strings.NewReader(` {"count":-7,"at":"2026-01-31T02:00:00Z","nested":{"deep":{"down":1}},"tags":["ä"],"until":null} ` + "\n"))
		r.Header.Set("Content-Type", contentType)
		if p := DecodeJSON(r, &got); p != nil {
			t.Fatalf("%s: got %+v", contentType, *p)
		}
	}
	want := order{Service: "contoso-apim", Count: -7, At: time.Date(2026, 1, 31, 2, 0, 0, 0, time.UTC), Tags: []string{"ä"}}
	want.Nested.Deep.Down = 1
	if got.internal = ""; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestAWrongBodyNamesTheFieldAndWhatItAccepts(t *testing.T) {
	for _, c := range []struct {
		body, field, detail string
	}{
		{``, "", "the body is empty"},
		{" \n", "", "the body is empty"},
		{`null`, "", "the body is empty"},
		{`[]`, "", "the body must be a JSON object, not array"},
		{`"x"`, "", "the body must be a JSON object, not string"},
		{`{"service":"a"`, "", "it ends early"},
		{`{service:"a"}`, "", "not valid JSON: invalid character 's'"},
		{"\ufeff{}", "", "not valid JSON"},
		{`{} {}`, "", "goes on after the JSON object"},
		{`{}]`, "", "goes on after the JSON object"},
		{"{\"service\":\"\xff\"}", "", "not valid UTF-8"},
		{strings.Repeat(`{"labels":`, 11000), "", "exceeded max depth"},
		{`{"service":7}`, "service", "must be a string, not number"},
		{`{"count":"7"}`, "count", "must be a whole number, not string"},
		{`{"count":1.5}`, "count", "must be a whole number, not number 1.5"},
		{`{"count":128}`, "count", "must be a whole number, not number 128"},
		{`{"size":-1}`, "size", "must be a whole number from 0 on, not number -1"},
		{`{"ratio":true}`, "ratio", "must be a number, not bool"},
		{`{"dryRun":"yes"}`, "dryRun", "must be true or false, not string"},
		{`{"weight":"x"}`, "weight", "must be a whole number, not string"},
		{`{"tags":{}}`, "tags", "must be an array, not object"},
		{`{"labels":[]}`, "labels", "must be an object, not array"},
		{`{"nested":{"deep":{"down":"x"}}}`, "Nested.Deep.Down", "must be a whole number, not string"},
		{`{"service":"a","at":"tomorrow"}`, "at", "must be a time as in RFC 3339, such as 2026-01-31T02:00:00Z: "},
		{`{"until":"tomorrow"}`, "until", "must be a time as in RFC 3339"},
		{`{"AT":7}`, "AT", "must be a valid value: "},
		{`{"sevrice":"a"}`, "sevrice", "is not known; accepted are Nested, at, count, dryRun, labels, ratio, service, size, tags, until, weight"},
		{`{"Hidden":"a"}`, "Hidden", "is not known; accepted are "},
		{`{"nested":{"up":1}}`, "up", "is not known"},
	} {
		p := DecodeJSON(jsonRequest(strings.NewReader(c.body)), &order{})
		switch {
		case p == nil || p.Status != 400 || !strings.Contains(p.Detail, c.detail):
			t.Errorf("%.40q: got %+v, want %q", c.body, p, c.detail)
		case c.field == "" && p.Errors != nil:
			t.Errorf("%.40q: got errors %v", c.body, p.Errors)
		case c.field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != c.field || p.Detail != c.field+" "+p.Errors[0].Detail):
			t.Errorf("%.40q: got %+v, want field %s", c.body, p, c.field)
		}
	}
}

func TestAContentTypeOtherThanJSONIs415(t *testing.T) {
	for _, h := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/json; charset", "application/problem+json"} {
		r := jsonRequest(strings.NewReader(`{}`))
		r.Header.Set("Content-Type", h)
		if p := DecodeJSON(r, &order{}); p == nil || p.Status != 415 || !strings.Contains(p.Detail, "application/json") {
			t.Errorf("%q: got %+v", h, p)
		}
	}
	r := jsonRequest(strings.NewReader(`{}`))
	r.Header.Set("Content-Encoding", "gzip")
	if p := DecodeJSON(r, &order{}); p == nil || p.Status != 415 {
		t.Errorf("gzip: got %+v", p)
	}
}

func TestABodyIsBoundedOutsideARouterToo(t *testing.T) {
	endless := io.LimitReader(spaces{}, 1<<40)
	if p := DecodeJSON(jsonRequest(endless), &order{}); p == nil || p.Status != 413 {
		t.Errorf("got %+v", p)
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestABrokenBodyIs400WithoutTheTransportsError(t *testing.T) {
	p := DecodeJSON(jsonRequest(iotest.ErrReader(io.ErrUnexpectedEOF)), &order{})
	if p == nil || p.Status != 400 || p.Detail != "the body could not be read to its end" {
		t.Errorf("got %+v", p)
	}
}

func TestDecodeJSONWantsAPointerToAStruct(t *testing.T) {
	for _, v := range []any{nil, order{}, new(int), &map[string]any{}} {
		if recovered(func() { DecodeJSON(jsonRequest(strings.NewReader(`{}`)), v) }) == nil {
			t.Errorf("%T: no panic", v)
		}
	}
}

func TestAProblemHasItsDefaultsAndKeepsHeaders(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Retry-After", "30")
	WriteProblem(w, httptest.NewRequest("GET", "/api/a%20b?code=x", nil), Problem{Errors: []FieldError{{"service", "must be a string"}}})
	want := `{"type":"about:blank","title":"Internal Server Error","status":500,"instance":"/api/a%20b","errors":[{"field":"service","detail":"must be a string"}]}` + "\n"
	if w.Code != 500 || w.Body.String() != want || w.Header().Get("Retry-After") != "30" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
	w = httptest.NewRecorder()
	full := Problem{Type: "urn:contoso:locked", Title: "Locked", Status: 409, Detail: "wait", Instance: "/api/operations/1"}
	WriteProblem(w, httptest.NewRequest("GET", "/", nil), full)
	if want := `{"type":"urn:contoso:locked","title":"Locked","status":409,"detail":"wait","instance":"/api/operations/1"}` + "\n"; w.Code != 409 || w.Body.String() != want {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestAProblemSaysMoreBesideItsOwnMembers(t *testing.T) {
	w := httptest.NewRecorder()
	WriteProblem(w, httptest.NewRequest("GET", "/", nil), Problem{Status: 409, Title: "Locked", Extra: map[string]any{"holder": "op-1", "plan": []int{1}}})
	if want := `{"type":"about:blank","title":"Locked","status":409,"instance":"/","holder":"op-1","plan":[1]}` + "\n"; w.Body.String() != want {
		t.Errorf("got %s", w.Body)
	}
	w = httptest.NewRecorder()
	if recovered(func() {
		WriteProblem(w, httptest.NewRequest("GET", "/", nil), Problem{Status: 409, Extra: map[string]any{"f": func() {}}})
	}) == nil || w.Body.Len() > 0 {
		t.Errorf("half an answer: %d %s", w.Code, w.Body)
	}
}

func TestAMemberIsGivenOnce(t *testing.T) {
	for body, field := range map[string]string{
		`{"service":"a","service":"b"}`:                                "service",
		`{"service":"a","SERVICE":"b"}`:                                "SERVICE",
		`{"nested":{"deep":{"down":1}},"nested":{}}`:                   "nested",
		`{"nested":{"deep":{"down":1,"down":2}}}`:                      "down",
		`{"service":"service","nested":{"deep":{"down":1}},"count":1}`: "",
	} {
		p := DecodeJSON(jsonRequest(strings.NewReader(body)), &order{})
		if field == "" && p != nil || field != "" && (p == nil || p.Status != 400 || len(p.Errors) != 1 || p.Errors[0].Field != field) {
			t.Errorf("%s: %+v", body, p)
		}
	}
	for text, want := range map[string]string{`{"a":["a","a",{"b":1}],"b":{"a":"b","b":"a"}}`: "", `[{"a":1},{"a":1}]`: "", `{"a":[{"x":[],"x":1}]}`: "x", `"a"`: "",
		"{\"kiss\":1,\"\u212ai\u017f\u017f\":2}": "\u212ai\u017f\u017f", `{"É":1,"é":2}`: "é", `{"ß":1,"ss":2,"s":3}`: ""} {
		if got := twice(json.NewDecoder(strings.NewReader(text))); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}
