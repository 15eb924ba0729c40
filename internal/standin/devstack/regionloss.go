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

// regionFleet: two regions that protect each other. The stamp of each owns the service whose standby lies there.
var regionFleet = map[string][]Instance{
	"north": {
		{Name: "contoso-eu", Secondary: "contoso-eu-standby", Warm: true, Drill: "contoso-drill", Service: arm.Service{HostNames: []string{"api.contoso.com"}}},
		{Name: "contoso-eu-standby", Unlisted: true, Service: arm.Service{Location: "North Europe"}},
		{Name: "contoso-drill", Unlisted: true, Service: arm.Service{Location: "North Europe"}},
	},
	"west": {
		{Name: "contoso-pay", Secondary: "contoso-pay-standby", Warm: true, Service: arm.Service{Location: "North Europe"}},
		{Name: "contoso-pay-standby", Unlisted: true},
	},
}

const (
	lossRestore = 3 * time.Second // of the failover; ARM is asked as often
	slack       = 2 * time.Second // for all that is neither waiting for ARM nor for the dead side, on a busy machine
)

// regionLoss is the story of a lost region.
type regionLoss struct {
	cloud       *Cloud
	story       *Story
	north, west *scene
	content     string        // of contoso-eu
	dark        chan struct{} // closed when the region returns
	kept        []byte        // what stamp west knew of its backup
	rto         float64       // seconds, of the failover
	lost        time.Time     // the region
	failedOver  time.Time
	newest      Event // of the backup of the active instance
}

// RegionLoss tells how West Europe is lost, with the stamp there, and returns: an error when the failover through the other stamp does not succeed in
// time, or anything automatic restores onto the active instance afterwards.
func RegionLoss(ctx context.Context, story *Story, app string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cloud, err := StartCloud(ctx, slices.Concat(regionFleet["north"], regionFleet["west"]), quick)
	if err != nil {
		return err
	}
	defer cloud.Close()
	l := regionLoss{cloud: cloud, story: story, content: cloud.ARM.Content("contoso-eu"), dark: make(chan struct{})}
	scenes := map[string]*scene{}
	for _, name := range []string{"north", "west"} {
		stamp, err := cloud.StartStamp(ctx, Options{
			App: app, Name: name, Region: name + "europe", Instances: regionFleet[name], Keep: true, Output: story.Output,
			// All timers are fired by the story, so that it goes the same way each time.
			Settings: map[string]string{"WATCHDOG_SCHEDULE": notNow()},
		})
		if err != nil {
			return err
		}
		defer stamp.Close()
		story.Tell("stack", "stamp %s listens on %s, in %seurope", name, stamp.Host.URL(), name)
		scenes[name] = stamp.open(ctx, story, io.Discard)
	}
	l.north, l.west = scenes["north"], scenes["west"]
	for _, part := range []func(context.Context) error{l.before, l.lose, l.fail, l.comeBack, l.after, l.failBack} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	l.north.leave()
	l.west.leave()
	return nil
}

// quick is how ARM behaves while nothing is measured.
var quick = arm.Config{BackupDuration: time.Second, RestoreDuration: time.Second, RetryAfter: time.Second}

// before backs both services up; the standbys follow.
func (l *regionLoss) before(ctx context.Context) error {
	for _, s := range []struct {
		*scene
		service string
	}{{l.north, "contoso-eu"}, {l.west, "contoso-pay"}} {
		if err := s.backupAndFollow(ctx, s.service); err != nil {
			return err
		}
		p, err := s.status(ctx, s.service)
		if err != nil {
			return err
		}
		if p.SurvivesPrimaryLoss.Survives != "yes" || !p.Protected || p.Active != s.service {
			return fmt.Errorf("%s is not protected against the loss of its region: %+v", s.service, p)
		}
	}
	return nil
}

// backupAndFollow backs a service up and waits until its standby holds the backup.
func (s *scene) backupAndFollow(ctx context.Context, service string) error {
	e, err := s.backup(ctx, service, "a change")
	if err != nil {
		return err
	}
	return s.followed(ctx, service, e)
}

// followed waits until the standby of a service holds the backup of an event.
func (s *scene) followed(ctx context.Context, service string, backup Event) error {
	standby := service + "-standby"
	e, err := s.inbox.await(ctx, "the warm standby "+standby, func(e Event) bool { return e.Data.Service == standby && e.Data.Trigger == "backup" })
	if err != nil {
		return err
	}
	if e.Type != "apimdr.restore.succeeded" || e.Data.Recovery.RecoveryPoint != backup.Data.RecoveryPoints[0].ID {
		return fmt.Errorf("not the expected event: %s", e.Raw)
	}
	_, err = s.restored(e, standby, s.cloud.ARM.Content(service))
	return err
}

