// Package e2e tests the staged app from outside: the real handler process under the stand-in of the Functions host, with Azurite and the stand-ins of
// Service Bus and ARM. One stack serves all tests; each uses services of its own (fleet). Tests that kill the handler are not parallel.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"apim-dr/infra"
	"apim-dr/internal/apicheck"
	"apim-dr/internal/dr"
	"apim-dr/internal/standin/devstack"
)

var (
	stack *devstack.Stack
	lines = &logLines{}
	// binary is the staged app's, for tests that run it as a person does.
	binary string
)

// The tests mostly wait for the stack; with 16 at once Azurite took 10 s for a request, with 8 the whole is as fast. The flag -parallel wins.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "apim-dr-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	app := filepath.Join(dir, "app")
	binary = filepath.Join(app, "apim-dr")
	if err := devstack.Stage(app); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	stack, err = devstack.Start(context.Background(), devstack.Options{
		App: app, Instances: fleet, BackupDuration: 1500 * time.Millisecond, RestoreDuration: restoreTakes, RetryAfter: time.Second, Restarts: true, Output: lines.add,
		Settings: map[string]string{
			"TIMING_LEASE": "8s", "WATCHDOG_SCHEDULE": "*/5 * * * * *", "TIMING_RESTORE_WITHIN": "40s",
			"DISCOVER_SUBSCRIPTIONS": "00000000-0000-0000-0000-000000000001", "TIMING_PROBE": "5s", "TIMING_SURVEY": "10s", // so much that nothing but what hangs goes unseen
		},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the stack:", err, lines.tail())
		return 1
	}
	defer stack.Close()
	if api, err = description(); err != nil {
		fmt.Fprintln(os.Stderr, "the description of the API:", err)
		return 1
	}
	code := m.Run()
	for _, wrong := range undescribed {
		fmt.Fprintln(os.Stderr, "--- FAIL: openapi.json:", wrong)
		code = 1
	}
	if err := events(); err != nil {
		fmt.Fprintln(os.Stderr, "--- FAIL: docs/events:", err)
		code = 1
	}
	if code == 0 && flag.Lookup("test.run").Value.String() == "" { // all tests ran
		code = max(rights(), documented())
	}
	return code
}

// rights holds the roles of the deployment, which ARM enforces here, against all that the tests made the app ask: nothing was refused for want of a right,
// and no right was given in vain.
func rights() (code int) {
	needless := map[string]bool{}
	for _, action := range slices.Concat(infra.Actions(infra.Operator), infra.Actions(infra.Reader)) {
		needless[action] = true
	}
	for _, r := range stack.ARM.Requests() {
		delete(needless, r.Verb.Action())
		there := !slices.ContainsFunc(fleet, func(i devstack.Instance) bool { return i.Name == r.Service && (i.Absent || i.Deleted) })
		if r.Status == http.StatusForbidden && there { // what is not there has no role
			fmt.Fprintln(os.Stderr, "--- FAIL: the roles of infra/ do not let the app", r.Method, r.Path)
			code = 1
		}
	}
	for action := range needless {
		fmt.Fprintln(os.Stderr, "--- FAIL: the roles of infra/ grant in vain", action)
		code = 1
	}
	return code
}

// events holds every event that the tests made the app send against the schemas of docs/events.
func events() error {
	schemas, err := apicheck.NewEvents("../../docs/events")
	if err != nil {
		return err
	}
	var wrong []error
	for _, s := range stack.Bus.Sent("results") {
		if !bytes.Contains(s.Body, []byte(`"apimdr.`)) { // a test's own
			continue
		}
		wrong = append(wrong, schemas.Check(s.Body))
	}
	return errors.Join(wrong...)
}

// logLines keeps what the handler wrote.
type logLines struct {
	mu  sync.Mutex
	all []string
}

func (l *logLines) add(_, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

func (l *logLines) has(parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.all, func(line string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) })
	})
}

func (l *logLines) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all[max(0, len(l.all)-30):], "\n")
}

// sofar is what was written until now.
func (l *logLines) sofar() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// about is what was written about an instance.
func (l *logLines) about(service string) string {
	return strings.Join(slices.DeleteFunc(l.sofar(), func(line string) bool { return !strings.Contains(line, `"`+service+`"`) }), "\n")
}

// waitFor polls a condition until it holds; the test fails when it does not within a minute.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	timeout := time.After(time.Minute)
	tick := time.NewTicker(100 * time.Millisecond) // each look costs Azurite something
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not within a minute: %s\n%s", what, lines.tail())
		}
	}
}

// operation is what a caller reads of an operation.
type operation struct {
	ID, Kind, Phase, Outcome, Waiting, Trigger, Service, Traceparent, RequestedBy, Reason string
	Error                                                                                 *failure
	Legs                                                                                  []struct {
		Verb, RecoveryPoint, Outcome, Adopted string
		Storage                               dr.Storage
		Attempt                               int
		Safety                                bool
	}
	Evidence []dr.Note
	Recovery *recovery
}

type failure struct{ Source, Code, Message string }

