package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/trace"
)

// Status tells of each service of the fleet whether it is protected.
type Status struct {
	Places   []dr.Place   `json:"stamp"` // where this stamp's parts lie
	Services []dr.Posture `json:"services"`
	// Discovery is what the last look for tagged services came to; nil: nobody looks for any.
	Discovery *Discovered `json:"discovery,omitempty"`
}

// Discovered is what a caller is told of a dr.Discovery: those that were found are among the services.
type Discovered struct {
	At     time.Time  `json:"at"`
	Found  []string   `json:"found"`
	Gone   []dr.Gone  `json:"gone,omitempty"`
	Faults []dr.Fault `json:"faults,omitempty"`
}

// Status reads what is remembered of each service and its pairs. The cost grows with the fleet, not with history.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	fleet := e.fleet()
	s := Status{Places: fleet.Places, Services: make([]dr.Posture, len(fleet.Services)), Discovery: e.discovered()}
	at := make([]int, len(fleet.Services))
	for i := range at {
		at[i] = i
	}
	_ = each(at, func(i int) error {
		s.Services[i] = e.posture(ctx, fleet.Services[i])
		return nil
	})
	return s, ctx.Err()
}

// Guard looks at each service once: what is not protected is logged (an alert looks for these lines, infra/alerts.json), and an event tells once that the
// newest good recovery point has become older than the RPO, and once that a newer one is there. One failure does not hide the others.
func (e *Engine) Guard(ctx context.Context) error {
	return each(e.fleet().Services, func(s Service) error {
		g := e.guard(ctx, s)
		now := e.Now()
		if p := dr.Assess(g, now); !p.Protected {
			e.Log.WarnContext(ctx, "not protected", trace.KeyService, p.Service, "why", p.Why)
		}
		return e.watchRPO(ctx, g, now)
	})
}

// watchRPO saves what it has seen before it tells it: a kill in between is told by the next pass.
func (e *Engine) watchRPO(ctx context.Context, g dr.Guard, now time.Time) error {
	name := g.Service.Name
	w, changed := g.Watched.Next(g, now)
	if changed {
		err := e.Store.MergeService(ctx, name, func(s dr.ServiceState) (dr.ServiceState, bool) {
			if s.RPO != g.Watched { // another pass was here
				w = s.RPO
				return s, false
			}
			s.RPO = w
			return s, true
		})
		if illegible(err) {
			return nil // that has been told
		}
		if err != nil {
			return err
		}
	}
	if w.State == "" || w.Told {
		return nil
	}
	e.Log.WarnContext(ctx, "rpo "+w.State, trace.KeyService, name, "since", w.Since, "rpoSeconds", time.Duration(w.RPO).Seconds())
	if err := e.Bus.Publish(ctx, w.Event(g.Service, g.Plan)); err != nil {
		return err
	}
	return e.Store.MergeService(ctx, name, func(s dr.ServiceState) (dr.ServiceState, bool) {
		told := s.RPO == w
		s.RPO.Told = s.RPO.Told || told
		return s, told
	})
}

// posture judges one service.
func (e *Engine) posture(ctx context.Context, s Service) dr.Posture {
	return dr.Assess(e.guard(ctx, s), e.Now())
}

// guard reads what a service is judged by. What cannot be read is its reason not to count as protected: it must not hide the others.
func (e *Engine) guard(ctx context.Context, s Service) dr.Guard {
	plan, _ := e.fleet().plan(s.Plan)
	now := e.Now()
	g := dr.Guard{Service: s.instance(), Active: s.instance(), Plan: s.Plan, RPO: plan.RPO, Proven: plan.Proven, Drilled: s.Drill != nil}
	g.Places = append(append(g.Places, e.fleet().Places...), dr.Place{What: "the backup storage " + plan.Storage.Account, Region: plan.Storage.Region})
	states := map[string]dr.ServiceState{} // by name in lower case: the fleet may write one name in two ways
	var err error
	around := e.fleet().Around(s.Name)
	if s.Drill != nil {
		around = append(around, s.Drill.Name)
	}
	unread := map[string]error{}
	for _, name := range around {
		var state dr.ServiceState
		state, err = e.stateOf(ctx, name)
		if illegible(err) {
			unread[strings.ToLower(name)], err = err, nil
		}
		if err != nil {
			break
		}
		states[strings.ToLower(name)] = state
		if h := state.Hold; h.Keeps(now) {
			g.Holds = append(g.Holds, dr.Held{Service: name, Hold: h})
		}
	}
	g.Watched = states[strings.ToLower(s.Name)].RPO
	if err == nil {
		g.Active, g.Pairs, err = e.active(ctx, s)
		g.State = states[strings.ToLower(g.Active.Name)]
	}
	if err == nil {
		err = unread[strings.ToLower(g.Active.Name)]
	}
	if err == nil && len(g.Pairs) < len(e.fleet().couplesWith(s.Name)) {
		err = fmt.Errorf("%w: of a pair, so that another instance may be the active one", ErrUnreadable)
	}
	if g.Owner = g.State; err == nil && g.State.NewestGood.Service != "" {
		if g.Owner, err = e.stateOf(ctx, g.State.NewestGood.Service); illegible(err) { // that has been told, and only the proof stands there
			err = nil
		}
	}
	if err != nil {
		e.Log.WarnContext(ctx, "the state of a service could not be read", "about", s.Name, "error", err)
		g.Unread = err.Error()
	}
	return g
}

func (e *Engine) stateOf(ctx context.Context, service string) (dr.ServiceState, error) {
	s, err := e.Store.Service(ctx, service)
	if illegible(err) {
		e.Log.ErrorContext(ctx, "what is remembered of a service cannot be read", "about", service, "error", err)
	}
	if errors.Is(err, ErrNotFound) {
		return dr.ServiceState{}, nil
	}
	return s, err
}

// RecoveryPoint finds one by its id alone; ErrNoPoint.
func (e *Engine) RecoveryPoint(ctx context.Context, id string) (dr.RecoveryPoint, error) {
	if !dr.ValidPointID(id) {
		return dr.RecoveryPoint{}, fmt.Errorf("%w: %q is not the id of one", ErrNoPoint, id)
	}
	op, _, err := e.Store.Operation(ctx, dr.MadeBy(id))
	if err != nil && !errors.Is(err, ErrNotFound) && !illegible(err) {
		return dr.RecoveryPoint{}, err
	}
	services := []string{op.Service}
	if err != nil { // as after a rebuild of the catalog
		if services, err = e.Store.Catalogued(ctx); err != nil {
			return dr.RecoveryPoint{}, err
		}
	}
	for _, service := range services {
		p, err := e.Store.Point(ctx, service, id)
		if !errors.Is(err, ErrNotFound) {
			return p, err
		}
	}
	return dr.RecoveryPoint{}, fmt.Errorf("%w: %s", ErrNoPoint, id)
}

// RecoveryPoints lists the recovery points of a service, the newest first. A service that has left the fleet may still have some; ErrUnknownService for one
// that has none.
func (e *Engine) RecoveryPoints(ctx context.Context, service string) ([]dr.RecoveryPoint, error) {
	points, err := e.Store.Points(ctx, service)
	if _, ok := e.fleet().member(service); err == nil && len(points) == 0 && !ok { // a misspelt name must not read as "no backups"
		return nil, fmt.Errorf("%w: %q, and it has no recovery points; the fleet has %s", ErrUnknownService, service, e.fleet().names())
	}
	return points, err
}
