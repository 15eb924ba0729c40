package e2e

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"apim-dr/internal/dr"
	"apim-dr/internal/standin/arm"
)

// P→T and T→P at once: only the active instance is failed over from. Afterwards the same call is the failback.
func TestFailoversBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	const p, s = "both", "both-standby"
	point := pointOf(t, p)
	pointOf(t, s)
	back := `{"primary":"both-standby","target":"both","confirm":"both","reason":"test"}`
	var refused problem
	var wg sync.WaitGroup
	wg.Go(func() { refused = ask[problem](t, "/api/failovers", back, http.StatusConflict) })
	op := begun(t, "/api/failovers", failingOver(p, ""))
	wg.Wait()
	rejected, _ := ends(t, refused.Operation, "rejected", "NotActive")
	if want := "both is the active instance of the pair both~both-standby, not both-standby; call with that one"; !strings.HasPrefix(rejected.Error.Message, want) {
		t.Errorf("%q", rejected.Error.Message)
	}
	_, e := ends(t, op.ID, "succeeded", "")
	overwritten(t, s, point.ID, content(p))
	untouched(t, p)
	roles(t, p, s, true)
	r := e.Data.Recovery
	took := restores(s)[0]
	if least := took.Ended.Sub(took.Started).Seconds(); r.RTOSeconds < least || r.RPOSeconds <= 0 || r.RecoveryPoint != point.ID || r.FinalBackup != "never" {
		t.Errorf("ARM took %.1f s: %+v", least, r)
	}
	if len(r.Gateways) == 0 || slices.ContainsFunc(r.Gateways, func(g dr.Gateway) bool { return g.Status != http.StatusOK }) {
		t.Errorf("gateways: %+v", r.Gateways)
	}
	next, missing := strings.Join(r.NextSteps, "\n"), strings.Join(r.NotCovered, "\n")
	if !strings.Contains(next, "point the DNS name api.contoso.com") || !strings.Contains(next, `"primary":"both-standby","target":"both","confirm":"both"`) ||
		!strings.Contains(missing, "api.contoso.com") {
		t.Errorf("next steps: %s\nnot covered: %s", next, missing)
	}

	ends(t, begun(t, "/api/failovers", back).ID, "succeeded", "")
	overwritten(t, p, point.ID, content(p))
	overwritten(t, s, point.ID, content(p))
	roles(t, p, p, false)
}

// Two calls for the same failover that know nothing of each other overwrite the standby once.
func TestTwoFailoversAtOnce(t *testing.T) {
	t.Parallel()
	point := pointOf(t, "twice")
	var ids [2]string
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			resp, body := post(t, "/api/failovers", failingOver("twice", ""), nil)
			if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusConflict {
				t.Errorf("%s %s", resp.Status, body)
			}
			var answer struct{ ID, Operation string } // of an operation or a problem
			if err := json.Unmarshal(body, &answer); err != nil {
				t.Errorf("%v: %s", err, body)
			}
			ids[i] = cmp.Or(answer.ID, answer.Operation)
		})
	}
	wg.Wait()
	outcomes := map[string]int{}
	for _, id := range ids {
		op, _ := told(t, id)
		outcomes[op.Outcome]++
		if op.Outcome == "rejected" && op.Error.Code != "FailoverInProgress" && op.Error.Code != "NotActive" {
			t.Errorf("%+v", op.Error)
		}
	}
	if outcomes["succeeded"] != 1 || outcomes["rejected"] != 1 {
		t.Errorf("%v", outcomes)
	}
	overwritten(t, "twice-standby", point.ID, content("twice"))
	roles(t, "twice", "twice-standby", true)
}

func TestTheSameKeyIsTheSameFailover(t *testing.T) {
	t.Parallel()
	point := pointOf(t, "key")
	key := http.Header{"Idempotency-Key": {"incident-7"}}
	first := asked[operation](t, "/api/failovers", failingOver("key", ""), key, http.StatusAccepted)
	again := asked[operation](t, "/api/failovers", failingOver("key", ""), key, http.StatusAccepted)
	ends(t, first.ID, "succeeded", "")
	later := asked[operation](t, "/api/failovers", failingOver("key", ""), key, http.StatusOK)
	if again.ID != first.ID || later.ID != first.ID || later.Outcome != "succeeded" {
		t.Errorf("%s, %s, %s %s", first.ID, again.ID, later.ID, later.Outcome)
	}
	if p := asked[problem](t, "/api/failovers", failingOver("key", `,"finalBackup":"auto"`), key, http.StatusUnprocessableEntity); !strings.Contains(p.Detail, first.ID) {
		t.Errorf("%+v", p)
	}
	overwritten(t, "key-standby", point.ID, content("key"))
	eventOnce(t, later)
}

// A failover follows a restore of the same recovery point into the same instance that already runs.
func TestAFailoverAdoptsARunningRestore(t *testing.T) {
	t.Parallel()
	point := pointOf(t, "adopt")
	goOn := make(chan struct{})
	stack.ARM.Inject(arm.Fault{Verb: arm.Poll, Service: "adopt-standby", Times: arm.Always, Hold: goOn})
	byHand := begun(t, "/api/restores", `{"service":"adopt-standby","from":"adopt","confirm":"adopt-standby","safetyBackup":false}`)
	enters(t, byHand.ID, "running")
	over := begun(t, "/api/failovers", failingOver("adopt", ""))
	waitFor(t, "it is adopted", func() bool { return look(t, over.ID).Legs[0].Adopted == byHand.ID })
	close(goOn)
	ends(t, byHand.ID, "succeeded", "")
	if _, e := ends(t, over.ID, "succeeded", ""); e.Data.Recovery.Adopted != byHand.ID {
		t.Errorf("%+v", e.Data.Recovery)
	}
	overwritten(t, "adopt-standby", point.ID, content("adopt"))
	roles(t, "adopt", "adopt-standby", true)
}

