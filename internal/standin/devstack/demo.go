package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"apim-dr/internal/standin/arm"
)

// DemoFleet is the fleet of Demo, for a stamp in North Europe: two services, of which one stands by for the other, and an instance for drills. The use of the first is exported.
func DemoFleet() []Instance {
	return []Instance{
		{Name: "contoso-eu", Secondary: "contoso-us", Drill: "contoso-drill", Usage: true, Service: arm.Service{HostNames: []string{"api.contoso.com"}}},
		{Name: "contoso-us", Service: arm.Service{Location: "East US"}},
		{Name: "contoso-drill", Service: arm.Service{Location: "North Europe"}, Unlisted: true},
	}
}

// A failover is polled twice, and the machine has almost a whole poll interval to spare.
const (
	demoRestore = 6 * time.Second
	demoPoll    = 3 * time.Second
)

// Demo shows on a stack with DemoFleet, or more than that, a night of backups, one more over HTTP, a failover, a drill and an export of usage data, and returns when the result event of each has
// arrived and ARM, the storage and the gateways show the same; an error when not, or not within that time. Each event is written to events as
// one line of CloudEvents JSON. The URL is that of the last operation.
func (s *Stack) Demo(ctx context.Context, story *Story, events io.Writer, within time.Duration) (url string, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	c := s.open(ctx, story, events)
	defer c.leave()
	s.ARM.Change(func(c *arm.Config) { c.BackupDuration, c.RetryAfter = 2*time.Second, time.Second })
	story.Tell("timer", "BackupSchedule fires")
	if err := s.Host.Invoke(ctx, "BackupSchedule"); err != nil {
		return "", err
	}
	for _, i := range s.o.Instances {
		if i.Unlisted {
			continue
		}
		if _, err := c.backedUp(ctx, i.Name, "timer"); err != nil {
			return "", err
		}
	}
	if _, err := c.backup(ctx, "contoso-eu", "before a change"); err != nil {
		return "", err
	}
	s.ARM.Change(func(c *arm.Config) { c.RestoreDuration, c.RetryAfter = demoRestore, demoPoll })
	if err := c.failover(ctx); err != nil {
		return "", err
	}
	s.ARM.Change(func(c *arm.Config) { c.RestoreDuration, c.RetryAfter = 2*time.Second, time.Second })
	if err := c.drill(ctx); err != nil {
		return "", err
	}
	if err := c.usage(ctx, "contoso-eu"); err != nil {
		return "", err
	}
	if err := c.inbox.once(s.Bus.Sent("results")); err != nil {
		return "", err
	}
	story.Tell("stack", "all %d events arrived, each once; ARM, blobs and gateways show the same", len(c.inbox.ids))
	return s.Host.URL() + c.last, nil
}

// failover lets contoso-us take over: asked for without doing it, refused, done.
func (s *scene) failover(ctx context.Context) error {
	const primary, target = "contoso-eu", "contoso-us"
	content := s.cloud.ARM.Content(primary)
	if s.cloud.ARM.Content(target) == content {
		return fmt.Errorf("%s holds what %s does before the failover", target, primary)
	}
	var dry struct{ Plan plan }
	if _, err := s.ask(ctx, http.MethodPost, "/api/failovers", `{"primary":"contoso-eu","dryRun":true}`, http.StatusOK, &dry); err != nil {
		return err
	}
	s.story.Tell("http", "200, nothing was begun; the plan:")
	s.story.Plan(dry.Plan)
	var problem struct {
		Title, Detail string
		Plan          plan
	}
	refused, err := s.ask(ctx, http.MethodPost, "/api/failovers", `{"primary":"contoso-eu"}`, http.StatusConflict, &problem)
	if err != nil {
		return err
	}
	s.story.Tell("http", "409 %s: %s", problem.Title, problem.Detail)
	switch {
	case refused.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(problem.Detail, `"confirm":"contoso-us"`):
		return fmt.Errorf("not the expected refusal: %s", refused.body)
	case len(dry.Plan.Checks) == 0 || len(problem.Plan.Checks) != len(dry.Plan.Checks) || slices.ContainsFunc(dry.Plan.Checks, func(c check) bool { return c.Result == "fail" }):
		return fmt.Errorf("not the expected plan: %s", refused.body)
	case len(restores(s.cloud.ARM, target, time.Time{})) > 0:
		return errors.New("ARM restores before anybody confirmed that")
	}
	_, id, err := s.begin(ctx, "/api/failovers", `{"primary":"contoso-eu","confirm":"contoso-us","reason":"an exercise"}`)
	if err != nil {
		return err
	}
	e, err := s.ended(ctx, "apimdr.failover.succeeded", id)
	if err != nil {
		return err
	}
	done, err := s.restored(e, target, content)
	if err != nil {
		return err
	}
	r, took := e.Data.Recovery, done.Ended.Sub(done.Started)
	s.story.Tell("failover", "%.1f s from the call to the verified end (ARM took %.1f s, is asked every %.0f s); the data are from %.1f s before the call",
		r.RTOSeconds, took.Seconds(), demoPoll.Seconds(), r.RPOSeconds)
	if most := took + demoPoll; r.RTOSeconds > most.Seconds() {
		return fmt.Errorf("the failover took %.3f s, longer than ARM's restore and one poll interval (%s)", r.RTOSeconds, most)
	}
	if !slices.ContainsFunc(r.NextSteps, func(step string) bool { return strings.Contains(step, "api.contoso.com") }) {
		return fmt.Errorf("the next steps do not name api.contoso.com: %q", r.NextSteps)
	}
	for _, step := range r.NextSteps {
		s.story.Tell("next step", "%s", step)
	}
	p, err := s.status(ctx, primary)
	if err == nil && (p.Active != target || p.Pairs[0].Active != target || p.Pairs[0].Home != primary || len(restores(s.cloud.ARM, primary, time.Time{})) > 0) {
		err = fmt.Errorf("the roles are not exchanged: %+v", p)
	}
	return err
}

// drill proves that a backup of contoso-eu can be restored.
func (s *scene) drill(ctx context.Context) error {
	_, id, err := s.begin(ctx, "/api/drills", `{"service":"contoso-eu"}`)
	if err != nil {
		return err
	}
	e, err := s.ended(ctx, "apimdr.drill.succeeded", id)
	if err != nil {
		return err
	}
	if _, err := s.restored(e, "contoso-drill", s.cloud.ARM.Content("contoso-eu")); err != nil {
		return err
	}
	p, err := s.status(ctx, "contoso-eu")
	if err == nil && !(p.Proven && p.Proof.RecoverySeconds > 0) {
		err = fmt.Errorf("the drill left no proof: %+v", p)
	}
	s.story.Tell("drill", "the backup %s was restored in %.1f s", e.Data.Recovery.RecoveryPoint, p.Proof.RecoverySeconds)
	return err
}
