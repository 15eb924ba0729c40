package engine_test

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
	"apim-dr/internal/store/memstore"
)

// month is a fleet under the real engine, its policies and its store, with a Resource Manager and a Service Bus that go wrong as a seed has it. Time is
// what the messages say. What the test holds the product against is in posts, deleted and asked: it comes from outside of it.
type month struct {
	t     *testing.T
	e     *engine.Engine
	store *memstore.Store

	mu      sync.Mutex
	now     time.Time
	nonces  int
	queue   dueQueue
	sent    map[string]time.Time
	posts   map[string][]*posted // by service, in their order
	byID    map[string]*posted   // by what a Location ends with
	backups map[string]*posted   // by the name of their blob
	rpo     map[string][]string  // by service, states in their order
	tolds   map[string]bool      // ids of those events
	lost    int
	twice   int
}

// posted is a backup or restore that Resource Manager has accepted.
type posted struct {
	service, point string
	restore        bool
	at, ends, seen time.Time // seen: when the product heard of the end
	fate           fate
	deleted        time.Time // the blob
}

// fate is what becomes of a backup.
type fate string

const (
	well      fate = ""
	fails     fate = "fails"     // at its end
	refused   fate = "refused"   // at once
	unwritten fate = "unwritten" // called finished, without a blob
	busy      fate = "busy"      // throttled at first: comes to its end the same night
)

type dueQueue []*due

type due struct {
	at   time.Time
	id   string
	wake *dr.Wake
	tick *dr.Tick
}

func (q dueQueue) Len() int { return len(q) }
func (q dueQueue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].id < q[j].id
}
func (q dueQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *dueQueue) Push(x any)   { *q = append(*q, x.(*due)) }
func (q *dueQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// dice is a number below n, always the same for the same words.
func dice(n int, words ...any) int {
	h := fnv.New64a()
	fmt.Fprint(h, words...)
	return int(h.Sum64() % uint64(n))
}

func chance(n int, words ...any) bool { return dice(n, words...) == 0 }

// fateOf: one service in eight has two bad spells of one to four nights in the month, and any night may be slow.
func (m *month) fateOf(service string, at time.Time) fate {
	night := int(at.Sub(t0).Hours()+12) / 24
	if chance(8, "spells", service) {
		for spell := range 2 {
			first := 1 + 14*spell + dice(9, "begins", service, spell)
			if night >= first && night <= first+dice(4, "nights", service, spell) {
				return []fate{fails, refused, unwritten}[dice(3, "how", service, night)]
			}
		}
	}
	if chance(40, "busy", service, night) {
		return busy
	}
	return well
}

func (m *month) clock() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

func (m *month) push(d *due) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.sent[d.id]; ok && m.now.Sub(at) < 10*time.Minute {
		return nil
	}
	m.sent[d.id] = m.now
	if chance(400, "lost", d.id) {
		m.lost++
		return nil
	}
	heap.Push(&m.queue, d)
	if chance(100, "twice", d.id) {
		m.twice++
		again := *d
		again.at = d.at.Add(time.Second)
		heap.Push(&m.queue, &again)
	}
	return nil
}

func (m *month) Wake(_ context.Context, w dr.Wake, q engine.Queue, at time.Time) error {
	return m.push(&due{at: at, id: string(q) + w.MessageID(), wake: &w})
}

func (m *month) Tick(_ context.Context, k dr.Tick, at time.Time) error {
	return m.push(&due{at: at, id: k.MessageID(), tick: &k})
}

func (m *month) Publish(_ context.Context, e dr.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if change, ok := e.Data.(dr.RPOChange); ok && !m.tolds[e.ID] {
		m.tolds[e.ID] = true
		m.rpo[change.Service] = append(m.rpo[change.Service], change.State)
	}
	return nil
}

func (m *month) Service(_ context.Context, id string) dr.Answer {
	return dr.Answer{Verdict: dr.OK, Service: dr.ServiceView{ETag: "e", State: "Succeeded", SKU: "Developer", Capacity: 1, Region: "West Europe"}}
}

