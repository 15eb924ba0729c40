package chaos

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

var (
	duration = flag.Duration("duration", 10*time.Second, "how long work begins and things go wrong")
	seed     = flag.Uint64("seed", 0, "of load and faults; 0: any")
	report   = flag.String("report", "", "folder for the handler's log and the summary; empty: none")
)

// The fleet: services that are backed up, restored and drilled, and pairs that are failed over to and fro.
const (
	singles = 16
	drilled = 4 // of them, with a drill instance
	pairs   = 6
)

func single(i int) string  { return fmt.Sprintf("single-%02d", i) }
func primary(i int) string { return fmt.Sprintf("pair-%02d", i) }
func standby(i int) string { return primary(i) + "-standby" }

func fleet() []devstack.Instance {
	var list []devstack.Instance
	for i := range singles {
		s := devstack.Instance{Name: single(i)}
		if i < drilled {
			s.Drill = single(i) + "-lab"
			list = append(list, devstack.Instance{Name: s.Drill, Unlisted: true})
		}
		list = append(list, s)
	}
	for i := range pairs {
		list = append(list, devstack.Instance{Name: primary(i), Secondary: standby(i), Warm: true},
			devstack.Instance{Name: standby(i), Unlisted: true, Service: arm.Service{Location: "East US"}})
	}
	return list
}

// Waits are scaled down as in the local stack, and a little more: what is assumed of Azure stays true to scale. Resource Manager shows what it has accepted
// within a second, less than TIMING_SETTLE.
var settings = map[string]string{
	"WATCHDOG_SCHEDULE": "*/5 * * * * *", "TIMING_LEASE": "10s", "TIMING_INVOCATION": "15s", "TIMING_POST_WINDOW": "3s", "TIMING_SETTLE": "3s", "TIMING_ORPHAN": "40s",
	"TIMING_VERIFY": "60s", "TIMING_BLOB_MISSING": "20s", "TIMING_BLIND": "10s", "TIMING_START_WITHIN": "5m", "LOG_LEVEL": "info",
}

const (
	hidden    = time.Second
	workTakes = 1500 * time.Millisecond
)

type storm struct {
	t     *testing.T
	stack *devstack.Stack
	seed  uint64

	mu       sync.Mutex
	calls    []*made
	faults   map[string]int
	lines    []string
	log      *os.File
	outcomes map[string]string    // of operations that were seen to be done
	refused  map[arm.Request]bool // POSTs that Resource Manager has refused for good
	followed int                  // automatic restores into an instance of a pair
}

// made is a call that was answered, at last.
type made struct {
	key, route, body string
	answers          map[string]bool // ids of operations
	status           int
}

func TestNothingIsLostAndNothingDoubled(t *testing.T) {
	s := &storm{t: t, seed: *seed, faults: map[string]int{}, outcomes: map[string]string{}, refused: map[arm.Request]bool{}}
	for s.seed == 0 {
		s.seed = rand.Uint64N(1_000_000)
	}
	t.Logf("seed %d, for %s; again: make chaos DURATION=%s SEED=%d (the same load and faults; how processes interleave is not the same)", s.seed, *duration, *duration, s.seed)
	app := filepath.Join(t.TempDir(), "app")
	if err := devstack.Stage(app); err != nil {
		t.Fatal(err)
	}
	if *report != "" {
		var err error
		if s.log, err = os.Create(filepath.Join(*report, fmt.Sprintf("seed-%d.log", s.seed))); err != nil {
			t.Fatal(err)
		}
		defer s.log.Close()
	}
	var err error
	s.stack, err = devstack.Start(t.Context(), devstack.Options{
		App: app, Instances: fleet(), BackupDuration: workTakes, RestoreDuration: workTakes, RetryAfter: time.Second, Restarts: true, Keep: true, Settings: settings, MessageLock: 20 * time.Second,
		Output: s.heard, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stack.Close()
	// It takes everything that comes, so that two at once are ours to prevent.
	s.stack.ARM.Change(func(c *arm.Config) { c.Overlap, c.VisibleAfter = true, hidden })

	ctx, cancel := context.WithTimeout(t.Context(), *duration)
	defer cancel()
	var work sync.WaitGroup
	s.load(ctx, &work)
	work.Go(func() { s.watch(ctx) })
	s.goWrong(ctx)
	work.Wait()
	s.stack.ARM.ClearFaults()
	calm := time.Now()
	s.rest()
	s.judge(time.Since(calm))
}

// heard keeps what the handler writes.
func (s *storm) heard(_, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
	if s.log != nil {
		fmt.Fprintln(s.log, line)
	}
}

func (s *storm) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, stream)) }

// ---- faults

const kill = "handler killed"

