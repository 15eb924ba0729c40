package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/engine"
)

// bad is what was tried over HTTP, by its name in docs/security.md, and the status that it gets.
var bad = map[string]struct {
	method, target, body string
	header               []string
	err                  error // of the engine, where it is what knows
	status               int
	says                 string
}{
	"a body over 64 KiB":                         {http.MethodPost, "/api/backups", `{"service":"a","reason":"` + strings.Repeat("x", 70_000) + `"}`, nil, nil, 413, "larger than"},
	"10,000 brackets, one in the other":          {http.MethodPost, "/api/backups", `{"service":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `}`, nil, nil, 400, "not valid JSON"},
	"another type":                               {http.MethodPost, "/api/failovers", `{"primary":["a"]}`, nil, nil, 400, "must be a string"},
	"an unknown field":                           {http.MethodPost, "/api/failovers", `{"primary":"a","force":true}`, nil, nil, 400, "is not known"},
	"a field twice":                              {http.MethodPost, "/api/failovers", `{"primary":"a","confirm":"b","Confirm":"c"}`, nil, nil, 400, "given twice"},
	"no object, two objects, nothing":            {http.MethodPost, "/api/backups", `{"service":"a"}{"service":"b"}`, nil, nil, 400, "one object and nothing else"},
	"invalid UTF-8":                              {http.MethodPost, "/api/backups", "{\"service\":\"a\xff\"}", nil, nil, 400, "UTF-8"},
	"another Content-Type":                       {http.MethodPost, "/api/backups", `service=a`, []string{"Content-Type", "application/x-www-form-urlencoded"}, nil, 415, "application/json"},
	"a huge number":                              {http.MethodGet, "/api/operations?limit=99999999999999999999", "", nil, nil, 400, "1 to 200"},
	"CR and LF in a name":                        {http.MethodPost, "/api/backups", `{"service":"a\r\nSet-Cookie: x"}`, nil, nil, 400, "service"},
	"CR and LF in a reason":                      {http.MethodPost, "/api/backups", `{"service":"a","reason":"x\r\n2026 INFO forged"}`, nil, nil, 400, "one line"},
	"invisible letters in a reason":              {http.MethodPost, "/api/backups", `{"service":"a","reason":"done\u2028forged"}`, nil, nil, 400, "invisible"},
	"a letter that looks like another":           {http.MethodPost, "/api/backups", `{"service":"cоntoso-eu"}`, nil, nil, 400, "service"},
	"a service that is not in the fleet":         {http.MethodPost, "/api/backups", `{"service":"somebody-elses"}`, nil, engine.ErrUnknownService, 404, "Unknown service"},
	"a path in a name":                           {http.MethodPost, "/api/backups", `{"service":"../../locks/contoso-eu"}`, nil, engine.ErrUnknownService, 404, "Unknown service"},
	"a path in the URL":                          {http.MethodPost, "/api/services/..%2f..%2flocks/rearm", `{"active":"a"}`, nil, engine.ErrUnknownService, 404, "Unknown service"},
	"NUL in the URL":                             {http.MethodPost, "/api/services/a%00/rearm", `{"active":"a"}`, nil, nil, 400, "name"},
	"an id that is none":                         {http.MethodGet, "/api/operations/..%2F..%2Fquarantine%2Fx", "", nil, nil, 404, "No such operation"},
	"a cursor that is none":                      {http.MethodGet, "/api/operations?after=a%0Ab", "", nil, nil, 400, "nextLink"},
	"an unknown or misspelt query":               {http.MethodGet, "/api/operations?inflight=true", "", nil, nil, 400, "not known"},
	"a query where the body is meant":            {http.MethodPost, "/api/failovers?dryRun=true", `{"primary":"a","confirm":"b"}`, nil, nil, 400, "goes into the body"},
	"a query twice, or one that is not encoded":  {http.MethodGet, "/api/recovery-points?service=a&service=b", "", nil, nil, 400, "given twice"},
	"two Idempotency-Keys, or one of 256 bytes":  {http.MethodPost, "/api/backups", `{"service":"a"}`, []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, nil, 400, "Idempotency-Key"},
	"a body that looks like the host's envelope": {http.MethodPost, "/api/backups", `{"Data":{"req":{"Body":"{\"service\":\"a\"}"}},"Metadata":{"sys":{"MethodName":"StartFailover"}}}`, nil, nil, 400, "is not known"},
	"a wrong method":                             {http.MethodDelete, "/api/services/contoso-eu/hold", "", nil, nil, 405, "accepts"},
}

// Each is refused with a status and a reason, and nothing is asked of the engine that is not in the fleet.
func TestBadInputOverHTTP(t *testing.T) {
	for name, tc := range bad {
		r := &recorder{err: tc.err}
		w := r.with(tc.method, tc.target, tc.body, tc.header)
		if !isProblem(w, tc.status) || !strings.Contains(w.Body.String(), tc.says) || tc.err == nil && len(r.calls) > 0 {
			t.Errorf("%s: %d %s, calls %q", name, w.Code, w.Body, r.calls)
		}
	}
}

// with is call with headers of the caller's own.
func (r *recorder) with(method, target, body string, header []string) *httptest.ResponseRecorder {
	router := customhandler.NewRouter(customhandler.Options{Log: app(r).Log})
	app(r).Register(router)
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		if name := header[i]; name == "Content-Type" {
			req.Header.Set(name, header[i+1])
		} else {
			req.Header.Add(name, header[i+1])
		}
	}
	w := httptest.NewRecorder()
	serve(router, w, req)
	return w
}

// The document has what is tried here, and says what it gets.
func TestTheDocumentTellsWhatBadInputGets(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Bad input\n")
	_, table, _ = strings.Cut(table, "| over HTTP |")
	table, _, _ = strings.Cut(table, "\n\n")
	told := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (.+?) \| (\d{3})`).FindAllStringSubmatch(table, -1) {
		told[m[1]] = m[2]
	}
	for name, tc := range bad {
		if told[name] != fmt.Sprint(tc.status) {
			t.Errorf("%q gets %d, the document says %q", name, tc.status, told[name])
		}
		delete(told, name)
	}
	if len(told) > 0 {
		t.Errorf("nobody tries %v", told)
	}
}