// Operations may be polled below their region, as newer ones are: with a right of its own, and without the instance in the last answer.
func TestOperationsThatTheirRegionShows(t *testing.T) {
	t.Parallel()
	point := pointOf(t, "newer")
	stack.ARM.FailNext("newer", arm.Backup, &arm.Error{Status: 400, Code: "BackupFailed", Message: "no space"})
	if op := ended(t, startBackup(t, "newer").ID); op.Outcome != "failed" || op.Error == nil || op.Error.Source != "arm" || op.Error.Code != "BackupFailed" || op.Error.Message != "no space" {
		t.Errorf("%+v %+v", op, op.Error)
	}
	ends(t, begun(t, "/api/failovers", failingOver("newer", `,"finalBackup":"never"`)).ID, "succeeded", "")
	overwritten(t, "newer-standby", point.ID, content("newer"))
	roles(t, "newer", "newer-standby", true)
	seen := map[string]bool{}
	for _, r := range stack.ARM.Requests() {
		if r.Verb == arm.Poll && strings.HasPrefix(r.Service, "newer") {
			t.Errorf("polled at %s", r.Path)
		}
		seen[r.Service] = seen[r.Service] || r.Verb == arm.PollStatus && r.Status == http.StatusOK
	}
	if !seen["newer"] || !seen["newer-standby"] {
		t.Errorf("polled below the region: %v", seen)
	}
}

// A service gets the data of another one, and then its own again, with a way back.
func TestRestores(t *testing.T) {
	t.Parallel()
	own, foreign := pointOf(t, "in-place"), pointOf(t, "donor")
	_, e := ends(t, begun(t, "/api/restores", `{"service":"in-place","from":"donor","confirm":"in-place","safetyBackup":false,"reason":"test"}`).ID, "succeeded", "")
	overwritten(t, "in-place", foreign.ID, content("donor"))
	if r := e.Data.Recovery; r.Source != "donor" || r.RecoveryPoint != foreign.ID || len(e.Data.RecoveryPoints) != 0 {
		t.Errorf("%+v", e)
	}
	if !slices.ContainsFunc(e.Data.Recovery.Findings, func(f dr.Finding) bool {
		return f.Result == dr.Warn && f.Detail == "in-place gets the users, subscriptions and keys of donor"
	}) {
		t.Errorf("%+v", e.Data.Recovery.Findings)
	}

	op, e := ends(t, begun(t, "/api/restores", `{"service":"in-place","confirm":"in-place","recoveryPoint":"`+own.ID+`"}`).ID, "succeeded", "")
	if got := stack.ARM.Content("in-place"); got != content("in-place") || len(restores("in-place")) != 2 {
		t.Errorf("it holds %q after %d restores", got, len(restores("in-place")))
	}
	if len(op.Legs) != 2 || op.Legs[0].Verb != "backup" || !op.Legs[0].Safety || op.Legs[0].Outcome != "succeeded" || op.Legs[1].Verb != "restore" || op.Legs[1].RecoveryPoint != own.ID {
		t.Errorf("%+v", op.Legs)
	}
	if len(e.Data.RecoveryPoints) != 1 || !e.Data.RecoveryPoints[0].Safety {
		t.Fatalf("%+v", e.Data.RecoveryPoints)
	}
	// The way back is there, and is taken by whoever names it only.
	safety := e.Data.RecoveryPoints[0]
	rewrite(t, stack.Backups, safety.Storage.Container, safety.ID, func(backup *map[string]any) {
		if (*backup)["content"] != content("donor") {
			t.Errorf("the safety backup holds %v", *backup)
		}
	})
	latest := ask[struct{ Plan plan }](t, "/api/restores", `{"service":"in-place","dryRun":true}`, http.StatusOK).Plan
	if latest.RecoveryPoint == nil || latest.RecoveryPoint.ID != own.ID {
		t.Errorf("latest is %+v", latest.RecoveryPoint)
	}
}

func TestADrillProvesTheNewestRecoveryPoint(t *testing.T) {
	t.Parallel()
	point := pointOf(t, "drilled")
	if p := posture(t, "drilled"); p.Proven || p.Unproven != "no drill of a backup of drilled has succeeded yet" {
		t.Errorf("%+v", p)
	}
	op, e := ends(t, begun(t, "/api/drills", `{"service":"drilled","reason":"test"}`).ID, "succeeded", "")
	overwritten(t, "drilled-lab", point.ID, content("drilled"))
	untouched(t, "drilled")
	untouched(t, "drilled-standby")
	if e.Type != "apimdr.drill.succeeded" || e.Data.Service != "drilled-lab" || e.Data.Recovery.Source != "drilled" || len(e.Data.Recovery.NextSteps) != 0 {
		t.Errorf("%+v", e)
	}
	p := posture(t, "drilled")
	if s := p.Proof.RecoverySeconds; !p.Proven || p.Proof.Operation != op.ID || p.Proof.Point != point.ID || s <= 0 || s > e.Data.Recovery.RTOSeconds || p.LastDrill.Outcome != dr.Succeeded {
		t.Errorf("%+v", p)
	}
	roles(t, "drilled", "drilled", false)
}