func (m *month) Start(_ context.Context, leg dr.Leg, point string) dr.Answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &posted{service: leg.Service, point: point, restore: leg.Verb == dr.VerbRestore, at: m.now, ends: m.now.Add(20 * time.Minute)}
	if !p.restore {
		p.fate = m.fateOf(leg.Service, m.now)
	}
	switch {
	case p.fate == refused:
		return dr.Answer{Verdict: dr.No, Error: &dr.Error{Source: "arm", Code: "InvalidParameters", Message: "no", Status: 400}}
	case p.fate == busy && leg.Attempt < 2:
		return dr.Answer{Verdict: dr.Later, Reason: "429", Retry: 5 * time.Minute}
	}
	m.posts[leg.Service] = append(m.posts[leg.Service], p)
	m.byID[leg.Service+"//"+point+fmt.Sprint(p.restore)] = p
	if !p.restore {
		m.backups[point] = p
	}
	return dr.Answer{Verdict: dr.Still, Location: armHost + leg.Service + "//" + point + fmt.Sprint(p.restore), Retry: 10 * time.Minute}
}

func (m *month) Check(ctx context.Context, location string) dr.Answer {
	m.mu.Lock()
	p := m.byID[strings.TrimPrefix(location, armHost)]
	now := m.now
	m.mu.Unlock()
	switch {
	case now.Before(p.ends):
		return dr.Answer{Verdict: dr.Still, Location: location, Retry: 10 * time.Minute}
	case p.fate == fails:
		return dr.Answer{Verdict: dr.No, Error: &dr.Error{Source: "arm", Code: "BackupFailed", Message: "no", Status: 400}}
	case p.fate != unwritten && !p.restore && p.seen.IsZero():
		p.seen = now
		if _, err := m.store.Backups(nightly).Create(ctx, p.point, store.Content{Body: []byte("backup")}); err != nil {
			m.t.Error(err)
		}
	}
	return dr.Answer{Verdict: dr.OK, Reason: "200"}
}

func (m *month) Group(context.Context, string) dr.Answer                 { return dr.Answer{Verdict: dr.OK} }
func (m *month) Deleted(context.Context, string) dr.Known                { return dr.Not }
func (m *month) Workspaces(context.Context, string) int                  { return 0 }
func (m *month) Tagged(context.Context, string) ([]dr.Tagged, *dr.Error) { return nil, nil }
func (m *month) Trusts(location string) bool                             { return strings.HasPrefix(location, armHost) }
func (m *month) Probe(context.Context, []string) []dr.Gateway            { return nil }

// until lets the month go on to a time, with the timers of an app: the plan's, and a watchdog that comes less often than in production.
func (m *month) until(end time.Time) {
	const pass = 30 * time.Minute
	for watch := m.clock().Truncate(pass).Add(pass); ; {
		next := watch
		if len(m.queue) > 0 && m.queue[0].at.Before(next) {
			next = m.queue[0].at
		}
		if next.After(end) {
			return
		}
		if next.After(m.now) {
			m.now = next
		}
		ctx := m.t.Context()
		var err error
		switch {
		case next.Equal(watch):
			if at := watch.UTC(); at.Hour() == 3 && at.Minute() == 0 {
				err = m.e.SendTicks(ctx, dr.KindBackup)
			}
			err = errors.Join(err, m.e.Watch(ctx))
			if watch.Hour()%2 == 0 && watch.Minute() == 0 {
				err = errors.Join(err, m.e.Guard(ctx))
			}
			watch = watch.Add(pass)
		default:
			d := heap.Pop(&m.queue).(*due)
			if d.tick != nil {
				err = m.e.RunTick(ctx, *d.tick, "")
			} else {
				err = m.e.Knock(ctx, *d.wake)
			}
		}
		if err != nil {
			m.t.Fatalf("%s: %v", m.now, err)
		}
	}
}

// goods are the backups of a service that can be restored as far as Resource Manager knows, the oldest first.
func (m *month) goods(service string) (list []*posted) {
	for _, p := range m.posts[service] {
		if !p.restore && !p.seen.IsZero() {
			list = append(list, p)
		}
	}
	return list
}

