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
	"apim-dr/internal/store/storetest"
)

const day = 24 * time.Hour

// stock gives contoso-eu good recovery points with their blobs, so many days old each, and returns their ids in that order.
func (w *world) stock(days ...float64) (ids []string) {
	w.aside(func() error {
		for _, d := range days {
			at := w.now.Add(-time.Duration(d * float64(day)))
			op := dr.NewID(dr.KindBackup, at, "stock", fmt.Sprint(d))
			p := dr.RecoveryPoint{
				V: dr.Version, ID: op + "-s0-a1", State: dr.Good, Service: "contoso-eu", Operation: op, CreatedAt: at, EndedAt: at.Add(time.Hour),
				ExpiresAt: at.Add(dr.BackupLife), Storage: nightly, Bytes: 6,
			}
			if _, err := w.store.Backups(nightly).Create(w.t.Context(), p.ID, store.Content{Body: []byte("backup")}); err != nil {
				return err
			}
			if err := storetest.PutPoint(w.t.Context(), w.store, p); err != nil {
				return err
			}
			ids = append(ids, p.ID)
		}
		return nil
	})
	return ids
}

// left is the recovery points that are left; it fails unless records, blobs and copies match one to one.
func (w *world) left() (ids []string) {
	w.t.Helper()
	w.aside(func() error {
		points, err := w.store.Points(w.t.Context(), "contoso-eu")
		var want []string
		for _, p := range points {
			ids = append(ids, p.ID)
			want = append(want, p.ID, p.ID+".apimdr.json")
			if p.State == dr.Deleting {
				w.t.Errorf("%s is still on its way out", p.ID)
			}
		}
		slices.Sort(want)
		if got := w.store.Backups(nightly).Names(); !slices.Equal(got, want) {
			w.t.Errorf("blobs %q, want %q", got, want)
		}
		return err
	})
	return ids
}

func (w *world) keeps(ids ...string) {
	w.t.Helper()
	if got := w.left(); !slices.Equal(got, ids) {
		w.t.Errorf("left are %q, want %q", got, ids)
	}
}

func pruneWorld(t *testing.T, r dr.Retention) *world {
	w := newWorld(t, "contoso-eu")
	w.e.Fleet.Plans[0].Retention = r
	w.e.Fleet.Prunes, _ = dr.ParseSchedule("0 0 6 * * *")
	return w
}

func TestAPassOfThePruningLetsGoWhatThePlanDoesNotKeep(t *testing.T) {
	w := pruneWorld(t, dr.Retention{Last: 2})
	ids := w.stock(1, 2, 3, 29, 31)
	if err := w.e.Watch(t.Context()); err != nil { // that the job is new: it does not begin at once
		t.Fatal(err)
	}
	w.keeps(ids...)
	w.now = t0.Add(4 * time.Hour)
	if err := w.e.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.run(time.Hour)
	w.keeps(ids[:2]...)
}

func TestWhatHasLeftTheFleetIsKeptUntilItExpires(t *testing.T) {
	w := pruneWorld(t, dr.Retention{Last: 1})
	ids := w.stock(1, 2, 29, 31)
	w.e.Fleet.Services = nil
	if err := w.e.RunTick(t.Context(), dr.Tick{Plan: "~prune", At: dr.DueTick(w.e.Fleet.Prunes, w.now)}, ""); err != nil {
		t.Fatal(err)
	}
	w.run(time.Hour)
	w.keeps(ids[:3]...)
}

// Wherever a kill falls, what is left can be restored or is on its way out, and the next pass leaves what an undisturbed one does.
func TestAKillInThePruningLeavesNothingHalf(t *testing.T) {
	for n, more := 1, true; more; n++ {
		w := pruneWorld(t, dr.Retention{Last: 1})
		ids := w.stock(1, 2, 3)
		w.killAt[w.calls+n] = true
		err := w.survive(func() error { return w.e.Prune(t.Context(), "contoso-eu") })
		more = errors.Is(err, errKilled)
		clear(w.killAt)
		w.aside(func() error {
			points, err := w.store.Points(t.Context(), "contoso-eu")
			names := w.store.Backups(nightly).Names()
			for _, p := range points {
				if p.State == dr.Good && !slices.Contains(names, p.ID) {
					t.Errorf("kill %d: %s counts as good without a blob", n, p.ID)
				}
			}
			for _, name := range names {
				if !slices.ContainsFunc(points, func(p dr.RecoveryPoint) bool { return strings.HasPrefix(name, p.ID) }) {
					t.Errorf("kill %d: no record names %s", n, name)
				}
			}
			return err
		})
		if err := w.e.Prune(t.Context(), "contoso-eu"); err != nil {
			t.Fatal(err)
		}
		w.keeps(ids[0])
		if n > 200 {
			t.Fatal("it never ends")
		}
	}
}

