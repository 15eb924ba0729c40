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

// changed is the job that takes backups after changes. It has ticks for single services only; no plan can have its name.
const changed = "~changes"

// Changed takes in that an instance was changed. Its backup follows when nothing more has changed for a while, and what is remembered until then is in
// the store: a message only knocks. A nil error: it was taken in, or concerns nothing that is backed up.
func (e *Engine) Changed(ctx context.Context, c dr.Change) error {
	m, ok := e.fleet().at(c.ResourceID)
	if err := e.unlearnt(); !ok && err != nil && c.Counts() {
		return e.TickLater(ctx, dr.Tick{V: dr.Version, Plan: changed, Service: nameOf(c.ResourceID), At: clamp(c.At, e.Now()), Change: c.What}, err)
	}
	if !ok || m.drilled || !c.Counts() {
		e.Log.DebugContext(ctx, "a change that does not count", "resource", c.ResourceID, "what", c.What)
		return nil
	}
	ctx = trace.Annotate(ctx, trace.KeyService, m.Name)
	if err := e.noteChange(ctx, m, c); err != nil {
		e.Log.WarnContext(ctx, "a change could not be noted; trying again later", "what", c.What, "error", err)
		return e.TickLater(ctx, dr.Tick{V: dr.Version, Plan: changed, Service: m.Name, At: clamp(c.At, e.Now()), Change: c.What}, err)
	}
	return nil
}

// nameOf is the name of the instance that an ARM id is of, or of something in it.
func nameOf(resourceID string) string {
	_, after, _ := strings.Cut(strings.ToLower(resourceID), "/service/")
	name, _, _ := strings.Cut(after, "/")
	return name
}

func clamp(at, now time.Time) time.Time {
	if at.IsZero() || at.After(now) {
		return now
	}
	return at
}

func (e *Engine) noteChange(ctx context.Context, m member, c dr.Change) error {
	now := e.Now()
	c.At = clamp(c.At, now)
	if backed, err := e.backedUp(ctx, m); err != nil || !backed {
		return err
	}
	state, err := e.Store.Service(ctx, m.Name)
	if err != nil && !errors.Is(err, ErrNotFound) && !illegible(err) {
		return err
	}
	restore, running, err := e.restoring(ctx, m.Name, state, c.At)
	if err != nil {
		return err
	}
	switch {
	case running:
		return e.mergePending(ctx, m.Name, func(p dr.Pending) (dr.Pending, bool) {
			if p.Restoring != restore {
				p.Restoring, p.Meanwhile = restore, 0
			}
			p.Meanwhile++
			return p, true
		})
	case restore != "":
		e.Log.InfoContext(ctx, "a change was made while the service was restored: it does not count", "what", c.What, "at", c.At, "restore", restore)
		return nil
	}
	if own, ok := ownNewest(state); ok && c.At.Before(own.CreatedAt.Add(-dr.ReportSkew)) {
		return nil // that backup has it
	}
	if err := e.mergePending(ctx, m.Name, func(p dr.Pending) (dr.Pending, bool) { return p.With(c, now), true }); err != nil {
		return err
	}
	if err := e.Store.Touch(ctx, m.Name); err != nil { // so that a backup at work looks for it at its end (unlock)
		return err
	}
	if err := e.markNewest(ctx, m.Name, c); err != nil && !errors.Is(err, ErrNotFound) && !illegible(err) {
		return err
	}
	// One message for all changes within a minute: duplicate detection drops the others.
	minute := now.Truncate(min(time.Minute, e.Timing.ChangeQuiet))
	return e.Bus.Tick(ctx, dr.Tick{V: dr.Version, Plan: changed, Service: m.Name, At: minute}, now.Add(e.Timing.ChangeQuiet))
}

// mergePending is Store.MergePending. What cannot be read is told, and does not let changes go round for ever.
func (e *Engine) mergePending(ctx context.Context, service string, merge func(dr.Pending) (dr.Pending, bool)) error {
	return e.unlessIllegible(ctx, e.Store.MergePending(ctx, service, merge))
}

