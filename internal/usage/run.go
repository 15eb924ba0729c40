package usage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"apim-dr/internal/dr"
)

// Message is a turn of an instance in a run. It decides nothing: what is due stands in the record.
type Message struct {
	Service string    `json:"service"`
	At      time.Time `json:"at"`  // the run: when the timer fired, whole seconds
	N       int       `json:"n"`   // counts the turns of the run
	Try     int       `json:"try"` // how often in a row something did not work
}

// MessageID is the same for a retry of the same send and new for every deliberate one.
func (m Message) MessageID() string {
	return fmt.Sprintf("%s:%d:%d", runID(m.Service, m.At), m.N, m.Try)
}

// Instance is an instance of API Management whose use is exported.
type Instance struct {
	Name, ResourceID string
	Reports          []Report
}

// Exporter exports. All fields must be set. It holds nothing between two calls; it must not be copied.
type Exporter struct {
	Reports   Reports
	Files     Files
	States    States
	Bus       Bus
	Instances []Instance
	Outage    func(try int) time.Duration // wait after so many failures in a row
	Illegible func(error) bool            // of States: the record is there and of no use; trying again does not help
	// Turn is the time that belongs to a turn of one instance: one instance at a time has it. A turn asks about 15 times, and Resource Manager lets one
	// identity read 25 times a second in a subscription (Azure docs, "Understand how Azure Resource Manager throttles requests"); what recovers services
	// reads there, too.
	Turn time.Duration
	Now  func() time.Time
	Log  *slog.Logger

	working atomic.Int32 // turns at work in this process
}

const (
	// tries bounds the failures in a row; with the usual waits that is three quarters of an hour. The next run tries again.
	tries = 10
	// sendBudget bounds the last send of a turn whose own time may be over.
	sendBudget = 15 * time.Second
	senders    = 16
	// together bounds the turns at work in a process: the wakes of failovers come through the same queue, and the host hands out 16 messages at once.
	together = 4
	// skew is how far clocks differ.
	skew = time.Minute
	// crowded is how long a turn waits that would be one too many.
	crowded = 10 * time.Second
)

