package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
)

// An instance with the tag is a service while it has it.
func TestAServiceIsFoundByItsTag(t *testing.T) {
	t.Parallel()
	type status struct {
		Services  []struct{ Service, Plan string }
		Discovery struct {
			Found []string
			Gone  []struct{ Name, Why string }
		}
	}
	look := func() (s status) {
		resp, body := get(t, "/api/status")
		if err := json.Unmarshal(body, &s); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s, %v", resp.Status, body, err)
		}
		return s
	}
	listed := func(s status) bool {
		return slices.ContainsFunc(s.Services, func(p struct{ Service, Plan string }) bool { return p.Service == "tagged" && p.Plan == "nightly" })
	}
	waitFor(t, "the tagged instance is a service", func() bool { return listed(look()) })
	if s := look(); !slices.Equal(s.Discovery.Found, []string{"tagged"}) {
		t.Errorf("%+v", s.Discovery)
	}
	if op := ended(t, startBackup(t, "tagged").ID); op.Outcome != "succeeded" {
		t.Errorf("%+v", op)
	}
	stack.ARM.Tag("tagged", nil)
	waitFor(t, "it is told as gone", func() bool {
		s := look()
		return !listed(s) && len(s.Discovery.Gone) == 1 && s.Discovery.Gone[0].Name == "tagged"
	})
	waitFor(t, "the log tells that it has vanished", func() bool {
		return lines.has(`"msg":"a service that was found by its tag has vanished: it is backed up no more"`, `"about":"tagged"`)
	})
}
