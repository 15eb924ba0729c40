package e2e

import (
	"net/http"
	"testing"
	"time"

	"apim-dr/internal/standin/arm"
)

// ARM answers 429 to the preflight, the POST and the poll of one backup: each comes back when Retry-After has passed and not before, and the
// invocation that met it does not wait for that.
func TestThrottledAtEveryCall(t *testing.T) {
	t.Parallel()
	const wait = 3 * time.Second // longer than the local stack's pause before a busy service
	verbs := []arm.Verb{arm.Read, arm.Backup, arm.Poll}
	for _, v := range verbs {
		stack.ARM.Inject(arm.Fault{Verb: v, Service: "throttled", Status: http.StatusTooManyRequests, RetryAfter: wait})
	}
	op := ended(t, startBackup(t, "throttled").ID)
	eventOnce(t, op)
	refused := map[arm.Verb]time.Time{}
	for _, r := range stack.ARM.Requests() {
		if r.Service != "throttled" {
			continue
		}
		if r.Status == http.StatusTooManyRequests {
			refused[r.Verb] = r.At
		} else if at := refused[r.Verb]; !at.IsZero() && r.At.Sub(at) < wait {
			t.Errorf("%s again after %s", r.Verb, r.At.Sub(at))
		}
		if r.Verb != arm.Read && r.At.Sub(refused[arm.Read]) < wait {
			t.Errorf("%s while ARM asked for patience", r.Verb)
		}
	}
	if op.Outcome != "succeeded" || len(refused) != len(verbs) || op.Legs[0].Attempt != 2 {
		t.Errorf("%s %+v, refused %v, attempt %d", op.Outcome, op.Error, refused, op.Legs[0].Attempt)
	}
}
