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
