package devstack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Story tells on a writer what happens, one line a hop. Its Output is for Options.Output.
type Story struct {
	mu    sync.Mutex
	to    io.Writer
	begin time.Time
}

// NewStory begins a story now.
func NewStory(to io.Writer) *Story { return &Story{to: to, begin: time.Now()} }

// Tell writes one line.
func (s *Story) Tell(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.to, "%8.3fs  %-9s %s\n", time.Since(s.begin).Seconds(), who, fmt.Sprintf(format, args...))
}

// line is what the story reads of the handler's own log.
type line struct {
	Level, Msg, Operation, Service, Trigger, Phase, Outcome, Reason, Error, Verb, Method string
	Status, Attempt                                                                      int
}

// Output tells the hops that show in the handler's log lines; warnings and what is no log line it passes on whole.
func (s *Story) Output(stream, text string) {
	var l line
	if json.Unmarshal([]byte(text), &l) != nil {
		s.Tell(stream, "%s", text)
		return
	}
	switch {
	case l.Msg == "created":
		s.Tell("trigger", "%s: backup %s created by %s → queue operations", l.Service, l.Operation, l.Trigger)
	case l.Msg == "phase" && l.Phase == "starting":
		s.Tell("operation", "%s: locked, checked, intent saved", l.Service)
	case l.Msg == "phase" && l.Phase == "running":
		s.Tell("operation", "%s: accepted, Location saved → queue polls", l.Service)
	case l.Msg == "phase" && l.Phase == "verifying":
		s.Tell("operation", "%s: ARM is done; looking at the blob", l.Service)
	case l.Msg == "phase" && l.Phase == "done":
		s.Tell("operation", "%s: %s", l.Service, strings.TrimSpace(l.Outcome+" "+l.Reason))
	case l.Msg == "result published":
		s.Tell("operation", "%s: event → topic results, lock and marker removed", l.Service)
	case l.Msg == "ARM answered" && l.Verb != "service":
		s.Tell("arm", "%s: %s → %d", l.Service, l.Verb, l.Status)
	case l.Level == "WARN" || l.Level == "ERROR":
		s.Tell(strings.ToLower(l.Level), "%s: %s %s", cmp.Or(l.Service, "handler"), l.Msg, l.Error)
	}
}

// Demo lets the nightly timer fire, asks for one more backup over HTTP, and returns when the result event of each has arrived and its blob
// was seen; an error when that takes longer than within. Each event is written to events as one line of CloudEvents JSON.
// The URL is that of the last operation.
func (s *Stack) Demo(ctx context.Context, story *Story, services []string, events io.Writer, within time.Duration) (url string, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	story.Tell("timer", "BackupSchedule fires")
	if err := s.Host.Invoke(ctx, "BackupSchedule"); err != nil {
		return "", err
	}
	if err := s.expect(ctx, story, len(services), "timer", events); err != nil {
		return "", err
	}
	story.Tell("http", "POST /api/backups {service: %s}", services[0])
	resp, err := s.Post(ctx, "/api/backups", fmt.Sprintf(`{"service":%q,"reason":"before a change"}`, services[0]), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		body, _ := io.ReadAll(resp.Body)
		return "", fmt.Errorf("POST /api/backups: %s %s", resp.Status, body)
	}
	story.Tell("http", "202, Location %s, Retry-After %s", resp.Header.Get("Location"), resp.Header.Get("Retry-After"))
	return s.Host.URL() + resp.Header.Get("Location"), s.expect(ctx, story, 1, "http", events)
}

// expect receives n different events of operations that trigger started, each a success whose blob is there.
func (s *Stack) expect(ctx context.Context, story *Story, n int, trigger string, events io.Writer) error {
	seen := map[string]bool{}
	var wrong error
	err := s.Events(ctx, func(e Event) bool {
		if seen[e.ID] {
			return true
		}
		seen[e.ID] = true
		wrong = errors.Join(wrong, s.check(ctx, e, trigger))
		wrong = errors.Join(wrong, story.Event(e, events))
		return len(seen) < n
	})
	if len(seen) < n {
		err = errors.Join(err, fmt.Errorf("%d of %d result events arrived", len(seen), n))
	}
	return errors.Join(wrong, err)
}

// Event tells of an event and writes it to events as one line of JSON.
func (s *Story) Event(e Event, events io.Writer) error {
	s.Tell("event", "%s: %s, as a subscriber of results receives it", e.Data.Service, e.Type)
	_, err := fmt.Fprintf(events, "%s\n", compact(e.Raw))
	return err
}

func (s *Stack) check(ctx context.Context, e Event, trigger string) error {
	if e.Data.Outcome != "succeeded" || e.Data.Trigger != trigger || len(e.Data.RecoveryPoints) != 1 {
		return fmt.Errorf("not the expected event: %s", e.Raw)
	}
	blob := s.Backups.ServiceClient().NewContainerClient(BackupContainer).NewBlobClient(e.Data.RecoveryPoints[0].ID)
	props, err := blob.GetProperties(ctx, nil)
	if err != nil {
		return fmt.Errorf("blob of %s: %w", e.Data.Operation, err)
	}
	if *props.ContentLength == 0 {
		return fmt.Errorf("blob of %s is empty", e.Data.Operation)
	}
	return nil
}

func compact(raw []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}
