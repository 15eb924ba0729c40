package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"apim-dr/internal/direct"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

func (v *verify) begin(name string) {
	v.told.Steps = append(v.told.Steps, step{Name: name, Checks: []check{}})
	fmt.Fprintf(v.say, "%d. %s\n", len(v.told.Steps), name)
}

func (v *verify) found(result dr.Grade, about, format string, args ...any) {
	s := &v.told.Steps[len(v.told.Steps)-1]
	c := check{result, about, clean(fmt.Sprintf(format, args...))}
	s.Checks = append(s.Checks, c)
	word := string(result)
	if result == dr.Fail {
		word = "FAIL"
	}
	fmt.Fprintf(v.say, "   %-7s  %s: %s\n", word, c.About, strings.ReplaceAll(c.Detail, "\n", "\n            "))
}

// permissions tells what the login lacks. What cannot be read may be there all the same: then ARM tells in the steps below.
func (v *verify) permissions(ctx context.Context) error {
	v.begin("Permissions of your login")
	type scope struct{ about, id string }
	scopes := []scope{{v.service.Name, v.service.ResourceID}}
	for _, s := range v.service.Secondaries {
		scopes = append(scopes, scope{s.Name, s.ResourceID})
	}
	if d := v.service.Drill; d != nil {
		scopes = append(scopes, scope{d.Name, d.ResourceID})
	}
	asked := map[string]bool{}
	for _, s := range scopes {
		if id := strings.Join(strings.Split(s.id, "/")[:3], "/"); !asked[strings.ToLower(id)] {
			asked[strings.ToLower(id)] = true
			scopes = append(scopes, scope{"subscription " + id[strings.LastIndex(id, "/")+1:], id})
		}
	}
	missing := 0
	for _, s := range scopes {
		lacks, failure := v.setup.Lacks(ctx, s.id)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case failure != nil:
			v.found(dr.Unseen, s.about, "they cannot be listed, so that what is missing shows below: %s", failure)
		case len(lacks) == 0:
			v.found(dr.Pass, s.about, "nothing is missing")
		}
		for _, n := range lacks {
			if n.Without == "" {
				missing++
				v.found(dr.Fail, s.about, "%s is missing", n.Action)
			} else {
				v.found(dr.Warn, s.about, "%s is missing: %s", n.Action, n.Without)
			}
		}
	}
	if missing > 0 && !v.force {
		return end(Refused, "Refused: your login lacks permissions. Nothing was begun. Have it given the roles of infra/modules/roles.bicep, or pass --force to hear what ARM says.")
	}
	return nil
}

// storage reads the containers that the backups go to, the service's own first, as a failover does.
func (v *verify) storage(ctx context.Context) error {
	v.begin("Storage")
	e := v.engine
	containers := e.Fleet.Backups(v.service.Name)
	var err error
	for i, got := range read(ctx, e, containers, e.Fleet.Around(v.service.Name)...) {
		switch {
		case ctx.Err() != nil: // that is no finding
			return ctx.Err()
		case got.err != nil && i == 0:
			v.found(dr.Fail, place(got.storage), "%v", got.err)
			err = end(Refused, "Refused: the container for the backups of %s cannot be read. Your login needs Storage Blob Data Contributor there. Nothing was begun.", v.service.Name)
		case got.err != nil:
			v.found(dr.Warn, place(got.storage), "not read: %v", got.err)
		default:
			v.found(dr.Pass, place(got.storage), "%d recovery points, %d records of roles", got.Points, got.Pairs)
		}
		for _, bad := range got.Bad {
			v.found(dr.Warn, place(got.storage), "not read: %s", bad)
		}
	}
	for _, partner := range e.Fleet.Around(v.service.Name)[1:] {
		if pair, err := e.Store.Pair(ctx, dr.PairName(v.service.Name, partner)); err == nil && pair.IsActive(partner) && !strings.EqualFold(pair.Home, partner) {
			v.found(dr.Warn, v.service.Name, "%s is the active instance of this pair; what is backed up here is the one that does not serve", partner)
		}
	}
	return err
}

func place(s dr.Storage) string { return s.Account + "/" + s.Container }

// backup takes one, to its end.
func (v *verify) backup(ctx context.Context) (dr.Operation, error) {
	v.begin("One backup")
	op, err := v.engine.Backup(ctx, engine.Request{Service: v.service.Name, RequestedBy: v.Who, Reason: v.reason})
	if err != nil {
		return dr.Operation{}, err
	}
	op, err = v.follow(ctx, op)
	if err != nil {
		return op, err
	}
	result := dr.ResultEvent(op).Result()
	v.told.Backup = &result
	return op, v.outcome(op, "recovery point "+op.PointID())
}

// follow takes an operation to its end. An error says that it came to none.
func (v *verify) follow(ctx context.Context, op dr.Operation) (dr.Operation, error) {
	e := v.engine
	fmt.Fprintf(v.Err, "   %s  operation %s\n", clock(e.Now()), op.ID)
	saw := func(op dr.Operation, next time.Time) {
		fmt.Fprintln(v.Err, "   "+progress(op, e.Now(), next))
		if op.Phase == dr.Running { // whether it shows Updating is one of the things to find out; what it is goes into the recording
			e.ARM.Service(ctx, op.Leg().ResourceID)
		}
	}
	_, err := direct.Loop{Engine: e, Bus: v.bus, Saw: saw}.Run(ctx, op)
	op, _, read := e.Store.Operation(context.WithoutCancel(ctx), op.ID)
	switch leg := op.Leg(); {
	case read != nil: // from memory
		return dr.Operation{}, read
	case op.Phase == dr.Done:
		return op, nil
	case !atARM(op):
		return op, end(Refused, "Stopped (%v) before ARM was asked to %s %s.", err, leg.Verb, leg.Service)
	default:
		return op, end(Unknown, "Stopped (%v). The %s of %s goes on at ARM, which nothing here can end.\n%s", err, leg.Verb, leg.Service, look(op))
	}
}

