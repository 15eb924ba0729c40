package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/standin/arm"
)

// RunFleet is the fleet of `make run`: that of Demo, and three services for Linger.
func RunFleet() []Instance {
	return append(DemoFleet(), Instance{Name: failing}, Instance{Name: neglected}, Instance{Name: working})
}

const (
	failing   = "contoso-lab"
	neglected = "contoso-old"
	working   = "contoso-big"
)

// What a backup of the working service takes, and what is recorded as usual.
const (
	lingerUsual  = 10 * time.Minute
	lingerBackup = 15 * time.Minute
)

// Linger leaves the three services that RunFleet has more than Demo in the states that a status page is for: a backup that failed, a recovery point older than its RPO, and a
// backup that runs for a quarter of an hour. Their last weeks are made up. The stack must have shown its Demo; what is called later takes 20 seconds.
func (s *Stack) Linger(ctx context.Context, story *Story, events io.Writer) error {
	c := s.open(ctx, story, events)
	defer c.leave()
	now := time.Now().UTC()
	story.Tell("stack", "the last weeks of %s, %s and %s are made up: %s was not backed up for three days", failing, neglected, working, neglected)
	if err := s.remember(ctx, neglected, func(state *dr.ServiceState) {
		state.NewestGood.CreatedAt = now.Add(-75 * time.Hour)
		state.LastOutcome.EndedAt, state.LastBackup.EndedAt = state.NewestGood.CreatedAt, state.NewestGood.CreatedAt
		state.History.Days = days(now.Add(-75*time.Hour), 26)
	}); err != nil {
		return err
	}
	if err := s.remember(ctx, failing, func(state *dr.ServiceState) { state.History.Days = days(now, 30) }); err != nil {
		return err
	}
	if err := s.remember(ctx, working, func(state *dr.ServiceState) {
		state.History.Days = days(now, 30)
		for i := range state.History.Took {
			state.History.Took[i].Seconds = lingerUsual.Seconds()
		}
	}); err != nil {
		return err
	}
	s.ARM.FailNext(failing, arm.Backup, arm.ActivationFailed("00000000-0000-0000-0000-000000000042", now))
	_, id, err := c.begin(ctx, "/api/backups", `{"service":"`+failing+`","reason":"to see one fail"}`)
	if err != nil {
		return err
	}
	if _, err := c.ended(ctx, "apimdr.backup.failed", id); err != nil {
		return err
	}
	s.ARM.Change(func(c *arm.Config) { c.BackupDuration, c.RetryAfter = lingerBackup, time.Minute })
	if _, id, err = c.begin(ctx, "/api/backups", `{"service":"`+working+`","reason":"to see one run"}`); err != nil {
		return err
	}
	if err := c.runs(ctx, id); err != nil {
		return err
	}
	s.ARM.Change(func(c *arm.Config) { // long enough to be looked at
		c.BackupDuration, c.RestoreDuration, c.RetryAfter = 20*time.Second, 20*time.Second, 5*time.Second
	})
	return nil
}

// remember changes what the app remembers of a service.
func (s *Stamp) remember(ctx context.Context, service string, change func(*dr.ServiceState)) error {
	name := "services/" + service
	blob, err := s.State.DownloadStream(ctx, StateContainer, name, nil)
	if err != nil {
		return fmt.Errorf("what is remembered of %s: %w", service, err)
	}
	defer blob.Body.Close()
	var state dr.ServiceState
	if err := json.NewDecoder(blob.Body).Decode(&state); err != nil {
		return fmt.Errorf("what is remembered of %s: %w", service, err)
	}
	change(&state)
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(state); err != nil {
		return err
	}
	_, err = s.State.UploadBuffer(ctx, StateContainer, name, body.Bytes(), nil)
	return err
}

// days are the last n with a good backup, but for every ninth, on which one failed.
func days(last time.Time, n int) (list []dr.BackupDay) {
	for i := n - 1; i >= 0; i-- {
		list = append(list, dr.BackupDay{Date: last.AddDate(0, 0, -i).Format(time.DateOnly), Good: i%9 != 4, Bad: i%9 == 4})
	}
	return list
}

// runs waits until ARM is at work on an operation.
func (s *scene) runs(ctx context.Context, id string) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		var op struct{ Phase dr.Phase }
		if _, err := s.ask(ctx, http.MethodGet, "/api/operations/"+id, "", http.StatusOK, &op); err != nil || op.Phase == dr.Running {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not run: %w", id, ctx.Err())
		}
	}
}
