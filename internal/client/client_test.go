package client

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"apim-dr/handlers"
)

// app answers calls in turn; the last answer again and again.
type app struct {
	answers []func(*http.Request) (*http.Response, error)
	keys    []string
	at      []time.Duration // since the first
	began   time.Time
}

func (a *app) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(a.keys) == 0 {
		a.began = time.Now()
	}
	i := min(len(a.keys), len(a.answers)-1)
	a.keys = append(a.keys, r.Header.Get("Idempotency-Key"))
	a.at = append(a.at, time.Since(a.began))
	return a.answers[i](r)
}

func says(status int, kind, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		if kind != "" {
			h.Set("Content-Type", kind)
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

func fails(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

const (
	aJSON    = "application/json"
	aProblem = "application/problem+json"
)

var (
	fine    = says(202, aJSON, `{"id":"an-id","phase":"queued"}`, "Retry-After", "5")
	refused = &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	reset   = &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
)

func newClient(a *app) *Client {
	keys := 0
	return New(Options{URL: "https://contoso.azurewebsites.net", Key: "a-key", Transport: a, Now: time.Now, NewKey: func() string { keys++; return strings.Repeat("k", keys) }})
}

func TestALostCallIsSentAgainAsTheSameCall(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []func(*http.Request) (*http.Response, error)
		at      []time.Duration
	}{
		"no connection":   {[]func(*http.Request) (*http.Response, error){fails(refused), fails(refused), fine}, []time.Duration{0, time.Second, 3 * time.Second}},
		"answer lost":     {[]func(*http.Request) (*http.Response, error){fails(reset), fine}, []time.Duration{0, time.Second}},
		"starting":        {[]func(*http.Request) (*http.Response, error){says(503, "text/html", "<html>"), says(502, "", ""), says(504, "", ""), fine}, []time.Duration{0, 1e9, 3e9, 7e9}},
		"asks for a rest": {[]func(*http.Request) (*http.Response, error){says(503, aProblem, `{"title":"t"}`, "Retry-After", "60"), fine}, []time.Duration{0, time.Minute}},
		"throttled":       {[]func(*http.Request) (*http.Response, error){says(429, aProblem, `{}`, "Retry-After", "7"), fine}, []time.Duration{0, 7 * time.Second}},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &app{answers: tc.answers}
			var op Operation
			answer, err := newClient(a).Do(t.Context(), StartBackup(Body{Service: "contoso-eu"}), &op)
			if err != nil || op.ID != "an-id" || answer.RetryAfter != 5*time.Second {
				t.Errorf("%s: %+v, %v", name, answer, err)
			}
			for i := range max(len(a.at), len(tc.at)) {
				if len(a.at) != len(tc.at) || a.at[i] != tc.at[i] || a.keys[i] != "k" {
					t.Fatalf("%s: sent at %v with the keys %q, want at %v", name, a.at, a.keys, tc.at)
				}
			}
		})
	}
}

func TestWhatIsDecidedIsNotAskedAgain(t *testing.T) {
	for _, answer := range []func(*http.Request) (*http.Response, error){
		says(400, aProblem, `{"title":"The request is not valid","errors":[{"field":"until","detail":"accepted: a time"}]}`), says(401, "", ""), says(403, "text/html", "x"), says(404, aProblem, `{}`),
		says(409, aProblem, `{}`), says(422, aProblem, `{}`), says(500, aProblem, `{}`), fails(&net.DNSError{IsNotFound: true}),
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &app{answers: []func(*http.Request) (*http.Response, error){answer}}
			if _, err := newClient(a).Do(t.Context(), StartBackup(Body{}), nil); err == nil || len(a.keys) != 1 {
				t.Errorf("%v after %d calls", err, len(a.keys))
			}
		})
	}
}

