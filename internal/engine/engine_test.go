package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

func (w *world) backup(service string) dr.Operation {
	w.t.Helper()
	op, err := w.e.Backup(w.t.Context(), engine.Request{Service: service, RequestedBy: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	return op
}

func (w *world) only() dr.Operation {
	w.t.Helper()
	ops := w.ops()
	if len(ops) != 1 {
		w.t.Fatalf("%d operations", len(ops))
	}
	return ops[0]
}

func (w *world) mustHold(ops int) {
	w.t.Helper()
	if wrong := w.check(ops); len(wrong) > 0 {
		w.t.Fatal(strings.Join(wrong, "\n"))
	}
}

func TestABackupRunsToItsEvent(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.backup("CONTOSO-EU")
	w.run(time.Hour)
	w.mustHold(1)
	op := w.only()
	if op.Outcome != dr.Succeeded || len(w.posts) != 1 || len(w.events[op.ID]) != 1 || op.Service != "contoso-eu" {
		t.Fatalf("%s, %d POSTs, %d events, service %s", op.Outcome, len(w.posts), len(w.events[op.ID]), op.Service)
	}
	e := w.events[op.ID][0]
	if e.Type != "apimdr.backup.succeeded" || e.Result().RecoveryPoints[0].State != dr.Good || e.Result().RecoveryPoints[0].Bytes != 6 {
		t.Errorf("event %+v", e)
	}
	s, err := w.store.Service(t.Context(), "contoso-eu")
	if err != nil || s.NewestGood.ID != e.Result().RecoveryPoints[0].ID {
		t.Errorf("newest good %+v, %v", s.NewestGood, err)
	}
	sidecar := e.Result().RecoveryPoints[0].ID + ".apimdr.json"
	if !slices.Contains(w.store.Backups(nightly).Names(), sidecar) {
		t.Errorf("no %s beside the blob: %v", sidecar, w.store.Backups(nightly).Names())
	}
}

// Killed at any call, before or after its effect: one outcome, one event id, no lock, no marker, and never a second POST.
func TestKilledAnywhere(t *testing.T) {
	points, unknown := 0, 0
	for k := 1; ; k++ {
		w := newWorld(t, "contoso-eu")
		op := w.backup("contoso-eu")
		w.calls = 0
		w.killAt = map[int]bool{k: true}
		w.run(48 * time.Hour)
		if wrong := w.check(1); len(wrong) > 0 || len(w.posts) != 1 {
			t.Fatalf("killed at call %d: %d POSTs\n%s", k, len(w.posts), strings.Join(wrong, "\n"))
		}
		switch got := w.only(); {
		case got.ID != op.ID:
			t.Fatalf("killed at call %d: another operation", k)
		case got.Outcome == dr.Unknown && got.Leg().Location == "":
			unknown++ // the Location died with the process
		case got.Outcome != dr.Succeeded:
			t.Fatalf("killed at call %d: %s %v", k, got.Outcome, got.Error)
		}
		if points++; k > w.calls {
			break
		}
	}
	t.Logf("%d kill points, %d of them between ARM's acceptance and the save", points-1, unknown)
	if unknown > 3 {
		t.Errorf("%d kill points end unknown", unknown)
	}
	if points < 40 {
		t.Errorf("only %d kill points: the calls are not counted", points)
	}
}

// Killed twice, in a nightly run over two services of which one has an operation by hand as well.
func TestKilledTwiceAmongOthers(t *testing.T) {
	for seed := 1; seed <= 150; seed++ {
		w := newWorld(t, "contoso-eu", "contoso-us")
		w.backup("contoso-eu")
		if err := w.e.SendTicks(t.Context(), dr.KindBackup); err != nil {
			t.Fatal(err)
		}
		w.calls = 0
		w.killAt = map[int]bool{seed*7919%160 + 1: true, seed*104729%160 + 1: true}
		w.run(72 * time.Hour)
		if wrong := w.check(3); len(wrong) > 0 || len(w.posts) != 3 {
			t.Fatalf("killed at %v: POSTs %v\n%s", w.killAt, w.posts, strings.Join(wrong, "\n"))
		}
	}
}

func TestEveryMessageTwice(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.backup("contoso-eu")
	for range 100 {
		n := len(w.queue)
		if n == 0 {
			break
		}
		m := w.queue[0]
		w.now = m.due
		w.queue = w.queue[1:]
		w.deliver(m)
		w.deliver(m)
		slices.SortStableFunc(w.queue, func(a, b message) int { return a.due.Compare(b.due) })
	}
	w.run(48 * time.Hour)
	w.mustHold(1)
	if op := w.only(); op.Outcome != dr.Succeeded || len(w.posts) != 1 {
		t.Errorf("%s after %d POSTs", op.Outcome, len(w.posts))
	}
}

// A message that comes twice can be handled twice at the same time. The first invocation stands still at any call; the second goes as far as its
// POST; while that is on its way the first goes on to its end, and then another operation on the service has its turn. ARM never has two of ours.
func TestAnotherInvocationInBetween(t *testing.T) {
	for _, seen := range []string{"Succeeded", "Updating"} { // by the first invocation; the second sees an idle service
		for k := 1; ; k++ {
			w := newWorld(t, "contoso-eu")
			s := w.services["contoso-eu"]
			one, two := w.backup("contoso-eu"), w.backup("contoso-eu")
			knock := func(id string) {
				if err := w.e.Knock(t.Context(), dr.Wake{V: 1, ID: id, Lease: t0.Add(time.Hour)}); err != nil {
					t.Error(err)
				}
			}
			if s.view.State = seen; seen == "Updating" {
				knock(one.ID) // the record tells already what it waits for
			}
			stands, goOn, over := make(chan bool, 2), make(chan bool), make(chan bool)
			w.calls = 0
			w.between = map[int]func(){k: func() { stands <- true; <-goOn }}
			go func() {
				knock(one.ID)
				stands <- false
				close(over)
			}()
			stood := <-stands
			w.between = nil
			if stood {
				s.view.State = "Succeeded"
				w.inPost = func() {
					s.view.State = seen
					close(goOn)
					<-over
					s.view.State = "Succeeded"
					knock(two.ID)
				}
				knock(one.ID)
				if w.inPost != nil { // it did not come to a POST
					w.inPost = nil
					close(goOn)
				}
			}
			<-over
			s.view.State = "Succeeded"
			w.run(24 * time.Hour)
			if wrong := w.check(2); len(wrong) > 0 {
				t.Fatalf("%s, first invocation stands at call %d: POSTs %v\n%s", seen, k, w.posts, strings.Join(wrong, "\n"))
			}
			if !stood {
				t.Logf("%s: %d places", seen, k-1)
				break
			}
		}
	}
}

// Correct without duplicate detection: it only saves work.
func TestWithoutDuplicateDetection(t *testing.T) {
	for k := 1; k < 60; k++ {
		w := newWorld(t, "contoso-eu")
		w.backup("contoso-eu")
		w.calls, w.killAt = 0, map[int]bool{k: true}
		for range 400 {
			clear(w.sent)
			if len(w.queue) == 0 {
				break
			}
			m := w.queue[0]
			if m.due.After(w.now) {
				w.now = m.due
			}
			w.queue = w.queue[1:]
			w.deliver(m)
			slices.SortStableFunc(w.queue, func(a, b message) int { return a.due.Compare(b.due) })
		}
		w.run(48 * time.Hour)
		if wrong := w.check(1); len(wrong) > 0 || len(w.posts) != 1 {
			t.Fatalf("killed at %d: %d POSTs\n%s", k, len(w.posts), strings.Join(wrong, "\n"))
		}
	}
}

func TestALostAnswerIsReconciled(t *testing.T) {
	lost := dr.Answer{Verdict: dr.Lost, Reason: "connection reset"}
	for name, tc := range map[string]struct {
		accepted bool
		takes    time.Duration
		showLate time.Duration
		posts    int
		outcome  dr.Outcome
	}{
		"never heard: POSTed again":                  {false, 5 * time.Minute, 0, 2, dr.Succeeded},
		"heard and running: never again":             {true, 2 * time.Hour, 0, 1, dr.Unknown},
		"heard and over before anybody looked":       {true, time.Minute, 0, 1, dr.Unknown},
		"heard, and shown only five minutes later":   {true, 2 * time.Hour, 5 * time.Minute, 1, dr.Unknown},
		"heard, never shown, over between two looks": {true, 6*time.Minute + 30*time.Second, time.Hour, 1, dr.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "contoso-eu")
			w.takes, w.showLate = tc.takes, tc.showLate
			w.onPost = func() (*dr.Answer, bool) { w.onPost = nil; return &lost, tc.accepted }
			w.backup("contoso-eu")
			w.run(48 * time.Hour)
			w.mustHold(1)
			if op := w.only(); op.Outcome != tc.outcome || len(w.posts) != tc.posts {
				t.Errorf("%s after %d POSTs: %+v", op.Outcome, len(w.posts), op.Evidence)
			}
		})
	}
}

