package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// moment is when the handler is killed, seen from one operation.
type moment struct {
	service string // a failover's primary; of a backup, what is backed up
	over    bool   // a failover
	prepare func(overwritten string, killed <-chan struct{})
	when    func(t *testing.T, op operation) // waits for the moment
	outcome string
	heard   int // POSTs that ARM took
}

// The handler is SIGKILLed, with operations at chosen moments, and the host starts it again: one outcome and one event of each, no second POST where
// the first can be reconciled, and roles that fit what became of the standby.
func TestKilled(t *testing.T) {
	for name, moments := range map[string][]moment{
		"at work": {
			// Two that last, first: ARM was asked once how it goes, and holds the second answer back.
			{service: "kill-poll", prepare: secondPollHeld, when: polled, outcome: "succeeded", heard: 1},
			{service: "over-poll", over: true, prepare: secondPollHeld, when: polled, outcome: "succeeded", heard: 1},
			// ARM holds the preflight's answer back.
			{service: "kill-preflight", prepare: held(arm.Fault{Verb: arm.Read, Drop: arm.DropBefore}), when: func(t *testing.T, op operation) {
				waitFor(t, "it is locked", func() bool { return blobExists(t, stack.State, devstack.StateContainer, "locks/"+op.Service) })
			}, outcome: "succeeded", heard: 1},
			// The intent is saved, the POST reaches nobody.
			{service: "kill-post", prepare: held(arm.Fault{Verb: arm.Backup, Drop: arm.DropBefore}), when: phaseSeen("starting"), outcome: "succeeded", heard: 1},
			{service: "over-post", over: true, prepare: held(arm.Fault{Verb: arm.Restore, Drop: arm.DropBefore}), when: phaseSeen("starting"), outcome: "succeeded", heard: 1},
			// ARM takes the POST, its answer reaches nobody.
			{service: "kill-answer", prepare: held(arm.Fault{Verb: arm.Backup}), when: phaseSeen("starting"), outcome: "unknown", heard: 1},
			{service: "over-answer", over: true, prepare: held(arm.Fault{Verb: arm.Restore}), when: phaseSeen("starting"), outcome: "unknown", heard: 1},
			// The gateway of the new active instance is slow.
			{service: "over-verify", over: true, prepare: held(arm.Fault{Verb: arm.Gateway}), when: phaseSeen("verifying"), outcome: "succeeded", heard: 1},
		},
		"at the end": { // Service Bus takes the events but says nothing.
			{service: "kill-event", when: phaseSeen("done"), outcome: "succeeded", heard: 1},
			{service: "over-event", over: true, when: phaseSeen("done"), outcome: "succeeded", heard: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			points := map[string]string{}
			for _, m := range moments {
				if m.over {
					points[m.service] = pointOf(t, m.service).ID
				}
			}
			if name == "at the end" {
				if err := stack.Bus.WithholdDispositions("results", len(moments)); err != nil {
					t.Fatal(err)
				}
			}
			killed := make(chan struct{})
			ops := make([]operation, len(moments))
			for i, m := range moments {
				if ops[i] = m.begin(t, killed); i == 1 { // the lasting ones are awaited first
					for j := range 2 {
						moments[j].when(t, ops[j])
					}
				}
			}
			for i, m := range moments {
				m.when(t, ops[i])
				if name == "at work" && lines.has(`"msg":"phase"`, ops[i].ID, `"phase":"done"`) {
					t.Logf("%s was over before the kill", m.service)
				}
			}
			pid := stack.Host.PID()
			if err := stack.Host.Kill(); err != nil {
				t.Fatal(err)
			}
			close(killed)
			waitFor(t, "another process", func() bool { return stack.Host.PID() != pid && stack.Host.PID() != 0 })
			for i, m := range moments {
				m.check(t, ops[i], points[m.service])
			}
		})
	}
}

func (m moment) begin(t *testing.T, killed <-chan struct{}) operation {
	t.Helper()
	name := m.service
	if m.over {
		name = standby(name)
	}
	if m.prepare != nil {
		m.prepare(name, killed)
	}
	if m.over {
		return ask[operation](t, "/api/failovers", failingOver(m.service, ""), http.StatusAccepted)
	}
	return startBackup(t, m.service)
}

func (m moment) check(t *testing.T, op operation, point string) {
	t.Helper()
	op, _ = told(t, op.ID)
	heard := slices.DeleteFunc(stack.ARM.Operations(), func(o arm.Operation) bool { return !strings.HasPrefix(o.BackupName, op.ID) })
	if m.over {
		heard = restores(op.Service)
	}
	if op.Outcome != m.outcome || len(heard) != m.heard {
		t.Errorf("%s: outcome %s (%+v), ARM took %d POSTs; want %s, %d", m.service, op.Outcome, op.Error, len(heard), m.outcome, m.heard)
	}
	if !m.over {
		return
	}
	overwritten(t, op.Service, point, content(m.service))
	active := map[string]string{"succeeded": op.Service, "unknown": m.service}[m.outcome]
	roles(t, m.service, active, true)
}

// held keeps a request waiting until the handler is dead.
func held(f arm.Fault) func(string, <-chan struct{}) {
	return func(name string, killed <-chan struct{}) {
		f.Service, f.Hold = name, killed
		stack.ARM.Inject(f)
	}
}

func secondPollHeld(name string, killed <-chan struct{}) {
	stack.ARM.Inject(arm.Fault{Verb: arm.Poll, Service: name})
	held(arm.Fault{Verb: arm.Poll, Drop: arm.DropBefore})(name, killed)
}

func polled(t *testing.T, op operation) {
	t.Helper()
	waitFor(t, "a poll was answered", func() bool {
		return slices.ContainsFunc(stack.ARM.Requests(), func(r arm.Request) bool {
			return r.Service == op.Service && r.Verb == arm.Poll && r.Status == http.StatusAccepted
		})
	})
}

func phaseSeen(phase string) func(*testing.T, operation) {
	return func(t *testing.T, op operation) {
		t.Helper()
		waitFor(t, "phase "+phase, func() bool { return lines.has(`"msg":"phase"`, op.ID, `"phase":"`+phase+`"`) })
	}
}