func (e *Engine) unlessIllegible(ctx context.Context, err error) error {
	if illegible(err) {
		e.Log.ErrorContext(ctx, "what is remembered of the changes of a service cannot be read: delete it, the next backup has them", "error", err)
		return nil
	}
	return err
}

// markNewest notes a change in the newest good backup of a service, if it was made meanwhile. What is remembered is read after the lock was touched: either
// this sees the backup's end, or the backup's end sees the note (unlock).
func (e *Engine) markNewest(ctx context.Context, service string, c dr.Change) error {
	state, err := e.Store.Service(ctx, service)
	if err != nil {
		return err
	}
	own, ok := ownNewest(state)
	if !ok {
		return nil
	}
	p, err := e.Store.Point(ctx, service, own.ID)
	if err == nil && !c.At.After(p.EndedAt) {
		err = e.Store.MarkChanged(ctx, service, p.ID)
	}
	return err
}

// ownNewest is the newest good backup of the service itself; false: there is none, or it was restored from another one since.
func ownNewest(s dr.ServiceState) (dr.PointRef, bool) {
	n := s.NewestGood
	return n, n.ID != "" && n.Service == "" && n.AsOf.IsZero()
}

// backedUp tells whether an instance is backed up by itself: it is a service, or has become the active instance of a pair.
func (e *Engine) backedUp(ctx context.Context, m member) (bool, error) {
	if _, listed := e.fleet().service(m.Name); listed {
		return true, nil
	}
	for _, c := range e.fleet().couplesWith(m.Name) {
		k, err := e.known(ctx, c)
		if err != nil && !illegible(err) {
			return false, err
		}
		if err == nil && k.IsActive(m.Name) {
			return true, nil
		}
	}
	return false, nil
}

// restoring names the restore into a service that was at work at a time, and tells whether it still is; "": there was none.
func (e *Engine) restoring(ctx context.Context, service string, state dr.ServiceState, at time.Time) (restore string, running bool, err error) {
	holder, err := e.Store.Holder(ctx, service)
	if err != nil && !illegible(err) {
		return "", false, err
	}
	for _, id := range []string{holder, state.LastRestore.Operation} {
		if dr.KindOf(id) == "" || dr.KindOf(id) == dr.KindBackup {
			continue
		}
		op, _, err := e.Store.Operation(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) && !illegible(err) {
			return "", false, err
		}
		if from, to, ok := op.Restored(); err == nil && ok && !at.Before(from.Add(-dr.ReportSkew)) && (to.IsZero() || !at.After(to)) {
			return id, op.Phase != dr.Done, nil
		}
	}
	return "", false, nil
}

// runChanges is what a message about the changes of one service leads to. One with a change stands for a change that could not be noted.
func (e *Engine) runChanges(ctx context.Context, t dr.Tick) error {
	ctx = trace.Annotate(ctx, trace.KeyService, t.Service)
	err := e.backupChanged(ctx, t)
	if err == nil {
		return nil
	}
	e.Log.WarnContext(ctx, "the backup after changes could not be created; trying again later", "error", err)
	return e.TickLater(ctx, t, err)
}