func TestTwoOperationsOnAServiceTakeTurns(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	for range 3 {
		w.backup("contoso-eu")
	}
	w.run(4 * time.Hour)
	w.mustHold(3)
	for _, op := range w.ops() {
		if op.Outcome != dr.Succeeded {
			t.Errorf("%s: %s", op.ID, op.Outcome)
		}
	}
}

func TestARMsErrorReachesRecordAndEventWhole(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	reason := &dr.Error{Source: "arm", Code: "ActivationFailed", Message: "Unable to activate\r\nParameter name: x", Status: 400}
	w.services["contoso-eu"].failed = reason
	w.backup("contoso-eu")
	w.run(time.Hour)
	w.mustHold(1)
	op := w.only()
	if op.Outcome != dr.Failed || *op.Error != *reason || *w.events[op.ID][0].Result().Error != *reason {
		t.Errorf("%s %+v", op.Outcome, op.Error)
	}
	if s, err := w.store.Service(t.Context(), "contoso-eu"); err != nil || s.NewestGood.ID != "" || s.LastOutcome.Outcome != dr.Failed {
		t.Errorf("a failed backup counts: %+v, %v", s, err)
	}
}

func TestWhatCannotBeBackedUpIsRejectedBeforeAnyPOST(t *testing.T) {
	for want, view := range map[string]dr.ServiceView{
		"SkuNotSupported":  {State: "Succeeded", SKU: "StandardV2"},
		"ApiVersionTooOld": {State: "Succeeded", SKU: "Premium", MinVersion: "2025-01-01"},
	} {
		w := newWorld(t, "contoso-eu")
		w.services["contoso-eu"].view = view
		w.backup("contoso-eu")
		w.run(time.Hour)
		w.mustHold(1)
		if op := w.only(); op.Outcome != dr.Rejected || op.Error.Code != want || len(w.posts) != 0 {
			t.Errorf("%s %+v after %d POSTs, want %s", op.Outcome, op.Error, len(w.posts), want)
		}
	}
}

