package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

// What the preview shows is what the pruning does; what keeps one from seeing keeps the other, too.
func TestThePreviewIsWhatThePruningDoes(t *testing.T) {
	for name, arrange := range map[string]func(w *world, ids []string){
		"undisturbed": func(*world, []string) {},
		"the newest one's blob is gone": func(w *world, ids []string) {
			w.aside(func() error { return w.store.Backups(nightly).Delete(t.Context(), ids[0], "") })
		},
		"the newest one's blob cannot be looked at": func(w *world, ids []string) {
			w.hook = func(op, key string) error {
				if op == "head" && strings.HasSuffix(key, ids[0]) {
					return errors.New("out of reach")
				}
				return nil
			}
			w.store.Fail(w.hook)
		},
		"what was found by its tag is not known": func(w *world, _ []string) {
			w.e.Fleet.Services = nil
			w.e.Tags = &engine.Tags{Subscriptions: []string{"a"}}
		},
	} {
		w := pruneWorld(t, dr.Retention{Last: 1})
		ids := w.stock(1, 2, 31)
		arrange(w, ids)
		decisions, unseen := w.e.Retention(t.Context(), "contoso-eu")
		want := ids
		if unseen == nil {
			want = nil
			for _, d := range decisions {
				if !d.Goes {
					want = append(want, d.Point.ID)
				}
			}
		}
		if err := w.e.Prune(t.Context(), "contoso-eu"); (err == nil) != (unseen == nil) {
			t.Errorf("%s: the pruning says %v, the preview %v", name, err, unseen)
		}
		var got []string
		w.aside(func() error {
			points, err := w.store.Points(t.Context(), "contoso-eu")
			for _, p := range points {
				got = append(got, p.ID)
			}
			return err
		})
		if !slices.Equal(got, want) {
			t.Errorf("%s: left are %q, and the preview keeps %q", name, got, want)
		}
	}
}

// A newer version may be about to restore any of them.
func TestNothingIsDeletedWhileWhatIsRestoredCannotBeRead(t *testing.T) {
	w := pruneWorld(t, dr.Retention{Last: 1})
	ids := w.stock(1, 2)
	r, err := w.e.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindRestore, Point: ids[1], Confirm: "contoso-eu"})
	w.must(err)
	w.aside(func() error {
		name := "operations/" + dr.Day(r.Operation.ID) + "/" + r.Operation.ID + ".json"
		if err := w.store.State.Delete(t.Context(), name, ""); err != nil {
			return err
		}
		_, err := w.store.State.Create(t.Context(), name, store.Content{Body: []byte(`{"v":99}`)})
		return err
	})
	w.must(w.e.Prune(t.Context(), "contoso-eu"))
	w.keeps(ids...)
}

// What cannot be read is told, and does not go round for ever.
func TestChangesThatCannotBeNotedInARecordThatCannotBeReadEnd(t *testing.T) {
	for name, gone := range map[string]bool{"of the fleet": false, "that has left the fleet": true} {
		w := newWorld(t, "contoso-eu")
		w.aside(func() error {
			_, err := w.store.State.Create(t.Context(), "changes/contoso-eu", store.Content{Body: []byte("{")})
			return err
		})
		if gone {
			w.e.Fleet.Services = nil
			w.must(w.e.RunTick(t.Context(), dr.Tick{V: dr.Version, Plan: "~changes", Service: "contoso-eu", At: w.now}, ""))
		}
		for range 3 {
			w.now = w.now.Add(time.Second)
			w.must(w.change())
		}
		w.run(3 * time.Hour)
		if len(w.queue) > 0 {
			t.Errorf("%s: %d messages go round", name, len(w.queue))
		}
	}
}

// A change that is noted as its restore ends leaves nothing behind for ever.
func TestWhatWasCountedDuringARestoreIsForgotten(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	ids := w.stock(1)
	_, err := w.e.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindRestore, Point: ids[0], Confirm: "contoso-eu"})
	w.must(err)
	w.run(2 * time.Minute)
	once := true
	w.hook = func(op, key string) error {
		if once && op == "before create" && strings.HasPrefix(key, "changes/") {
			once = false
			w.run(time.Hour)
		}
		return nil
	}
	w.store.Fail(w.hook)
	w.must(w.change())
	w.watched(time.Hour)
	if ops := w.afterChanges(); len(ops) > 0 || once {
		t.Errorf("%+v", ops)
	}
}

// A tick that stands for a change and one that says that a quiet time is over are two messages.
func TestAChangeIsNotTakenForTheTickOfOthers(t *testing.T) {
	quiet := dr.Tick{V: dr.Version, Plan: "~changes", Service: "contoso-eu", At: t0, Try: 1}
	change := quiet
	change.Change = "w"
	if quiet.MessageID() == change.MessageID() {
		t.Errorf("both are %s", quiet.MessageID())
	}
}

// Who makes the catalog anew while recovery points are let go does not bring back the record of one that is gone.
func TestARebuildDuringThePruningLeavesNoRecordWithoutItsBlob(t *testing.T) {
	for n, more := 1, true; more; n++ {
		w := pruneWorld(t, dr.Retention{Last: 1})
		ids := w.stock(1, 2)
		pruned := false
		w.between = map[int]func(){w.calls + n: func() {
			if pruned = true; w.e.Prune(t.Context(), "contoso-eu") != nil {
				t.Error("not pruned")
			}
		}}
		_, err := w.e.Rebuild(t.Context(), nightly)
		w.must(err)
		if more = pruned; more {
			w.keeps(ids[0])
		}
	}
}
