package secrets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/mask"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// record writes down what a story tells.
type record string

func (r record) Write(p []byte) (int, error) {
	heard.tell(string(r), string(p))
	return len(p), nil
}

// The demo, then everything that can go wrong, with every server lying; at the end every text is searched.
func TestNoSecretIsTold(t *testing.T) {
	if _, err := stack.Demo(t.Context(), devstack.NewStory(record("the demo's story")), record("an event"), time.Minute); err != nil {
		t.Fatal(err, heard.last(20))
	}
	stack.ARM.Change(func(c *arm.Config) {
		c.BackupDuration, c.RestoreDuration, c.RetryAfter = time.Second/2, time.Second/2, time.Second
	})
	refusedCalls(t)
	t.Run("lies", func(t *testing.T) {
		t.Run("about backups", liesAboutBackups)
		t.Run("about a plan", liesAboutAPlan)
	})
	failback(t)
	queuesAndCrash(t)
	if n := azure.honest(); n < 8 {
		t.Errorf("ARM lied %d times only", n)
	}
	everythingKept(t)
	heard.judge(t)
}

// call calls a route, with the function key in the query, and wants a status.
func call(t *testing.T, method, route, body string, status int) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, stack.Host.URL()+route, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q := r.URL.Query()
	q.Set("code", keys.Function)
	r.URL.RawQuery = q.Encode()
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		t.Fatalf("%s %s: %s, not %d: %s %v", method, route, resp.Status, status, text, err)
	}
	return text
}

// ended waits until an operation is done and returns its outcome.
func ended(t *testing.T, id string) (outcome, reason string) {
	t.Helper()
	waitFor(t, id+" is done", func() bool {
		resp, err := stack.Get(t.Context(), "/api/operations/"+id)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var op struct {
			Phase, Outcome string
			Error          struct{ Code, Message string }
		}
		if json.NewDecoder(resp.Body).Decode(&op) != nil || op.Phase != "done" {
			return false
		}
		outcome, reason = op.Outcome, op.Error.Code+": "+op.Error.Message
		return true
	})
	return outcome, reason
}

// ends starts an operation and wants its outcome, and a reason in which a secret was masked.
func ends(t *testing.T, route, body, outcome string) {
	t.Helper()
	var op struct{ ID string }
	if err := json.Unmarshal(call(t, http.MethodPost, route, body, http.StatusAccepted), &op); err != nil {
		t.Fatal(err)
	}
	got, reason := ended(t, op.ID)
	if got != outcome || got != "succeeded" && !strings.Contains(reason, mask.Redacted) {
		t.Errorf("%s %s: %s, not %s: %.500s", route, body, got, outcome, reason)
	}
}