func TestNobodyWaitsForEver(t *testing.T) {
	for name, tc := range map[string]struct {
		last  func(*http.Request) (*http.Response, error)
		heard bool
	}{
		"no connection": {fails(refused), false}, "no answer": {fails(reset), true}, "away": {says(503, "", ""), true}, "for an hour": {says(503, aProblem, `{}`, "Retry-After", "3600"), true},
		"silent": {func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			a := &app{answers: []func(*http.Request) (*http.Response, error){tc.last}}
			_, err := newClient(a).Do(t.Context(), StartBackup(Body{}), nil)
			if took := time.Since(began); err == nil || took > retryFor+within || Perhaps(err) != tc.heard {
				t.Errorf("%s: %v after %v, perhaps begun: %v", name, err, took, Perhaps(err))
			}
		})
	}
	// The first call may have been taken: that the others were not says nothing of it.
	throttled := says(429, aProblem, `{}`)
	for name, answers := range map[string][]func(*http.Request) (*http.Response, error){
		"lost, then no connection": {fails(reset), fails(refused)}, "away, then no connection": {says(502, "", ""), fails(refused)}, "lost, then throttled": {fails(reset), throttled},
	} {
		synctest.Test(t, func(t *testing.T) {
			if _, err := newClient(&app{answers: answers}).Do(t.Context(), StartBackup(Body{}), nil); !Perhaps(err) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		if _, err := newClient(&app{answers: []func(*http.Request) (*http.Response, error){throttled}}).Do(t.Context(), StartBackup(Body{}), nil); err == nil || Perhaps(err) {
			t.Errorf("throttled from the first call on: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(90*time.Millisecond, cancel)
		began := time.Now()
		_, err := newClient(&app{answers: []func(*http.Request) (*http.Response, error){fails(reset)}}).Do(ctx, StartBackup(Body{}), nil)
		if !errors.Is(err, context.Canceled) || !Perhaps(err) || time.Since(began) != 90*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestARefusalIsToldWhole(t *testing.T) {
	for body, want := range map[string]string{
		`{"title":"The request is not valid","detail":"Correct what errors names.","errors":[{"field":"until","detail":"accepted: a time"},{"field":"reason","detail":"is missing"}]}`: "400 The request is not valid\nCorrect what errors names.\n  until: accepted: a time\n  reason: is missing",
		`{"title":"The plan does not pass its checks","operation":"an-id","plan":{"kind":"failover"}}`:                                                                                 "400 The plan does not pass its checks\nIt is recorded as operation an-id.",
		`"what"`: "400 Bad Request\n\"what\"",
	} {
		a := &app{answers: []func(*http.Request) (*http.Response, error){says(400, aProblem, body)}}
		if _, err := newClient(a).Do(t.Context(), GetStatus(), nil); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestAnAnswerThatIsNotOursIsToldAsThat(t *testing.T) {
	page := "<!DOCTYPE html><html><head><title>Azure &amp; you</title></head>" + strings.Repeat("x", 1000)
	for want, answer := range map[string]func(*http.Request) (*http.Response, error){
		`not apim-dr: 200 text/html: "Azure & you"`:                        says(200, "text/html", page),
		`not apim-dr: 404 text/plain: "404 page not found"`:                says(404, "text/plain", "404 page not found\n"),
		`not apim-dr: 302, and sends callers to https://login.example.com`: says(302, "", "", "Location", "https://login.example.com/x?key"),
		`not apim-dr: 200 application/json: "[]"`:                          says(200, aJSON, "[]"),
		`not apim-dr: 200 application/json: "{\"at\":"`:                    says(200, aJSON, `{"at":`),
		`not apim-dr: 404`: says(404, "", ""),
		`not apim-dr: 200 text/html: "` + strings.Repeat("y", firstWords) + `…`: says(200, "text/html", strings.Repeat("y", 1000)),
	} {
		a := &app{answers: []func(*http.Request) (*http.Response, error){answer}}
		_, err := newClient(a).Do(t.Context(), GetStatus(), &Status{})
		if _, ok := errors.AsType[*Foreign](err); !ok || !strings.Contains(err.Error(), want) || len(a.keys) != 1 {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestTheKeyGoesNowhereElse(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Error("the redirection was followed, with", r.Header) }))
	defer elsewhere.Close()
	var got http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	token := func(context.Context) (string, error) { return "a-token", nil }
	_, err := New(Options{URL: s.URL, Key: "a-key", Token: token, Now: time.Now, NewKey: func() string { return "k" }}).Do(t.Context(), StartBackup(Body{}), nil)
	if err == nil || got.Get("X-Functions-Key") != "a-key" || got.Get("Authorization") != "Bearer a-token" {
		t.Errorf("%v, sent %v", err, got)
	}
}

func TestWithoutATokenNothingIsSent(t *testing.T) {
	a, no := &app{answers: []func(*http.Request) (*http.Response, error){fine}}, errors.New("no login")
	c := New(Options{URL: "https://contoso.azurewebsites.net", Token: func(context.Context) (string, error) { return "", no }, Transport: a, Now: time.Now, NewKey: func() string { return "k" }})
	if _, err := c.Do(t.Context(), GetStatus(), nil); !errors.Is(err, no) || len(a.keys) != 0 || Passing(err) || Perhaps(err) {
		t.Errorf("%v after %d calls", err, len(a.keys))
	}
}

func TestNamesAreOneSegmentOfThePath(t *testing.T) {
	a := &app{answers: []func(*http.Request) (*http.Response, error){func(r *http.Request) (*http.Response, error) {
		if got, want := r.URL.EscapedPath(), "/api/operations/a%2F..%2Fb%3Fc"; got != want || r.URL.RawQuery != "" {
			t.Errorf("%s?%s, want %s", got, r.URL.RawQuery, want)
		}
		return fine(r)
	}}}
	if _, err := newClient(a).Look(t.Context(), GetOperation("a/../b?c"), nil); err != nil {
		t.Error(err)
	}
}

// The client has a call for each function over HTTP, under its name.
func TestTheCallsAreThoseOfTheApp(t *testing.T) {
	calls := map[string]Call{}
	for _, c := range []Call{
		StartBackup(Body{}), StartRestore(Body{}), StartFailover(Body{}), StartDrill(Body{}), AbandonOperation("x", Body{}), RearmService("x", Body{}), HoldService("x", Body{}), ReleaseService("x", Body{}),
		GetServiceBusy("x"), GetStatus(), GetOperation("x"), ListInFlight(), ListRecoveryPoints("x", true), GetNotCovered("x"),
	} {
		calls[c.Function] = c
	}
	mux := http.NewServeMux()
	for _, f := range new(handlers.App).Table() {
		if f.HTTP != nil {
			mux.HandleFunc(f.Pattern, func(http.ResponseWriter, *http.Request) {})
		}
	}
	for _, f := range new(handlers.App).Table() {
		if f.HTTP == nil || f.Name == "GetDashboard" || f.Name == "GetOpenAPI" { // for a browser, and for programs
			continue
		}
		call, ok := calls[f.Name]
		if !ok {
			t.Errorf("no call of %s", f.Name)
			continue
		}
		a := &app{answers: []func(*http.Request) (*http.Response, error){func(r *http.Request) (*http.Response, error) {
			if _, pattern := mux.Handler(r); pattern != f.Pattern {
				t.Errorf("%s is called as %s %s, want %s", f.Name, r.Method, r.URL.Path, f.Pattern)
			}
			return fine(r)
		}}}
		if _, err := newClient(a).Look(t.Context(), call, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestWhoeverIsNotTrustedHearsNothing(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a call came through") }))
	defer s.Close()
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	asked := 0
	c := New(Options{URL: s.URL, Key: "a-key", Now: time.Now, NewKey: func() string { return "k" }, Say: func(string) { asked++ }})
	if _, err := c.Do(t.Context(), StartBackup(Body{}), nil); err == nil || asked > 0 || Perhaps(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v, asked again %d times", err, asked)
	}
}
