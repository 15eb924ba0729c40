package apicheck

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

const description = `{"openapi":"3.1.0","paths":{"/api/things/{name}":{"put":{
	"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Wish"}}}},
	"responses":{
		"202":{"headers":{"Location":{"required":true}},"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Thing"}}}},
		"204":{},
		"404":{"$ref":"#/components/responses/404"}}}}},
	"components":{
		"responses":{"404":{"content":{"application/problem+json":{"schema":{"$ref":"#/components/schemas/Problem"}}}}},
		"schemas":{
			"Wish":{"type":"object","properties":{"reason":{"type":"string"}},"required":["reason"]},
			"Thing":{"type":"object","properties":{"at":{"type":"string","format":"date-time"},"parts":{"type":"array","items":{"type":"object","properties":{"n":{"type":"integer"}}}}}},
			"Problem":{"type":"object","properties":{"title":{"type":"string"}},"required":["title"]}}}}`

// thing is an exchange that is as described.
func thing(change func(*Exchange)) Exchange {
	x := Exchange{
		Method: http.MethodPut, Path: "/api/things/a", Sent: []byte(`{"reason":"why","ticket":null}`), Status: 202,
		Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Location": {"/api/operations/x"}}, Body: []byte(`{"at":"2026-01-31T11:02:00Z","parts":[{"n":1}]}`),
	}
	change(&x)
	return x
}

func TestWhatIsNotAsDescribedIsTold(t *testing.T) {
	problem := func(status int, body string) func(*Exchange) {
		return func(x *Exchange) {
			x.Status, x.Body, x.Header = status, []byte(body), http.Header{"Content-Type": {"application/problem+json"}}
		}
	}
	for name, tc := range map[string]struct {
		change func(*Exchange)
		says   string // empty: nothing is wrong
	}{
		"as described":          {func(*Exchange) {}, ""},
		"an error":              {problem(404, `{"title":"no"}`), ""},
		"no body":               {func(x *Exchange) { x.Status, x.Body, x.Header = 204, nil, nil }, ""},
		"no key, of the host":   {func(x *Exchange) { x.Status, x.Body, x.Header = 401, nil, nil }, "no answer with status 401"},
		"no such path":          {func(x *Exchange) { x.Path, x.Status = "/api/else", 404 }, ""},
		"a path without a word": {func(x *Exchange) { x.Path = "/api/else" }, "is not described"},
		"two segments":          {func(x *Exchange) { x.Path = "/api/things/a/b" }, "is not described"},
		"another status":        {func(x *Exchange) { x.Status = 200 }, "no answer with status 200"},
		"without a header":      {func(x *Exchange) { x.Header.Del("Location") }, "without Location"},
		"another type":          {func(x *Exchange) { x.Header.Set("Content-Type", "text/html") }, `"text/html" is not described`},
		"a member too many":     {func(x *Exchange) { x.Body = []byte(`{"parts":[{"n":1,"m":2}]}`) }, "'m' not allowed"},
		"no time":               {func(x *Exchange) { x.Body = []byte(`{"at":"31/01/2026"}`) }, "date-time"},
		"an error too short":    {problem(404, `{}`), "'title'"},
		"a body that is taken":  {func(x *Exchange) { x.Sent = []byte(`{"reason":"why","more":1}`) }, "was accepted"},
	} {
		c, err := New([]byte(description))
		if err != nil {
			t.Fatal(err)
		}
		switch err := c.Check(thing(tc.change)); {
		case tc.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
			t.Errorf("%s: %v, want %s", name, err, tc.says)
		}
	}
}

func TestWhatNoExchangeHadIsMissing(t *testing.T) {
	c, err := New([]byte(description))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(thing(func(*Exchange) {})); err != nil {
		t.Error(err)
	}
	if got, want := c.Missing(), []string{"PUT /api/things/{name} 204 ", "PUT /api/things/{name} 404 application/problem+json"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// What is made up by a test need not be whole, but for what says no.
func TestAroundABodyItIsHeldToTheSame(t *testing.T) {
	c, err := New([]byte(description))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckAround(thing(func(x *Exchange) { x.Body = []byte(`{"m":2}`) })); err != nil {
		t.Error(err)
	}
	if err := c.CheckAround(thing(func(x *Exchange) { x.Header.Del("Location") })); err == nil {
		t.Error("passes without Location")
	}
}