func TestABusyServiceIsWaitedForWithoutHoldingTheLock(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.services["contoso-eu"].view.State = "Updating"
	w.backup("contoso-eu")
	w.run(10 * time.Minute)
	if op := w.only(); op.Phase != dr.Queued || op.Waiting != "the service is Updating" || slices.Contains(w.store.State.Names(), "locks/contoso-eu") {
		t.Fatalf("%s, waiting for %q, %v", op.Phase, op.Waiting, w.store.State.Names())
	}
	w.services["contoso-eu"].view.State = "Succeeded"
	w.run(time.Hour)
	w.mustHold(1)
}

func TestAServiceBusyForTwelveHoursIsGivenUpWithTheReason(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.services["contoso-eu"].view.State = "Updating"
	w.backup("contoso-eu")
	w.run(13 * time.Hour)
	w.mustHold(1)
	if op := w.only(); op.Outcome != dr.Rejected || !strings.Contains(op.Error.Message, "the service is Updating") {
		t.Errorf("%s %v", op.Outcome, op.Error)
	}
}

func TestPollsThatAreRefusedEndUnknownAndNeverSucceeded(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.onPoll = func() *dr.Answer {
		return &dr.Answer{Verdict: dr.Refused, Error: &dr.Error{Source: "arm", Code: "AuthorizationFailed", Status: 403}}
	}
	w.backup("contoso-eu")
	w.run(4 * time.Hour)
	w.mustHold(1)
	op := w.only()
	if op.Outcome != dr.Unknown || !strings.Contains(fmt.Sprint(op.Evidence), "AuthorizationFailed") || !strings.Contains(fmt.Sprint(op.Evidence), "6 bytes") {
		t.Errorf("%s %+v", op.Outcome, op.Evidence)
	}
	if p := w.events[op.ID][0].Result().RecoveryPoints; len(p) != 1 || p[0].State != dr.Unverified {
		t.Errorf("recovery points %+v", p)
	}
}