// outcome tells how an operation ended.
func (v *verify) outcome(op dr.Operation, made string) error {
	took := op.EndedAt.Sub(op.CreatedAt).Round(time.Second)
	if op.Outcome == dr.Succeeded {
		v.found(dr.Pass, op.Service, "succeeded after %s: %s", took, made)
		return nil
	}
	why := "without a reason"
	if op.Error != nil {
		why = op.Error.String()
	}
	grade := map[dr.Outcome]dr.Grade{dr.Unknown: dr.Unseen}[op.Outcome]
	if grade == "" {
		grade = dr.Fail
	}
	v.found(grade, op.Service, "%s after %s: %s", op.Outcome, took, why)
	for _, note := range op.Evidence {
		v.found(dr.Unseen, utc(note.At), "%s", note.Text)
	}
	return end(exitStatus(op.Outcome), "The %s of %s ended as %s: %s", op.Kind, op.Service, op.Outcome, clean(why))
}

// left looks for what the backup left, with records that are empty: a failover from another machine would find no more.
func (v *verify) left(ctx context.Context, p dr.RecoveryPoint) error {
	v.begin("What it left")
	wrong := func(what, format string, args ...any) error {
		if ctx.Err() != nil {
			return stopped(ctx, "The backup stands; what it left was not looked at.")
		}
		detail := fmt.Sprintf(format, args...)
		v.found(dr.Fail, what, "%s", detail)
		return end(Failed, "The backup of %s is not as it should be: %s: %s", v.service.Name, what, detail)
	}
	blob, err := v.engine.Vault.Head(ctx, p.Storage, p.ID)
	switch {
	case err != nil:
		return wrong("blob", "%v", err)
	case !blob.Exists, blob.Bytes == 0:
		return wrong("blob", "%s/%s: there %v, %d bytes", place(p.Storage), p.ID, blob.Exists, blob.Bytes)
	}
	v.found(dr.Pass, "blob", "%s/%s, %d bytes", place(p.Storage), p.ID, blob.Bytes)
	fresh := *v.engine
	fresh.Store = v.setup.Fresh()
	got, err := fresh.Rebuild(ctx, p.Storage, v.service.Name)
	if err != nil {
		return wrong("sidecar", "%v", err)
	}
	read, err := fresh.Store.Point(ctx, p.Service, p.ID)
	if err != nil {
		return wrong("sidecar", "%s.apimdr.json: %v %s", p.ID, err, join(got.Bad))
	}
	if read.Operation != p.Operation || read.ResourceID != p.ResourceID || read.State != p.State || read.Bytes != p.Bytes || !read.CreatedAt.Equal(p.CreatedAt) {
		return wrong("sidecar", "%s.apimdr.json tells of another recovery point: %s of %s, made at %s", p.ID, read.Operation, read.Service, utc(read.CreatedAt))
	}
	v.found(dr.Pass, "sidecar", "%s.apimdr.json, read from storage, names the same recovery point: %s, can be restored until %s", p.ID, read.State, utc(read.ExpiresAt))
	return nil
}

// restore proves the backup in the drill instance.
func (v *verify) restore(ctx context.Context, p dr.RecoveryPoint) error {
	v.begin("Drill into " + v.service.Drill.Name + ", which is overwritten")
	r := engine.RecoverRequest{Request: engine.Request{Service: v.service.Name, RequestedBy: v.Who, Reason: v.reason}, Kind: dr.KindDrill, Point: p.ID, Trigger: dr.TriggerCLI}
	answer, err := v.engine.Recover(ctx, r)
	for _, c := range answer.Plan.Checks {
		if c.Result != dr.Pass {
			v.found(c.Result, c.Name, "%s", c.Detail)
		}
	}
	if errors.Is(err, engine.ErrRefused) {
		return end(Refused, "Refused: %s\n%s was not overwritten; the backup stands.", answer.Plan.Refusal(), v.service.Drill.Name)
	}
	if ctx.Err() != nil && err != nil {
		return stopped(ctx, "The backup stands; %s was not overwritten.", v.service.Drill.Name)
	}
	if err != nil {
		return err
	}
	op, err := v.follow(ctx, answer.Operation)
	if err != nil {
		return err
	}
	result := dr.ResultEvent(op).Result()
	v.told.Drill = &result
	leg := op.Leg()
	took := leg.EndedAt.Sub(leg.PostedAt).Round(time.Second)
	if op.Outcome == dr.Succeeded {
		v.told.RestoreFor = took.Seconds()
	}
	for _, g := range leg.Gateways {
		if g.Status == 0 {
			v.found(dr.Unseen, "gateway", "%s gives no answer from here: %s", g.URL, g.Error)
		} else {
			v.found(dr.Pass, "gateway", "%s answers %d", g.URL, g.Status)
		}
	}
	return v.outcome(op, fmt.Sprintf("recovery point %s, %s from the POST to the verified end. It holds the users, subscriptions and keys of %s now", p.ID, took, v.service.Name))
}
