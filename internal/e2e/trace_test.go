package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/standin/arm"
)

func TestOneTraceRunsFromTheCallToARMAndTheEvent(t *testing.T) {
	t.Parallel()
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	stack.ARM.Inject(arm.Fault{Verb: arm.Poll, Service: "traced", Status: http.StatusTooManyRequests, RetryAfter: time.Second}) // so that there is a poll and its successor
	resp, body := post(t, "/api/backups", `{"service":"traced"}`, http.Header{"Traceparent": {traceparent}})
	var op operation
	if resp.StatusCode != http.StatusAccepted || json.Unmarshal(body, &op) != nil || op.Traceparent != traceparent {
		t.Fatalf("%s %s", resp.Status, body)
	}
	op = ended(t, op.ID)
	eventOnce(t, op)
	if op.Traceparent != traceparent {
		t.Errorf("the record has %q", op.Traceparent)
	}
	if sent := oneTrace(t, op, traceparent[3:35]); sent["polls"] < 2 {
		t.Errorf("messages: %v", sent)
	}
}

// traceOfTimer is the trace that the host gave to the nightly timer. It gives each message that it delivers another one, as a host may that does not go
// on with what the message says.
func traceOfTimer(t *testing.T) (id string) {
	t.Helper()
	waitFor(t, "the line of the timer's invocation", func() bool {
		for _, l := range logged(t) {
			if l["function"] == "BackupSchedule" && l["msg"] == "invocation ended" {
				id, _ = l["trace"].(string)
			}
		}
		return id != ""
	})
	return id
}

// oneTrace checks that what the stand-ins have seen of an operation that has ended, and all that was logged of it, is of one trace. It tells how many
// messages were sent about it, by queue or topic.
func oneTrace(t *testing.T, op operation, trace string) (sent map[string]int) {
	t.Helper()
	if !strings.Contains(op.Traceparent, "-"+trace+"-") {
		t.Errorf("the operation has %q, not the trace %s", op.Traceparent, trace)
	}
	waitFor(t, "the last line of "+op.ID+" has come through the host", func() bool { return lines.has(`"msg":"result published"`, op.ID) })

	sent = map[string]int{}
	for _, queue := range []string{"operations", "polls", "results"} {
		for _, s := range stack.Bus.Sent(queue) {
			if !strings.Contains(string(s.Body), op.ID) {
				continue
			}
			sent[queue]++
			for _, name := range []string{"traceparent", "Diagnostic-Id"} {
				if p, _ := s.Properties[name].(string); !strings.Contains(p, "-"+trace+"-") {
					t.Errorf("%s: the message %s has %s %q", queue, s.MessageID, name, p)
				}
			}
			var event struct{ Traceparent string }
			if err := json.Unmarshal(s.Body, &event); queue == "results" && (err != nil || event.Traceparent != op.Traceparent) {
				t.Errorf("%v, the event %s", err, s.Body)
			}
		}
	}
	if sent["operations"] < 1 || sent["polls"] < 1 || sent["results"] != 1 {
		t.Errorf("messages: %v", sent)
	}

	asked := map[arm.Verb]int{}
	for _, r := range stack.ARM.Requests() {
		if r.Service == op.Service && strings.Contains(r.Traceparent, "-"+trace+"-") {
			asked[r.Verb]++
		}
	}
	if asked[arm.Backup] != 1 || asked[arm.Read] < 1 || asked[arm.Poll] < sent["polls"] {
		t.Errorf("ARM was asked %v in this trace", asked)
	}

	told := map[any]int{}
	for _, l := range logged(t) {
		message, _ := l["message"].(string)
		if l["operation"] != op.ID && !strings.HasPrefix(message, op.ID+":") {
			continue
		}
		told[l["msg"]]++
		if l["trace"] != trace {
			t.Errorf("of another trace: %v", l)
		}
	}
	if told["created"] != 1 || told["phase"] < 3 || told["invocation ended"] < 2 || told["ARM answered"] < 1 || told["result published"] != 1 {
		t.Errorf("logged: %v", told)
	}
	return sent
}

// logged are the lines of the app so far. Each is a JSON object.
func logged(t *testing.T) (all []map[string]any) {
	t.Helper()
	lines.mu.Lock()
	defer lines.mu.Unlock()
	for _, text := range lines.all {
		var l map[string]any
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		all = append(all, l)
	}
	return all
}
