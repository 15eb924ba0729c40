package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/infra"
	"apim-dr/internal/standin/arm"
)

// What the alerts of the deployment look for is what the app writes.
func TestAlertsFindTheLinesOfTheApp(t *testing.T) {
	t.Parallel()
	alerts := map[string]infra.Alert{}
	for _, a := range infra.Alerts() {
		alerts[a.Name] = a
	}
	count := func(alert string, parts ...string) (n int) {
		a, ok := alerts[alert]
		if !ok {
			t.Fatalf("no alert %s", alert)
		}
		lines.mu.Lock()
		defer lines.mu.Unlock()
		for _, line := range lines.all {
			if a.Finds(line) && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
				n++
			}
		}
		return n
	}
	found := func(alert string, parts ...string) bool { return count(alert, parts...) > 0 }
	waitFor(t, "the watchdog's heartbeat", func() bool { return found("no-heartbeat") })

	stack.ARM.FailNext("alarms", arm.Backup, &arm.Error{Status: 400, Code: "ActivationFailed", Message: "Unable to activate API service at this time."})
	bad := ended(t, startBackup(t, "alarms").ID)
	good := ended(t, startBackup(t, "alarms").ID)
	eventOnce(t, bad)
	eventOnce(t, good)
	if !found("backup-failed", bad.ID, `"service":"alarms"`) || found("backup-failed", good.ID) || found("recovery-failed", bad.ID) {
		t.Errorf("failed %s, succeeded %s", bad.ID, good.ID)
	}
	pass := count("no-heartbeat")
	waitFor(t, "two passes of the watchdog", func() bool { return count("no-heartbeat") > pass+1 })
	before := count("unprotected", `"service":"alarms"`)
	waitFor(t, "two more, after its backup", func() bool { return count("no-heartbeat") > pass+3 })
	if after := count("unprotected", `"service":"alarms"`); after > before {
		t.Errorf("%d lines say that it is not protected, %d before", after, before)
	}
	waitFor(t, "that another one, whose backup has expired, is not", func() bool { return found("unprotected", `"service":"may-expired"`) })

	stack.ARM.FailNext("alarms", arm.Restore, &arm.Error{Status: 400, Code: "RestoreFailed", Message: "Cannot restore."})
	id := begun(t, "/api/restores", `{"service":"alarms","confirm":"alarms","safetyBackup":false}`).ID
	eventOnce(t, ended(t, id))
	if !found("recovery-failed", id) || found("backup-failed", id) {
		t.Errorf("restore %s", id)
	}

	sender, err := stack.Client.NewSender("polls", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close(t.Context())
	if err := sender.SendMessage(t.Context(), &azservicebus.Message{Body: []byte("not for us")}, nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a message that cannot be read", func() bool { return found("dead-letter", "PollOperation") })
}
