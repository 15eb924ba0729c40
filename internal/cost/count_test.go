package cost

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/bench/yardstick"
	"apim-dr/internal/bus"
	"apim-dr/internal/dr"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// fleet is that of a stamp whose first night and first hour at rest are counted.
type fleet struct {
	instances                            []devstack.Instance
	services, secondaries, syncs, drills int
	backup                               time.Duration // how long one takes: the polls differ with it
	unguarded                            bool          // there is no night
}

var fleets = map[string]fleet{
	"one service":             {instances: named("a"), services: 1, backup: 500 * time.Millisecond},
	"one service, longer":     {instances: named("a"), services: 1, backup: 3500 * time.Millisecond},
	"three services":          {instances: named("a", "b", "c"), services: 3, backup: 1500 * time.Millisecond},
	"cold standby and drills": {instances: around(devstack.Instance{Name: "a", Secondary: "s", Drill: "d"}), services: 1, secondaries: 1, drills: 1, backup: 500 * time.Millisecond},
	"warm standby":            {instances: around(devstack.Instance{Name: "a", Secondary: "s", Warm: true}), services: 1, secondaries: 1, syncs: 1, backup: 500 * time.Millisecond},
	"not backed up yet":       {instances: named("a", "b"), services: 2, unguarded: true},
}

func named(names ...string) (list []devstack.Instance) {
	for _, n := range names {
		list = append(list, devstack.Instance{Name: n})
	}
	return list
}

func around(i devstack.Instance) []devstack.Instance {
	return []devstack.Instance{i, {Name: "s", Unlisted: true}, {Name: "d", Unlisted: true}}
}

// The tests mostly wait for their stacks. The flag -parallel wins.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// Nothing was billed by Azure: these are the counts of the local stack.
func TestTheCountsAreTheFormulas(t *testing.T) {
	app := filepath.Join(t.TempDir(), "app")
	if err := devstack.Stage(app); err != nil {
		t.Fatal(err)
	}
	for name, f := range fleets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := meter(t, app, f)
			each := pass(f.services, f.secondaries, f.drills)
			if f.unguarded {
				each = plus(each, times(f.services, passUnguarded))
				m.fire("Watchdog")
				m.holds("the first pass", plus(each, times(2+f.services, firstPass)))
			} else {
				m.fire("BackupSchedule")
				m.holds("the night", plus(perNight, times(f.services, perBackup), times(m.polls(), perPoll), times(f.secondaries, perStandby), times(f.syncs, perSync)))
			}
			if f.drills > 0 {
				before := m.polls()
				m.fire("DrillSchedule")
				m.holds("the drills", plus(perDrills, times(f.drills, perDrill), times(m.polls()-before, perPoll)))
			}
			if f.services == 3 {
				m.read(f.services)
				m.holds("a subscriber", times(f.services, perSubscriber))
			}
			if !f.unguarded {
				noted := 1 + f.services
				if f.secondaries == 0 {
					m.tick("~prune")
					m.holds("the pruning", plus(perPruning, times(f.services, perPruned)))
					noted-- // it has run
				}
				m.fire("Watchdog")
				m.holds("the first pass", plus(each, times(noted, firstPass)))
			}
			for range passesPerHour {
				m.fire("Watchdog")
			}
			m.holds("an hour at rest", times(passesPerHour, each))
			if name == "one service" {
				before := m.polls()
				m.backUp("a")
				m.holds("a backup that was asked for", plus(perCall, times(m.polls()-before, perPoll)))
			}
		})
	}
}

// What make bench lets a bare client ask of storage is what the app asks for a backup, but for the marker, which goes after the event.
func TestTheYardstickOfABackupAsksWhatTheAppDoes(t *testing.T) {
	got := counts{"delete": 1}
	for _, stage := range yardstick.Backup {
		for _, r := range stage {
			got[map[yardstick.Request]string{yardstick.Put: "write", yardstick.Get: "read", yardstick.Look: "other", yardstick.Delete: "delete"}[r]]++
		}
	}
	want := counts{}
	for _, kind := range []string{"write", "read", "other", "delete"} {
		want[kind] = perCall.sum("state "+kind) + perCall.sum("backups "+kind)
	}
	want["read"] += perPoll.sum("state read") // its lease is not moved so soon
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-app +yardstick):\n%s", diff)
	}
}

// metered is a stack and what was counted up to the last look.
type metered struct {
	*devstack.Stack
	t    *testing.T
	last devstack.Bill
}

