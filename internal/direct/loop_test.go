package direct

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
	"apim-dr/internal/store/memstore"
)

var nightly = dr.Storage{Account: "contosodrbackups", Container: "apim-backups"}

const (
	host  = "https://management.azure.com/"
	takes = 7 * time.Minute
)

// azure is an ARM that accepts everything and needs 7 minutes for it.
type azure struct {
	vault  *memstore.Store
	ends   map[string]time.Time // by Location
	posts  []string
	inPost func(ctx context.Context)
}

func (a *azure) Service(_ context.Context, id string) dr.Answer {
	return dr.Answer{Verdict: dr.OK, Service: dr.ServiceView{State: "Succeeded", SKU: "Developer", Capacity: 1, Region: "West Europe", Settings: &dr.Settings{GatewayURL: "https://" + id}}}
}
func (a *azure) Group(context.Context, string) dr.Answer {
	return dr.Answer{Verdict: dr.OK, Service: dr.ServiceView{Region: "northeurope"}}
}
func (a *azure) Deleted(context.Context, string) dr.Known                { return dr.Not }
func (a *azure) Tagged(context.Context, string) ([]dr.Tagged, *dr.Error) { return nil, nil }
func (a *azure) Workspaces(context.Context, string) int                  { return 0 }
func (a *azure) Trusts(location string) bool                             { return strings.HasPrefix(location, host) }
func (a *azure) Probe(_ context.Context, urls []string) []dr.Gateway     { return nil }

func (a *azure) Start(ctx context.Context, leg dr.Leg, point string) dr.Answer {
	if a.inPost != nil {
		a.inPost(ctx)
	}
	a.posts = append(a.posts, fmt.Sprintf("%s %s", leg.Verb, leg.Service))
	if leg.Verb == dr.VerbBackup {
		if _, err := a.vault.Backups(nightly).Create(ctx, point, store.Content{Body: []byte("backup")}); err != nil {
			return dr.Answer{Verdict: dr.No, Error: dr.Failure("Broken", err.Error())}
		}
	}
	location := host + leg.Service + "/" + point
	a.ends[location] = time.Now().Add(takes)
	return dr.Answer{Verdict: dr.Still, Location: location, Retry: time.Minute}
}

func (a *azure) Check(_ context.Context, location string) dr.Answer {
	if time.Now().Before(a.ends[location]) {
		return dr.Answer{Verdict: dr.Still, Location: location, Retry: time.Minute}
	}
	return dr.Answer{Verdict: dr.OK, Reason: "200"}
}

// newLoop is contoso-eu with two standbys, the second of them warm, in a bubble of synctest.
func newLoop(t *testing.T) (*Loop, *azure) {
	schedule, err := dr.ParseSchedule("0 0 3 * * *")
	if err != nil {
		t.Fatal(err)
	}
	vault := memstore.New(time.Now)
	vault.Backups(nightly)
	arm := &azure{vault: vault, ends: map[string]time.Time{}}
	instance := func(name string) dr.Instance { return dr.Instance{Name: name, ResourceID: "/x/" + name} }
	nonces := 0
	bus := &Bus{}
	e := &engine.Engine{
		Store: store.Over(store.Memory(time.Now), store.Options{Vault: vault.Vault}), Vault: vault.Vault, ARM: arm, Gateways: arm, Bus: bus,
		Timing: dr.DefaultTiming(), APIVersion: "2024-05-01", Now: time.Now, Nonce: func() string { nonces++; return fmt.Sprint("n", nonces) },
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Fleet: engine.Fleet{
			Plans:    []engine.Plan{{Name: "nightly", Schedule: schedule, Storage: nightly, Within: 12 * time.Hour}},
			Storages: []engine.Storage{{Storage: nightly, Access: dr.Access{Mode: "storageKey"}}},
			Services: []engine.Service{{Name: "contoso-eu", ResourceID: "/x/contoso-eu", Plan: "nightly",
				Secondaries: []engine.Secondary{{Instance: instance("contoso-us")}, {Instance: instance("contoso-asia"), Warm: true}}}},
		},
	}
	return &Loop{Engine: e, Bus: bus}, arm
}

