package devstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"apim-dr/internal/standin/arm"
)

// scene is one stamp in a story: how it is asked, and what its subscriber receives.
type scene struct {
	*Stamp
	story *Story
	inbox *inbox
	leave func() // ends the subscription
	last  string // route of the newest operation that was asked for
}

// open lets a story begin at a stamp that runs. Each event is told and written to events.
func (s *Stamp) open(ctx context.Context, story *Story, events io.Writer) *scene {
	in, stop := s.listen(ctx, func(e Event) error { return story.Event(e, events) })
	return &scene{Stamp: s, story: story, inbox: in, leave: stop}
}

// answer is what a route of the app answered.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// ask sends a request and wants its status; into is filled from the body unless it is nil.
func (s *scene) ask(ctx context.Context, method, route, body string, status int, into any) (answer, error) {
	if method != http.MethodGet {
		s.story.Tell("http", "%s %s %s", method, route, body)
	}
	began := time.Now()
	resp, err := s.call(ctx, method, route, body, nil)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return a, fmt.Errorf("%s %s: %w", method, route, err)
	}
	a.took = time.Since(began)
	if a.status != status {
		return a, fmt.Errorf("%s %s %s: %s, not %d: %s", method, route, body, resp.Status, status, a.body)
	}
	if into != nil {
		err = json.Unmarshal(a.body, into)
	}
	return a, err
}

// begin starts an operation and returns the answer and its id.
func (s *scene) begin(ctx context.Context, route, body string) (a answer, id string, err error) {
	var op struct{ ID string }
	if a, err = s.ask(ctx, http.MethodPost, route, body, http.StatusAccepted, &op); err != nil {
		return a, "", err
	}
	s.last = a.header.Get("Location")
	s.story.Tell("http", "202, Location %s, Retry-After %s", s.last, a.header.Get("Retry-After"))
	return a, op.ID, nil
}

// ended waits for the event of an operation, which must be of that type.
func (s *scene) ended(ctx context.Context, typ, id string) (Event, error) {
	e, err := s.inbox.await(ctx, "the event of "+id, func(e Event) bool { return e.Data.Operation == id })
	if err == nil && e.Type != typ {
		err = fmt.Errorf("%s was expected, not %s", typ, e.Raw)
	}
	return e, err
}

// backedUp waits for the event of a good backup that trigger brought about, and looks for its blob.
func (s *scene) backedUp(ctx context.Context, service, trigger string) (Event, error) {
	e, err := s.inbox.await(ctx, "a backup of "+service+" by "+trigger, func(e Event) bool {
		return strings.HasPrefix(e.Type, "apimdr.backup.") && e.Data.Service == service && e.Data.Trigger == trigger
	})
	if err != nil {
		return e, err
	}
	if e.Data.Outcome != "succeeded" || len(e.Data.RecoveryPoints) != 1 {
		return e, fmt.Errorf("not the expected event: %s", e.Raw)
	}
	blob := s.Backups.ServiceClient().NewContainerClient(BackupContainer).NewBlobClient(e.Data.RecoveryPoints[0].ID)
	props, err := blob.GetProperties(ctx, nil)
	if err != nil {
		return e, fmt.Errorf("blob of %s: %w", e.Data.Operation, err)
	}
	if *props.ContentLength == 0 {
		return e, fmt.Errorf("blob of %s is empty", e.Data.Operation)
	}
	return e, nil
}

// backup asks for a backup and waits for its event.
func (s *scene) backup(ctx context.Context, service, reason string) (Event, error) {
	if _, _, err := s.begin(ctx, "/api/backups", fmt.Sprintf(`{"service":%q,"reason":%q}`, service, reason)); err != nil {
		return Event{}, err
	}
	return s.backedUp(ctx, service, "http")
}

// restored holds the event of an operation that restored into a target against what ARM did: it returns ARM's own record of that.
func (s *scene) restored(e Event, target, content string) (arm.Operation, error) {
	list := restores(s.cloud.ARM, target, e.Data.CreatedAt)
	i := slices.IndexFunc(list, func(o arm.Operation) bool {
		return o.BackupName == e.Data.Recovery.RecoveryPoint && !o.Ended.IsZero() && o.Error == nil
	})
	var errs []error
	if i < 0 || len(list) != 1 {
		errs = append(errs, fmt.Errorf("ARM restored %d times into %s since then; wanted: recovery point %s, once", len(list), target, e.Data.Recovery.RecoveryPoint))
		i, list = 0, []arm.Operation{{}}
	}
	if got := s.cloud.ARM.Content(target); got != content {
		errs = append(errs, fmt.Errorf("%s holds %q, not %q", target, got, content))
	}
	took := list[i].Ended.Sub(list[i].Started).Seconds()
	if e.Data.Recovery.RTOSeconds < took {
		errs = append(errs, fmt.Errorf("a recovery time of %.3f s is told, but ARM alone took %.3f s", e.Data.Recovery.RTOSeconds, took))
	}
	if len(e.Data.Recovery.Gateways) == 0 {
		errs = append(errs, errors.New("no gateway was asked"))
	}
	for _, g := range e.Data.Recovery.Gateways {
		if g.Status != http.StatusOK {
			errs = append(errs, fmt.Errorf("gateway %s answered %d", g.URL, g.Status))
		}
	}
	return list[i], errors.Join(errs...)
}

// operations are those on a service, by ARM's own record, that began at a time or later.
func operations(a *arm.Server, service string, since time.Time) []arm.Operation {
	return slices.DeleteFunc(a.Operations(), func(o arm.Operation) bool { return o.Service != service || o.Started.Before(since) })
}

func restores(a *arm.Server, service string, since time.Time) []arm.Operation {
	return slices.DeleteFunc(operations(a, service, since), func(o arm.Operation) bool { return o.Verb != arm.Restore })
}

// posture is what a story reads of GET /api/status about a service.
type posture struct {
	Service, Active     string
	Protected, Proven   bool
	Colocated           bool
	SurvivesPrimaryLoss struct {
		Survives string
		Reasons  []string
	}
	Pairs []struct {
		Home, Active    string
		Suspended, Warm bool
	}
	Proof struct{ RecoverySeconds float64 }
}

// status asks about a service and tells of it.
func (s *scene) status(ctx context.Context, service string) (posture, error) {
	var status struct{ Services []posture }
	if _, err := s.ask(ctx, http.MethodGet, "/api/status", "", http.StatusOK, &status); err != nil {
		return posture{}, err
	}
	i := slices.IndexFunc(status.Services, func(p posture) bool { return p.Service == service })
	if i < 0 || len(status.Services[i].Pairs) != 1 {
		return posture{}, fmt.Errorf("GET /api/status does not tell of %s and its pair", service)
	}
	p := status.Services[i]
	standby := map[bool]string{true: "suspended", false: "follows"}[p.Pairs[0].Suspended]
	if !p.Pairs[0].Warm {
		standby = "cold"
	}
	s.story.Tell("http", "GET /api/status: %s: active is %s, standby %s, survives the loss of its region: %s", service, p.Active, standby, p.SurvivesPrimaryLoss.Survives)
	return p, nil
}