// breaches counts how often the newest good backup of a service got older than the RPO. From outside: by what Resource Manager did.
func (m *month) breaches(service string, from, to time.Time, rpo time.Duration) (n int) {
	last := from
	for _, p := range m.goods(service) {
		if p.seen.Sub(last) > rpo {
			n++
		}
		last = p.at
	}
	if to.Sub(last) > rpo {
		n++
	}
	return n
}

// kept tells whether the policy keeps a backup at a time: keepLast 3, keepDaily 7, keepWeekly 4, written down anew.
func kept(p *posted, goods []*posted, at time.Time) bool {
	newer := map[string]bool{} // slots that a newer one has
	days, weeks, count := map[string]bool{}, map[string]bool{}, 0
	for _, g := range slices.Backward(goods) {
		if g.seen.After(at) || !g.at.Add(dr.BackupLife).After(at) || !g.deleted.IsZero() && g.deleted.Before(at) {
			continue
		}
		year, week := g.at.ISOWeek()
		day, w := g.at.Format(time.DateOnly), fmt.Sprint(year, "w", week)
		if g == p {
			return count < 3 || !newer[day] && len(days) < 7 || !newer[w] && len(weeks) < 4
		}
		count++
		newer[day], newer[w], days[day], weeks[w] = true, true, true, true
	}
	return false
}

