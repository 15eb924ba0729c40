package funchost

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	envelopeHost = `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}}}`
	forwardHost  = `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"},"enableForwardingHttpRequest":true}}`
)

// httpFunction is a function.json with an http output.
func httpFunction(rest string) string {
	return `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req",` + rest + `},{"type":"http","direction":"out","name":"res"}]}`
}

const open = `"authLevel":"anonymous"`

func TestProxyingKeepsTheRequestAndTheAnswerAsTheyAre(t *testing.T) {
	root := stage(t, plainHost, map[string]string{"Backups": httpFunction(open + `,"route":"backups/{id?}"`)})
	var got seen
	r := runReady(t, Options{Root: root}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/hello" {
			return
		}
		raw, _ := io.ReadAll(req.Body)
		got = seen{req, string(raw)}
		w.Header().Set("Location", "/api/operations/1")
		reply(w, http.StatusTeapot, "")
	})
	res, body := r.send("PATCH", "/api/backups/7%2F8?a=1&a=2&b=;", "the body", "X-Custom", "kept", "X-Forwarded-For", "192.0.2.1",
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if res.StatusCode != http.StatusTeapot || res.Header.Get("Location") != "/api/operations/1" || body != "" {
		t.Errorf("answer %d %v %q", res.StatusCode, res.Header, body)
	}
	if got.Method != "PATCH" || got.RequestURI != "/api/backups/7%2F8?a=1&a=2&b=;" || got.body != "the body" || "http://"+got.Host != r.URL() {
		t.Errorf("%s %s on %s: %q", got.Method, got.RequestURI, got.Host, got.body)
	}
	if got.Header.Get("X-Custom") != "kept" || got.Header.Get("X-Forwarded-For") != "192.0.2.1" || !strings.HasPrefix(got.Header.Get("Traceparent"), "00-0af7651916") ||
		got.Header.Get("X-Azure-Functions-InvocationId") == "" || got.Header.Get("X-Azure-Functions-HostVersion") == "" {
		t.Errorf("headers %v", got.Header)
	}
	r.awaitCount(InvocationEnded, 1)
	if end := r.endsOf("Backups")[0]; end.Status != http.StatusTeapot || end.Err != nil {
		t.Errorf("event %+v", end)
	}
}

func TestProxyingStreamsBothWays(t *testing.T) {
	heard, more, all := make(chan string), make(chan struct{}), make(chan struct{})
	host := strings.Replace(plainHost, `"enableProxying`, `"enableForwardingHttpRequest":true,"enableProxying`, 1) // proxying comes first
	r := runReady(t, Options{Root: stage(t, host, map[string]string{"Echo": httpFunction(open)})}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/hello" {
			return
		}
		for lines := bufio.NewScanner(req.Body); lines.Scan(); {
			heard <- lines.Text()
		}
		w.Header().Set("Content-Length", "11") // a chunked answer is flushed anyhow
		for _, word := range []string{"three", "four"} {
			fmt.Fprintln(w, word)
			_ = http.NewResponseController(w).Flush()
			<-more
		}
	})
	in, out := io.Pipe()
	go func() {
		for _, word := range []string{"one", "two"} {
			_, _ = io.WriteString(out, word+"\n")
			if got := <-heard; got != word { // before the request has ended
				t.Errorf("the handler read %q, want %q", got, word)
			}
		}
		close(all)
		out.Close()
	}()
	res, err := http.Post(r.URL()+"/api/Echo", "text/plain", in)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer := bufio.NewReader(res.Body)
	for _, word := range []string{"three", "four"} {
		if line, err := answer.ReadString('\n'); err != nil || line != word+"\n" { // before the answer has ended
			t.Fatalf("%q, %v", line, err)
		}
		select {
		case <-all:
		default:
			t.Error("the answer came before the request was read")
		}
		more <- struct{}{}
	}
}

func TestTheLegacyForwardingLosesChunkedBodies(t *testing.T) {
	var rec recorder
	r := runReady(t, Options{Root: stage(t, forwardHost, map[string]string{"Backups": httpFunction(open)})}, rec.ServeHTTP)
	if res, _ := r.send("POST", "/api/Backups?x=1", "sized"); res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	if got := rec.last(t); got.body != "sized" || got.RequestURI != "/api/Backups?x=1" {
		t.Errorf("%s %q", got.RequestURI, got.body)
	}
	res, err := http.Post(r.URL()+"/api/Backups", "text/plain", io.MultiReader(strings.NewReader("chunked")))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := rec.last(t); got.body != "" || got.Header.Get("X-Azure-Functions-InvocationId") == "" {
		t.Errorf("%q", got.body)
	}
}