// never is a schedule that does not come while the test runs.
var never = fmt.Sprintf("0 0 %d * * *", time.Now().UTC().Add(12*time.Hour).Hour())

// meter starts a stack that does nothing by itself and has waits like those of Azure where they only bound what a slow machine may take.
func meter(t *testing.T, app string, f fleet) *metered {
	ready := make(chan struct{})
	stack, err := devstack.Start(t.Context(), devstack.Options{
		Output: func(_, line string) {
			if strings.Contains(line, `"msg":"ready"`) { // the last of the lines at the start: they come through a pipe
				close(ready)
			}
		},
		App: app, Instances: f.instances, Meter: true, BackupDuration: f.backup, RestoreDuration: 1500 * time.Millisecond, RetryAfter: 2 * time.Second,
		Settings: map[string]string{
			"WATCHDOG_SCHEDULE": never, "PRUNE_SCHEDULE": never, "LOG_LEVEL": "info", "TIMING_POST_WINDOW": "1m", "TIMING_PROBE": "10s", "TIMING_SURVEY": "30s",
			"TIMING_LEASE": "2s", // so that every poll moves it, and no start: at most so often is it moved in Azure
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stack.Close)
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatal("the app did not say that it is ready")
	}
	return &metered{Stack: stack, t: t, last: stack.Bill()}
}

func (m *metered) fire(timer string) {
	m.t.Helper()
	if err := m.Host.Invoke(m.t.Context(), timer); err != nil {
		m.t.Fatal(err)
	}
}

func (m *metered) backUp(service string) {
	m.t.Helper()
	resp, err := m.Post(m.t.Context(), "/api/backups", `{"service":"`+service+`"}`, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		m.t.Fatal(resp.Status)
	}
}

// tick sends what the watchdog does when a schedule without a timer comes.
func (m *metered) tick(plan string) {
	m.t.Helper()
	schedule, err := dr.ParseSchedule(never)
	if err != nil {
		m.t.Fatal(err)
	}
	body, err := bus.Encode(bus.Message{Tick: &dr.Tick{Plan: plan, At: dr.DueTick(schedule, time.Now())}})
	if err != nil {
		m.t.Fatal(err)
	}
	sender, err := m.Client.NewSender("operations", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := sender.SendMessage(m.t.Context(), &azservicebus.Message{Body: body}, nil); err != nil {
		m.t.Fatal(err)
	}
}

// quiet waits until no message is left: then nothing works any more, and nothing will without a timer.
func (m *metered) quiet() {
	m.t.Helper()
	m.wait("the queues are empty", func() bool {
		left := 0
		for _, q := range []string{"operations", "polls"} {
			active, scheduled, dead, err := m.Bus.Count(q)
			if err != nil {
				m.t.Fatal(err)
			}
			left += active + scheduled + dead
		}
		return left == 0
	})
}

// polls are the GETs that Resource Manager was asked for so far, once all is quiet.
func (m *metered) polls() (n int) {
	m.t.Helper()
	m.quiet()
	for _, r := range m.ARM.Requests() {
		if r.Verb == arm.Poll {
			n++
		}
	}
	return n
}

// holds compares what was counted since the last look, once all is quiet.
func (m *metered) holds(what string, want counts) {
	m.t.Helper()
	m.quiet()
	m.wait("the log lines have come through the pipe", func() bool { return m.Bill().LogLines-m.last.LogLines >= want["log"] })
	bill := m.Bill()
	since := bill.Since(m.last)
	m.last = bill
	if diff := cmp.Diff(want, flat(since)); diff != "" {
		m.t.Errorf("%s (-formula +counted):\n%s", what, diff)
	}
	// Times, ids and the names of instances make lines differ in length.
	if n := since.LogLines; n > 0 && (since.LogBytes > n*lineBytes || since.LogBytes < n*lineBytes/2) {
		m.t.Errorf("%s: %d bytes in %d log lines; docs/cost.md reckons with %d for each", what, since.LogBytes, n, lineBytes)
	}
}

// read receives so many results, as a subscriber does.
func (m *metered) read(results int) {
	m.t.Helper()
	if err := m.Events(m.t.Context(), func(devstack.Event) bool { results--; return results > 0 }); err != nil {
		m.t.Fatal(err)
	}
}

func (m *metered) wait(what string, cond func() bool) {
	m.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for !cond() {
		select {
		case <-tick.C:
		case <-timeout:
			m.t.Fatal("not within a minute: " + what)
		}
	}
}
