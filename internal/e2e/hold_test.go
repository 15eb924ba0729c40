package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

func busy(t *testing.T, service string) (b engine.Busy) {
	t.Helper()
	resp, body := get(t, "/api/services/"+service+"/busy")
	if err := json.Unmarshal(body, &b); resp.StatusCode != http.StatusOK || err != nil || (resp.Header.Get("Retry-After") != "") != b.Busy {
		t.Fatalf("%s %v %s", resp.Status, resp.Header, body)
	}
	return b
}

// What a pipeline does: it holds the instance, waits until it is not busy, deploys, releases it.
func TestAPipelineHoldsAnInstance(t *testing.T) {
	t.Parallel()
	const p, s = "held", "held-standby"
	followed(t, s, pointOf(t, p).ID)
	before := len(restores(s))
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	asked := fmt.Sprintf(`{"until":%q,"reason":"a release"}`, until.Format(time.RFC3339))
	resp, err := stack.Put(t.Context(), "/api/services/"+p+"/hold", asked)
	if err != nil {
		t.Fatal(err)
	}
	var held dr.Held
	body := drain(t, resp)
	asDescribed(resp, []byte(asked), body)
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &held) != nil || held.Service != p || !held.Until.Equal(until) {
		t.Fatalf("%s %s", resp.Status, body)
	}
	op := startBackup(t, p) // a person's call is not kept away
	waitFor(t, "it is busy with the backup", func() bool { b := busy(t, p); return b.Busy && b.Operation != nil && b.Operation.ID == op.ID })
	told(t, op.ID) // and what follows from it, nothing, is decided
	if b := busy(t, p); b.Busy || b.State != "Succeeded" || b.Hold.Reason != "a release" || b.NextBackup.Before(until) && !b.NextBackup.IsZero() {
		t.Errorf("%+v", b)
	}
	if got := posture(t, p); len(got.Holds) != 1 || got.Holds[0] != held || len(restores(s)) != before {
		t.Errorf("holds %+v, restores %d, %d before", got.Holds, len(restores(s)), before)
	}
	if resp, body := post(t, "/api/services/"+p+"/release", `{}`, nil); resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `{"ended":{"service":"held",`) {
		t.Errorf("%s %s", resp.Status, body)
	}
	if resp, body := post(t, "/api/services/"+p+"/release", `{}`, nil); resp.StatusCode != http.StatusNoContent || len(body) > 0 {
		t.Errorf("%s %s", resp.Status, body)
	}
	followed(t, s, backedUp(t, p))
	if got := posture(t, p); len(got.Holds) != 0 {
		t.Errorf("%+v", got.Holds)
	}
}