func TestWithoutProxyingOrWithoutAnOutputHTTPArrivesInTheEnvelope(t *testing.T) {
	var rec recorder
	triggerOnly := `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req",` + open + `}]}`
	for name, host := range map[string]string{"envelope host": envelopeHost, "proxying host": plainHost} {
		function := triggerOnly
		if host == envelopeHost {
			function = httpFunction(open + `,"route":"things/{kind}/{*rest}"`)
		} else {
			function = strings.Replace(function, open, open+`,"route":"things/{kind}/{*rest}"`, 1)
		}
		r := runReady(t, Options{Root: stage(t, host, map[string]string{"Things": function})}, rec.ServeHTTP)
		res, body := r.send("POST", "/api/things/red/a/b?x=1", `{"n":1}`, "Accept", "*/*", "User-Agent", "test", "Accept-Encoding", "identity", "Content-Type", "text/plain")
		if res.StatusCode != http.StatusNoContent || body != "" {
			t.Errorf("%s: an answer without an http output gave %d %q", name, res.StatusCode, body)
		}
		got := rec.last(t)
		if got.URL.Path != "/Things" {
			t.Errorf("%s: path %s", name, got.URL.Path)
		}
		sameJSON(t, got.body, `{"Data":{"req":{"Url":"`+r.URL()+`/api/things/red/a/b?x=1","Method":"POST","Query":{"x":"1"},
		  "Headers":{"Accept":["*/*"],"Accept-Encoding":["identity"],"Content-Length":["7"],"Content-Type":["text/plain"],
		  "Host":["`+strings.TrimPrefix(r.URL(), "http://")+`"],"User-Agent":["test"]},
		  "Params":{"kind":"red","rest":"a/b"},"Identities":[],"Body":"{\"n\":1}"}},
		  "Metadata":{"sys":{"MethodName":"Things","UtcNow":"now","RandGuid":"guid"},"kind":"\"red\"","rest":"\"a/b\""}}`)
		r.send("POST", "/api/things/red", "\xff\x00", "Content-Type", "application/octet-stream")
		if got := rec.last(t); !strings.Contains(got.body, `"Body":"/wA="`) {
			t.Errorf("%s: bytes: %s", name, got.body)
		}
		r.send("GET", "/api/things/red", "")
		if got := rec.last(t); strings.Contains(got.body, `"Body"`) {
			t.Errorf("%s: no body: %s", name, got.body)
		}
		if _, err := http.Post(r.URL()+"/api/things/red", "text/plain", io.MultiReader(strings.NewReader("chunked"))); err != nil {
			t.Fatal(err)
		}
		if got := rec.last(t); strings.Contains(got.body, `"Body"`) || !strings.Contains(got.body, `"rest":""`) {
			t.Errorf("%s: chunked request: %s", name, got.body)
		}
	}
}

func TestTheHTTPOutputBecomesTheResponseAndBase64IsDecoded(t *testing.T) {
	tests := []struct {
		name, output, dataType string
		status                 int
		kind, body             string
	}{
		{"status, headers and body", `{"statusCode":201,"headers":{"Content-Type":"text/x","X-N":7},"body":"made it"}`, "", 201, "text/x", "made it"},
		{"status as text", `{"status":"404","body":"gone!"}`, "", 404, "", "gone!"},
		{"no status", `{"body":"fine, thanks"}`, "", 200, "", "fine, thanks"},
		{"an object as body", `{"body":{"a":1}}`, "", 200, "application/json; charset=utf-8", `{"a":1}`},
		{"base64", `{"body":"aGVsbG8="}`, "", 200, "", "hello"},
		{"a word that happens to be base64", `{"body":"done"}`, "", 200, "", "v\x89\xde"},
		{"base64 under dataType binary", `{"body":"aGVsbG8="}`, "binary", 200, "", "aGVsbG8="},
		{"a bare string", `"hello!"`, "", 200, "", "hello!"},
		{"null", `null`, "", 204, "", ""},
	}
	functions := map[string]string{
		"Plain": httpFunction(open), "Return": strings.Replace(httpFunction(open), `"name":"res"`, `"name":"$return"`, 1),
		"Binary": strings.Replace(httpFunction(open), `"name":"res"`, `"name":"res","dataType":"binary"`, 1),
	}
	var answer string
	r := runReady(t, Options{Root: stage(t, envelopeHost, functions)}, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, answer) })
	for _, test := range tests {
		answer = `{"Outputs":{"res":` + test.output + `}}`
		path := "/api/Plain"
		if test.dataType != "" {
			path = "/api/Binary"
		}
		for range 2 {
			res, body := r.send("GET", path, "")
			if res.StatusCode != test.status || body != test.body || test.kind != "" && res.Header.Get("Content-Type") != test.kind {
				t.Errorf("%s (%s): %d %q %q", test.name, path, res.StatusCode, res.Header.Get("Content-Type"), body)
			}
			if test.dataType != "" {
				break
			}
			answer, path = `{"ReturnValue":`+test.output+`}`, "/api/Return"
		}
	}
}