// faultKinds are all ways to go wrong. Each is used before one is used again.
var faultKinds = map[string]func(s *storm, r *rand.Rand){
	kill:                      func(s *storm, _ *rand.Rand) { _ = s.stack.Host.Kill() },
	"bus connections dropped": func(s *storm, _ *rand.Rand) { s.stack.Bus.DropConnections() },
	"sends rejected":          func(s *storm, r *rand.Rand) { s.must(s.stack.Bus.RejectSends(queue(r), 1+r.IntN(4))) },
	"results rejected":        func(s *storm, r *rand.Rand) { s.must(s.stack.Bus.RejectSends("results", 1+r.IntN(4))) },
	"sends unanswered":        func(s *storm, r *rand.Rand) { s.must(s.stack.Bus.WithholdDispositions(queue(r), 1)) },
	"message locks lost":      func(s *storm, r *rand.Rand) { _, err := s.stack.Bus.LoseLocks(queue(r)); s.must(err) },
	"message delivered twice": func(s *storm, r *rand.Rand) { s.must(s.stack.Bus.DeliverTwice(queue(r))) },
	"ARM 429": func(s *storm, r *rand.Rand) {
		s.inject(r, arm.Fault{Status: 429, Code: "TooManyRequests", RetryAfter: 2 * time.Second})
	},
	"ARM 500": func(s *storm, r *rand.Rand) { s.inject(r, arm.Fault{Status: 500}) },
	"ARM 503": func(s *storm, r *rand.Rand) { s.inject(r, arm.Fault{Status: 503}) },
	"ARM 409 ServiceLocked": func(s *storm, r *rand.Rand) {
		s.inject(r, arm.Fault{Verb: write(r), Status: 409, Code: "ServiceLocked"})
	},
	"ARM timeout":               func(s *storm, r *rand.Rand) { s.inject(r, arm.Fault{Verb: write(r), Delay: 4 * time.Second}) },
	"ARM reset before the work": func(s *storm, r *rand.Rand) { s.inject(r, arm.Fault{Drop: arm.DropBefore}) },
	"ARM reset after the work":  func(s *storm, r *rand.Rand) { s.inject(r, arm.Fault{Verb: write(r), Drop: arm.DropAfter}) },
	"ARM's work fails":          func(s *storm, r *rand.Rand) { s.fail(r) },
	"storage stopped and restarted": func(s *storm, r *rand.Rand) {
		s.must(s.stack.RestartStorage(s.t.Context(), time.Duration(r.IntN(3000))*time.Millisecond))
	},
}

func queue(r *rand.Rand) string   { return []string{"operations", "polls"}[r.IntN(2)] }
func write(r *rand.Rand) arm.Verb { return []arm.Verb{arm.Backup, arm.Restore}[r.IntN(2)] }

func (s *storm) must(err error) {
	if err != nil {
		s.t.Error(err)
	}
}

// inject lets the next few requests of some kind go wrong.
func (s *storm) inject(r *rand.Rand, f arm.Fault) {
	if f.Verb == "" {
		f.Verb = []arm.Verb{arm.Backup, arm.Restore, arm.Read, arm.Poll}[r.IntN(4)]
	}
	f.Times = 1 + r.IntN(3)
	s.stack.ARM.Inject(f)
}

func (s *storm) fail(r *rand.Rand) {
	name := single(r.IntN(singles))
	s.stack.ARM.FailNext(name, arm.Backup, &arm.Error{Status: 400, Code: "BackupFailed", Message: "there is no space left"})
}

// goWrong lets one thing after the other go wrong until ctx ends, but each once at the least. After each third one, or so, the handler is killed besides.
func (s *storm) goWrong(ctx context.Context) {
	r := s.random(1)
	for ctx.Err() == nil {
		round := sorted(faultKinds)
		r.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		for _, kind := range round {
			if ctx.Err() != nil && s.faults[kind] > 0 {
				return
			}
			s.strike(kind, r)
			if r.IntN(3) == 0 {
				s.strike(kill, r)
			}
			pause(ctx, time.Duration(150+r.IntN(550))*time.Millisecond)
		}
	}
}

func (s *storm) strike(kind string, r *rand.Rand) {
	faultKinds[kind](s, r)
	s.faults[kind]++
}

// ---- load

// load begins work until ctx ends, and follows each call until it is answered.
func (s *storm) load(ctx context.Context, work *sync.WaitGroup) {
	for n := range uint64(8) {
		work.Go(func() {
			r, breaks := s.random(100+n), s.random(300+n) // apart, so that how often it has to wait does not change what it asks for
			for i := 0; ctx.Err() == nil; pause(ctx, time.Duration(breaks.IntN(1500))*time.Millisecond) {
				if s.atWork() > mostAtWork {
					continue
				}
				route, body := s.some(r)
				s.call(&made{key: fmt.Sprintf("load-%d-%d", n, i), route: route, body: body})
				i++
			}
		})
	}
	for n := range pairs {
		work.Go(func() { s.toAndFro(ctx, n) })
	}
}

