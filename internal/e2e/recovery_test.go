package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/dr"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// problem is what a caller reads of a refusal.
type problem struct {
	Title, Detail, Instance, Operation string
	Status                             int
	Errors                             []struct{ Field, Detail string }
	Plan                               *plan
}

// event is what a subscriber reads of a result event.
type event struct {
	Type, Subject string
	Data          struct {
		Operation, Kind, Service, Trigger, Outcome, RequestedBy, Reason string
		Error                                                           *failure
		RecoveryPoints                                                  []dr.RecoveryPoint
		Recovery                                                        *recovery
	}
}

// failingOver is the body of a confirmed failover of a pair of the fleet. more are members, each with a comma before it.
func failingOver(primary string, more string) string {
	return fmt.Sprintf(`{"primary":%q,"confirm":%q,"reason":"test"%s}`, primary, standby(primary), more)
}

// ask posts and wants a status; into is filled from the body.
func ask[T any](t *testing.T, route, body string, status int) (into T) {
	t.Helper()
	return asked[T](t, route, body, nil, status)
}

func asked[T any](t *testing.T, route, body string, header http.Header, status int) (into T) {
	t.Helper()
	resp, text := post(t, route, body, header)
	wants := "application/json"
	if status >= 400 {
		wants = "application/problem+json"
	}
	if resp.StatusCode != status || resp.Header.Get("Content-Type") != wants || json.Unmarshal(text, &into) != nil {
		t.Fatalf("POST %s %s: %s, not %d: %s", route, body, resp.Status, status, text)
	}
	return into
}

// begun starts what restores.
func begun(t *testing.T, route, body string) operation {
	t.Helper()
	return ask[operation](t, route, body, http.StatusAccepted)
}

// look reads an operation as it is now.
func look(t *testing.T, id string) (op operation) {
	t.Helper()
	if resp, body := get(t, "/api/operations/"+id); resp.StatusCode != http.StatusOK || json.Unmarshal(body, &op) != nil {
		t.Fatalf("%s: %s %s", id, resp.Status, body)
	}
	return op
}

// told waits for the end of an operation. It has exactly one event, which says the same.
func told(t *testing.T, id string) (operation, event) {
	t.Helper()
	op := ended(t, id)
	eventOnce(t, op)
	var e event
	for _, s := range stack.Bus.Sent("results") {
		if s.MessageID != id+":result" {
			continue
		}
		if err := json.Unmarshal(s.Body, &e); err != nil {
			t.Fatalf("%v: %s", err, s.Body)
		}
	}
	if d, want := e.Data, "apimdr."+op.Kind+"."+op.Outcome; e.Type != want || d.Outcome != op.Outcome || d.Operation != id || d.Service != op.Service ||
		e.Subject != devstack.ResourceID(op.Service) || d.RequestedBy != op.RequestedBy {
		t.Errorf("the event is not that of %s, %s: %+v", id, want, e)
	}
	if diff := cmp.Diff(op.Error, e.Data.Error); diff != "" {
		t.Errorf("operation and event tell different errors: %s", diff)
	}
	return op, e
}

// ends waits like told, and wants an outcome and a code ("": no error).
func ends(t *testing.T, id, outcome, code string) (operation, event) {
	t.Helper()
	op, e := told(t, id)
	if got := op.Error; op.Outcome != outcome || (got == nil) != (code == "") || got != nil && got.Code != code {
		t.Errorf("%s ended %s, %+v; wanted: %s %s; seen: %s", id, op.Outcome, got, outcome, code, op.Evidence)
	}
	if op.Error == nil {
		op.Error = &failure{}
	}
	if op.Recovery == nil || e.Data.Recovery == nil {
		t.Fatalf("%s tells of no recovery: %+v", id, e)
	}
	return op, e
}

// restores are those into an instance, by ARM's own record.
func restores(name string) []arm.Operation {
	return slices.DeleteFunc(stack.ARM.Operations(), func(o arm.Operation) bool { return o.Service != name || o.Verb != arm.Restore })
}

// untouched checks that nothing was restored into an instance.
func untouched(t *testing.T, name string) {
	t.Helper()
	if got := restores(name); len(got) > 0 {
		t.Errorf("ARM has restored into %s: %+v", name, got)
	}
	if got := stack.ARM.Content(name); got != content(name) && got != "" {
		t.Errorf("%s holds %q", name, got)
	}
}

// overwritten checks that exactly one restore went into an instance, that of a recovery point, and what it holds now.
func overwritten(t *testing.T, name, point, holds string) {
	t.Helper()
	if got := restores(name); len(got) != 1 || got[0].BackupName != point || got[0].Ended.IsZero() || got[0].Error != nil {
		t.Errorf("one restore of %s into %s was expected, ARM has %+v", point, name, got)
	}
	if got := stack.ARM.Content(name); got != holds {
		t.Errorf("%s holds %q, not %q", name, got, holds)
	}
}

// waits waits until an operation tells why it is not begun.
func waits(t *testing.T, id, because string) {
	t.Helper()
	waitFor(t, id+" waits: "+because, func() bool { return strings.Contains(look(t, id).Waiting, because) })
}

