package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// The invariants. Each is looked at where it could break: at a save, a POST, an event, in every state, or where nothing can happen any more.
const (
	oneOutcome       = "every operation ends with one outcome, told by its event, and leaves nothing behind"
	oneAtATime       = "one backup or restore of ours at a time on a service, and whoever works there has the lock"
	armsWord         = "succeeded and failed are what Resource Manager says"
	activeStays      = "nothing automatic overwrites the active instance"
	nothingSwallowed = "no wake is swallowed as a repetition of another"
	usedStays        = "what a restore uses is not deleted"
)

// operation is the one that the invocation is about.
func (r *run) operation() string {
	if m := r.f.msg; m != nil && m.call == 0 {
		return m.wake.ID
	}
	return ""
}

// saved looks at a change of a record: an outcome stays, and says what Resource Manager said.
func (r *run) saved(before, after dr.Operation) {
	if before.Phase == dr.Done && !reflect.DeepEqual(before, after) {
		r.violate(oneOutcome, "%s was done (%s) and is now %s (%s)", short(after.ID), before.Outcome, after.Phase, after.Outcome)
	}
	if after.Phase != dr.Done || before.Phase == dr.Done {
		return
	}
	leg := after.Leg()
	in := r.s.instance(leg.Service)
	mine := func(op armOp) bool { return op.operation == after.ID || op.operation == leg.Adopted }
	succeeded := func(op armOp) bool { return mine(op) && !op.fails }
	switch after.Outcome {
	case dr.Succeeded:
		if _, ok := in.ended(func(op armOp) bool { return succeeded(op) && op.point == after.Blob() }); !ok {
			r.violate(armsWord, "%s is called succeeded, which Resource Manager never said", short(after.ID))
		}
	case dr.Failed:
		if _, ok := in.ended(succeeded); ok || in.run != nil && mine(*in.run) {
			r.violate(armsWord, "%s is called failed, but Resource Manager's work for it runs or has succeeded", short(after.ID))
		}
	case dr.Rejected:
		if in.run != nil && in.run.operation == after.ID {
			r.violate(armsWord, "%s is called rejected, but Resource Manager works for it", short(after.ID))
		}
	}
}

// published looks at an event: it says what is recorded.
func (r *run) published(e dr.Event) {
	records, _ := r.s.records()
	op, _, err := records.Operation(ctx, e.Result().Operation)
	switch {
	case err != nil || op.Phase != dr.Done:
		r.violate(oneOutcome, "the event of %s goes out before its end is recorded (%s)", short(e.Result().Operation), op.Phase)
	case op.Outcome != e.Result().Outcome || e.ID != op.ID+":result":
		r.violate(oneOutcome, "the event %s of %s says %s, the record %s", e.ID, short(op.ID), e.Result().Outcome, op.Outcome)
	}
}

// accepted looks at a POST that Resource Manager takes.
func (r *run) accepted(leg dr.Leg, point string) {
	in := r.s.instance(leg.Service)
	if in.run != nil {
		r.violate(oneAtATime, "a %s of %s is POSTed while the %s of %s runs there", leg.Verb, leg.Service, in.run.verb, short(in.run.operation))
	}
	if leg.Verb != dr.VerbRestore {
		return
	}
	records, vault := r.s.records()
	op, _, err := records.Operation(ctx, r.operation())
	if err != nil {
		r.violate(activeStays, "a restore by nobody: %v", err)
		return
	}
	if blob, err := vault.Head(ctx, leg.Storage, point); err != nil || !blob.Exists {
		r.violate(usedStays, "%s restores %s, which is not there any more", short(op.ID), short(point))
	}
	for _, b := range r.s.blobs {
		if !strings.HasPrefix(b.name, "pairs/") {
			continue
		}
		var p dr.Pair
		if err := json.Unmarshal(b.body, &p); err != nil {
			panic(err)
		}
		if p.IsActive(leg.Service) && (op.Recovery.Intent.Auto || op.Kind == dr.KindFailover) {
			r.violate(activeStays, "%s overwrites %s, the active instance of its pair", short(op.ID), leg.Service)
		}
	}
}