// mostAtWork is how many operations may be at work: more would wait, in one another's way, for longer than they may.
const mostAtWork = 40

func (s *storm) atWork() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	accepted := 0
	for _, c := range s.calls {
		accepted += len(c.answers)
	}
	return accepted - len(s.outcomes)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// some is a call for something that may be done at any time.
func (s *storm) some(r *rand.Rand) (route, body string) {
	name := single(r.IntN(singles))
	switch r.IntN(10) {
	case 0:
		return "/api/restores", fmt.Sprintf(`{"service":%q,"confirm":%q,"safetyBackup":%v}`, name, name, r.IntN(2) == 0)
	case 1:
		return "/api/drills", fmt.Sprintf(`{"service":%q}`, single(r.IntN(drilled)))
	case 2:
		return "/api/backups", fmt.Sprintf(`{"service":%q}`, primary(r.IntN(pairs)))
	}
	return "/api/backups", fmt.Sprintf(`{"service":%q}`, name)
}

// toAndFro fails a pair over, waits for the end, and lets the standby follow again.
func (s *storm) toAndFro(ctx context.Context, n int) {
	r := s.random(200 + uint64(n))
	from, to := primary(n), standby(n)
	for i := 0; ctx.Err() == nil; i++ {
		s.call(&made{key: fmt.Sprintf("pair-%d-%d-backup", n, i), route: "/api/backups", body: fmt.Sprintf(`{"service":%q}`, from)})
		pause(ctx, time.Duration(2000+r.IntN(4000))*time.Millisecond)
		final := []string{"never", "auto"}[r.IntN(2)]
		c := &made{key: fmt.Sprintf("pair-%d-%d", n, i), route: "/api/failovers", body: fmt.Sprintf(`{"primary":%q,"confirm":%q,"finalBackup":%q}`, from, to, final)}
		s.call(c)
		for id := range c.answers {
			if s.ended(id, 2*time.Minute) == "succeeded" {
				from, to = to, from
			}
		}
		s.call(&made{key: fmt.Sprintf("pair-%d-%d-rearm", n, i), route: "/api/services/" + from + "/rearm", body: fmt.Sprintf(`{"active":%q}`, from)})
	}
}

// call repeats a call, with the same key, until it is answered by the app itself.
func (s *storm) call(c *made) {
	c.answers = map[string]bool{}
	for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(300 * time.Millisecond) {
		resp, err := s.stack.Post(s.t.Context(), c.route, c.body, map[string][]string{"Idempotency-Key": {c.key}})
		if err != nil {
			continue
		}
		var answer struct{ ID, Operation string }
		err = json.NewDecoder(resp.Body).Decode(&answer)
		resp.Body.Close()
		if err != nil || resp.StatusCode >= 500 {
			continue
		}
		if id := answer.ID + answer.Operation; strings.Count(id, "-") == 2 {
			c.answers[id] = true
		}
		c.status = resp.StatusCode
		break
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
}

func (s *storm) refusals() {
	for _, r := range s.stack.ARM.Requests() {
		if r.Method == http.MethodPost && r.Status >= 400 && r.Status < 500 && r.Status != 408 && r.Status != 409 && r.Status != 429 {
			s.refused[r] = true
		}
	}
}

// ended waits for the outcome of an operation.
func (s *storm) ended(id string, within time.Duration) string {
	for began := time.Now(); time.Since(began) < within; time.Sleep(300 * time.Millisecond) {
		if op, ok := s.record(id); ok && op.Phase == "done" {
			return string(op.Outcome)
		}
	}
	return ""
}

// watch reads the records of the operations that were accepted, to notice an outcome that changes, and Resource Manager's log of requests, which it does not keep
// for ever.
func (s *storm) watch(ctx context.Context) {
	for ctx.Err() == nil {
		s.refusals()
		s.mu.Lock()
		var ids []string
		for _, c := range s.calls {
			for id := range maps.Keys(c.answers) {
				if s.outcomes[id] == "" {
					ids = append(ids, id)
				}
			}
		}
		s.mu.Unlock()
		for _, id := range ids {
			if op, ok := s.record(id); ok && op.Phase == "done" {
				s.mu.Lock()
				s.outcomes[id] = string(op.Outcome)
				s.mu.Unlock()
			}
		}
		pause(ctx, time.Second)
	}
}
