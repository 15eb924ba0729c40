package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// shelf is a store with pages of operations and with markers.
type shelf struct {
	*recorder
	pages map[string][]dr.Operation // by where they begin
	next  map[string]string         // page that follows
}

func (s *shelf) ListOperations(_ context.Context, day, after string, limit int) ([]dr.Operation, string, error) {
	return slices.Clone(s.pages[after]), s.next[after], s.note(fmt.Sprintf("list %s after %q limit %d", day, after, limit))
}

func (s *shelf) get(target string) *httptest.ResponseRecorder {
	a := app(s.recorder)
	a.Records, a.Now = s, func() time.Time { return time.Date(2026, 1, 6, 1, 0, 0, 0, time.FixedZone("", 2*60*60)) }
	router := customhandler.NewRouter(customhandler.Options{Log: a.Log})
	a.Register(router)
	w := httptest.NewRecorder()
	serve(router, w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

func listed(t *testing.T, s *shelf, target string) (ids []string, m map[string]any) {
	t.Helper()
	w := s.get(target)
	m = members(t, w)
	ops, _ := m["operations"].([]any)
	if w.Code != http.StatusOK || ops == nil {
		t.Fatalf("%s: %d %s", target, w.Code, w.Body)
	}
	for _, op := range ops {
		ids = append(ids, op.(map[string]any)["id"].(string))
	}
	return ids, m
}

func TestOperationsOfADayComeAPageAtATimeTheNewestFirst(t *testing.T) {
	at := time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)
	s := &shelf{recorder: &recorder{}, next: map[string]string{"": "p&2"}, pages: map[string][]dr.Operation{
		"": {{ID: "older", CreatedAt: at}, {ID: "newer", CreatedAt: at.Add(time.Hour)}}, "p&2": {{ID: "last", CreatedAt: at}},
	}}
	ids, m := listed(t, s, "/api/operations?day=2026-01-05&limit=2&code=secret&clientId=me")
	link, _ := m["nextLink"].(string)
	u, err := url.Parse(link)
	if err != nil || !slices.Equal(ids, []string{"newer", "older"}) || u.Path != "/api/operations" || u.Query().Encode() != "after=p%262&day=2026-01-05&limit=2" {
		t.Errorf("%q, next %s, %v", ids, link, err)
	}
	if ids, m = listed(t, s, link); !slices.Equal(ids, []string{"last"}) || m["nextLink"] != nil {
		t.Errorf("%q, next %v", ids, m["nextLink"])
	}
	ids, m = listed(t, s, "/api/operations?inFlight=false") // those of today in UTC, which the link names: tomorrow it would be another day
	if len(ids) != 2 || !strings.Contains(fmt.Sprint(m["nextLink"]), "day=2026-01-05") {
		t.Errorf("%q, next %v", ids, m["nextLink"])
	}
	want := []string{`list 20260105 after "" limit 2`, `list 20260105 after "p&2" limit 2`, `list 20260105 after "" limit 50`}
	if !slices.Equal(s.calls, want) {
		t.Errorf("%q", s.calls)
	}
}

func TestWhatIsInFlightIsListedTheNewestFirstWithWhatItUsuallyTakes(t *testing.T) {
	at := time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)
	older := dr.Operation{ID: "older", CreatedAt: at, Phase: dr.Running, Legs: []dr.Leg{{Verb: dr.VerbBackup, PostedAt: at.Add(time.Minute)}}}
	r := &recorder{underWay: []engine.UnderWay{{Operation: older, UsualSeconds: 1500}, {Operation: dr.Operation{ID: "newer", CreatedAt: at.Add(time.Hour)}}}}
	s := &shelf{recorder: r}
	ids, m := listed(t, s, "/api/operations?inFlight=true")
	if !slices.Equal(ids, []string{"newer", "older"}) || m["notShown"] != 7. {
		t.Errorf("%q, not shown %v", ids, m["notShown"])
	}
	if op := m["operations"].([]any)[1].(map[string]any); op["usualSeconds"] != 1500. || op["startedAt"] != "2026-01-05T03:01:00Z" {
		t.Errorf("%v", op)
	}
	listed(t, s, "/api/operations?inFlight=true&limit=5")
	if want := []string{"in flight, 200 at most", "in flight, 5 at most"}; !slices.Equal(r.calls, want) {
		t.Errorf("%q", r.calls)
	}
	if s.err = errors.New("no route to host"); !isProblem(s.get("/api/operations?inFlight=true"), 503) || !isProblem(s.get("/api/operations"), 503) {
		t.Error("an outage passes for an empty list")
	}
}

func TestAListThatIsAskedForWronglySaysWhatIsAccepted(t *testing.T) {
	for query, want := range map[string]string{
		"?limit=0": "limit", "?limit=201": "limit", "?limit=x": "limit", "?day=today": "day", "?day=20260105": "day", "?inFlight=yes": "inFlight", "?after=a%0Ab": "after",
		"?inFlight=true&day=2026-01-05": "day", "?inFlight=true&after=": "after",
		"?after=" + strings.Repeat("x", maxAfter+1): "after", "?day=x&limit=x&inFlight=x&after=%C3%A9": "day limit inFlight after",
	} {
		s := &shelf{recorder: &recorder{}}
		w := s.get("/api/operations" + query)
		if got := strings.Join(fields(t, w), " "); !isProblem(w, 400) || got != want || len(s.calls) > 0 {
			t.Errorf("%.40s: %d, fields %q, calls %q", query, w.Code, got, s.calls)
		}
	}
	s := &shelf{recorder: &recorder{}}
	listed(t, s, "/api/operations?limit=200&after="+strings.Repeat("x", maxAfter))
	listed(t, s, "/api/operations?limit=1")
}
