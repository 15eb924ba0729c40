package model

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

var t0 = time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)

var backups = dr.Storage{Account: "contosodrbackups", Container: "apim-backups"}

// vaultDir is where the blobs of the container for backups lie in a state.
const vaultDir = "vault/"

// sum tells two things apart.
type sum [16]byte

func sumOf(parts ...any) sum {
	h := sha256.New()
	for _, p := range parts {
		switch p := p.(type) {
		case sum:
			h.Write(p[:])
		case string:
			h.Write(binary.AppendUvarint(nil, uint64(len(p))))
			h.Write([]byte(p))
		case int:
			h.Write(binary.AppendVarint(nil, int64(p)))
		default:
			fmt.Fprintf(h, "%#v", p)
		}
	}
	return sum(h.Sum(nil)[:16])
}

// state is everything that matters for what can happen next. It is copied before it is changed; what its slices point to never changes.
type state struct {
	clock  time.Duration // since t0
	blobs  []*blob       // by name
	queue  []*message
	sent   map[string]sent       // by MessageID: duplicate detection, where the bus has it
	events map[string]dr.Outcome // by operation
	arm    []instance
	flight []*invocation
	left   budget
}

// sent is a message that the bus remembers, and the send that it came from.
type sent struct {
	at   time.Duration
	what string
}

type blob struct {
	name    string
	body    []byte
	meta    map[string]string
	etag    string
	created time.Time
}

// message is one that waits. A call over HTTP is one as well: its client repeats it until it is answered.
type message struct {
	id        string // MessageID, and which copy
	queue     engine.Queue
	wake      dr.Wake
	call      int // 1 and up: an HTTP call of the scenario
	due       time.Duration
	delivered int
	dead      bool
}

func (m *message) String() string {
	if m.call > 0 {
		return fmt.Sprintf("HTTP call %d", m.call)
	}
	dead := ""
	if m.dead {
		dead = "dead letter "
	}
	return fmt.Sprintf("%s%s %s", dead, m.queue, short(m.id))
}

// instance is a service as Resource Manager knows it.
type instance struct {
	name  string
	etag  int
	holds string  // the recovery point restored last
	run   *armOp  // at work
	past  []armOp // that have ended
}

type armOp struct {
	verb      dr.Verb
	point     string
	operation string
	began     time.Duration
	shown     time.Duration // from then on the service is Updating
	ends      time.Duration
	fails     bool
	denied    bool // whoever polls it is refused
}

// budget is how many faults of each kind may still happen.
type budget struct {
	kill      int // an invocation is gone before its next call
	twice     int // a message is delivered twice
	lose      int // a message is lost
	late      int // a message comes 20 minutes late
	unlock    int // the lock of a message runs out while its invocation works
	slow      int // an invocation stops for longer than a POST may take
	unheard   int // a call takes effect, and its caller hears an error
	down      int // a call fails
	watch     int // a watchdog whose clock is ahead of every lease
	bury      int // a message becomes a dead letter
	odd       int // an answer of Resource Manager other than the usual, to a POST or a poll
	fail      int // Resource Manager's work fails
	prune     int // the oldest recovery point is deleted
	invisible int // with odd: the accepted work is not shown for four minutes
}

// fields is a budget without its String.
type fields budget

func (b budget) String() string {
	text := strings.Trim(fmt.Sprintf("%+v", fields(b)), "{}")
	var some []string
	for _, field := range strings.Fields(text) {
		if name, n, _ := strings.Cut(field, ":"); n != "0" {
			some = append(some, name+" "+n)
		}
	}
	return cmp.Or(strings.Join(some, ", "), "no fault")
}

const (
	armTakes   = 90 * time.Second
	hidden     = 4 * time.Minute // less than Timing.Settle, which is the assumption
	busLock    = 5 * time.Minute
	lateBy     = 20 * time.Minute
	longest    = 60 * time.Hour // whoever is not done by then never is
	mostFlight = 3
)

