// Package secrets lets the whole staged app work, fail and be lied to with known secrets, and looks for them in everything that it says: logs, messages, events,
// blobs, answers, requests. Before Resource Manager and the storage of the backups stand servers of this package, which see every request and can answer
// with all that is in it: hostile, but a proxy that echoes is enough.
package secrets

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"apim-dr/internal/standin/devstack"
)

// keys are those of the stamp. None has the shape by which a storage key is known: it has to be known itself.
var keys = devstack.Keys{
	State: "U3RhdGUva2V5K2NhbmFyeS85N0Y+MmI/N3pRaw==", Backups: "QmFja3VwL2tleStjYW5hcnkvNjFGPjhiPzR6UWs=", Bus: "QnVzL2tleStjYW5hcnkvMzhGPjliPzV6UWsrLw==",
	Identity: "IdentityHeaderCanary/7f3a+91c2", Function: "FunctionKeyCanary_4d8e/b7+kk==", Master: "MasterKeyCanary_9a1c/f2+mm==",
}

// clientSecret is set in the app all the time; only startup tests use it.
const clientSecret = "Cl1~entSecret.Canary_0-7Qx"

var (
	stack   *devstack.Stack
	app     string
	started = make(chan struct{}) // closed when stack is there
	azure   = &armFront{}
	vault   = &blobFront{}
	heard   = &ledger{known: map[string]string{}}

	armURL, blobURL string // of the two fronts
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "apim-dr-secrets")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	app = filepath.Join(dir, "app")
	if err := devstack.Stage(app); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	heard.secret("key of the state storage", keys.State)
	heard.secret("key of the backup storage", keys.Backups)
	heard.secret("key of the Service Bus", keys.Bus)
	heard.secret("IDENTITY_HEADER", keys.Identity)
	heard.secret("function key", keys.Function)
	heard.secret("master key", keys.Master)
	heard.secret("AZURE_CLIENT_SECRET", clientSecret)
	http.DefaultClient.Transport = caller{}
	arm, blobs := httptest.NewServer(azure), httptest.NewServer(vault)
	defer arm.Close()
	defer blobs.Close()
	armURL, blobURL = arm.URL, blobs.URL
	stack, err = devstack.Start(context.Background(), devstack.Options{
		App: app, Instances: devstack.DemoFleet(), Restarts: true, Keys: keys,
		Output: func(stream, line string) { heard.tell("the handler's "+stream, line) },
		Log:    slog.New(slog.NewJSONHandler(heard, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Settings: map[string]string{
			"ARM_ENDPOINT": armURL, "BLOB_ENDPOINT": blobURL + "/{account}", "AZURE_CLIENT_SECRET": clientSecret,
			"TIMING_POST_WINDOW": "2s", "TIMING_SETTLE": "1s", "TIMING_BLOB_MISSING": "2s", "TIMING_VERIFY": "3s", "TIMING_OUTAGE_MOST": "1s",
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the stack:", err, heard.last(30))
		return 1
	}
	defer stack.Close()
	close(started)
	return m.Run()
}

// ledger is everything that was said, and the secrets that must not be in it.
type ledger struct {
	mu    sync.Mutex
	said  []said
	known map[string]string // secret to its name
}

type said struct{ where, text string }

func (l *ledger) secret(name, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[value] = name
}

func (l *ledger) tell(where, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, said{where, text})
}

// Write implements io.Writer, for the log of the stand-ins.
func (l *ledger) Write(p []byte) (int, error) {
	l.tell("the host's log", string(p))
	return len(p), nil
}

// has tells whether something was said that holds all parts.
func (l *ledger) has(where string, parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.said, func(s said) bool {
		return strings.Contains(s.where, where) && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s.text, p) })
	})
}

func (l *ledger) last(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, s := range l.said[max(0, len(l.said)-n):] {
		fmt.Fprintf(&b, "%s: %s\n", s.where, s.text)
	}
	return b.String()
}

// leaks are the secrets in a text, by name and form.
func (l *ledger) leaks(text string) (found []string) {
	l.mu.Lock()
	known := maps.Clone(l.known)
	l.mu.Unlock()
	for value, name := range known {
		for form, part := range forms(value) {
			if strings.Contains(text, part) {
				found = append(found, name+", "+form)
			}
		}
	}
	return found
}

// judge looks through all that was said.
func (l *ledger) judge(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	all := slices.Clone(l.said)
	l.mu.Unlock()
	bytes, told := 0, map[string]int{}
	for _, s := range all {
		bytes += len(s.text)
		for _, leak := range l.leaks(s.text) {
			if told[s.where+leak]++; told[s.where+leak] <= 2 {
				t.Errorf("%s gives away the %s: %.400s", s.where, leak, s.text)
			}
		}
	}
	t.Logf("%d texts, %d KB, searched for %d secrets", len(all), bytes>>10, len(l.known))
}

// forms are the ways in which a secret can stand in a text. Pieces show one that was cut.
func forms(secret string) map[string]string {
	quoted, _ := json.Marshal(secret) // a string
	middle := (len(secret) - 16) / 2
	all := map[string]string{
		"plain": secret, "in a query": url.QueryEscape(secret), "in a path": url.PathEscape(secret), "in HTML": html.EscapeString(secret), "in JSON": strings.Trim(string(quoted), `"`),
		"in .NET's JSON": strings.NewReplacer("+", `\u002B`, "/", `\/`).Replace(secret), "in a query, lower case": strings.NewReplacer("+", "%2b", "/", "%2f", "=", "%3d").Replace(secret),
		"its first 16 characters": secret[:16], "its last 16 characters": secret[len(secret)-16:], "16 characters in the middle": secret[middle : middle+16],
	}
	for i := range 3 {
		part := secret[i : i+(len(secret)-i)/3*3]
		all[fmt.Sprint("in base64 from character ", i)] = base64.StdEncoding.EncodeToString([]byte(part))
		all[fmt.Sprint("in base64url from character ", i)] = base64.URLEncoding.EncodeToString([]byte(part))
	}
	return all
}

// caller is how the tests, and the demo, call the app; it writes down what was answered.
type caller struct{}

func (caller) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	heard.tell("the answer to "+r.Method+" "+r.URL.Path, fmt.Sprintf("%s %v %s", resp.Status, resp.Header, body))
	return resp, err
}

// waitFor polls a condition until it holds; the test fails when it does not within 30 seconds.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not within 30 s: %s\n%s", what, heard.last(20))
		}
	}
}
