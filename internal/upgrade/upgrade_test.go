// Package upgrade lets the handler of one revision take over from that of another, which is killed in the middle of operations. Storage, queues and the rest
// of the local stack stay; only the executable changes, as in a deployment. `make upgrade-test` builds the other revisions and runs it.
package upgrade

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// Folders with a staged app: that of this checkout, and those of other revisions.
const (
	currentVar = "UPGRADE_APP"
	othersVar  = "UPGRADE_FROM_APPS" // separated by spaces
)

const (
	within = 45 * time.Second
	oldHas = 20 * time.Second // for the revision that is rolled back to, before the current one has the rest
)

func TestOneRevisionTakesOverFromAnother(t *testing.T) {
	current, others := os.Getenv(currentVar), strings.Fields(os.Getenv(othersVar))
	if current == "" || len(others) == 0 {
		t.Skip("make upgrade-test builds what this needs: the staged apps of two revisions")
	}
	for _, other := range others {
		revision := filepath.Base(filepath.Dir(other))
		t.Run("upgrade from "+revision, func(t *testing.T) {
			t.Parallel()
			r := begin(t, other)
			r.swap(current)
			r.finish()
		})
		// What the revision that is rolled back to makes of the records is its affair, as long as the current one can end what it left.
		t.Run("roll back to "+revision+" and forward again", func(t *testing.T) {
			t.Parallel()
			r := begin(t, current)
			r.rolledBack = true
			r.swap(other)
			r.until(oldHas, r.allDone)
			r.swap(current)
			r.finish()
		})
	}
}

// moment is where an operation stands when the handler is killed.
type moment struct {
	service string // of a failover or drill the source
	kind    string // backup, failover or drill
	prepare func(r *run, target string)
	when    func(r *run, op operation) bool // it stands there
	lasts   bool                            // it stands there as long as one likes
	after   func(r *run, target string)     // once another handler runs
	outcome string
	taken   int // POSTs that ARM took in the end
}

// moments are all places where an operation can stand; each has a service of its own. The POST of those that are unknown in the end was taken, but not answered.
var moments = []moment{
	{service: "queued", kind: "backup", prepare: occupied, when: waits, lasts: true, after: freed, outcome: "succeeded", taken: 1},
	{service: "running", kind: "backup", prepare: polledOnce, when: polled, lasts: true, outcome: "succeeded", taken: 1},
	{service: "untold", kind: "backup", when: in("done"), lasts: true, outcome: "succeeded", taken: 1},
	{service: "over-queued", kind: "failover", prepare: occupied, when: waits, lasts: true, after: freed, outcome: "succeeded", taken: 1},
	{service: "over-running", kind: "failover", prepare: polledOnce, when: polled, lasts: true, outcome: "succeeded", taken: 1},
	{service: "drilled", kind: "drill", prepare: polledOnce, when: polled, lasts: true, outcome: "succeeded", taken: 1},
	{service: "over-verifying", kind: "failover", prepare: held(arm.Fault{Verb: arm.Gateway}), when: in("verifying"), outcome: "succeeded", taken: 1},
	{service: "over-unanswered", kind: "failover", prepare: held(arm.Fault{Verb: arm.Restore}), when: in("starting"), outcome: "unknown", taken: 1},
	{service: "preflight", kind: "backup", prepare: held(arm.Fault{Verb: arm.Read, Drop: arm.DropBefore}), when: locked, outcome: "succeeded", taken: 1},
	{service: "unsent", kind: "backup", prepare: held(arm.Fault{Verb: arm.Backup, Drop: arm.DropBefore}), when: in("starting"), outcome: "succeeded", taken: 1},
	{service: "unanswered", kind: "backup", prepare: held(arm.Fault{Verb: arm.Backup}), when: in("starting"), outcome: "unknown", taken: 1},
}

// target is the instance that the operation works on.
func (m moment) target() string {
	return map[string]string{"backup": m.service, "failover": m.service + "-standby", "drill": m.service + "-lab"}[m.kind]
}