func backup(t *testing.T, l *Loop) dr.Operation {
	t.Helper()
	op, err := l.Engine.Backup(t.Context(), engine.Request{Service: "contoso-eu"})
	if err != nil {
		t.Fatal(err)
	}
	return op
}

func TestWakesAreDeliveredWhenTheyAreDueUntilTheEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLoop(t)
		began := time.Now()
		var seen []string
		l.Saw = func(op dr.Operation, next time.Time) {
			at := "-"
			if !next.IsZero() {
				at = next.Sub(began).String()
			}
			seen = append(seen, fmt.Sprintf("%s %s %s", time.Since(began), op.Phase, at))
		}
		e, err := l.Run(t.Context(), backup(t, l))
		if err != nil || e.Result().Outcome != dr.Succeeded || e.Result().DurationSeconds != takes.Seconds() {
			t.Fatalf("%v, %+v", err, e.Data)
		}
		want := []string{"0s running 1m0s", "1m0s running 2m0s", "2m0s running 3m0s", "3m0s running 4m0s", "4m0s running 5m0s", "5m0s running 6m0s", "6m0s running 7m0s", "7m0s done -"}
		if !slices.Equal(seen, want) {
			t.Errorf("saw %q", seen)
		}
	})
}

func TestAFailoverFollowsItsFinalBackupAndBeginsNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, arm := newLoop(t)
		if _, err := l.Run(t.Context(), backup(t, l)); err != nil {
			t.Fatal(err)
		}
		arm.posts = nil
		got, err := l.Engine.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindFailover, Confirm: "contoso-us",
			Final: dr.FinalAuto, Trigger: dr.TriggerCLI})
		if err != nil {
			t.Fatal(err)
		}
		e, err := l.Run(t.Context(), got.Operation)
		if err != nil || e.Result().Outcome != dr.Succeeded {
			t.Fatalf("%v, %+v", err, e.Data)
		}
		if want := []string{"backup contoso-eu", "restore contoso-us"}; !slices.Equal(arm.posts, want) {
			t.Errorf("asked ARM for %q, want %q", arm.posts, want)
		}
		for _, w := range l.Bus.Left() { // the warm standby that the backups would be brought into
			if op, _, err := l.Engine.Store.Operation(t.Context(), w.ID); err != nil || op.Service != "contoso-asia" {
				t.Errorf("left %+v (%v)", op, err)
			}
		}
		if len(l.Bus.Left()) == 0 {
			t.Error("nothing was left: the test has lost its point")
		}
	})
}

func TestAStopEndsTheWaitAtOnceAndTheStepNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("interrupted")
		l, arm := newLoop(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		arm.inPost = func(post context.Context) {
			cancel(why)
			if post.Err() != nil {
				t.Error("the POST was cut short")
			}
		}
		op := backup(t, l)
		began := time.Now()
		if _, err := l.Run(ctx, op); err != why || time.Since(began) != 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if left := l.Bus.Left(); len(left) != 1 || left[0].Location == "" {
			t.Errorf("left %+v", left)
		}
		ctx, cancel = context.WithCancelCause(t.Context())
		time.AfterFunc(90*time.Second, func() { cancel(why) })
		if _, err := l.Run(ctx, op); err != why || time.Since(began) != 90*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// deaf is a bus that accepts nothing for some time, and a store that cannot be read meanwhile: then a knock fails.
type deaf struct {
	*Bus
	engine.Store
	until time.Time
}

var errDown = errors.New("down")

func (d *deaf) Wake(ctx context.Context, w dr.Wake, q engine.Queue, at time.Time) error {
	if time.Now().Before(d.until) {
		return errDown
	}
	return d.Bus.Wake(ctx, w, q, at)
}

func (d *deaf) Operation(ctx context.Context, id string) (dr.Operation, string, error) {
	if time.Now().Before(d.until) {
		return dr.Operation{}, "", errDown
	}
	return d.Store.Operation(ctx, id)
}

func TestAMessageThatFailsComesAgainTenTimes(t *testing.T) {
	for name, forever := range map[string]bool{"for a while": false, "for good": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _ := newLoop(t)
				d := &deaf{Bus: l.Bus, Store: l.Engine.Store}
				l.Engine.Bus, l.Engine.Store = d, d
				op := backup(t, l)
				began := time.Now()
				d.until = began.Add(5 * time.Second)
				if forever {
					d.until = began.Add(time.Hour)
				}
				e, err := l.Run(t.Context(), op)
				switch {
				case forever && (!errors.Is(err, ErrStuck) || !errors.Is(err, errDown) || time.Since(began) != 18*time.Second):
					t.Errorf("%v after %s", err, time.Since(began))
				case !forever && (err != nil || e.Result().Outcome != dr.Succeeded):
					t.Errorf("%v, %+v", err, e.Data)
				}
			})
		})
	}
}