func TestNothingIsDeleted(t *testing.T) {
	for name, arrange := range map[string]func(w *world, ids []string){
		"while the service is held": func(w *world, _ []string) {
			if _, err := w.e.Hold(t.Context(), engine.HoldRequest{Service: "contoso-eu", Until: w.now.Add(time.Hour), Reason: "r"}); err != nil {
				t.Fatal(err)
			}
		},
		"after a backup that failed": func(w *world, _ []string) {
			w.aside(func() error {
				return w.store.MergeService(t.Context(), "contoso-eu", func(s dr.ServiceState) (dr.ServiceState, bool) {
					s.LastBackup = dr.LastEnded{Operation: "op", Outcome: dr.Failed, EndedAt: w.now}
					return s, true
				})
			})
		},
		"when the newest one's blob is gone": func(w *world, ids []string) {
			w.aside(func() error { return w.store.Backups(nightly).Delete(t.Context(), ids[0], "") })
		},
		"when the newest one's blob is empty": func(w *world, ids []string) {
			w.aside(func() error {
				c := w.store.Backups(nightly)
				if err := c.Delete(t.Context(), ids[0], ""); err != nil {
					return err
				}
				_, err := c.Create(t.Context(), ids[0], store.Content{})
				return err
			})
		},
		"when what is remembered cannot be read": func(w *world, _ []string) {
			w.aside(func() error {
				_, err := w.store.State.Create(t.Context(), "services/contoso-eu", store.Content{Body: []byte("{")})
				return err
			})
		},
		"while somebody is about to restore them": func(w *world, ids []string) {
			for _, id := range ids[1:] {
				if _, err := w.e.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindRestore, Point: id, Confirm: "contoso-eu"}); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := pruneWorld(t, dr.Retention{Last: 1})
			ids := w.stock(1, 2, 3)
			arrange(w, ids)
			if err := w.e.Prune(t.Context(), "contoso-eu"); err != nil {
				t.Fatal(err)
			}
			points, err := w.store.Points(t.Context(), "contoso-eu")
			if err != nil || len(points) != 3 || slices.ContainsFunc(points, func(p dr.RecoveryPoint) bool { return p.State != dr.Good }) {
				t.Errorf("left are %+v, %v", points, err)
			}
		})
	}
}

// What an instance was restored from stays, and is not kept away from pruning by the operation that has ended.
func TestARestoredRecoveryPointStays(t *testing.T) {
	w := pruneWorld(t, dr.Retention{Last: 1})
	ids := w.stock(1, 2, 3)
	for _, id := range ids[1:] {
		if _, err := w.e.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindRestore, Point: id, Confirm: "contoso-eu"}); err != nil {
			t.Fatal(err)
		}
		w.run(2 * time.Hour)
	}
	if len(w.restores) != 2 {
		t.Fatalf("restored: %q", w.restores)
	}
	// As if the first had been killed before it took its pin back.
	w.aside(func() error { return w.store.Pin(t.Context(), "contoso-eu", ids[1], w.ops()[0].ID) })
	if err := w.e.Prune(t.Context(), "contoso-eu"); err != nil {
		t.Fatal(err)
	}
	w.keeps(ids[0], ids[2])
}

func TestWhatIsRememberedOfInstancesKeepsRecoveryPoints(t *testing.T) {
	for name, row := range map[string]struct {
		of    string
		state func(id string) dr.ServiceState
	}{
		"the last that was restored, wherever":     {"contoso-eu", func(id string) dr.ServiceState { return dr.ServiceState{LastGiven: dr.LastRestore{Point: id}} }},
		"what the service was restored from":       {"contoso-eu", func(id string) dr.ServiceState { return dr.ServiceState{LastRestore: dr.LastRestore{Point: id}} }},
		"what its standby was restored from":       {"contoso-us", func(id string) dr.ServiceState { return dr.ServiceState{LastRestore: dr.LastRestore{Point: id}} }},
		"what its drill instance was":              {"contoso-drill", func(id string) dr.ServiceState { return dr.ServiceState{LastRestore: dr.LastRestore{Point: id}} }},
		"what stands for the state of its standby": {"contoso-us", func(id string) dr.ServiceState { return dr.ServiceState{NewestGood: dr.PointRef{ID: id}} }},
	} {
		w := pruneWorld(t, dr.Retention{Last: 1})
		s := &w.e.Fleet.Services[0]
		s.Secondaries = []engine.Secondary{{Instance: dr.Instance{Name: "contoso-us", ResourceID: "/x/contoso-us"}}}
		s.Drill = &dr.Instance{Name: "contoso-drill", ResourceID: "/x/contoso-drill"}
		ids := w.stock(1, 2, 3)
		w.aside(func() error {
			return w.store.MergeService(t.Context(), row.of, func(dr.ServiceState) (dr.ServiceState, bool) { return row.state(ids[1]), true })
		})
		if err := w.e.Prune(t.Context(), "contoso-eu"); err != nil {
			t.Fatal(err)
		}
		if got := w.left(); !slices.Equal(got, ids[:2]) {
			t.Errorf("%s: left are %q", name, got)
		}
	}
}