// fleet has a service for each moment, and a pair whose standby is kept warm.
func fleet() []devstack.Instance {
	list := []devstack.Instance{{Name: "warm", Secondary: "warm-standby", Warm: true}, {Name: "warm-standby", Unlisted: true, Service: arm.Service{Location: "East US"}}}
	for _, m := range moments {
		i := devstack.Instance{Name: m.service}
		switch m.kind {
		case "failover":
			i.Secondary = m.target()
			list = append(list, devstack.Instance{Name: m.target(), Unlisted: true, Service: arm.Service{Location: "East US"}})
		case "drill":
			i.Drill = m.target()
			list = append(list, devstack.Instance{Name: m.target(), Unlisted: true})
		}
		list = append(list, i)
	}
	return list
}

// run is a stack whose handler changes.
type run struct {
	t     *testing.T
	app   string // the staged folder that the host serves
	stack *devstack.Stack
	over  chan struct{}     // closed at the first kill
	free  map[string]func() // ends what occupies an instance
	ops   map[string]operation
	sync  operation // the warm sync

	rolledBack bool // a revision worked that may be older than some messages: it quarantines those, and the watchdog wakes the operations again

	mu    sync.Mutex
	lines []string
}

type operation struct {
	ID, Kind, Service, Phase, Outcome, Waiting string
	Error                                      *struct{ Code, Message string }
	Recovery                                   *struct{ RecoveryPoint string }
}

// begin starts the stack with the handler of app and returns when every operation stands at its moment.
func begin(t *testing.T, app string) *run {
	r := &run{t: t, app: filepath.Join(t.TempDir(), "app"), over: make(chan struct{}), free: map[string]func(){}, ops: map[string]operation{}}
	t.Cleanup(sync.OnceFunc(func() { r.release() }))
	if err := os.CopyFS(r.app, os.DirFS(app)); err != nil {
		t.Fatal(err)
	}
	r.install(app)
	var err error
	r.stack, err = devstack.Start(t.Context(), devstack.Options{
		App: r.app, Instances: fleet(), BackupDuration: 300 * time.Millisecond, RestoreDuration: 300 * time.Millisecond, RetryAfter: time.Second, Restarts: true, Output: r.add,
		Settings: map[string]string{"TIMING_LEASE": "5s", "WATCHDOG_SCHEDULE": "*/2 * * * * *", "TIMING_POST_WINDOW": "8s", "TIMING_SETTLE": "1s"},
	})
	if err != nil {
		t.Fatal(err, r.tail())
	}
	t.Cleanup(r.stack.Close)
	t.Cleanup(r.release) // before Close: ARM's requests that are held would hold it up

	occupied(r, "warm-standby")
	sources := []string{"warm"}
	for _, m := range moments {
		if m.kind != "backup" {
			sources = append(sources, m.service)
		}
	}
	for _, source := range sources {
		r.ops["point of "+source] = r.post("/api/backups", fmt.Sprintf(`{"service":%q}`, source))
	}
	for _, source := range sources {
		r.await("a backup of "+source, func() bool { return r.look(r.ops["point of "+source].ID).Outcome == "succeeded" })
	}
	r.await("the warm sync waits", func() bool {
		for _, op := range r.inFlight() {
			if op.Service == "warm-standby" {
				r.sync = op
			}
		}
		return strings.Contains(r.sync.Waiting, "Updating")
	})
	if err := r.stack.Bus.RejectSends("results", 1000); err != nil { // no event leaves from now on
		t.Fatal(err)
	}
	r.stack.ARM.Change(func(c *arm.Config) {
		c.BackupDuration, c.RestoreDuration = 1500*time.Millisecond, 1500*time.Millisecond
	}) // longer than to the first poll
	for _, lasts := range []bool{true, false} {
		group := slices.DeleteFunc(slices.Clone(moments), func(m moment) bool { return m.lasts != lasts })
		for _, m := range group {
			if m.prepare != nil {
				m.prepare(r, m.target())
			}
			r.ops[m.service] = r.post(m.request())
		}
		for _, m := range group {
			r.await(m.service+" stands where it is to be killed", func() bool { return m.when(r, r.ops[m.service]) })
		}
	}
	for _, m := range moments {
		if !m.when(r, r.ops[m.service]) {
			t.Errorf("%s went on before the kill", m.service)
		}
	}
	return r
}