// lose takes West Europe away: the stamp there with its storage, and the instances, which do not answer any more, neither through ARM nor at
// their gateways.
func (l *regionLoss) lose(ctx context.Context) error {
	kept, err := l.west.ask(ctx, http.MethodGet, l.west.last, "", http.StatusOK, nil)
	if err != nil {
		return err
	}
	l.kept, l.lost = kept.body, time.Now()
	l.west.leave()
	if err := l.west.Stop(); err != nil {
		return err
	}
	for _, instance := range []string{"contoso-eu", "contoso-pay-standby"} {
		l.cloud.ARM.Inject(arm.Fault{Service: instance, Times: arm.Always, Hold: l.dark})
	}
	l.story.Tell("region", "West Europe is lost: stamp west with its storage and Service Bus, and the instances contoso-eu and contoso-pay-standby, where requests hang")
	if _, err := l.west.Get(ctx, l.west.last); err == nil {
		return errors.New("stamp west still answers")
	}
	return nil
}

// fail fails over through the stamp that is left. A last backup of the primary is asked for if it answers, since that is where something could hang.
func (l *regionLoss) fail(ctx context.Context) error {
	l.cloud.ARM.Change(func(c *arm.Config) { c.RestoreDuration, c.RetryAfter = lossRestore, lossRestore })
	defer l.cloud.ARM.Change(func(c *arm.Config) { c.RestoreDuration, c.RetryAfter = quick.RestoreDuration, quick.RetryAfter })
	var dry struct{ Plan plan }
	a, err := l.north.ask(ctx, http.MethodPost, "/api/failovers", `{"primary":"contoso-eu","finalBackup":"auto","dryRun":true}`, http.StatusOK, &dry)
	if err != nil {
		return err
	}
	l.story.Tell("http", "200 after %.1f s, though the primary hangs; one look may take %s; the plan:", a.took.Seconds(), ProbeWithin)
	l.story.Plan(dry.Plan)
	blind := slices.ContainsFunc(dry.Plan.Checks, func(c check) bool {
		return c.Name == "finalBackup" && c.Result != "pass" && strings.Contains(c.Detail, "does not answer")
	})
	if a.took > ProbeWithin+slack || !blind {
		return fmt.Errorf("a plan that sees within %s that contoso-eu does not answer was expected, not after %s: %s", ProbeWithin+slack, a.took, a.body)
	}
	a, id, err := l.north.begin(ctx, "/api/failovers", `{"primary":"contoso-eu","confirm":"contoso-eu-standby","finalBackup":"auto","reason":"West Europe is lost"}`)
	if err != nil {
		return err
	}
	if a.took > ProbeWithin+slack {
		return fmt.Errorf("the call was answered after %s", a.took)
	}
	e, err := l.north.ended(ctx, "apimdr.failover.succeeded", id)
	if err != nil {
		return err
	}
	done, err := l.north.restored(e, "contoso-eu-standby", l.content)
	if err != nil {
		return err
	}
	l.rto, l.failedOver = e.Data.Recovery.RTOSeconds, e.Data.EndedAt
	most := ProbeWithin + done.Ended.Sub(done.Started) + lossRestore
	l.story.Tell("failover", "%.1f s from the call to the verified end; at most %s: one look at the dead side, ARM's restore and one poll interval", l.rto, most.Round(time.Second))
	if l.rto > most.Seconds() {
		return fmt.Errorf("the failover took %.3f s", l.rto)
	}
	p, err := l.north.status(ctx, "contoso-eu")
	for _, why := range p.SurvivesPrimaryLoss.Reasons {
		l.story.Tell("http", "    %s", why)
	}
	if err == nil && (p.Active != "contoso-eu-standby" || !p.Colocated || p.SurvivesPrimaryLoss.Survives != "no" || len(p.SurvivesPrimaryLoss.Reasons) == 0 || !p.Pairs[0].Suspended) {
		err = fmt.Errorf("not the expected status after the failover: %+v", p)
	}
	return err
}

// comeBack brings West Europe back as it was, but for what its Service Bus held.
func (l *regionLoss) comeBack(ctx context.Context) error {
	close(l.dark)
	l.cloud.ARM.ClearFaults()
	if err := l.west.Start(ctx); err != nil {
		return err
	}
	route := l.west.last
	l.west = l.west.open(ctx, l.story, io.Discard)
	l.story.Tell("region", "West Europe is back: stamp west with the records and backups that it had, contoso-eu with the content of before")
	a, err := l.west.ask(ctx, http.MethodGet, route, "", http.StatusOK, nil)
	if err == nil && string(a.body) != string(l.kept) {
		err = fmt.Errorf("stamp west does not remember what it did: %s, before %s", a.body, l.kept)
	}
	return err
}

