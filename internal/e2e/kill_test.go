package e2e

import (
	"strings"
	"testing"

	"apim-dr/internal/standin/arm"
)

// The handler is SIGKILLed at a chosen moment of a backup, and the host starts it again: one outcome, one event, and no second POST where
// the first can be reconciled.
func TestKilled(t *testing.T) {
	for _, tc := range []struct {
		service string
		prepare func(service string, killed <-chan struct{})
		when    func(t *testing.T, op operation) // waits for the moment
		outcome string
		heard   int // backups that ARM took
	}{
		{
			// ARM holds the preflight's answer back.
			service: "kill-preflight",
			prepare: func(s string, killed <-chan struct{}) {
				stack.ARM.Inject(arm.Fault{Verb: arm.Read, Service: s, Hold: killed, Drop: arm.DropBefore})
			},
			when: func(t *testing.T, op operation) {
				waitFor(t, "it is locked", func() bool { return blobExists(t, stack.State, "apim-dr", "locks/"+op.Service) })
			},
			outcome: "succeeded", heard: 1,
		},
		{
			// The intent is saved, the POST reaches nobody.
			service: "kill-post",
			prepare: func(s string, killed <-chan struct{}) {
				stack.ARM.Inject(arm.Fault{Verb: arm.Backup, Service: s, Hold: killed, Drop: arm.DropBefore})
			},
			when:    phaseSeen("starting"),
			outcome: "succeeded", heard: 1,
		},
		{
			// ARM takes the POST, its answer reaches nobody.
			service: "kill-answer",
			prepare: func(s string, killed <-chan struct{}) {
				stack.ARM.Inject(arm.Fault{Verb: arm.Backup, Service: s, Hold: killed})
			},
			when:    phaseSeen("starting"),
			outcome: "unknown", heard: 1,
		},
		{
			service: "kill-poll",
			when: func(t *testing.T, op operation) {
				waitFor(t, "a poll was answered", func() bool {
					for _, r := range stack.ARM.Requests() {
						if r.Service == op.Service && strings.Contains(r.Path, "operationresults") {
							return true
						}
					}
					return false
				})
			},
			outcome: "succeeded", heard: 1,
		},
		{
			// Service Bus takes the event but says nothing.
			service: "kill-event",
			prepare: func(string, <-chan struct{}) {
				if err := stack.Bus.WithholdDispositions("results", 1); err != nil {
					panic(err)
				}
			},
			when:    phaseSeen("done"),
			outcome: "succeeded", heard: 1,
		},
	} {
		t.Run(tc.service, func(t *testing.T) {
			killed := make(chan struct{})
			if tc.prepare != nil {
				tc.prepare(tc.service, killed)
			}
			op := startBackup(t, tc.service)
			tc.when(t, op)
			pid := stack.Host.PID()
			if err := stack.Host.Kill(); err != nil {
				t.Fatal(err)
			}
			close(killed)
			waitFor(t, "another process", func() bool { return stack.Host.PID() != pid && stack.Host.PID() != 0 })
			op = ended(t, op.ID)
			eventOnce(t, op)
			heard := 0
			for _, o := range stack.ARM.Operations() {
				if strings.HasPrefix(o.BackupName, op.ID) {
					heard++
				}
			}
			if op.Outcome != tc.outcome || heard != tc.heard {
				t.Errorf("outcome %s (%+v), ARM took %d backups; want %s, %d", op.Outcome, op.Error, heard, tc.outcome, tc.heard)
			}
		})
	}
}

func phaseSeen(phase string) func(*testing.T, operation) {
	return func(t *testing.T, op operation) {
		t.Helper()
		waitFor(t, "phase "+phase, func() bool { return lines.has(`"msg":"phase"`, op.ID, `"phase":"`+phase+`"`) })
	}
}