func TestABackupWithoutItsBlobFails(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.services["contoso-eu"].noBlob = true
	w.backup("contoso-eu")
	w.run(time.Hour)
	w.mustHold(1)
	if op := w.only(); op.Outcome != dr.Failed || op.Error.Code != "BackupBlobMissing" {
		t.Errorf("%s %v", op.Outcome, op.Error)
	}
}

func TestAnOutageOfTheBusOnlyDelays(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.backup("contoso-eu")
	back := w.now.Add(time.Hour)
	w.busDown = func() error {
		if w.now.Before(back) {
			return errors.New("no route to host")
		}
		return nil
	}
	w.run(24 * time.Hour)
	w.mustHold(1)
	if op := w.only(); op.Outcome == dr.Failed || len(w.posts) > 1 {
		t.Errorf("%s after %d POSTs", op.Outcome, len(w.posts))
	}
}

func TestAnOutageOfTheStoreOnlyDelays(t *testing.T) {
	for after := range 40 {
		w := newWorld(t, "contoso-eu")
		w.backup("contoso-eu")
		calls, back := 0, w.now.Add(24*time.Hour)
		w.hook = func(string, string) error {
			if calls++; calls > after && w.now.Before(back) {
				if back.Sub(w.now) > 2*time.Hour {
					back = w.now.Add(time.Hour)
				}
				return errors.New("no route to host")
			}
			return nil
		}
		w.store.Fail(w.hook)
		w.run(48 * time.Hour)
		if wrong := w.check(1); len(wrong) > 0 || len(w.posts) != 1 {
			t.Fatalf("store gone after %d calls: %d POSTs\n%s", after, len(w.posts), strings.Join(wrong, "\n"))
		}
		if op := w.only(); op.Outcome != dr.Succeeded {
			t.Fatalf("store gone after %d calls: %s %v", after, op.Outcome, op.Error)
		}
	}
}

func TestAMessageNeverLeadsTheTokenElsewhere(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	w.run(2 * time.Minute)
	var asked []string
	w.onPoll = func() *dr.Answer { asked = append(asked, "x"); return nil }
	if err := w.e.Knock(t.Context(), dr.Wake{V: 1, ID: op.ID, Attempt: 1, Location: "https://evil.example/"}); err != nil {
		t.Fatal(err)
	}
	w.onPoll = nil
	w.run(time.Hour)
	w.mustHold(1)
	if got := w.only(); got.Outcome != dr.Succeeded || len(asked) != 1 {
		t.Errorf("%s, %d polls", got.Outcome, len(asked))
	}
}

