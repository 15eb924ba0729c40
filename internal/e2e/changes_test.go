package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// What Event Grid tells of a service leads to one backup; what the backup itself makes Resource Manager tell does not. Not beside other tests: 50 writers of
// one blob keep Azurite busy, and what the others then wait for comes too late.
func TestABackupFollowsChanges(t *testing.T) {
	id := devstack.ResourceID("changed")
	event := func(kind, operation, resource string) string {
		return fmt.Sprintf(`{"id":"1","subject":%q,"eventType":%q,"topic":"/subscriptions/0/resourceGroups/rg","eventTime":%q,"data":{"resourceUri":%[1]q,"operationName":%[4]q},"dataVersion":"2"}`,
			resource, kind, time.Now().UTC().Format(time.RFC3339Nano), operation)
	}
	const written, acted = "Microsoft.Resources.ResourceWriteSuccess", "Microsoft.Resources.ResourceActionSuccess"
	sender, err := stack.Client.NewSender("changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	send := func(body string) {
		t.Helper()
		if err := sender.SendMessage(t.Context(), &azservicebus.Message{Body: []byte(body)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 47 { // with those below, 50: some may be noted late, and together, where they get into each other's way
		send(event(written, "Microsoft.ApiManagement/service/policies/write", fmt.Sprintf("%s/apis/a%d/policies/policy", id, i)))
	}
	change := event("Microsoft.ApiManagement.APIUpdated", "", id+"/apis/echo;Rev=1")
	send("[" + event(written, "Microsoft.ApiManagement/service/namedValues/write", id+"/namedValues/a") + "," + change + "," + change + "]")
	send(event(acted, "Microsoft.ApiManagement/service/backup/action", id))
	send("no event")

	after := func() (ids []string) { // backups after changes that were told, in their order
		for _, e := range stack.Bus.Sent("results") {
			var told struct {
				Data struct{ Operation, Service, Trigger string }
			}
			if json.Unmarshal(e.Body, &told) == nil && told.Data.Service == "changed" && told.Data.Trigger == "change" && !slices.Contains(ids, told.Data.Operation) {
				ids = append(ids, told.Data.Operation)
			}
		}
		return ids
	}
	waitFor(t, "a backup after changes is told", func() bool { return len(after()) > 0 })
	var op operation
	op.ID = after()[0]
	op = ended(t, op.ID)
	eventOnce(t, op)
	if op.Outcome != "succeeded" || op.RequestedBy != "changes" || !strings.Contains(op.Reason, " changes from ") {
		t.Errorf("%+v", op)
	}
	waitFor(t, "what is no event is in quarantine", func() bool {
		return lines.has(`"msg":"a message that cannot be read is quarantined"`, `"function":"ConfigurationChanged"`)
	})
	waitFor(t, "nothing is left to be remembered", func() bool { return !blobExists(t, stack.State, devstack.StateContainer, "changes/changed") })

	// Its recovery point: what would become of it, and what it lacks.
	point := op.Legs[0].RecoveryPoint
	var list struct {
		RecoveryPoints []struct {
			ID    string
			Prune struct {
				Goes bool
				Why  []string
			}
		}
	}
	resp, body := get(t, "/api/recovery-points?service=changed&prune=preview")
	if err := json.Unmarshal(body, &list); err != nil || resp.StatusCode != http.StatusOK || len(list.RecoveryPoints) == 0 {
		t.Fatalf("%s %s, %v", resp.Status, body, err)
	}
	if p := list.RecoveryPoints[0]; p.ID != point || p.Prune.Goes || !slices.Contains(p.Prune.Why, "it is the newest good one") {
		t.Errorf("%+v", p)
	}
	var lacks struct {
		Service    string
		NotCovered []string
		Resource   struct{ SKU struct{ Name string } }
	}
	resp, body = get(t, "/api/recovery-points/"+point+"/not-covered")
	if err := json.Unmarshal(body, &lacks); err != nil || resp.StatusCode != http.StatusOK || lacks.Service != "changed" || len(lacks.NotCovered) == 0 || lacks.Resource.SKU.Name == "" {
		t.Errorf("%s %s, %v", resp.Status, body, err)
	}

	// A change inside a backup: its point says so, and one follow-up is taken.
	noted := make(chan struct{})                                                                    // it does not end before
	stack.ARM.Inject(arm.Fault{Verb: arm.Poll, Service: "changed", Hold: noted, Times: arm.Always}) // each poll: another test may kill the handler while one waits
	first := startBackup(t, "changed")
	enters(t, first.ID, "running")
	send(event(written, "Microsoft.ApiManagement/service/policies/write", id+"/policies/policy"))
	waitFor(t, "the change is noted", func() bool { return blobExists(t, stack.State, devstack.StateContainer, "changes/changed") })
	close(noted)
	first = ended(t, first.ID)
	waitFor(t, "the change is followed up", func() bool { return len(after()) > 1 })
	follow := ended(t, after()[1])
	waitFor(t, "nothing is left to be remembered", func() bool { return !blobExists(t, stack.State, devstack.StateContainer, "changes/changed") })
	marked := map[string]bool{}
	for _, p := range points(t, "changed") {
		marked[p.ID] = p.Changed
	}
	if !marked[first.Legs[0].RecoveryPoint] || marked[follow.Legs[0].RecoveryPoint] || follow.Outcome != "succeeded" || len(after()) != 2 {
		t.Errorf("%v, %q, first %s, %+v\n%s", marked, after(), first.ID, follow, lines.about("changed"))
	}
}
