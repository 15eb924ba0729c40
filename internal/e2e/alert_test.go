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
	waitFor(t, "the watchdog's heartbeat, and that a service without a backup is not protected", func() bool {
		return found("no-heartbeat") && found("unprotected", `"service":"alarms"`)
	})

	stack.ARM.FailNext("alarms", arm.Backup, &arm.Error{Status: 400, Code: "ActivationFailed", Message: "Unable to activate API service at this time."})
	bad := ended(t, startBackup(t, "alarms").ID)
	good := ended(t, startBackup(t, "alarms").ID)
	eventOnce(t, bad)
	eventOnce(t, good)
	if !found("backup-failed", bad.ID, `"service":"alarms"`) || found("backup-failed", good.ID) || found("recovery-failed", bad.ID) {
		t.Errorf("failed %s, succeeded %s", bad.ID, good.ID)
	}
	before := count("unprotected", `"service":"alarms"`)
	pass := count("no-heartbeat")
	waitFor(t, "two more passes of the watchdog", func() bool { return count("no-heartbeat") > pass+1 })
	if after := count("unprotected", `"service":"alarms"`); after > before+1 { // one may have been under way
		t.Errorf("%d lines say that it is not protected, %d before its backup", after, before)
	}

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