func TestWhatStorageRetainsIsTriedAgainWhenItHasExpired(t *testing.T) {
	w := pruneWorld(t, dr.Retention{Last: 1})
	ids := w.stock(1, 2)
	immutable := true
	w.store.Fail(func(op, key string) error {
		if immutable && op == "before delete" && strings.HasSuffix(key, ids[1]) {
			return &store.Error{Op: "delete", Blob: key, Kind: engine.ErrImmutable}
		}
		return nil
	})
	w.hook = nil
	tries := func(want string) {
		t.Helper()
		if err := w.e.Prune(t.Context(), "contoso-eu"); err != nil {
			t.Fatal(err)
		}
		d, err := w.e.Retention(t.Context(), "contoso-eu")
		if err != nil || d[1].Point.State != dr.Good || d[1].Point.Retained != "immutable" || d[1].Goes != (want == "goes") {
			t.Errorf("%+v, %v", d, err)
		}
	}
	tries("stays")
	w.now = t0.Add(29 * day)
	tries("goes") // and was refused once more
	immutable = false
	if err := w.e.Prune(t.Context(), "contoso-eu"); err != nil {
		t.Fatal(err)
	}
	w.keeps(ids[0])
}

func TestAPruneThatFailsIsTriedAgainSomeTimes(t *testing.T) {
	w := pruneWorld(t, dr.Retention{Last: 1})
	ids := w.stock(1, 2)
	tried := 0
	w.store.Fail(func(op, key string) error {
		if op == "before delete" {
			tried++
			return errors.New("out of reach")
		}
		return nil
	})
	if err := w.e.RunTick(t.Context(), dr.Tick{Plan: "~prune", Service: "contoso-eu", At: w.now}, ""); err != nil {
		t.Fatal(err)
	}
	w.run(time.Hour)
	if tried != 6 {
		t.Errorf("tried %d times", tried)
	}
	w.store.Fail(nil)
	if err := w.e.Prune(t.Context(), "contoso-eu"); err != nil {
		t.Fatal(err)
	}
	w.keeps(ids[0])
}

func TestARecoveryPointIsFoundByItsIDAlone(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	stocked := w.stock(1)[0] // its operation has no record, as after a rebuild
	op, err := w.e.Backup(t.Context(), engine.Request{Service: "contoso-eu"})
	if err != nil {
		t.Fatal(err)
	}
	w.run(time.Hour)
	for _, id := range []string{stocked, op.ID + "-s0-a1"} {
		if p, err := w.e.RecoveryPoint(t.Context(), id); err != nil || p.ID != id {
			t.Errorf("%+v, %v", p, err)
		}
	}
	for _, id := range []string{"", "x", op.ID, op.ID + "-s0-a2", "../" + stocked} {
		if p, err := w.e.RecoveryPoint(t.Context(), id); !errors.Is(err, engine.ErrNoPoint) {
			t.Errorf("%q: %+v, %v", id, p, err)
		}
	}
}

// The copy is written after the blob, and may be kept longer: without its blob a point is no good one again.
func TestAPointWhoseCopyAloneIsRetainedStaysOnItsWayOut(t *testing.T) {
	w := pruneWorld(t, dr.Retention{Last: 1})
	ids := w.stock(1, 2)
	immutable := true
	w.hook = func(op, key string) error {
		if immutable && op == "before delete" && strings.HasSuffix(key, ids[1]+".apimdr.json") {
			return &store.Error{Op: "delete", Blob: key, Kind: engine.ErrImmutable}
		}
		return nil
	}
	w.store.Fail(w.hook)
	w.must(w.e.Prune(t.Context(), "contoso-eu"))
	if p, err := w.store.Point(t.Context(), "contoso-eu", ids[1]); err != nil || p.State != dr.Deleting {
		t.Errorf("%+v, %v", p, err)
	}
	immutable = false
	w.must(w.e.Prune(t.Context(), "contoso-eu"))
	w.keeps(ids[0])
}