func TestAFailedInvocationAnswers500AndAnUnreachableProxiedHandler502(t *testing.T) {
	var exit string
	for host, want := range map[string]int{envelopeHost: 500, plainHost: 502} {
		r := runReady(t, Options{Root: stage(t, host, map[string]string{"Fn": httpFunction(open)}), UnlimitedRestarts: true}, func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/hello" {
				w.Header().Set("X-Test-Exit", exit)
				reply(w, 503, "")
			}
		})
		exit = ""
		wantAnswer := 503
		if host == envelopeHost {
			wantAnswer = 500
		}
		if res, _ := r.send("GET", "/api/Fn", ""); res.StatusCode != wantAnswer {
			t.Errorf("answer 503: %d, want %d", res.StatusCode, wantAnswer)
		}
		exit = "9"
		if res, _ := r.send("GET", "/api/Fn", ""); res.StatusCode != want {
			t.Errorf("crash: %d, want %d", res.StatusCode, want)
		}
		r.awaitCount(InvocationEnded, 2)
		if ends := r.endsOf("Fn"); ends[1].Err == nil {
			t.Errorf("crash: %+v", ends[1])
		}
	}
}

func TestKeysOpenWhatTheyShould(t *testing.T) {
	functions := map[string]string{
		"Anonymous": httpFunction(open), "Default": httpFunction(`"methods":["get"]`), "Other": httpFunction(`"authLevel":"Function"`),
		"Admin": httpFunction(`"authLevel":"admin","route":"secret"`), "Nightly": minuteTimer,
	}
	o := Options{Root: stage(t, plainHost, functions), MasterKey: "master", HostKey: "host", FunctionKeys: map[string]string{"default": "own"}}
	r := runReady(t, o, fine)
	tests := []struct {
		path   string
		opened []string
	}{
		{"/api/Anonymous", []string{"", "wrong", "own", "host", "master"}},
		{"/api/Default", []string{"own", "host", "master"}},
		{"/api/Other", []string{"host", "master"}},
		{"/api/secret", []string{"master"}},
	}
	for _, test := range tests {
		for _, key := range []string{"", "wrong", "own", "host", "master"} {
			want := http.StatusUnauthorized
			for _, k := range test.opened {
				if k == key {
					want = http.StatusOK
				}
			}
			byHeader, _ := r.send("GET", test.path, "", "x-functions-key", key)
			byQuery, _ := r.send("GET", test.path+"?code="+key, "")
			if byHeader.StatusCode != want || byQuery.StatusCode != want {
				t.Errorf("%s with key %q: %d by header, %d by query, want %d", test.path, key, byHeader.StatusCode, byQuery.StatusCode, want)
			}
		}
	}
	noKeys := runReady(t, Options{Root: o.Root}, fine)
	if res, _ := noKeys.send("GET", "/api/Default?code=", ""); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("an empty key opens a function: %d", res.StatusCode)
	}
}

func TestBuiltInAuthenticationStandsBeforeTheKeys(t *testing.T) {
	var rec recorder
	r := runReady(t, Options{
		Root:      stage(t, plainHost, map[string]string{"Fn": httpFunction(open)}),
		Principal: func(token string) (string, bool) { return "principal of " + token, token == "good" },
	}, rec.ServeHTTP)
	if hello := strings.Join(r.greetings()[0].Env, "\n"); !strings.Contains(hello, "WEBSITE_AUTH_ENABLED=True") {
		t.Error("the handler does not know that it is on")
	}
	const forged = "X-Ms-Client-Principal-Id"
	for token, want := range map[string]int{"": 401, "Bearer bad": 401, "Bearer good": 200} {
		if res, _ := r.send("GET", "/api/Fn", "", "Authorization", token, "X-Ms-Client-Principal", "forged", forged, "forged"); res.StatusCode != want {
			t.Errorf("%q: %d, want %d", token, res.StatusCode, want)
		}
	}
	if got := rec.last(t); len(rec.list) != 1 || got.Header.Get("X-Ms-Client-Principal") != "principal of good" || got.Header.Get(forged) != "" {
		t.Errorf("%d calls, headers %v", len(rec.list), got.Header)
	}
}