func (s *state) clone() *state {
	c := *s
	c.blobs, c.queue, c.arm, c.flight = slices.Clone(s.blobs), slices.Clone(s.queue), slices.Clone(s.arm), slices.Clone(s.flight)
	c.sent, c.events = maps.Clone(s.sent), maps.Clone(s.events)
	return &c
}

func (s *state) now() time.Time { return t0.Add(s.clock) }

// hash is the same for states from which the same can happen.
func (s *state) hash() sum {
	h := sha256.New()
	num := func(n int64) { h.Write(binary.AppendVarint(nil, n)) }
	text := func(t string) { num(int64(len(t))); h.Write([]byte(t)) }
	num(int64(s.clock))
	for _, b := range s.blobs {
		text(b.name)
		text(b.etag)
	}
	var lines []string
	for _, m := range s.queue {
		lines = append(lines, fmt.Sprint(m.id, m.queue, m.wake.Lease.UnixNano(), m.wake.Location, m.due, m.delivered, m.dead))
	}
	for id, sent := range s.sent {
		if s.clock-sent.at < 10*time.Minute {
			lines = append(lines, fmt.Sprint("sent", id, sent))
		}
	}
	for id, o := range s.events {
		lines = append(lines, "event"+id+string(o))
	}
	for _, i := range s.arm {
		lines = append(lines, fmt.Sprint(i.name, i.etag, i.holds, i.past))
		if i.run != nil {
			lines = append(lines, fmt.Sprint(i.name, *i.run))
		}
	}
	for _, f := range s.flight {
		lines = append(lines, fmt.Sprint("flight", f.what, f.sum, f.lost, f.began, f.delivered()))
	}
	slices.Sort(lines)
	for _, l := range lines {
		text(l)
	}
	fmt.Fprint(h, s.left)
	return sum(h.Sum(nil)[:16])
}

// ---- blobs

// container is a part of a state's blobs.
type container struct {
	s   *state
	dir string
}

var _ store.Blobs = container{}

func (c container) find(name string) (int, bool) {
	return slices.BinarySearchFunc(c.s.blobs, c.dir+name, func(b *blob, name string) int { return cmp.Compare(b.name, name) })
}

func (c container) get(op, name string) (*blob, error) {
	i, ok := c.find(name)
	if !ok {
		return nil, &store.Error{Op: op, Blob: name, Kind: engine.ErrNotFound, Err: engine.ErrNotFound}
	}
	return c.s.blobs[i], nil
}

func (c container) put(name string, b blob) string {
	b.name = c.dir + name
	meta, _ := json.Marshal(b.meta)
	h := sumOf(b.name, string(b.body), string(meta))
	b.etag = fmt.Sprintf("%x", h[:8])
	i, ok := c.find(name)
	if ok {
		c.s.blobs[i] = &b
	} else {
		c.s.blobs = slices.Insert(c.s.blobs, i, &b)
	}
	return b.etag
}

func refused(op, name string) error {
	return &store.Error{Op: op, Blob: name, Kind: store.ErrCondition, Err: store.ErrCondition}
}

func (c container) Get(_ context.Context, name string) ([]byte, string, error) {
	b, err := c.get("read", name)
	if err != nil {
		return nil, "", err
	}
	return b.body, b.etag, nil
}

func (c container) Head(_ context.Context, name string) (dr.BlobView, error) {
	if i, ok := c.find(name); ok {
		return dr.BlobView{Exists: true, Bytes: int64(len(c.s.blobs[i].body)), ETag: c.s.blobs[i].etag}, nil
	}
	return dr.BlobView{}, nil
}

func (c container) Create(_ context.Context, name string, content store.Content) (string, error) {
	if _, ok := c.find(name); ok {
		return "", refused("create", name)
	}
	return c.put(name, blob{body: content.Body, meta: content.Metadata, created: c.s.now()}), nil
}