// after lets everything happen that happens by itself: the nightly timer, a change event, drills, the watchdog.
func (l *regionLoss) after(ctx context.Context) error {
	l.story.Tell("timer", "BackupSchedule fires in both stamps")
	if err := l.fire(ctx, "BackupSchedule"); err != nil {
		return err
	}
	var err error
	if l.newest, err = l.north.backedUp(ctx, "contoso-eu-standby", "timer"); err != nil {
		return err
	}
	if _, err := l.north.backedUp(ctx, "contoso-eu", "timer"); err != nil {
		return err
	}
	// A pair whose roles were not exchanged goes on as before: what is asserted below can fail.
	pay, err := l.west.backedUp(ctx, "contoso-pay", "timer")
	if err == nil {
		err = l.west.followed(ctx, "contoso-pay", pay)
	}
	if err != nil {
		return err
	}
	// There is no change-event trigger yet. What it will bring about is exactly such a backup.
	l.story.Tell("change", "somebody edits contoso-eu: a backup on demand stands for the change event, which is not there yet")
	if _, err := l.north.backup(ctx, "contoso-eu", "stands for a change event"); err != nil {
		return err
	}
	l.story.Tell("timer", "DrillSchedule and Watchdog fire in both stamps")
	if err := l.fire(ctx, "DrillSchedule", "Watchdog"); err != nil {
		return err
	}
	drill, err := l.north.inbox.await(ctx, "the drill", func(e Event) bool { return strings.HasPrefix(e.Type, "apimdr.drill.") })
	if err != nil {
		return err
	}
	if drill.Data.Outcome != "succeeded" || drill.Data.Trigger != "timer" {
		return fmt.Errorf("not the expected event: %s", drill.Raw)
	}
	if _, err := l.north.restored(drill, "contoso-drill", l.content); err != nil {
		return err
	}
	if err := errors.Join(l.north.quiet(ctx), l.west.quiet(ctx)); err != nil {
		return err
	}
	// Whatever was sent to the hanging primary would have shown here by now, too.
	for instance, n := range map[string]int{"contoso-eu-standby": 1, "contoso-eu": 2} {
		since := map[string]time.Time{"contoso-eu-standby": l.failedOver, "contoso-eu": l.lost}[instance]
		got := operations(l.cloud.ARM, instance, since)
		if len(got) != n || slices.ContainsFunc(got, func(o arm.Operation) bool { return o.Verb != arm.Backup }) {
			return fmt.Errorf("%d backups of %s and nothing else were expected: %+v", n, instance, got)
		}
	}
	l.story.Tell("arm", "by its own record: since the failover no restore into contoso-eu-standby, the active instance, nor into contoso-eu; only backups")
	p, err := l.north.status(ctx, "contoso-eu")
	if err == nil && (p.Active != "contoso-eu-standby" || !p.Pairs[0].Suspended || !p.Protected) {
		err = fmt.Errorf("not the expected status after the return: %+v", p)
	}
	return err
}

func (l *regionLoss) fire(ctx context.Context, timers ...string) error {
	for _, timer := range timers {
		if err := errors.Join(l.north.Host.Invoke(ctx, timer), l.west.Host.Invoke(ctx, timer)); err != nil {
			return err
		}
	}
	return nil
}

// quiet waits until nothing is in flight in a stamp: what an operation brings about is marked before its own marker goes.
func (s *scene) quiet(ctx context.Context) error {
	for {
		var list struct{ Operations []json.RawMessage }
		if _, err := s.ask(ctx, http.MethodGet, "/api/operations?inFlight=true", "", http.StatusOK, &list); err != nil || len(list.Operations) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d operations are still in flight: %w", len(list.Operations), ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// failBack makes contoso-eu the active instance again, with what its standby had; then the standby follows again.
func (l *regionLoss) failBack(ctx context.Context) error {
	_, id, err := l.north.begin(ctx, "/api/failovers", `{"primary":"contoso-eu-standby","confirm":"contoso-eu","reason":"West Europe is well"}`)
	if err != nil {
		return err
	}
	e, err := l.north.ended(ctx, "apimdr.failover.succeeded", id)
	if err != nil {
		return err
	}
	if _, err := l.north.restored(e, "contoso-eu", l.content); err != nil {
		return err
	}
	if want := l.newest.Data.RecoveryPoints[0].ID; e.Data.Recovery.RecoveryPoint != want {
		return fmt.Errorf("the failback brought %s back, not %s", e.Data.Recovery.RecoveryPoint, want)
	}
	if err := l.north.backupAndFollow(ctx, "contoso-eu"); err != nil {
		return err
	}
	p, err := l.north.status(ctx, "contoso-eu")
	if err == nil && (p.Active != "contoso-eu" || p.Pairs[0].Suspended || p.SurvivesPrimaryLoss.Survives != "yes") {
		err = fmt.Errorf("not the expected status after the failback: %+v", p)
	}
	if err = errors.Join(err, l.north.inbox.once(l.north.Bus.Sent("results")), l.west.inbox.once(l.west.Bus.Sent("results"))); err != nil {
		return err
	}
	l.story.Tell("stack", "West Europe was lost; contoso-eu was served from North Europe after %.1f s; nothing automatic touched it, and the failback made it warm again", l.rto)
	return nil
}