func (e *Engine) backupChanged(ctx context.Context, t dr.Tick) error {
	m, ok := e.fleet().member(t.Service)
	if !ok {
		if err := e.unlearnt(); err != nil {
			return err
		}
		return e.mergePending(ctx, t.Service, func(dr.Pending) (dr.Pending, bool) { return dr.Pending{}, true })
	}
	if t.Change != "" {
		return e.noteChange(ctx, m, dr.Change{At: t.At, What: t.Change})
	}
	p, err := e.Store.Pending(ctx, m.Name)
	if errors.Is(err, ErrNotFound) || err == nil && p.FirstAt.IsZero() {
		return nil
	}
	if err != nil {
		return e.unlessIllegible(ctx, err)
	}
	now := e.Now()
	if due := p.Due(e.Timing.ChangeQuiet, e.Timing.ChangeLongest); now.Before(due) {
		return e.Bus.Tick(ctx, dr.Tick{V: dr.Version, Plan: changed, Service: m.Name, At: now}, due) // named after now: what was due then may have been sent before
	}
	// A backup at work has to find at its end what was changed meanwhile, and one more is enough for all of that. The watchdog knocks again.
	if working, err := e.workedOn(ctx, m.Name); err != nil || working {
		return err
	}
	state, err := e.Store.Service(ctx, m.Name)
	if err != nil && !errors.Is(err, ErrNotFound) && !illegible(err) {
		return err
	}
	if n, ok := ownNewest(state); ok && p.Covered(n.CreatedAt).FirstAt.IsZero() {
		e.Log.InfoContext(ctx, "the changes are in a backup already", "recoveryPoint", n.ID)
		return e.Store.MergePending(ctx, m.Name, func(p dr.Pending) (dr.Pending, bool) { return p.Covered(n.CreatedAt), true })
	}
	r := Request{RequestedBy: "changes", Traceparent: trace.From(ctx), Reason: fmt.Sprintf("%d changes from %s to %s, the last %s", p.Events, p.From.UTC().Format(time.RFC3339), p.To.UTC().Format(time.RFC3339), p.What)}
	op := e.newBackup(dr.ChangeID(m.Name, p.FirstAt), m, dr.TriggerChange, r, now)
	start, ok := e.begin(op, stagger(m.Name, dr.StartWindow(len(e.fleet().Services))), time.Time{})
	if !ok {
		e.Log.WarnContext(ctx, "no backup after changes: notDuring never ends")
	} else if op, err = e.createOnce(ctx, start.Operation, start.start); err != nil {
		return err
	}
	var left dr.Pending
	err = e.Store.MergePending(ctx, m.Name, func(pending dr.Pending) (dr.Pending, bool) {
		left = pending.Taken(p, op.CreatedAt)
		return left, left != pending
	})
	if err != nil || left.FirstAt.IsZero() {
		return err
	}
	due := left.Due(e.Timing.ChangeQuiet, e.Timing.ChangeLongest)
	return e.Bus.Tick(ctx, dr.Tick{V: dr.Version, Plan: changed, Service: m.Name, At: now}, due)
}

// workedOn tells whether an operation has the lock of a service. One without a record has it no more: the next one takes it over.
func (e *Engine) workedOn(ctx context.Context, service string) (bool, error) {
	holder, err := e.Store.Holder(ctx, service)
	if err == nil && holder != "" {
		_, _, err = e.Store.Operation(ctx, holder)
	}
	if errors.Is(err, ErrNotFound) || illegible(err) {
		return false, nil
	}
	return err == nil && holder != "", err
}

// remindChanges sends a message for changes whose own was lost, or came while the service was worked on. What was counted as a restore ended is forgotten.
func (e *Engine) remindChanges(ctx context.Context) error {
	services, err := e.Store.Pendings(ctx)
	errs := []error{err}
	for _, service := range services {
		p, err := e.Store.Pending(ctx, service)
		now := e.Now()
		if err == nil && !p.FirstAt.IsZero() && now.After(p.Due(e.Timing.ChangeQuiet, e.Timing.ChangeLongest).Add(e.Timing.WatchdogGrace)) {
			err = e.Bus.Tick(ctx, dr.Tick{V: dr.Version, Plan: changed, Service: service, At: now}, now)
		}
		if err == nil && p.Restoring != "" {
			var op dr.Operation
			if op, _, err = e.Store.Operation(ctx, p.Restoring); err == nil && op.Phase == dr.Done {
				err = e.forgetRestore(ctx, service, op.ID)
			}
		}
		if err != nil && !errors.Is(err, ErrNotFound) && !illegible(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
