package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"apim-dr/internal/direct"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

func (f *failover) runDirect(ctx context.Context, verbose bool) error {
	defer f.stopping(ctx)()
	environ, err := f.fleet.environ(f.Environ)
	if err != nil {
		return err
	}
	setup, err := f.Direct(environ, f.log(verbose))
	if err != nil {
		return f.fleet.explain(err)
	}
	f.warnings(setup)
	if f.commands {
		return f.printCommands(ctx, setup)
	}
	return f.recoverDirect(ctx, setup)
}

func (f *failover) request() engine.RecoverRequest {
	return engine.RecoverRequest{
		Request: engine.Request{Service: f.primary, RequestedBy: f.Who, Reason: f.reason},
		Kind:    dr.KindFailover, Target: f.target, Point: f.point, Confirm: f.confirm, Final: dr.FinalMode(f.final), Overrides: f.checks,
		DryRun: f.dryRun, Trigger: dr.TriggerCLI,
	}
}

const alone = `This runs without the stamp: neither its locks nor its operations are seen. Where its automation may still run, stop the Function App first,
or two restores may meet. At the end the roles are recorded beside the backups: a stamp that returns then knows the new active instance and
does not overwrite it.

`

func (f *failover) recoverDirect(ctx context.Context, setup Setup) error {
	fmt.Fprint(f.Err, alone)
	if err := setup.Engine.Understands(ctx, f.request()); err != nil { // before anybody waits for a login
		return err
	}
	if err := setup.Login(ctx); err != nil {
		return err
	}
	e, bus, roles := setup.Engine, &direct.Bus{}, &direct.Roles{Vault: setup.Engine.Vault}
	e.Bus, e.Vault = bus, roles
	if err := f.catalog(ctx, e); err != nil {
		return err
	}
	r := f.request()
	answer, err := e.Recover(ctx, r)
	plan := answer.Plan
	if plan.Kind == "" {
		return err
	}
	if f.output == "table" {
		printPlan(f.Out, plan)
		if f.dryRun {
			list(f.Out, "Afterwards", plan.NextSteps)
		}
	}
	if f.dryRun {
		return f.ends(document{DryRun: true, Plan: plan}, refusal(plan))
	}
	if name := plan.Target.Name; errors.Is(err, engine.ErrUnconfirmed) && plan.Refusal() == nil && f.asks() {
		if !f.ask(ctx, name) {
			return f.ends(document{Plan: plan}, errDeclined)
		}
		r.Confirm, r.Target = name, name
		answer, err = e.Recover(ctx, r)
	}
	switch {
	case errors.Is(err, engine.ErrUnconfirmed) && plan.Refusal() == nil:
		return f.ends(document{Plan: plan}, unconfirmed(plan.Target.Name))
	case errors.Is(err, engine.ErrUnconfirmed), errors.Is(err, engine.ErrRefused):
		return f.ends(document{Plan: answer.Plan}, refusal(answer.Plan))
	case err != nil:
		return err
	}
	return f.followDirect(ctx, e, bus, roles, answer)
}

// catalog reads what lies beside the backups. Without the container that the primary's own backups go to, an older recovery point could pass for the newest.
func (f *failover) catalog(ctx context.Context, e *engine.Engine) error {
	for i, got := range read(ctx, e, e.Fleet.Backups(f.primary), e.Fleet.Around(f.primary)...) {
		where := got.storage.Account + "/" + got.storage.Container
		if got.err != nil && i == 0 {
			return fmt.Errorf("the backups of %s in %s cannot be read, so that nobody knows which is the newest: %w\n"+
				"Your login needs Storage Blob Data Contributor there. The shell lines of --print-commands need no access to it when --recovery-point names an id", f.primary, where, got.err)
		}
		fmt.Fprintf(f.Err, "%s: %d recovery points, %d records of roles\n", where, got.Points, got.Pairs)
		for _, bad := range got.Bad {
			fmt.Fprintf(f.Err, "warning: %s: not read: %s\n", where, clean(bad))
		}
		if got.err != nil {
			fmt.Fprintf(f.Err, "warning: %s: the rest was not read: %s\n", where, clean(got.err.Error()))
		}
	}
	fmt.Fprintln(f.Err)
	return nil
}

func (f *failover) asks() bool { return f.Terminal && f.confirm == "" && f.output == "table" }

func (f *failover) followDirect(ctx context.Context, e *engine.Engine, bus *direct.Bus, roles *direct.Roles, answer engine.Recovery) error {
	fmt.Fprintf(f.Err, "\n%s  operation %s\n", clock(e.Now()), answer.Operation.ID)
	saw := func(op dr.Operation, next time.Time) { fmt.Fprintln(f.Err, progress(op, e.Now(), next)) }
	_, err := direct.Loop{Engine: e, Bus: bus, Saw: saw}.Run(ctx, answer.Operation)
	op, _, read := e.Store.Operation(context.WithoutCancel(ctx), answer.Operation.ID)
	if read != nil { // from memory
		return read
	}
	f.leftOver(ctx, e, bus, op)
	if op.Phase != dr.Done {
		return f.stopped(op, answer.Plan, err)
	}
	result := dr.ResultEvent(op).Result()
	if f.output == "table" {
		printResult(f.Out, result)
	}
	kept := f.roles(roles, result)
	var ending error
	if status := exitStatus(op.Outcome); status != OK {
		ending = end(status, "")
	}
	return f.ends(document{Plan: answer.Plan, Result: &result, RolesKept: &kept}, ending)
}

// document is what --output json prints.
type document struct {
	DryRun    bool       `json:"dryRun,omitempty"`
	Plan      dr.Plan    `json:"plan"`
	Refusal   string     `json:"refusal,omitempty"`
	Result    *dr.Result `json:"result,omitempty"` // as a result event has it
	RolesKept *bool      `json:"rolesKept,omitempty"`
	Stopped   string     `json:"stopped,omitempty"` // what was going on, and how to follow it
}

// ends prints the document, if that is wanted, and ends with err.
func (f *failover) ends(d document, err error) error {
	if f.output != "json" {
		return err
	}
	if err != nil && d.Stopped == "" {
		d.Refusal = err.Error()
	}
	out := json.NewEncoder(f.Out)
	out.SetIndent("", "  ")
	return errors.Join(err, out.Encode(d))
}

// progress is one line for a record as it stands.
func progress(op dr.Operation, now, next time.Time) string {
	leg := op.Leg()
	what := map[dr.Phase]string{
		dr.Queued: "waiting", dr.Starting: "the answer to the POST was lost: looking whether ARM took it", dr.Running: "ARM is at work",
		dr.Verifying: "ARM is done: waiting until it shows", dr.Done: string(op.Outcome),
	}[op.Phase]
	if op.Waiting != "" {
		what = op.Waiting
	}
	text := fmt.Sprintf("%s  %-9s  %s of %s: %s", clock(now), op.Phase, leg.Verb, leg.Service, what)
	switch {
	case next.IsZero():
	case op.Phase == dr.Done:
		text += "; what follows from it could not be written, tried again at " + clock(next)
	default:
		text += "; looked at again at " + clock(next)
	}
	return strings.ReplaceAll(clean(text), "\n", " ")
}