// refusedCalls are answered without an operation. The key is in the query of each.
func refusedCalls(t *testing.T) {
	for _, c := range []struct {
		method, route, body string
		status              int
	}{
		{"POST", "/api/failovers", `{"primary":"contoso-us"}`, 409},
		{"POST", "/api/failovers", `{"primary":"contoso-us","dryRun":true}`, 200},
		{"POST", "/api/failovers", `{"primary":"contoso-eu","confirm":"contoso-us"}`, 409},
		{"POST", "/api/backups", `{"service":"nobody"}`, 404},
		{"POST", "/api/backups", `{"service":`, 400},
		{"POST", "/api/backups", `{"code":"x"}`, 400},
		{"PUT", "/api/backups", `{"service":"contoso-eu"}`, 405},
		{"GET", "/api/operations?limit=1", "", 200},
		{"GET", "/api/operations?limits=1", "", 400},
		{"GET", "/api/operations/nonsense", "", 404},
		{"GET", "/api/recovery-points?service=contoso-eu", "", 200},
		{"GET", "/api/status", "", 200},
		{"GET", "/api/nothing", "", 404},
	} {
		call(t, c.method, c.route, c.body, c.status)
	}
	if page := call(t, "GET", "/api/operations?limit=1", "", 200); !strings.Contains(string(page), "nextLink") {
		t.Errorf("no link that could hold the key of the query: %s", page)
	}
	for header, key := range map[string]string{"x-functions-key": keys.Master, "X-Functions-Key": keys.Function[:20]} {
		resp, err := stack.Post(t.Context(), "/api/backups", `{"service":"nobody"}`, http.Header{header: {key}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", stack.Host.URL()+"/admin/functions/Watchdog", strings.NewReader(`{"input":""}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-functions-key", keys.Master)
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
}

// liesAboutBackups: each answer to a backup, its poll and the look before it.
func liesAboutBackups(t *testing.T) {
	t.Run("contoso-eu", func(t *testing.T) {
		t.Parallel()
		azure.lieOnce(lie{method: "POST", path: "/contoso-eu/backup", status: 400})
		ends(t, "/api/backups", `{"service":"contoso-eu"}`, "failed")
		azure.lieOnce(lie{method: "POST", path: "/contoso-eu/backup", status: 503, page: true}) // lost: looked at, and POSTed again
		azure.lieOnce(lie{method: "GET", path: "/contoso-eu/operationresults", status: 500})
		ends(t, "/api/backups", `{"service":"contoso-eu"}`, "succeeded")
	})
	t.Run("contoso-us", func(t *testing.T) {
		t.Parallel()
		azure.lieOnce(lie{method: "GET", path: "/contoso-us/operationresults", status: 400}) // no POST whose key could be remembered
		ends(t, "/api/backups", `{"service":"contoso-us"}`, "failed")
		azure.lieOnce(lie{method: "GET", path: "/service/contoso-us", status: 403})
		ends(t, "/api/backups", `{"service":"contoso-us"}`, "rejected")
		azure.lieOnce(lie{method: "POST", path: "/contoso-us/backup", status: 429, header: http.Header{"Retry-After": {"1"}}})
		azure.lieOnce(lie{method: "POST", path: "/contoso-us/backup", status: 401, header: http.Header{"Www-Authenticate": {`Bearer claims="` + keys.Identity + `"`}}})
		ends(t, "/api/backups", `{"service":"contoso-us"}`, "failed")
	})
}

// liesAboutAPlan: ARM and the storage of the backups deny everything that a plan looks at, and the drill that is refused is recorded.
func liesAboutAPlan(t *testing.T) {
	azure.lie(lie{method: "GET", status: 403, path: "/"})
	vault.denies.Store(true)
	defer vault.denies.Store(false)
	plan := call(t, "POST", "/api/failovers", `{"primary":"contoso-us","dryRun":true}`, http.StatusOK)
	if !strings.Contains(string(plan), mask.Redacted) || !strings.Contains(string(plan), "AuthenticationFailed") {
		t.Errorf("neither ARM nor storage denies anything: %s", plan)
	}
	call(t, "GET", "/api/recovery-points?service=contoso-us", "", http.StatusOK)
	call(t, "GET", "/api/status", "", http.StatusOK)
	if azure.honest() == 0 || vault.denied.Load() == 0 {
		t.Error("nobody lied")
	}
	stack.ARM.Change(func(c *arm.Config) { // the key is not that of the account any more
		a := c.Accounts["contosodrbackups"]
		a.Endpoint = strings.Replace(a.Endpoint, "contosodrbackups", "contosodrstate", 1)
		c.Accounts["contosodrbackups"] = a
	})
	defer stack.ARM.Change(func(c *arm.Config) {
		a := c.Accounts["contosodrbackups"]
		a.Endpoint = strings.Replace(a.Endpoint, "contosodrstate", "contosodrbackups", 1)
		c.Accounts["contosodrbackups"] = a
	})
	var op struct{ ID string }
	if err := json.Unmarshal(call(t, "POST", "/api/backups", `{"service":"contoso-eu","reason":"with a key that is denied"}`, http.StatusAccepted), &op); err != nil {
		t.Fatal(err)
	}
	if outcome, reason := ended(t, op.ID); outcome != "failed" || !strings.Contains(reason, "authenticate the request") {
		t.Errorf("%s, %s", outcome, reason)
	}
}

// failback fails first, in ARM's words, and is repeated.
func failback(t *testing.T) {
	azure.lieOnce(lie{method: "GET", path: "/contoso-eu/operationresults", status: 400})
	const back = `{"primary":"contoso-us","confirm":"contoso-eu","finalBackup":"auto","reason":"the region is back"}`
	ends(t, "/api/failovers", back, "failed")
	ends(t, "/api/failovers", back, "succeeded")
}

// queuesAndCrash: what comes over the queues, a Service Bus that lies, and a handler that is killed.
func queuesAndCrash(t *testing.T) {
	sender, err := stack.Client.NewSender("operations", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close(t.Context())
	send := func(body string) {
		if err := sender.SendMessage(t.Context(), &azservicebus.Message{Body: []byte(body)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	send("nonsense")
	waitFor(t, "it is quarantined", func() bool { return heard.has("handler", "cannot be read is quarantined") })

	// A message is dead-lettered by whoever gets hold of one beside the host.
	receiver, err := stack.Client.NewReceiverForQueue("operations", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []*azservicebus.ReceivedMessage
	for i := 0; len(got) == 0; i++ {
		if i == 20 {
			t.Fatal("the host was always faster")
		}
		for n := range 40 { // more than the host takes at once
			send(fmt.Sprintf(`{"v":1,"id":"20200101-backup-%010x%010x","epoch":0,"n":0,"try":0}`, i, n))
		}
		within, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		got, _ = receiver.ReceiveMessages(within, 1, nil)
		cancel()
	}
	reason, why := "Nobody", "nobody wants it"
	if err := receiver.DeadLetterMessage(t.Context(), got[0], &azservicebus.DeadLetterOptions{Reason: &reason, ErrorDescription: &why}); err != nil {
		t.Fatal(err)
	}
	_ = receiver.Close(t.Context())
	waitFor(t, "the dead letter is read", func() bool { return heard.has("handler", `"msg":"dead letter"`, why) })

	// Service Bus gives as its reason all that it was sent; to the topic sends nobody else.
	if n, err := stack.Bus.DetachLinks("results", "amqp:unauthorized-access", quote("SharedAccessKey="+keys.Bus+";sig="+keys.Bus)); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	call(t, "POST", "/api/backups", `{"service":"contoso-eu","reason":"after the links broke"}`, http.StatusAccepted)
	waitFor(t, "the broken link is told", func() bool {
		return heard.has("handler", "the link to Service Bus broke") || heard.has("handler", "unauthorized-access")
	})

	pid := stack.Host.PID()
	if err := stack.Host.Kill(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "another process", func() bool { return stack.Host.PID() != pid && stack.Host.PID() != 0 })
	ends(t, "/api/backups", `{"service":"contoso-eu","reason":"after the crash"}`, "succeeded")
}

// everythingKept puts down what is in the queues, the topic and the storage.
func everythingKept(t *testing.T) {
	entities := []string{"operations", "polls", "results"}
	for _, entity := range entities {
		sent := stack.Bus.Sent(entity)
		if len(sent) == 0 {
			t.Errorf("nothing was sent to %s", entity)
		}
		for _, s := range sent {
			if s.Entity != entity {
				t.Fatal(s.Entity)
			}
			heard.tell("a message to "+entity, fmt.Sprintf("%s %v %s", s.MessageID, s.Properties, s.Body))
		}
	}
	seen := map[string]int{}
	for account, client := range map[string]*azblob.Client{"state": stack.State, "backups": stack.Backups} {
		containers := client.NewListContainersPager(&azblob.ListContainersOptions{Include: azblob.ListContainersInclude{Metadata: true}})
		for containers.More() {
			page, err := containers.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.ContainerItems {
				heard.tell("a container", fmt.Sprint(*c.Name, c.Metadata))
				blobs := client.ServiceClient().NewContainerClient(*c.Name).NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Include: container.ListBlobsInclude{Metadata: true, Tags: true}})
				for blobs.More() {
					page, err := blobs.NextPage(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					for _, b := range page.Segment.BlobItems {
						text := *b.Name
						for name, value := range b.Metadata {
							text += "\n" + name + ": " + *value
						}
						got, err := client.DownloadStream(t.Context(), *c.Name, *b.Name, nil)
						if bloberror.HasCode(err, bloberror.BlobNotFound) { // a marker whose operation has just ended
							heard.tell("a blob of "+account, text)
							continue
						}
						if err != nil {
							t.Fatal(err)
						}
						body, err := io.ReadAll(got.Body)
						if err != nil {
							t.Fatal(err)
						}
						kind, _, _ := strings.Cut(*b.Name, "/")
						seen[kind]++
						heard.tell("a blob of "+account, text+"\n"+string(body))
					}
				}
			}
		}
	}
	for _, kind := range []string{"operations", "recovery-points", "services", "pairs", "ticks", "quarantine", "roles"} {
		if seen[kind] == 0 {
			t.Errorf("no blob %s/… was searched: %v", kind, seen)
		}
	}
}

// What a function panics with is in the log alone, and masked there.
func TestAPanicTellsNoSecret(t *testing.T) {
	var log bytes.Buffer
	m := mask.New(keys.Backups)
	router := customhandler.NewRouter(customhandler.Options{Log: slog.New(customhandler.NewLogHandler(m.Writer(&log), m.Writer(&log), slog.LevelDebug)), ErrorPause: -1})
	router.HTTP("Panics", "GET /api/panics", func(http.ResponseWriter, *http.Request) { panic(errors.New("AccountKey=" + keys.Backups)) })
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequest("GET", "/api/panics?code="+keys.Function, nil))
	if said := log.String(); len(heard.leaks(said)) > 0 || !strings.Contains(said, "panic: AccountKey="+mask.Redacted) {
		t.Errorf("%v: %s", heard.leaks(said), said)
	}
	if said := w.Body.String(); w.Code != http.StatusInternalServerError || len(heard.leaks(said)) > 0 || strings.Contains(said, "AccountKey") {
		t.Errorf("%d %s", w.Code, said)
	}
}

// The search itself finds each form, or it proves nothing.
func TestASecretInAnyFormIsFound(t *testing.T) {
	for form, part := range forms(keys.Backups) {
		if got := heard.leaks("the value [" + part + "]"); !slices.ContainsFunc(got, func(leak string) bool { return strings.HasSuffix(leak, form) }) {
			t.Errorf("%s is not found: %v", form, got)
		}
	}
	if got := heard.leaks("nothing of it " + mask.Redacted); len(got) > 0 {
		t.Error(got)
	}
}