func TestUnknownRoutesAndWrongMethodsAre404(t *testing.T) {
	functions := map[string]string{
		"List": httpFunction(open + `,"route":"operations/{id?}","methods":["get"]`), "Newest": httpFunction(open + `,"route":"operations/newest","methods":["get"]`),
		"Start": httpFunction(open + `,"route":"operations","methods":["post"]`), "Nightly": minuteTimer,
	}
	r := runReady(t, Options{Root: stage(t, plainHost, functions)}, fine)
	called := 0
	for request, want := range map[string]string{
		"GET /api/operations": "List", "GET /api/operations/7": "List", "GET /api/operations/newest": "Newest", "POST /api/operations": "Start",
		"POST /api/operations/7": "", "DELETE /api/operations": "", "GET /api/operations/7/x": "", "GET /api/Nightly": "", "POST /Nightly": "", "GET /operations": "",
	} {
		method, path, _ := strings.Cut(request, " ")
		res, _ := r.send(method, path, "")
		if want == "" {
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %d, want 404", request, res.StatusCode)
			}
			continue
		}
		called++
		r.awaitCount(InvocationEnded, called)
		if res.StatusCode != http.StatusOK || len(r.endsOf(want)) == 0 {
			t.Errorf("%s: %d, %s was not called", request, res.StatusCode, want)
		}
	}
	if n := len(r.endsOf("List")); n != 2 || r.count(InvocationStarted) != called {
		t.Errorf("List was called %d times, want 2; %d calls in all, want %d", n, r.count(InvocationStarted), called)
	}
	for _, path := range []string{"/", "/admin/host/ping"} {
		if res, _ := r.send("GET", path, ""); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

func TestTheRoutePrefixCanBeEmpty(t *testing.T) {
	host := strings.Replace(plainHost, `"customHandler"`, `"extensions":{"http":{"routePrefix":""}},"customHandler"`, 1)
	var rec recorder
	r := runReady(t, Options{Root: stage(t, host, map[string]string{"All": httpFunction(open + `,"route":"{*path}"`)})}, rec.ServeHTTP)
	if res, _ := r.send("GET", "/a/b", ""); res.StatusCode != http.StatusOK || rec.last(t).RequestURI != "/a/b" {
		t.Errorf("%d, %s", res.StatusCode, rec.last(t).RequestURI)
	}
}

func TestTheAdminEndpointFiresATimerOnce(t *testing.T) {
	functions := map[string]string{"Nightly": minuteTimer, "Http": httpFunction(open)}
	r := runReady(t, Options{Root: stage(t, plainHost, functions), MasterKey: "master", HostKey: "host"}, fine)
	for _, test := range []struct {
		name, key, body string
		want            int
	}{
		{"Nightly", "", `{}`, 401}, {"Nightly", "host", `{}`, 401}, {"Nobody", "master", `{}`, 404}, {"Nightly", "master", ``, 400},
		{"Http", "master", `{}`, 400}, {"nightly", "master", `{"input":"now"}`, 202},
	} {
		if res, _ := r.send("POST", "/admin/functions/"+test.name, test.body, "x-functions-key", test.key); res.StatusCode != test.want {
			t.Errorf("%+v: %d", test, res.StatusCode)
		}
	}
	r.awaitCount(InvocationEnded, 1)
	if n := r.count(InvocationStarted); n != 1 || r.endsOf("Nightly")[0].Err != nil {
		t.Errorf("%d invocations", n)
	}
}

func TestACallerWhoGoesAwayCancelsAProxiedRequestAlone(t *testing.T) {
	for _, host := range []string{plainHost, envelopeHost, forwardHost} {
		entered, release := make(chan struct{}), make(chan struct{})
		cancelled := make(chan bool, 1)
		r := runReady(t, Options{Root: stage(t, host, map[string]string{"Slow": httpFunction(open)})}, func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/hello" {
				return
			}
			close(entered)
			select {
			case <-release:
				cancelled <- false
			case <-req.Context().Done():
				cancelled <- true
			}
			reply(w, 200, `{}`)
		})
		gone := make(chan error, 1)
		client := &http.Client{Transport: &http.Transport{}}
		req, _ := http.NewRequest("GET", r.URL()+"/api/Slow", nil)
		ctx, leave := contextOf(t)
		go func() {
			res, err := client.Do(req.WithContext(ctx))
			if err == nil {
				res.Body.Close()
			}
			gone <- err
		}()
		<-entered
		leave()
		if err := <-gone; err == nil {
			t.Fatal("the caller got an answer")
		}
		client.CloseIdleConnections()
		if host != plainHost {
			time.Sleep(50 * time.Millisecond) // a cancellation would be there
			close(release)
		}
		r.awaitCount(InvocationEnded, 1)
		if end := r.endsOf("Slow")[0]; (end.Status == 200) != (host != plainHost) || host != forwardHost && end.Err != nil {
			t.Errorf("event %+v", end)
		}
		if got := <-cancelled; got != (host == plainHost) {
			t.Errorf("%s: the handler heard of it: %v", host, got)
		}
	}
}