func TestWhatIsDueFirstComesFirstWhateverWasSentFirst(t *testing.T) {
	at := time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)
	b, ids := &Bus{}, []string{"a", "b"}
	for _, m := range []struct {
		id  string
		due time.Duration
	}{{"b", 2 * time.Minute}, {"c", 0}, {"a", time.Minute}, {"b", time.Minute}} {
		if err := b.Wake(t.Context(), dr.Wake{ID: m.id}, engine.Polls, at.Add(m.due)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"a 1m0s", "b 1m0s", "b 2m0s"} {
		due, ok := b.due(ids)
		if got := b.take(ids); !ok || got.wake.ID+" "+due.Sub(at).String() != want || !got.at.Equal(due) {
			t.Errorf("%s at %s, want %s", got.wake.ID, due.Sub(at), want)
		}
	}
	if _, ok := b.due(ids); ok || len(b.Left()) != 1 || b.Left()[0].ID != "c" {
		t.Errorf("left %v", b.Left())
	}
}

func TestAnOperationThatWaitsForNothingIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLoop(t)
		op := backup(t, l)
		l.Bus.take([]string{op.ID})
		if _, err := l.Run(t.Context(), op); !errors.Is(err, ErrStuck) {
			t.Errorf("%v", err)
		}
	})
}

func TestWhatFollowsFromAnOutcomeIsTriedUntilItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, arm := newLoop(t)
		began := time.Now()
		arm.vault.Fail(func(op, key string) error {
			if strings.HasSuffix(key, ".apimdr.json") && time.Since(began) < 10*time.Minute {
				return errDown
			}
			return nil
		})
		waited := false
		l.Saw = func(op dr.Operation, next time.Time) { waited = waited || op.Phase == dr.Done && !next.IsZero() }
		if e, err := l.Run(t.Context(), backup(t, l)); err != nil || e.Result().Outcome != dr.Succeeded || time.Since(began) < 10*time.Minute || !waited {
			t.Errorf("%v, %s after %s, told %v", err, e.Result().Outcome, time.Since(began), waited)
		}
	})
}

func TestRolesRemembersWhetherTheyWereWritten(t *testing.T) {
	p := dr.NewPair("contoso-eu", "contoso-us")
	m := memstore.New(time.Now)
	m.Backups(nightly)
	r := &Roles{Vault: m.Vault}
	if err := r.KeepRole(t.Context(), nightly, p); err != nil || r.Err != nil || *r.Kept != p {
		t.Errorf("%v, %+v", err, r)
	}
	r = &Roles{Vault: m.Vault}
	if err := r.KeepRole(t.Context(), dr.Storage{Account: "contosodrbackups", Container: "gone"}, p); err == nil || r.Err != err || r.Kept != nil {
		t.Errorf("%v, %+v", err, r)
	}
}