func TestForgedAndStaleMessagesChangeNothing(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	w.run(time.Hour)
	before := w.store.State.Names()
	for _, k := range []dr.Wake{{V: 1, ID: dr.NewID(dr.KindBackup, t0, "nobody")}, {V: 1, ID: op.ID, Epoch: 7}, {V: 1, ID: op.ID}} {
		if err := w.e.Knock(t.Context(), k); err != nil {
			t.Errorf("%+v: %v", k, err)
		}
	}
	if after := w.store.State.Names(); !slices.Equal(before, after) || len(w.posts) != 1 {
		t.Errorf("%v became %v, %d POSTs", before, after, len(w.posts))
	}
	for _, e := range w.events[op.ID] {
		if e.ID != op.ID+":result" {
			t.Errorf("event %s", e.ID)
		}
	}
}

func TestAConflictAndAnOutageAfterThePOSTLoseNoLocation(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	posted, conflicted, reads := false, false, 0
	w.onPost = func() (*dr.Answer, bool) { posted = true; return nil, true }
	w.hook = func(call, key string) error {
		switch {
		case !strings.HasPrefix(key, "operations/") || !posted:
		case !conflicted && call == "before replace": // the watchdog was here
			conflicted = true
			w.aside(func() error {
				now, etag, err := w.store.Operation(t.Context(), op.ID)
				if err != nil {
					return err
				}
				healed := dr.Heal(now)
				healed.Rev, healed.Writer = now.Rev+1, "watchdog"
				_, err = w.store.SaveOperation(t.Context(), healed, etag)
				return err
			})
		case conflicted && call == "read":
			if reads++; reads == 2 { // the first tells whose write it was
				return errors.New("no route to host")
			}
		}
		return nil
	}
	w.store.Fail(w.hook)
	w.run(48 * time.Hour)
	w.mustHold(1)
	if got := w.only(); got.Outcome != dr.Succeeded || reads < 2 {
		t.Errorf("%s after %d reads: %+v", got.Outcome, reads, got.Evidence)
	}
}

// What can be rebuilt, or belongs to somebody else, must not hold an operation back.
func TestABadRecordBesideTheOperationHoldsNothingBack(t *testing.T) {
	for _, body := range []string{`{"v":2}`, "nonsense"} {
		w := newWorld(t, "contoso-eu")
		w.aside(func() error {
			_, err := w.store.State.Create(t.Context(), "services/contoso-eu", store.Content{Body: []byte(body)})
			return err
		})
		w.backup("contoso-eu")
		w.run(time.Hour)
		w.mustHold(1)
	}
}

func TestALockThatBecameUnreadableHoldsNoEventBack(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	w.run(2 * time.Minute)
	w.aside(func() error {
		_, etag, err := w.store.State.Get(t.Context(), "locks/contoso-eu")
		if err != nil {
			return err
		}
		_, err = w.store.State.Replace(t.Context(), "locks/contoso-eu", []byte("nonsense"), etag)
		return err
	})
	w.run(time.Hour)
	if len(w.events[op.ID]) == 0 {
		t.Error("no event")
	}
}

// Whoever can send to the queue shall not end one operation with the answer to another.
func TestAForgedMessageCannotNameAnotherInstancesOperation(t *testing.T) {
	own := "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.ApiManagement/service/contoso-eu"
	for location, foreign := range map[string]bool{
		"": false,
		armHost + "subscriptions/s1/resourceGroups/RG/providers/Microsoft.ApiManagement/service/Contoso-EU//operationresults/x": false,
		armHost + "subscriptions/s1/resourceGroups/rg/providers/Microsoft.ApiManagement/service/contoso-us/operationresults/x":  true,
		armHost + "subscriptions/s1/resourceGroups/rg/providers/Microsoft.ApiManagement/service/contoso-eu2/operationresults/x": true,
		armHost + "subscriptions/s1/providers/Microsoft.ApiManagement/locations/westeurope/operationsStatuses/x":                false,
		armHost + "subscriptions/s2/providers/Microsoft.ApiManagement/locations/westeurope/operationsStatuses/x":                true,
	} {
		if got := (dr.Wake{Location: location}).Foreign(own); got != foreign {
			t.Errorf("%s: %v", location, got)
		}
	}
	parentheses := strings.Replace(own, "/rg/", "/rg(1)/", 1)
	if (dr.Wake{Location: armHost[:len(armHost)-1] + strings.Replace(parentheses, "(1)", "%281%29", 1) + "/operationresults/x"}).Foreign(parentheses) {
		t.Error("an escaped group name is taken for another group")
	}
	if !(dr.Wake{Location: armHost + "subscriptions/s1/resourceGroups/rg/providers/Microsoft.ApiManagement/service/contoso-us/operationresults/x?q=" + own + "/"}).Foreign(own) {
		t.Error("our id in the query passes for the path")
	}
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	w.run(2 * time.Minute)
	if err := w.e.Knock(t.Context(), dr.Wake{V: 1, ID: op.ID, Attempt: 1, Location: armHost + "service/contoso-us/operationresults/x"}); err != nil {
		t.Fatal(err)
	}
	w.run(time.Hour)
	w.mustHold(1)
	if got := w.only(); got.Outcome != dr.Succeeded {
		t.Errorf("%s %v", got.Outcome, got.Error)
	}
}

