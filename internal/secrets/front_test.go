package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
)

// lie is how a request to ARM is answered with all that ARM was sent.
type lie struct {
	method, path string // of the requests; path is a part of it
	status       int
	page         bool // a proxy's page instead of ARM's error
	header       http.Header
	times        int
}

// armFront stands before the stand-in of ARM.
type armFront struct {
	mu   sync.Mutex
	lies []*lie
	told map[string]int // lies, by path
	sent string         // the body of the last POST
}

func (f *armFront) lieOnce(l lie) { l.times = 1; f.lie(l) }

func (f *armFront) lie(l lie) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lies = append(f.lies, &l)
}

// honest ends all lies and tells how many were told.
func (f *armFront) honest() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, told := range f.told {
		n += told
	}
	f.lies = nil
	return n
}

func (f *armFront) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	<-started
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	// The token in its header and the storage key in its field are where they belong; there is nothing of them elsewhere.
	authorization := r.Header.Get("Authorization")
	if token, ok := strings.CutPrefix(authorization, "Bearer "); ok {
		heard.secret("signature of a token for ARM", token[strings.LastIndex(token, ".")+1:])
	}
	rest := r.Header.Clone()
	rest.Del("Authorization")
	heard.tell("a request to ARM", fmt.Sprintf("%s %s %v %s", r.Method, r.URL, rest, withoutKey(body)))
	if l, ok := f.take(r, body); ok {
		answerWith(w, l, f.everything(authorization))
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	stack.ARM.ServeHTTP(w, r)
}

// withoutKey is a body without the field for the storage key, if that holds the key.
func withoutKey(body []byte) string {
	var fields map[string]any
	if json.Unmarshal(body, &fields) == nil && fields["accessKey"] == keys.Backups {
		delete(fields, "accessKey")
		body, _ = json.Marshal(fields) // of strings
	}
	return string(body)
}

func (f *armFront) take(r *http.Request, body []byte) (lie, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(body) > 0 {
		f.sent = string(body)
	}
	for i, l := range f.lies {
		if (l.method == "" || l.method == r.Method) && strings.Contains(r.URL.Path, l.path) {
			if l.times--; l.times == 0 {
				f.lies = append(f.lies[:i:i], f.lies[i+1:]...)
			}
			if f.told == nil {
				f.told = map[string]int{}
			}
			f.told[l.path]++
			return *l, true
		}
	}
	return lie{}, false
}

// everything is what ARM was sent, in many forms.
func (f *armFront) everything(authorization string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return quote("Authorization: " + authorization + "\r\n\r\n" + f.sent + "\r\nParameter name: accessKey (value: [" + keys.Backups + "])")
}

// quote tells a text in many forms, and pieces of the secrets that it may hold.
func quote(text string) string {
	quoted, _ := json.Marshal(text) // a string
	return strings.Join([]string{text, url.QueryEscape(text), url.PathEscape(text), html.EscapeString(text), string(quoted), base64.StdEncoding.EncodeToString([]byte(text)),
		base64.URLEncoding.EncodeToString([]byte(text)), strings.NewReplacer("+", `\u002B`, "/", `\/`).Replace(text), "the key that begins with " + keys.Backups[:16], "and ends with " + keys.Backups[len(keys.Backups)-16:]}, "\n")
}

func answerWith(w http.ResponseWriter, l lie, text string) {
	for name, values := range l.header {
		w.Header()[name] = values
	}
	if l.page {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(l.status)
		fmt.Fprintf(w, "<html><pre>%s</pre>", text)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Ms-Request-Id", keys.Backups)
	w.WriteHeader(l.status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{ // who has gone hears nothing
		"code": "Echo" + keys.Backups, "message": text, "details": []any{map[string]any{"code": keys.Backups, "message": text}}}})
}

// blobFront stands before the storage of the backups.
type blobFront struct {
	denies atomic.Bool // every request, quoting it
	denied atomic.Int64
	signed atomic.Int64
}

func (f *blobFront) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	<-started
	authorization := r.Header.Get("Authorization")
	if _, signature, ok := strings.Cut(authorization, ":"); ok && f.signed.Add(1) <= 20 { // to search for all would take long
		heard.secret("signature of a request to storage", signature)
	}
	rest := r.Header.Clone()
	rest.Del("Authorization")
	heard.tell("a request to storage", fmt.Sprintf("%s %s %v", r.Method, r.URL, rest))
	if f.denies.Load() {
		f.denied.Add(1)
		w.Header().Set("X-Ms-Error-Code", "AuthenticationFailed")
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>%s</Message></Error>", html.EscapeString(quote(authorization+" "+keys.Backups)))
		return
	}
	(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", stack.Azurite.Addr(), p.In.Host
	}}).ServeHTTP(w, r)
}