// inState looks at what must be so at any time: whoever Resource Manager works for holds the lock, and what it restores from is there.
func inState(s *state) []violation {
	var wrong []violation
	records, vault := s.records()
	for i := range s.arm {
		run := s.arm[i].run
		if run == nil {
			continue
		}
		op, _, err := records.Operation(ctx, run.operation)
		if err != nil || op.Phase != dr.Starting && op.Phase != dr.Running {
			continue // given up as unknown
		}
		if holder, err := records.Holder(ctx, s.arm[i].name); err != nil || holder != op.ID {
			wrong = append(wrong, violation{oneAtATime, fmt.Sprintf("Resource Manager works for %s on %s, whose lock has %q", short(op.ID), s.arm[i].name, short(holder))})
		}
		if run.verb == dr.VerbRestore {
			if blob, err := vault.Head(ctx, backups, run.point); err != nil || !blob.Exists {
				wrong = append(wrong, violation{usedStays, fmt.Sprintf("%s was deleted while %s restores it", short(run.point), short(op.ID))})
			}
		}
	}
	return wrong
}

// atTheEnd looks at a state after which nothing happens.
func (x *explorer) atTheEnd(s *state) []violation {
	var wrong []violation
	tell := func(invariant, format string, args ...any) {
		wrong = append(wrong, violation{invariant, fmt.Sprintf(format, args...)})
	}
	var ends []string
	for _, op := range s.operations() {
		if op.Phase != dr.Done {
			tell(oneOutcome, "%s stays %s for ever", short(op.ID), op.Phase)
		}
		if s.events[op.ID] != op.Outcome {
			tell(oneOutcome, "%s ended %s, its event says %q", short(op.ID), op.Outcome, s.events[op.ID])
		}
		ends = append(ends, string(op.Kind)+" "+string(op.Outcome))
	}
	for _, b := range s.blobs {
		switch dir, _, _ := strings.Cut(b.name, "/"); dir {
		case "active", "locks", "quarantine":
			tell(oneOutcome, "%s is left", b.name)
		case "pairs":
			var p dr.Pair
			if err := json.Unmarshal(b.body, &p); err != nil {
				panic(err)
			}
			if p.BusyBy != "" || p.Syncing != "" {
				tell(oneOutcome, "the pair stays busy: %q, %q", p.BusyBy, p.Syncing)
			}
		case "recovery-points":
			var p dr.RecoveryPoint
			if err := json.Unmarshal(b.body, &p); err != nil {
				panic(err)
			}
			if len(p.UsedBy) > 0 {
				tell(oneOutcome, "%s stays in use by %v", short(p.ID), p.UsedBy)
			}
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ends++
	for _, e := range ends {
		x.done[e]++
	}
	return wrong
}

// blind tells whether the invocation is one that shall not see the roles: that of a warm sync, or of the backup that it follows from.
func (r *run) blind() bool {
	return r.x.mutant.followAll && r.operation() != "" && !strings.Contains(r.operation(), "-failover-")
}

// blindfold shows it a pair whose roles have no say.
func (r *run) blindfold(p dr.Pair) dr.Pair {
	if r.blind() && p.Name != "" {
		p.Active, p.Suspended, p.BusyBy = p.Home, false, ""
	}
	return p
}

// prune deletes the oldest recovery point as engine.Prune does, one effect a step: whatever its policy decides, this order keeps restores whole.
func (x *explorer) prune(s *state) []step {
	var oldest *blob
	var point dr.RecoveryPoint
	for _, b := range s.blobs {
		var p dr.RecoveryPoint
		if strings.HasPrefix(b.name, "recovery-points/") && json.Unmarshal(b.body, &p) == nil && (oldest == nil || p.CreatedAt.Before(point.CreatedAt)) {
			oldest, point = b, p
		}
	}
	if oldest == nil {
		return nil
	}
	n := s.clone()
	records, backups := n.records()
	_, there := (container{n, vaultDir}).find(point.ID)
	what, err := "", error(nil)
	switch {
	case point.State != dr.Deleting:
		what = " is on its way out"
		var done []string
		if x.mutant.pruneUsed {
			done = point.UsedBy
		}
		if err = records.Condemn(ctx, point.Service, point.ID, done); errors.Is(err, engine.ErrInUse) {
			return nil
		}
	case there:
		what = ": its blob is deleted"
		err = backups.Remove(ctx, point.Storage, point.ID)
	default:
		what = ": its record is deleted"
		err = records.Forget(ctx, point.Service, point.ID)
		n.left.prune--
	}
	if err != nil {
		panic(err)
	}
	return []step{{name: "prune: " + short(point.ID) + what, next: n}}
}
