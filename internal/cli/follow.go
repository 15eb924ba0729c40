package cli

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"apim-dr/internal/client"
	"apim-dr/internal/dr"
)

const (
	lookAgain = 5 * time.Second  // where the app does not say when
	silentFor = 15 * time.Minute // no answer for so long, and an operation is no longer followed
)

// looked is what one look at an operation brought.
type looked struct {
	op     client.Operation
	answer client.Answer
	err    error
}

// follow shows an operation until it has ended, and ends as it did.
func (a *app) follow(ctx context.Context, op client.Operation, answer client.Answer) error {
	m := a.meter()
	defer m.end()
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	looks := make(chan looked, 1) // never more than one is under way
	heard, ahead, silent := a.Now(), a.ahead(answer), ""
	next := time.After(pause(answer))
	for op.Phase != dr.Done {
		m.show(stage(op, a.Now().Add(ahead), silent))
		select {
		case <-ticks.C:
		case <-ctx.Done():
			m.end()
			return a.leave(op, "Stopped.")
		case <-next:
			go func() {
				var l looked
				l.answer, l.err = a.client.Look(ctx, client.GetOperation(op.ID), &l.op)
				looks <- l
			}()
		case l := <-looks:
			switch {
			case ctx.Err() != nil: // told above
			case l.err == nil:
				op, answer, heard, ahead, silent = l.op, l.answer, a.Now(), a.ahead(l.answer), ""
			case !client.Passing(l.err) || a.Now().Sub(heard) > silentFor:
				m.end()
				return a.leave(op, a.failed(l.err).Error())
			default:
				silent = l.err.Error()
			}
			next = time.After(pause(l.answer))
		}
	}
	m.show(stage(op, op.EndedAt, ""))
	m.end()
	a.document(answer.Body)
	if a.output == "table" {
		printEnd(a.Out, op)
	}
	if status := exitStatus(op.Outcome); status != OK {
		return end(status, "")
	}
	return nil
}

// pause is how long to wait before the next look: as long as the app says.
func pause(a client.Answer) time.Duration { return max(cmp.Or(a.RetryAfter, lookAgain), time.Second) }

// ahead is how far the app's clock is ahead of ours, which nobody may have set.
func (a *app) ahead(answer client.Answer) time.Duration {
	if answer.At.IsZero() {
		return 0
	}
	return answer.At.Sub(a.Now())
}

// leave ends a command that does not follow its operation to the end.
func (a *app) leave(op client.Operation, why string) error {
	return end(Unknown, "%s\nThe %s of %s goes on without this command. To follow it: apim-dr operations %s --wait", why, op.Kind, op.Service, op.ID)
}

// stage is where an operation stands at a time, by the app's clock.
func stage(op client.Operation, now time.Time, silent string) moment {
	leg := op.AtWork()
	s := moment{key: fmt.Sprint(op.Phase, leg.Verb, leg.Service, op.Waiting), phase: string(op.Phase), usual: seconds(op.UsualSeconds), since: op.CreatedAt, now: now}
	s.what = fmt.Sprintf("%s of %s", cmp.Or(string(leg.Verb), string(op.Kind)), cmp.Or(leg.Service, op.Service))
	switch {
	case op.Phase == dr.Done:
		s.phase, s.done = string(op.Outcome), true
		s.usual = 0
	case !op.StartedAt.IsZero():
		s.since, s.begun = op.StartedAt, true
	}
	if op.Waiting != "" {
		s.what += ": " + op.Waiting
	}
	if silent != "" {
		s.what, s.key = silent, "silent"
	}
	return s
}