func (m moment) request() (route, body string) {
	switch m.kind {
	case "failover":
		return "/api/failovers", fmt.Sprintf(`{"primary":%q,"confirm":%q}`, m.service, m.target())
	case "drill":
		return "/api/drills", fmt.Sprintf(`{"service":%q}`, m.service)
	}
	return "/api/backups", fmt.Sprintf(`{"service":%q}`, m.service)
}

// install puts the executable of an app where the host starts it.
func (r *run) install(app string) {
	r.t.Helper()
	exe, err := os.ReadFile(filepath.Join(app, "apim-dr"))
	next := filepath.Join(r.app, "apim-dr.next")
	if err == nil {
		err = os.WriteFile(next, exe, 0o755)
	}
	if err == nil {
		err = os.Rename(next, filepath.Join(r.app, "apim-dr")) // the one that runs keeps its file
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// swap kills the handler; the host starts that of another app.
func (r *run) swap(app string) {
	r.t.Helper()
	r.install(app)
	pid := r.stack.Host.PID()
	if err := r.stack.Host.Kill(); err != nil {
		r.t.Fatal(err)
	}
	r.await("another process", func() bool { return r.stack.Host.PID() != pid && r.stack.Host.PID() != 0 })
	r.release()
	if err := r.stack.Bus.RejectSends("results", 0); err != nil {
		r.t.Fatal(err)
	}
	for _, m := range moments {
		if m.after != nil {
			m.after(r, m.target())
		}
	}
	freed(r, "warm-standby")
}

// release lets what was held go on.
func (r *run) release() {
	select {
	case <-r.over:
	default:
		close(r.over)
	}
}

// finish waits until all has ended and holds it against what has to have become of it.
func (r *run) finish() {
	t := r.t
	t.Helper()
	all := []string{r.sync.ID}
	for _, op := range r.ops {
		all = append(all, op.ID)
	}
	r.await("all operations are done", r.allDone)
	r.await("nothing is left", func() bool { return len(r.inFlight()) == 0 && len(r.blobs("active/"))+len(r.blobs("locks/")) == 0 })
	for _, m := range moments {
		op := r.look(r.ops[m.service].ID)
		taken := slices.DeleteFunc(r.stack.ARM.Operations(), func(o arm.Operation) bool {
			return o.Service != m.target() || m.kind == "backup" && !strings.HasPrefix(o.BackupName, op.ID) || m.kind != "backup" && o.Verb != arm.Restore
		})
		if op.Outcome != m.outcome || len(taken) != m.taken {
			t.Errorf("%s: %s %+v, ARM took %d POSTs; want %s, %d", m.service, op.Outcome, op.Error, len(taken), m.outcome, m.taken)
		}
		if active := map[string]string{"succeeded": m.target(), "unknown": m.service}[m.outcome]; m.kind == "failover" && r.active(m.service) != active {
			t.Errorf("%s: %s is active, not %s", m.service, r.active(m.service), active)
		}
	}
	if op := r.look(r.sync.ID); op.Outcome != "succeeded" || r.stack.ARM.Content("warm-standby") != r.stack.ARM.Content("warm") {
		t.Errorf("the warm sync: %s %+v", op.Outcome, op.Error)
	}
	told := map[string]int{}
	for _, s := range r.stack.Bus.Sent("results") {
		if !s.Duplicate {
			told[strings.TrimSuffix(s.MessageID, ":result")]++
		}
	}
	for _, id := range all {
		if told[id] != 1 {
			t.Errorf("%s has %d events", id, told[id])
		}
	}
	if left := r.blobs("quarantine/"); len(left) > 0 && !r.rolledBack {
		t.Errorf("quarantined: %v", left)
	}
	for _, queue := range []string{"operations", "polls"} {
		if _, _, dead, err := r.stack.Bus.Count(queue); err != nil || dead > 0 {
			t.Errorf("%d dead letters in %s, %v", dead, queue, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.lines {
		if strings.Contains(line, "cannot be read") && !(r.rolledBack && strings.Contains(line, "has version")) {
			t.Errorf("%s", line)
		}
	}
}

func (r *run) allDone() bool {
	for _, op := range r.ops {
		if r.look(op.ID).Phase != "done" {
			return false
		}
	}
	return r.look(r.sync.ID).Phase == "done"
}

// ---- the moments

func occupied(r *run, target string) { r.free[target] = r.stack.ARM.Occupy(target) }

func freed(r *run, target string) {
	if free := r.free[target]; free != nil {
		free()
		r.free[target] = nil
	}
}

func waits(r *run, op operation) bool { return strings.Contains(r.look(op.ID).Waiting, "Updating") }

func locked(r *run, op operation) bool { return len(r.blobs("locks/"+op.Service)) == 1 }

// held keeps a request waiting until the handler is dead.
func held(f arm.Fault) func(*run, string) {
	return func(r *run, target string) {
		own := f // the runs are parallel
		own.Service, own.Hold = target, r.over
		r.stack.ARM.Inject(own)
	}
}

// polledOnce lets one poll pass and holds the next.
func polledOnce(r *run, target string) {
	r.stack.ARM.Inject(arm.Fault{Verb: arm.Poll, Service: target})
	held(arm.Fault{Verb: arm.Poll, Drop: arm.DropBefore})(r, target)
}

func polled(r *run, op operation) bool {
	return slices.ContainsFunc(r.stack.ARM.Requests(), func(q arm.Request) bool {
		return q.Service == op.Service && q.Verb == arm.Poll && q.Status == http.StatusAccepted
	})
}

func in(phase string) func(*run, operation) bool {
	return func(r *run, op operation) bool { return r.look(op.ID).Phase == phase }
}

// ---- the stack, seen from outside

func (r *run) post(route, body string) (op operation) {
	r.t.Helper()
	resp, err := r.stack.Post(r.t.Context(), route, body, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusAccepted || json.Unmarshal(text, &op) != nil {
		r.t.Fatalf("POST %s %s: %s %s %v", route, body, resp.Status, text, err)
	}
	return op
}

// get asks a route; a handler that was just killed may refuse.
func (r *run) get(route string, into any) error {
	resp, err := r.stack.Get(r.t.Context(), route)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	return err
}

// look reads an operation as it is now; the zero operation when that cannot be read.
func (r *run) look(id string) (op operation) {
	if r.get("/api/operations/"+id, &op) != nil {
		return operation{}
	}
	return op
}

func (r *run) inFlight() []operation {
	var list struct{ Operations []operation }
	if err := r.get("/api/operations?inFlight=true", &list); err != nil {
		return []operation{{}} // not known
	}
	return list.Operations
}

// active is the active instance of a service's pair.
func (r *run) active(service string) string {
	var status struct {
		Services []struct{ Service, Active string }
	}
	if err := r.get("/api/status", &status); err != nil {
		r.t.Error(err)
	}
	for _, s := range status.Services {
		if s.Service == service {
			return s.Active
		}
	}
	return ""
}

func (r *run) blobs(prefix string) (names []string) {
	pager := r.stack.State.NewListBlobsFlatPager(devstack.StateContainer, &azblob.ListBlobsFlatOptions{Prefix: &prefix})
	for pager.More() {
		page, err := pager.NextPage(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		for _, b := range page.Segment.BlobItems {
			names = append(names, *b.Name)
		}
	}
	return names
}

func (r *run) add(_, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

func (r *run) tail() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines[max(0, len(r.lines)-30):], "\n")
}

// await polls a condition until it holds; the test fails when it does not in time.
func (r *run) await(what string, cond func() bool) {
	r.t.Helper()
	if !r.until(within, cond) {
		var open bytes.Buffer
		for _, op := range r.inFlight() {
			fmt.Fprintf(&open, "%+v\n", op)
		}
		r.t.Fatalf("not within %s: %s\nin flight:\n%s%s", within, what, &open, r.tail())
	}
}

func (r *run) until(limit time.Duration, cond func() bool) bool {
	timeout := time.After(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-timeout:
			return false
		}
	}
	return true
}