func (c container) Replace(_ context.Context, name string, body []byte, etag string) (string, error) {
	b, err := c.get("replace", name)
	if err != nil || b.etag != etag {
		return "", refused("replace", name)
	}
	return c.put(name, blob{body: body, created: b.created}), nil
}

func (c container) SetMetadata(_ context.Context, name string, metadata map[string]string) error {
	b, err := c.get("move", name)
	if err != nil {
		return err
	}
	c.put(name, blob{body: b.body, meta: metadata, created: b.created})
	return nil
}

func (c container) Delete(_ context.Context, name, etag string) error {
	b, err := c.get("delete", name)
	switch {
	case etag != "" && (err != nil || b.etag != etag):
		return refused("delete", name)
	case err != nil:
		return err
	}
	i, _ := c.find(name)
	c.s.blobs = slices.Delete(c.s.blobs, i, i+1)
	return nil
}

func (c container) List(_ context.Context, prefix, after string, limit int) (items []store.Item, next string, err error) {
	for _, b := range c.s.blobs {
		name, ok := strings.CutPrefix(b.name, c.dir)
		if !ok || c.dir == "" && strings.HasPrefix(name, vaultDir) || !strings.HasPrefix(name, prefix) || name <= after {
			continue
		}
		if len(items) == limit {
			return items, items[limit-1].Name, nil
		}
		items = append(items, store.Item{Name: name, ETag: b.etag, CreatedAt: b.created, Metadata: b.meta})
	}
	return items, "", nil
}

// records is the product's store over a state.
func (s *state) records() (*store.Store, *store.Vault) {
	vault := store.VaultOver(func(dr.Storage) (store.Blobs, error) { return container{s, vaultDir}, nil })
	return store.Over(container{s, ""}, store.Options{Vault: vault}), vault
}

// operations reads all records.
func (s *state) operations() []dr.Operation {
	var list []dr.Operation
	for _, b := range s.blobs {
		if strings.HasPrefix(b.name, "operations/") {
			var op dr.Operation
			if err := json.Unmarshal(b.body, &op); err != nil {
				panic(err)
			}
			list = append(list, op)
		}
	}
	return list
}

// ---- Resource Manager

func (s *state) instance(name string) *instance {
	for i := range s.arm {
		if strings.EqualFold(s.arm[i].name, name) {
			return &s.arm[i]
		}
	}
	return nil
}

// settle ends the work whose time has come.
func (s *state) settle() {
	for i := range s.arm {
		in := &s.arm[i]
		r := in.run
		if r == nil || s.clock < r.ends {
			continue
		}
		switch {
		case r.fails:
		case r.verb == dr.VerbRestore:
			in.holds = r.point
		default:
			container{s, vaultDir}.put(r.point, blob{body: []byte("backup"), created: s.now()})
		}
		in.etag++
		in.run, in.past = nil, append(slices.Clip(in.past), *r)
	}
}

// ended finds work that is over.
func (in *instance) ended(is func(armOp) bool) (armOp, bool) {
	if i := slices.IndexFunc(in.past, is); i >= 0 {
		return in.past[i], true
	}
	return armOp{}, false
}

// change changes what is known of a piece of work.
func (in *instance) change(is func(armOp) bool, do func(*armOp)) {
	in.past = slices.Clone(in.past)
	for i := range in.past {
		if is(in.past[i]) {
			do(&in.past[i])
		}
	}
	if in.run != nil && is(*in.run) {
		now := *in.run
		do(&now)
		in.run = &now
	}
}

// short leaves of an id what tells it from the others of a scenario.
func short(id string) string {
	for _, kind := range []string{"-backup-", "-restore-", "-failover-", "-drill-"} {
		if _, rest, ok := strings.Cut(id, kind); ok && len(rest) >= 20 {
			return strings.Trim(kind, "-") + " " + rest[:4] + rest[20:]
		}
	}
	return id
}
