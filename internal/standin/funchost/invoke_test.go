package funchost

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// seen is a request as the handler got it.
type seen struct {
	*http.Request
	body string
}

// recorder answers everything with {} and keeps what came.
type recorder struct {
	mu   sync.Mutex
	list []seen
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	if r.URL.Path != "/hello" {
		rec.mu.Lock()
		rec.list = append(rec.list, seen{r, string(raw)})
		rec.mu.Unlock()
	}
	reply(w, http.StatusOK, `{}`)
}

func (rec *recorder) last(t *testing.T) seen {
	t.Helper()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.list) == 0 {
		t.Fatal("the handler was not called")
	}
	return rec.list[len(rec.list)-1]
}

// sameJSON compares with what varies replaced.
func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	for pattern, with := range map[string]string{
		`"UtcNow":"[^"]*Z"`: `"UtcNow":"now"`, `"RandGuid":"[0-9a-f-]{36}"`: `"RandGuid":"guid"`,
	} {
		got = regexp.MustCompile(pattern).ReplaceAllString(got, with)
	}
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestATimerArrivesInTheCapturedEnvelope(t *testing.T) {
	var rec recorder
	r := runReady(t, Options{Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer})}, rec.ServeHTTP)
	if err := r.Invoke(t.Context(), "nightly"); err != nil {
		t.Fatal(err)
	}
	got := rec.last(t)
	sameJSON(t, got.body, `{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},
	  "Metadata":{"sys":{"MethodName":"Nightly","UtcNow":"now","RandGuid":"guid"}}}`)
	if got.Method != http.MethodPost || got.URL.Path != "/Nightly" || !slices.Equal(got.TransferEncoding, []string{"chunked"}) {
		t.Errorf("%s %s %v", got.Method, got.URL, got.TransferEncoding)
	}
	for name, pattern := range map[string]string{
		"Content-Type": `^application/json; charset=utf-8$`, "User-Agent": `^Azure-Functions-Host/`, "Traceparent": `^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`,
		"X-Azure-Functions-InvocationId": `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, "X-Azure-Functions-HostVersion": `.`,
	} {
		if !regexp.MustCompile(pattern).MatchString(got.Header.Get(name)) {
			t.Errorf("%s: %q", name, got.Header.Get(name))
		}
	}
	end := r.endsOf("Nightly")[0]
	if end.InvocationID != got.Header.Get("X-Azure-Functions-InvocationId") || end.Status != 200 || end.Err != nil {
		t.Errorf("event %+v", end)
	}
}

func TestAnAnswerCountsOnlyWith2xxAndJSON(t *testing.T) {
	body := `{"Outputs":{},"Logs":["a line"],"ReturnValue":null}`
	tests := []struct {
		name, kind, body string
		status           int
		fails, logs      bool
	}{
		{"200", "application/json", body, 200, false, true},
		{"202", "application/json; charset=utf-8", body, 202, false, true},
		{"an empty object", "application/json", `{}`, 200, false, false},
		{"500 discards the logs", "application/json", body, 500, true, false},
		{"404", "application/json", body, 404, true, false},
		{"a redirect", "application/json", body, 302, true, false},
		{"plain text", "text/plain", body, 200, true, false},
		{"another kind of JSON", "application/problem+json", body, 200, true, false},
		{"no JSON", "application/json", `ok`, 200, true, false},
		{"wrong shape", "application/json", `{"Logs":"one"}`, 200, true, false},
	}
	var now struct{ kind, body string }
	var status int
	r := runReady(t, Options{Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer})}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/hello" {
			return
		}
		w.Header().Set("Content-Type", now.kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, now.body)
	})
	for i, test := range tests {
		now.kind, now.body, status = test.kind, test.body, test.status
		before := len(r.output())
		err := r.Invoke(t.Context(), "Nightly")
		event := r.endsOf("Nightly")[i]
		if (err != nil) != test.fails || event.Status != test.status || (len(event.Logs) == 1) != test.logs || (len(r.output()) > before) != test.logs {
			t.Errorf("%s: error %v, event %+v, lines %q", test.name, err, event, r.output()[before:])
		}
	}
}

func TestAnEmptyOrNullAnswerHangsUntilTheTimeoutWhichRestartsTheHandlerUnderItsSiblings(t *testing.T) {
	for _, body := range []string{"", "null", " \n"} {
		t.Run("body "+body, func(t *testing.T) {
			t.Parallel()
			root := stage(t, plainHost, map[string]string{"Hang": minuteTimer, "Sibling": minuteTimer})
			answered := make(chan struct{})
			r := runReady(t, Options{Root: root, FunctionTimeout: 2 * time.Second}, func(w http.ResponseWriter, req *http.Request) {
				switch req.URL.Path {
				case "/Hang":
					reply(w, http.StatusOK, body)
					close(answered)
				case "/Sibling":
					<-req.Context().Done()
				}
			})
			hang, sibling := make(chan error, 1), make(chan error, 1)
			begun := time.Now()
			go func() { hang <- r.Invoke(t.Context(), "Hang") }()
			<-answered
			time.AfterFunc(600*time.Millisecond, func() { sibling <- r.Invoke(t.Context(), "Sibling") })
			if err := <-hang; !errors.Is(err, ErrTimeout) {
				t.Errorf("the hanging invocation: %v", err)
			}
			if took := time.Since(begun); took < 2*time.Second {
				t.Errorf("it ended after %s", took)
			}
			if err := <-sibling; err == nil || errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "invoke Sibling") {
				t.Errorf("the sibling: %v", err)
			}
			r.awaitCount(ProcessReady, 2)
		})
	}
}

// The answer has begun, so that its caller sees it break off.
func TestATimeoutInTheMiddleOfAProxiedAnswerRestartsTheHandlerToo(t *testing.T) {
	t.Parallel()
	r := runReady(t, Options{Root: stage(t, plainHost, map[string]string{"Slow": httpFunction(open)}), FunctionTimeout: 300 * time.Millisecond},
		func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/api/Slow" {
				_, _ = io.WriteString(w, "begun")
				_ = http.NewResponseController(w).Flush()
				<-req.Context().Done()
			}
		})
	res, err := http.Get(r.URL() + "/api/Slow")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil || string(body) != "begun" {
		t.Errorf("%q, error %v", body, err)
	}
	r.awaitCount(ProcessReady, 2)
	if end := r.endsOf("Slow")[0]; !errors.Is(end.Err, ErrTimeout) {
		t.Errorf("event %+v", end)
	}
}

func TestTimeoutsAreNotCountedAsCrashes(t *testing.T) {
	t.Parallel()
	r := runReady(t, Options{Root: stage(t, plainHost, map[string]string{"Hang": minuteTimer}), FunctionTimeout: 150 * time.Millisecond},
		func(http.ResponseWriter, *http.Request) {})
	for n := range 4 {
		// While the handler restarts the timeout may be over before it is ready.
		if err := r.Invoke(t.Context(), "Hang"); !errors.Is(err, ErrTimeout) {
			t.Fatal(err)
		}
		r.awaitCount(ProcessReady, n+2)
	}
}

func TestTheHostEndsRunningInvocations(t *testing.T) {
	functions := map[string]string{"Slow": minuteTimer, "Hang": minuteTimer, "Http": httpFunction(open)}
	answering := make(chan struct{}, 3)
	r := runReady(t, Options{Root: stage(t, envelopeHost, functions)}, func(_ http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/hello" {
			return
		}
		answering <- struct{}{}
		if req.URL.Path == "/Slow" {
			<-req.Context().Done()
		} // the others answer nothing and hang
	})
	done := make(chan error, 3)
	for _, name := range []string{"Slow", "Hang"} {
		go func() { done <- r.Invoke(t.Context(), name) }()
	}
	go func() {
		res, err := http.Get(r.URL() + "/api/Http")
		if err == nil && res.StatusCode >= 500 {
			err = errors.New(res.Status)
		}
		done <- err
	}()
	for range 3 {
		<-answering
	}
	r.cancel()
	for range 3 {
		select {
		case err := <-done:
			if err == nil {
				t.Error("an invocation succeeded")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("an invocation outlives the host")
		}
	}
}