// recovery is what operations and events tell of what restores.
type recovery struct {
	Source, RecoveryPoint, FinalBackup, FinalBackupNote, Adopted string
	FinalBackupOperation                                         string // of operations alone
	RTOSeconds, RPOSeconds                                       float64
	Overridden, NotCovered, NextSteps                            []string
	Findings                                                     []dr.Finding
	Gateways                                                     []dr.Gateway
	Plan                                                         *plan // of operations alone
}

type plan struct {
	Target        struct{ Name string }
	RecoveryPoint *struct{ ID string }
	Steps         []string
	Checks        []dr.Finding
}

// found is what a check of the plan came to.
func (p *plan) found(check string) dr.Finding {
	if p != nil {
		for _, c := range p.Checks {
			if c.Name == check {
				return c
			}
		}
	}
	return dr.Finding{}
}

func post(t *testing.T, route, body string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	resp, err := stack.Post(t.Context(), route, body, header)
	if err != nil {
		t.Fatal(err)
	}
	b := drain(t, resp)
	asDescribed(resp, []byte(body), b)
	return resp, b
}

func get(t *testing.T, route string) (*http.Response, []byte) {
	t.Helper()
	resp, err := stack.Get(t.Context(), route)
	if err != nil {
		t.Fatal(err)
	}
	b := drain(t, resp)
	asDescribed(resp, nil, b)
	return resp, b
}

// api describes what the app answers: the app's own word for it, and what was not so.
var (
	api         *apicheck.Checker
	mu          sync.Mutex
	undescribed []string
)

// asDescribed holds an answer against the description that the app gives of itself.
func asDescribed(resp *http.Response, sent, body []byte) {
	q := resp.Request
	if err := api.Check(apicheck.Exchange{Method: q.Method, Path: q.URL.EscapedPath(), Sent: sent, Status: resp.StatusCode, Header: resp.Header, Body: body}); err != nil {
		mu.Lock()
		defer mu.Unlock()
		undescribed = append(undescribed, err.Error())
	}
}

// description asks the app for it.
func description() (*apicheck.Checker, error) {
	resp, err := stack.Get(context.Background(), "/api/openapi.json")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return apicheck.New(b)
}

func drain(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func startBackup(t *testing.T, service string) operation {
	t.Helper()
	resp, body := post(t, "/api/backups", fmt.Sprintf(`{"service":%q,"reason":"test"}`, service), nil)
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%s %s", resp.Status, body)
	}
	var op operation
	if err := json.Unmarshal(body, &op); err != nil {
		t.Fatal(err)
	}
	if got, want := resp.Header.Get("Location"), "/api/operations/"+op.ID; got != want || resp.Header.Get("Retry-After") == "" {
		t.Errorf("Location %q, Retry-After %q", got, resp.Header.Get("Retry-After"))
	}
	return op
}

// ended waits for the end of an operation, and until what follows from it was written: done is its record a moment before its recovery point counts.
// A handler that was just killed may refuse a call or two.
func ended(t *testing.T, id string) operation {
	t.Helper()
	var op operation
	waitFor(t, "operation "+id+" is done", func() bool {
		resp, err := stack.Get(t.Context(), "/api/operations/"+id)
		if err != nil {
			return false
		}
		b := drain(t, resp)
		if resp.StatusCode == http.StatusOK { // another one is the host's, while it starts the handler again
			asDescribed(resp, nil, b)
		}
		return resp.StatusCode == http.StatusOK && json.Unmarshal(b, &op) == nil && op.Phase == "done"
	})
	waitFor(t, "the marker of "+id+" is gone", func() bool { return !blobExists(t, stack.State, devstack.StateContainer, "active/"+id) })
	return op
}

// eventOnce checks that the topic took exactly one event for an operation that has ended, and that it left no lock behind.
func eventOnce(t *testing.T, op operation) {
	t.Helper()
	if lock, err := stack.State.DownloadStream(t.Context(), devstack.StateContainer, "locks/"+op.Service, nil); err == nil { // perhaps another operation's
		if body, err := io.ReadAll(lock.Body); err != nil || strings.Contains(string(body), op.ID) {
			t.Errorf("%s is still locked: %s, %v", op.Service, body, err)
		}
	} else if !bloberror.HasCode(err, bloberror.BlobNotFound) {
		t.Error(err)
	}
	taken := 0
	for _, s := range stack.Bus.Sent("results") {
		if strings.HasPrefix(s.MessageID, op.ID) {
			if s.MessageID != op.ID+":result" {
				t.Errorf("event with MessageID %s", s.MessageID)
			}
			if !s.Duplicate {
				taken++
			}
		}
	}
	if taken != 1 {
		t.Errorf("%d events for %s", taken, op.ID)
	}
}

func blobExists(t *testing.T, client *azblob.Client, container, name string) bool {
	t.Helper()
	pager := client.NewListBlobsFlatPager(container, &azblob.ListBlobsFlatOptions{Prefix: &name})
	for pager.More() {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page.Segment.BlobItems {
			if *b.Name == name {
				return true
			}
		}
	}
	return false
}
