package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// tag lets a subscription show instances with their plans.
func (w *world) tag(subscription string, plans map[string]string) {
	if w.tagged == nil {
		w.tagged, w.unlisted = map[string][]dr.Tagged{}, map[string]bool{}
	}
	w.tagged[subscription] = nil
	for name, plan := range plans {
		if w.services[name] == nil {
			w.add(name)
		}
		w.tagged[subscription] = append(w.tagged[subscription], dr.Tagged{Instance: dr.Instance{Name: name, ResourceID: "/x/" + name}, Plan: plan})
	}
}

func (w *world) names() (names []string) {
	w.t.Helper()
	s, err := w.e.Status(w.t.Context())
	w.must(err)
	for _, p := range s.Services {
		names = append(names, p.Service)
	}
	slices.Sort(names)
	return names
}

func TestTaggedServicesAreBackedUpAndVanishedOnesAreReported(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.e.Tags = &engine.Tags{Subscriptions: []string{"a", "b"}}
	w.tag("a", map[string]string{"tagged-one": "nightly", "contoso-eu": "nightly", "odd": "daily"})
	w.tag("b", map[string]string{"tagged-two": "nightly"})
	w.must(w.e.Watch(t.Context()))
	if got := w.names(); !slices.Equal(got, []string{"contoso-eu", "tagged-one", "tagged-two"}) {
		t.Fatalf("%q", got)
	}
	w.now = t0.Add(24 * time.Hour)
	w.must(w.e.SendTicks(t.Context(), dr.KindBackup))
	w.run(3 * time.Hour)
	var backed []string
	for _, op := range w.ops() {
		if op.Outcome == dr.Succeeded {
			backed = append(backed, op.Service)
		}
	}
	if slices.Sort(backed); !slices.Equal(backed, []string{"contoso-eu", "tagged-one", "tagged-two"}) {
		t.Errorf("backed up: %q", backed)
	}

	// Another process knows them from the store, one that cannot reach it goes by the fleet.
	other := *w.e
	other.Tags = &engine.Tags{Subscriptions: []string{"a", "b"}}
	w.store.Fail(func(op, key string) error {
		if strings.HasPrefix(key, "fleet/") {
			return errors.New("out of reach")
		}
		return nil
	})
	other.Refresh(t.Context())
	if _, err := other.Backup(t.Context(), engine.Request{Service: "tagged-one"}); !errors.Is(err, engine.ErrUnknownService) {
		t.Errorf("%v", err)
	}
	w.store.Fail(w.hook)
	other.Refresh(t.Context()) // not so soon again
	if _, err := other.Backup(t.Context(), engine.Request{Service: "tagged-one"}); !errors.Is(err, engine.ErrUnknownService) {
		t.Errorf("%v", err)
	}
	w.now = w.now.Add(time.Minute)
	other.Refresh(t.Context())
	if _, err := other.Backup(t.Context(), engine.Request{Service: "tagged-one"}); err != nil {
		t.Error(err)
	}

	// A subscription that cannot be listed keeps its services; what is gone from one that can is told.
	w.unlisted["a"] = true
	w.tag("b", nil)
	w.must(w.e.Watch(t.Context()))
	s, err := w.e.Status(t.Context())
	w.must(err)
	if got := w.names(); !slices.Equal(got, []string{"contoso-eu", "tagged-one"}) || len(s.Discovery.Gone) != 1 || s.Discovery.Gone[0].Name != "tagged-two" || len(s.Discovery.Faults) != 1 ||
		!strings.Contains(s.Discovery.Faults[0].Why, "AuthorizationFailed") || !slices.Equal(s.Discovery.Found, []string{"tagged-one"}) {
		t.Errorf("%q, %+v", got, s.Discovery)
	}
}

func TestWithoutTagsNobodyLooksForServices(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.store.Fail(func(op, key string) error {
		if strings.HasPrefix(key, "fleet/") {
			t.Errorf("%s %s", op, key)
		}
		return nil
	})
	w.e.Refresh(t.Context())
	w.must(w.e.Watch(t.Context()))
	if s, err := w.e.Status(t.Context()); err != nil || s.Discovery != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// A new process that cannot read what was found takes nothing for left out or gone: it comes again.
func TestWhatWasFoundIsNotForgottenByAProcessThatCannotReadIt(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.e.Tags = &engine.Tags{Subscriptions: []string{"a"}}
	w.tag("a", map[string]string{"tagged": "nightly"})
	w.must(w.e.Watch(t.Context()))
	w.now = t0.Add(24 * time.Hour)
	w.e.Tags = &engine.Tags{Subscriptions: []string{"a"}} // a new process
	down := true
	w.hook = func(op, key string) error {
		if down && op == "read" && strings.HasPrefix(key, "fleet/") {
			return errors.New("out of reach")
		}
		return w.call()
	}
	w.store.Fail(w.hook)
	w.e.Refresh(t.Context())
	if _, err := w.e.Retention(t.Context(), "contoso-eu"); err != nil {
		t.Error(err) // the fleet names it itself
	}
	tick := dr.Tick{V: dr.Version, Plan: "nightly", At: dr.DueTick(w.e.Fleet.Plans[0].Schedule, w.now)}
	w.must(w.e.RunTick(t.Context(), tick, ""))
	w.must(w.e.Changed(t.Context(), dr.Change{ResourceID: "/subscriptions/a/resourceGroups/rg/providers/Microsoft.ApiManagement/service/tagged/apis/x", At: w.now, What: "w"}))
	if last, err := w.store.LastTick(t.Context(), "nightly"); err != nil || !last.Before(tick.At) {
		t.Errorf("the tick counts as carried out: %s, %v", last, err)
	}
	if len(w.queue) < 2 || w.queue[len(w.queue)-1].tick == nil || w.queue[len(w.queue)-1].tick.Change != "w" || w.queue[len(w.queue)-1].tick.Service != "tagged" {
		t.Errorf("%+v", w.queue)
	}
	down = false
	w.now = w.now.Add(time.Minute)
	w.e.Refresh(t.Context())
	w.run(time.Hour)
	if !slices.ContainsFunc(w.ops(), func(op dr.Operation) bool { return op.Service == "tagged" && op.Outcome == dr.Succeeded }) {
		t.Error("no backup")
	}
}