// Start is the timer: it sends the first turn of each instance, one after the other.
func (x *Exporter) Start(ctx context.Context) error {
	at := x.Now().UTC().Truncate(time.Second)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(senders)
	for i, in := range x.Instances {
		group.Go(func() error {
			return x.Bus.Export(ctx, Message{Service: in.Name, At: at}, at.Add(time.Duration(i)*x.Turn))
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("not all exports could be sent on their way; the next run catches up: %w", err)
	}
	return nil
}

// Run is a turn: the oldest day that is due, of all reports. It sends its successor for what is left, and publishes the event when nothing is. An error
// means that not even that could be done: the message is to be delivered again.
func (x *Exporter) Run(ctx context.Context, m Message) error {
	i := slices.IndexFunc(x.Instances, func(in Instance) bool { return strings.EqualFold(in.Name, m.Service) })
	if i < 0 || m.At.After(x.Now().Add(skew)) {
		x.Log.WarnContext(ctx, "an export of an instance whose use is not exported, or of a time to come, is dropped", "about", m.Service, "run", m.At)
		return nil
	}
	in := x.Instances[i]
	defer x.working.Add(-1)
	if x.working.Add(1) > together {
		return x.send(ctx, Message{Service: in.Name, At: m.At, N: m.N + 1, Try: m.Try}, crowded)
	}
	state, err := x.begin(ctx, in, m.At)
	if err == nil && (!state.Run.At.Equal(m.At) || state.Run.Told) {
		return nil // a later run has taken over, or this one is done
	}
	var wait time.Duration
	if err == nil {
		state, wait, err = x.work(ctx, in, state, m)
	}
	if err == nil && len(state.due(in.Reports)) > 0 {
		return x.send(ctx, Message{Service: in.Name, At: m.At, N: m.N + 1}, time.Duration(len(x.Instances))*x.Turn)
	}
	if err == nil {
		err = x.tell(ctx, in, state)
	}
	switch {
	case err == nil:
		return nil
	case x.Illegible(err):
		x.Log.ErrorContext(ctx, "what is remembered of the exports of an instance cannot be read; delete the record to export the last days anew", "about", in.Name, "error", err)
		return nil
	case m.Try+1 >= tries:
		x.Log.ErrorContext(ctx, "an export is given up; the next run catches up", "about", in.Name, "error", err)
		return nil
	}
	x.Log.WarnContext(ctx, "an export could not go on; trying again later", "about", in.Name, "try", m.Try, "error", err)
	return x.send(ctx, Message{Service: in.Name, At: m.At, N: m.N + 1, Try: m.Try + 1}, max(wait, x.Outage(m.Try)))
}

// begin makes the run the one at work, after the event of the one before, if that was not told.
func (x *Exporter) begin(ctx context.Context, in Instance, at time.Time) (State, error) {
	state, err := x.States.Usage(ctx, in.Name)
	if _, begins := state.begun(at, x.Now()); err != nil || !begins {
		return state, err
	}
	if err := x.tell(ctx, in, state); err != nil {
		return state, err
	}
	return x.States.MergeUsage(ctx, in.Name, func(s State) (State, bool) { return s.begun(at, x.Now()) })
}

// work exports what a turn is due. An error is what did not work and is worth another try, after wait at the earliest.
func (x *Exporter) work(ctx context.Context, in Instance, state State, m Message) (State, time.Duration, error) {
	began, wait, errs := x.Now(), time.Duration(0), []error(nil)
	due := state.due(in.Reports)
	for i := range due {
		t := due[(i+m.Try)%len(due)] // each is the first one at some time, should one take all the time there is
		if deadline, ok := ctx.Deadline(); ok && i > 0 && deadline.Sub(x.Now()) < deadline.Sub(began)/2 {
			break // there is a successor, with more time
		}
		e := x.export(ctx, in, t.report, t.day)
		if e.Verdict == dr.Later && m.Try+1 < tries {
			wait, errs = max(wait, e.Retry), append(errs, fmt.Errorf("%s of %s: %s", t.report, t.day, e.Reason))
			if e.Retry > 0 || ctx.Err() != nil { // throttled, or no time is left
				break
			}
			continue
		}
		s, err := x.States.MergeUsage(context.WithoutCancel(ctx), in.Name, func(s State) (State, bool) { return s.after(m.At, t, e) })
		if err != nil {
			return state, wait, errors.Join(append(errs, err)...)
		}
		state = s
		if x.note(ctx, in, t, e); ctx.Err() != nil {
			break
		}
	}
	return state, wait, errors.Join(errs...)
}

func (x *Exporter) note(ctx context.Context, in Instance, t task, e exported) {
	log := x.Log.With("about", in.Name, "report", t.report, "day", t.day)
	switch e.Verdict {
	case dr.OK:
		log.InfoContext(ctx, "exported", "rows", e.rows, "bytes", e.bytes)
	case dr.Refused:
		log.InfoContext(ctx, "the instance has no such report", "reason", why(e.Answer).Message)
	default:
		log.ErrorContext(ctx, "not exported", "reason", why(e.Answer).Message)
	}
}

// tell publishes the event of the run at work, if it has one that was not told.
func (x *Exporter) tell(ctx context.Context, in Instance, state State) error {
	if state.Run.Told || !state.notable() {
		return nil
	}
	if err := x.Bus.Exported(ctx, state.event(in)); err != nil {
		return err
	}
	_, err := x.States.MergeUsage(ctx, in.Name, func(s State) (State, bool) { return s.told(state.Run.At) })
	return err
}

func (x *Exporter) send(ctx context.Context, m Message, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendBudget)
	defer cancel()
	return x.Bus.Export(ctx, m, x.Now().Add(wait))
}