// enters waits until an operation enters a phase.
func enters(t *testing.T, id, phase string) {
	t.Helper()
	phaseSeen(phase)(t, operation{ID: id})
}

// points lists the recovery points of a service as a caller sees them.
func points(t *testing.T, service string) []dr.RecoveryPoint {
	t.Helper()
	var list struct{ RecoveryPoints []dr.RecoveryPoint }
	if resp, body := get(t, "/api/recovery-points?service="+service); resp.StatusCode != http.StatusOK || json.Unmarshal(body, &list) != nil {
		t.Fatalf("%s: %s %s", service, resp.Status, body)
	}
	return list.RecoveryPoints
}

// pointOf is a good recovery point of a service: of its nightly backup or, when the test of that was not run, of another.
func pointOf(t *testing.T, service string) dr.RecoveryPoint {
	t.Helper()
	if len(points(t, service)) == 0 {
		op := ended(t, startBackup(t, service).ID)
		if eventOnce(t, op); op.Outcome != "succeeded" {
			t.Fatalf("%+v", op)
		}
	}
	return points(t, service)[0]
}

// posture is what GET /api/status tells of a service.
func posture(t *testing.T, service string) dr.Posture {
	t.Helper()
	var status struct{ Services []dr.Posture }
	resp, body := get(t, "/api/status")
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &status) != nil {
		t.Fatalf("%s %s", resp.Status, body)
	}
	i := slices.IndexFunc(status.Services, func(p dr.Posture) bool { return p.Service == service })
	if i < 0 {
		t.Fatalf("nothing of %s: %s", service, body)
	}
	return status.Services[i]
}

// roles checks what is recorded of the pair of a service and its standby when no failover is at work.
func roles(t *testing.T, service, active string, suspended bool) {
	t.Helper()
	p := posture(t, service)
	if len(p.Pairs) != 1 || p.Active != active || p.Pairs[0].Active != active || p.Pairs[0].Home != service || p.Pairs[0].BusyBy != "" || p.Pairs[0].Suspended != suspended {
		t.Errorf("active %q, suspended %t expected: %+v", active, suspended, p)
	}
}

// recorded counts the operations, apart from backups, that overwrite an instance or take the data of one.
func recorded(t *testing.T, names ...string) int {
	t.Helper()
	n := 0
	for _, day := range []time.Time{time.Now(), time.Now().Add(-24 * time.Hour)} { // a run may see midnight
		for _, op := range listed(t, "/api/operations?limit=200&day="+day.UTC().Format(time.DateOnly)) {
			if op.Kind != "backup" && (slices.Contains(names, op.Service) || slices.Contains(names, op.Recovery.Source)) {
				n++
			}
		}
	}
	return n
}

func recordOf(p dr.RecoveryPoint) string {
	return "recovery-points/" + p.Service + "/" + p.ID + ".json"
}

func beside(p dr.RecoveryPoint) string { return p.ID + ".apimdr.json" }

// rewrite changes a blob of JSON and returns its new length.
func rewrite[T any](t *testing.T, client *azblob.Client, container, name string, change func(*T)) int64 {
	t.Helper()
	got, err := client.DownloadStream(t.Context(), container, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	var v T
	body, err := io.ReadAll(got.Body)
	if err == nil {
		err = json.Unmarshal(body, &v)
	}
	if err == nil {
		change(&v)
		body, err = json.Marshal(v)
	}
	if err == nil {
		_, err = client.UploadBuffer(t.Context(), container, name, body, nil)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return int64(len(body))
}

// age makes a recovery point older, everywhere: what ARM wrote into the backup, our record of it, the copy beside, and what is remembered of
// its service. It stands for a clock that has moved on: those of handler and stand-in are the machine's.
func age(t *testing.T, p dr.RecoveryPoint, by time.Duration) {
	t.Helper()
	bytes := rewrite(t, stack.Backups, p.Storage.Container, p.ID, func(backup *map[string]any) {
		at, err := time.Parse(time.RFC3339Nano, (*backup)["createdAt"].(string))
		if err != nil {
			t.Fatal(err)
		}
		(*backup)["createdAt"] = at.Add(-by)
	})
	older := func(p *dr.RecoveryPoint) {
		p.CreatedAt, p.EndedAt, p.ExpiresAt, p.Bytes = p.CreatedAt.Add(-by), p.EndedAt.Add(-by), p.ExpiresAt.Add(-by), bytes
	}
	rewrite(t, stack.State, devstack.StateContainer, recordOf(p), older)
	rewrite(t, stack.Backups, p.Storage.Container, beside(p), older)
	rewrite(t, stack.State, devstack.StateContainer, "services/"+p.Service, func(s *dr.ServiceState) {
		s.NewestGood.CreatedAt = s.NewestGood.CreatedAt.Add(-by)
	})
}

func remove(t *testing.T, client *azblob.Client, container, name string) {
	t.Helper()
	if _, err := client.DeleteBlob(t.Context(), container, name, nil); err != nil {
		t.Fatal(err)
	}
}