func TestAMonthOfNights(t *testing.T) {
	services, nights := 1000, 33 // so that the first backups expire
	if raceDetector {
		services, nights = 60, 33
	}
	const rpo = 26 * time.Hour
	m := &month{t: t, now: t0.Add(-15 * time.Hour), sent: map[string]time.Time{}, posts: map[string][]*posted{}, byID: map[string]*posted{}, backups: map[string]*posted{}, rpo: map[string][]string{}, tolds: map[string]bool{}}
	m.store = memstore.New(m.clock)
	m.store.Backups(nightly)
	schedule, _ := dr.ParseSchedule("0 0 3 * * *")
	prunes, _ := dr.ParseSchedule("0 0 6 * * *")
	fleet := engine.Fleet{
		Plans: []engine.Plan{{Name: "nightly", Schedule: schedule, Spread: time.Hour, Storage: nightly, Within: 12 * time.Hour, RPO: rpo,
			Retention: dr.Retention{Last: 3, Daily: 7, Weekly: 4}}},
		Storages: []engine.Storage{{Storage: nightly, Access: dr.Access{Mode: "storageKey"}}}, Prunes: prunes,
	}
	for i := range services {
		name := fmt.Sprintf("contoso-%04d", i)
		fleet.Services = append(fleet.Services, engine.Service{Name: name, ResourceID: "/x/" + name, Plan: "nightly"})
	}
	m.e = &engine.Engine{
		Store: m.store, Vault: m.store.Vault, ARM: m, Gateways: m, Bus: m, Fleet: fleet, Timing: dr.DefaultTiming(), APIVersion: "2024-05-01", Now: m.clock,
		Log: slog.New(slog.DiscardHandler),
		Nonce: func() string {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.nonces++
			return fmt.Sprint("n", m.nonces)
		},
	}
	restored := map[string]string{} // service to point
	early := 0
	m.store.Fail(func(op, key string) error {
		point, backup := strings.CutPrefix(key, nightly.Account+"/"+nightly.Container+"/")
		if op != "before delete" || !backup || strings.HasSuffix(point, ".apimdr.json") {
			return nil
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		p := m.backups[point]
		if p == nil {
			t.Errorf("%s: deleted, and nobody has written it", point)
			return nil
		}
		goods := m.goods(p.service)
		switch last := m.posts[p.service][len(m.posts[p.service])-1]; {
		case kept(p, goods, m.now), p == goods[len(goods)-1], restored[p.service] == point:
			t.Errorf("%s: %s of %s, which has to stay, is deleted", m.now, p.at, p.service)
		case m.fateOf(p.service, m.now) != well && m.fateOf(p.service, m.now) != busy && last.seen.IsZero():
			t.Errorf("%s: %s of %s is deleted after a backup that failed", m.now, p.at, p.service)
		}
		if p.at.Add(dr.BackupLife).After(m.now) {
			early++
		}
		p.deleted = m.now
		return nil
	})

	// A quiet fleet is looked at first, then the nights come; in the middle some are restored to what they had ten days before, some are changed by day.
	from := m.now
	if err := m.e.Guard(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.until(t0.Add(14*day + 9*time.Hour))
	for i := 0; i < services; i += 50 {
		name := fleet.Services[i].Name
		goods := m.goods(name)
		p := goods[max(0, len(goods)-8)]
		for p.deleted.After(time.Time{}) {
			goods = goods[1:]
			p = goods[max(0, len(goods)-8)]
		}
		restored[name] = p.point
		if _, err := m.e.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: name}, Kind: dr.KindRestore, Point: p.point, Confirm: name}); err != nil {
			t.Fatal(err)
		}
		changed := fleet.Services[i+1]
		if err := m.e.Changed(t.Context(), dr.Change{ResourceID: changed.ResourceID + "/apis/echo", At: m.now, What: "w"}); err != nil {
			t.Fatal(err)
		}
	}
	end := t0.Add(time.Duration(nights)*day + 20*time.Hour)
	m.until(end)

	breached, spells := 0, 0
	for _, s := range fleet.Services {
		want := m.breaches(s.Name, from, end, rpo)
		got := 0
		for i, state := range m.rpo[s.Name] {
			if state != []string{dr.RPOBreached, dr.RPORecovered}[i%2] {
				t.Errorf("%s: %q", s.Name, m.rpo[s.Name])
			}
			got += 1 - i%2
		}
		faulty := false
		for night := range nights + 1 {
			f := m.fateOf(s.Name, t0.Add(time.Duration(night)*day))
			faulty = faulty || f != well && f != busy
		}
		if got != want || faulty != (want > 0) {
			t.Errorf("%s: %d breaches were told, %d were; faults: %v", s.Name, got, want, faulty)
		}
		if goods := m.goods(s.Name); want > 0 && (m.rpo[s.Name][len(m.rpo[s.Name])-1] == dr.RPORecovered) != (end.Sub(goods[len(goods)-1].at) <= rpo) {
			t.Errorf("%s: %q, and the newest is of %s", s.Name, m.rpo[s.Name], goods[len(goods)-1].at)
		}
		breached += got
		if faulty {
			spells++
		}
	}
	if left := m.store.State.Names(); slices.ContainsFunc(left, func(name string) bool {
		return strings.HasPrefix(name, "active/") || strings.HasPrefix(name, "locks/") || strings.HasPrefix(name, "changes/")
	}) {
		t.Errorf("work is left over")
	}
	var records []string // each with its blob, and the copy beside that
	for _, name := range m.store.State.Names() {
		if strings.HasPrefix(name, "recovery-points/") {
			point := strings.TrimSuffix(path.Base(name), ".json")
			records = append(records, point, point+".apimdr.json")
		}
	}
	slices.Sort(records)
	if blobs := m.store.Backups(nightly).Names(); !slices.Equal(blobs, records) || len(records) == 0 {
		t.Errorf("%d records and copies, %d blobs", len(records), len(blobs))
	}
	for service, point := range restored {
		if _, err := m.store.Point(t.Context(), service, point); err != nil {
			t.Errorf("%s was restored from %s: %v", service, point, err)
		}
	}
	if breached == 0 || early == 0 || m.lost == 0 || m.twice == 0 {
		t.Errorf("nothing was tried: %d breaches, %d deleted before they expired, %d messages lost, %d twice", breached, early, m.lost, m.twice)
	}
	t.Logf("%d services, %d nights, %d with faults: %d breaches, %d recovery points left, %d deleted before they expired; %d messages lost, %d twice", services, nights, spells, breached, len(records)/2, early, m.lost, m.twice)
}