func TestAnUnreadableLockMakesAnOperationWaitAndLoseNothing(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.aside(func() error {
		_, err := w.store.State.Create(t.Context(), "locks/contoso-eu", store.Content{Body: []byte("nonsense")})
		return err
	})
	w.backup("contoso-eu")
	w.run(20 * time.Minute)
	if op := w.only(); op.Phase != dr.Queued || len(w.queue) != 1 || len(w.posts) != 0 || !strings.Contains(op.Waiting, "lock cannot be read") {
		t.Fatalf("%s, %d messages, %d POSTs, waiting for %q", op.Phase, len(w.queue), len(w.posts), op.Waiting)
	}
	w.aside(func() error { return w.store.State.Delete(t.Context(), "locks/contoso-eu", "") })
	w.run(time.Hour)
	w.mustHold(1)
}

// A message that dies again and again may not become a storm.
func TestDeadLettersPause(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	w.run(2 * time.Minute)
	w.queue = nil
	if err := w.e.Bury(t.Context(), dr.Wake{V: 1, ID: op.ID, Attempt: 1, N: 5}, dr.Failure("DeadLettered", "x")); err != nil {
		t.Fatal(err)
	}
	if got := w.queue[0].due.Sub(w.now); got != 5*time.Minute {
		t.Errorf("woken after %s", got)
	}
	w.run(time.Hour)
	w.mustHold(1)
}

func TestANewEpochWhoseWakeCannotBeSentIsWokenAllTheSame(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	w.run(2 * time.Minute)
	w.queue = nil
	down := 1
	w.busDown = func() error {
		if down--; down >= 0 {
			return errors.New("no route to host")
		}
		return nil
	}
	if err := w.e.Bury(t.Context(), dr.Wake{V: 1, ID: op.ID, Attempt: 1, N: 5}, dr.Failure("DeadLettered", "x")); err != nil {
		t.Fatal(err)
	}
	if got := w.queue[0].wake; got.Epoch != w.only().Epoch {
		t.Errorf("the wake has epoch %d, the record %d", got.Epoch, w.only().Epoch)
	}
	w.run(time.Hour)
	w.mustHold(1)
}

func TestADeadLetterForNobodyIsQuarantined(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	if err := w.e.Bury(t.Context(), dr.Wake{V: 1, ID: dr.NewID(dr.KindBackup, t0, "nobody")}, dr.Failure("DeadLettered", "x")); err != nil {
		t.Fatal(err)
	}
	if names := w.store.State.Names(); len(names) != 1 || !strings.HasPrefix(names[0], "quarantine/") {
		t.Errorf("kept: %v", names)
	}
}

func TestAForgedLeaseDoesNotKeepTheWatchdogAway(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	w.queue = nil
	if err := w.e.Knock(t.Context(), dr.Wake{V: 1, ID: op.ID, Lease: t0.AddDate(900, 0, 0)}); err != nil {
		t.Fatal(err)
	}
	w.queue = nil // and its successor is lost
	w.run(time.Hour)
	w.mustHold(1)
}