// FuzzCall: whatever is called, the answer is ours: JSON, the page, or a problem with a reason; never a 500, and nothing unprintable reaches the engine.
func FuzzCall(f *testing.F) {
	for _, tc := range bad {
		if len(tc.body) < 1000 {
			f.Add(tc.method, tc.target, []byte(tc.body))
		}
	}
	for _, fn := range (&App{}).Table() {
		if fn.HTTP != nil {
			method, path, _ := strings.Cut(fn.Pattern, " ")
			f.Add(method, strings.NewReplacer("{id}", restoreID, "{name}", "contoso-eu").Replace(path), []byte(`{"service":"a","primary":"a","active":"a","until":"2026-01-31T05:00:00Z","reason":"x"}`))
		}
	}
	f.Fuzz(func(t *testing.T, method, target string, body []byte) {
		req, err := http.NewRequest(method, "http://127.0.0.1"+target, bytes.NewReader(body))
		if err != nil || req.URL.Host != "127.0.0.1" || !strings.HasPrefix(req.URL.Path, "/api/") { // the host calls the others, with an envelope
			return
		}
		req.Header.Set("Content-Type", "application/json")
		r := &recorder{op: restoring(), recovery: engine.Recovery{Operation: restoring()}}
		router := customhandler.NewRouter(customhandler.Options{Log: app(r).Log})
		app(r).Register(router)
		w := httptest.NewRecorder()
		serve(router, w, req)
		if w.Code >= 500 {
			t.Fatalf("%s %q %q: %d %s", method, target, body, w.Code, w.Body)
		}
		page := strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") && req.URL.Path == "/api/dashboard"
		if w.Code != 204 && w.Body.Len() > 0 && !page && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %q: no JSON: %q", method, target, w.Body)
		}
		for _, name := range []string{r.asked.Service, r.asked.From, r.asked.Target, r.asked.Confirm, r.asked.Point} {
			if strings.ContainsFunc(name, unprintable) {
				t.Errorf("%q got through", name)
			}
		}
		for _, text := range []string{r.asked.Reason, r.asked.Ticket, r.asked.RequestedBy} {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, deceives) {
				t.Errorf("%q got through", text)
			}
		}
	})
}

// FuzzQueue: whatever a message holds, it becomes one call of the engine, or it is kept in quarantine, as it was; never nothing.
func FuzzQueue(f *testing.F) {
	for _, body := range []string{"", "nonsense", "null", "{}", `{"v":2}`, `{"v":1,"id":"` + restoreID + `"}`, `{"v":1,"tick":{"plan":"nightly","at":"2026-01-05T03:00:00Z"}}`,
		`{"v":1,"id":"../../x"}`, `{"v":1,"id":"` + restoreID + `","location":"http://evil.example\r\n"}`, `{"v":1,"id":"` + restoreID + `","tick":{}}`, strings.Repeat("[", 20_000)} {
		f.Add([]byte(body), false)
		f.Add([]byte(body), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, dead bool) {
		r := &recorder{}
		handle := app(r).runOperation
		if dead {
			handle = app(r).deadLetter
		}
		if err := handle(t.Context(), customhandler.MessageInvocation{Body: body, MessageID: "m"}); err != nil {
			t.Fatal(err)
		}
		if len(r.calls) != 1 || strings.HasPrefix(r.calls[0], "quarantine") && r.calls[0] != "quarantine "+string(body) {
			t.Errorf("%q, dead %v: %q", body, dead, r.calls)
		}
	})
}
