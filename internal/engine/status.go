package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"apim-dr/internal/dr"
	"apim-dr/internal/trace"
)

// Status tells of each service of the fleet whether it is protected.
type Status struct {
	Places   []dr.Place   `json:"stamp"` // where this stamp's parts lie
	Services []dr.Posture `json:"services"`
}

// Status reads what is remembered of each service and its pairs. The cost grows with the fleet, not with history.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	s := Status{Places: e.Fleet.Places, Services: make([]dr.Posture, len(e.Fleet.Services))}
	at := make([]int, len(e.Fleet.Services))
	for i := range at {
		at[i] = i
	}
	_ = each(at, func(i int) error {
		s.Services[i] = e.posture(ctx, e.Fleet.Services[i])
		return nil
	})
	return s, ctx.Err()
}

// TellUnprotected logs each service that is not protected, with the reasons: an alert looks for these lines (infra/alerts.json).
func (e *Engine) TellUnprotected(ctx context.Context) error {
	s, err := e.Status(ctx)
	if err != nil {
		return err
	}
	for _, p := range s.Services {
		if !p.Protected {
			e.Log.WarnContext(ctx, "not protected", trace.KeyService, p.Service, "why", p.Why)
		}
	}
	return nil
}

// posture judges one service. What cannot be read is its reason not to count as protected: it must not hide the others.
func (e *Engine) posture(ctx context.Context, s Service) dr.Posture {
	plan, _ := e.Fleet.plan(s.Plan)
	now := e.Now()
	g := dr.Guard{Service: s.instance(), Active: s.instance(), Plan: s.Plan, RPO: plan.RPO, Proven: plan.Proven, Drilled: s.Drill != nil}
	g.Places = append(append(g.Places, e.Fleet.Places...), dr.Place{What: "the backup storage " + plan.Storage.Account, Region: plan.Storage.Region})
	states := map[string]dr.ServiceState{} // by name in lower case: the fleet may write one name in two ways
	var err error
	around := e.Fleet.Around(s.Name)
	if s.Drill != nil {
		around = append(around, s.Drill.Name)
	}
	for _, name := range around {
		var state dr.ServiceState
		if state, err = e.stateOf(ctx, name); err != nil {
			break
		}
		states[strings.ToLower(name)] = state
		if h := state.Hold; h.Keeps(now) {
			g.Holds = append(g.Holds, dr.Held{Service: name, Hold: h})
		}
	}
	if err == nil {
		g.Active, g.Pairs, err = e.active(ctx, s)
		g.State = states[strings.ToLower(g.Active.Name)]
	}
	if g.Owner = g.State; err == nil && g.State.NewestGood.Service != "" {
		g.Owner, err = e.stateOf(ctx, g.State.NewestGood.Service)
	}
	if err != nil {
		e.Log.WarnContext(ctx, "the state of a service could not be read", "about", s.Name, "error", err)
		g.Unread = err.Error()
	}
	return dr.Assess(g, now)
}

func (e *Engine) stateOf(ctx context.Context, service string) (dr.ServiceState, error) {
	s, err := e.Store.Service(ctx, service)
	if illegible(err) {
		e.Log.ErrorContext(ctx, "what is remembered of a service cannot be read", "about", service, "error", err)
	}
	if errors.Is(err, ErrNotFound) || illegible(err) {
		return dr.ServiceState{}, nil
	}
	return s, err
}

// RecoveryPoints lists the recovery points of a service, the newest first. A service that has left the fleet may still have some; ErrUnknownService for one
// that has none.
func (e *Engine) RecoveryPoints(ctx context.Context, service string) ([]dr.RecoveryPoint, error) {
	points, err := e.Store.Points(ctx, service)
	if _, ok := e.Fleet.member(service); err == nil && len(points) == 0 && !ok { // a misspelt name must not read as "no backups"
		return nil, fmt.Errorf("%w: %q, and it has no recovery points; the fleet has %s", ErrUnknownService, service, e.Fleet.names())
	}
	return points, err
}
