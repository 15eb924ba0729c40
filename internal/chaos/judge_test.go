package chaos

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"apim-dr/internal/dr"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// record reads an operation from the storage itself.
func (s *storm) record(id string) (op dr.Operation, ok bool) {
	err := s.read(s.stack.State, devstack.StateContainer, "operations/"+dr.Day(id)+"/"+id+".json", &op)
	return op, err == nil
}

func (s *storm) read(client *azblob.Client, container, name string, into any) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	resp, err := client.DownloadStream(ctx, container, name, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// names lists the blobs of a container with their sizes.
func (s *storm) names(client *azblob.Client, container string) (map[string]int64, error) {
	found := map[string]int64{}
	for pager := client.NewListBlobsFlatPager(container, nil); pager.More(); {
		page, err := pager.NextPage(s.t.Context())
		if err != nil {
			return nil, err
		}
		for _, b := range page.Segment.BlobItems {
			found[*b.Name] = *b.Properties.ContentLength
		}
	}
	return found, nil
}

// left is what an idle app has nothing of: locks, markers and messages.
func (s *storm) left() []string {
	blobs, err := s.names(s.stack.State, devstack.StateContainer)
	if err != nil {
		return []string{err.Error()}
	}
	var list []string
	for name := range blobs {
		if strings.HasPrefix(name, "locks/") || strings.HasPrefix(name, "active/") {
			list = append(list, name)
		}
	}
	for _, queue := range []string{"operations", "polls"} {
		if active, scheduled, dead, err := s.stack.Bus.Count(queue); err != nil || active+scheduled+dead > 0 {
			list = append(list, fmt.Sprintf("queue %s: %d active, %d scheduled, %d dead %v", queue, active, scheduled, dead, err))
		}
	}
	slices.Sort(list)
	return list
}

// rest waits until nothing is left to do.
func (s *storm) rest() {
	const within = 4 * time.Minute
	for began := time.Now(); len(s.left()) > 0; time.Sleep(500 * time.Millisecond) {
		if time.Since(began) > within {
			return // the judge tells
		}
	}
}

// summary is the last line, in JSON.
type summary struct {
	Seed       uint64         `json:"seed"`
	Seconds    float64        `json:"seconds"`
	Rest       float64        `json:"secondsToRest"`
	Calls      int            `json:"calls"`
	Operations map[string]int `json:"operations"` // by kind and outcome
	Kills      int            `json:"kills"`
	Faults     map[string]int `json:"faults"`
	Posts      int            `json:"postsTaken"`          // by Resource Manager
	Followed   int            `json:"automaticRestores"`   // of them, into an instance of a pair
	Dropped    int            `json:"duplicateSends"`      // that the bus dropped
	Twice      int            `json:"duplicateDeliveries"` // that we made
	Violations int            `json:"violations"`
}

// judge holds the stores, the bus and Resource Manager's own log against each other.
func (s *storm) judge(calm time.Duration) {
	wrong := 0
	tell := func(format string, args ...any) {
		wrong++
		s.t.Errorf(format, args...)
	}
	for _, what := range s.left() {
		tell("left behind: %s", what)
	}
	s.refusals()
	ops, blobs := s.operations(tell)
	s.answered(ops, tell)
	events, dropped := s.events(ops, tell)
	work := s.resourceManager(ops, tell)
	for _, op := range ops {
		if op.Phase != dr.Done || op.Outcome == "" {
			tell("%s is %s\n%s", op.ID, op.Phase, s.story(op.ID))
			continue
		}
		if was := s.outcomes[op.ID]; was != "" && was != string(op.Outcome) {
			tell("%s was %s and is %s", op.ID, was, op.Outcome)
		}
		if events[op.ID] == 0 {
			tell("%s ended %s, and no event says so\n%s", op.ID, op.Outcome, s.story(op.ID))
		}
		s.believed(op, work, blobs, tell)
	}
	sum := summary{Seed: s.seed, Seconds: duration.Seconds(), Rest: calm.Round(100 * time.Millisecond).Seconds(), Calls: len(s.calls), Operations: map[string]int{},
		Kills: s.faults[kill], Faults: s.faults, Posts: len(work), Followed: s.followed, Dropped: dropped, Twice: s.faults["message delivered twice"]}
	for _, op := range ops {
		sum.Operations[string(op.Kind)+" "+string(op.Outcome)]++
	}
	if sum.Operations["backup succeeded"] == 0 || sum.Calls == 0 {
		tell("%d calls, and no backup has succeeded: that proves nothing", sum.Calls)
	}
	sum.Violations = wrong
	text, err := json.Marshal(sum)
	if err != nil {
		s.t.Fatal(err)
	}
	fmt.Println(string(text))
	if *report != "" {
		s.must(os.WriteFile(filepath.Join(*report, fmt.Sprintf("seed-%d.json", s.seed)), append(text, '\n'), 0o644))
	}
}

// operations are all records, and the blobs of the container of backups.
func (s *storm) operations(tell func(string, ...any)) (map[string]dr.Operation, map[string]int64) {
	ops := map[string]dr.Operation{}
	names, err := s.names(s.stack.State, devstack.StateContainer)
	if err != nil {
		s.t.Fatal(err)
	}
	for name := range names {
		switch dir, _, _ := strings.Cut(name, "/"); dir {
		case "operations":
			var op dr.Operation
			if err := s.read(s.stack.State, devstack.StateContainer, name, &op); err != nil {
				tell("%s: %v", name, err)
			}
			ops[op.ID] = op
		case "pairs":
			var p dr.Pair
			if err := s.read(s.stack.State, devstack.StateContainer, name, &p); err != nil || p.BusyBy != "" || p.Syncing != "" {
				tell("%s: busy by %q, syncing %q, %v", name, p.BusyBy, p.Syncing, err)
			}
		case "quarantine":
			tell("%s: a message of ours could not be read", name)
		}
	}
	blobs, err := s.names(s.stack.Backups, devstack.BackupContainer)
	if err != nil {
		s.t.Fatal(err)
	}
	return ops, blobs
}

// answered looks at the calls: each was answered, is one operation, and no operation is nobody's.
func (s *storm) answered(ops map[string]dr.Operation, tell func(string, ...any)) {
	asked := map[string]bool{}
	for _, c := range s.calls {
		switch {
		case c.status == 0:
			tell("the call %s %s was never answered", c.route, c.key)
		case c.status >= 400 && c.status != http.StatusConflict: // as things are, it may not be possible; but all calls make sense
			tell("the call %s %s got %d", c.route, c.key, c.status)
		}
		if len(c.answers) > 1 {
			tell("the call %s %s is several operations: %v", c.route, c.key, sorted(c.answers))
		}
		for id := range c.answers {
			if asked[id] = true; ops[id].ID == "" {
				tell("%s was accepted and has no record", id)
			}
		}
	}
	for id, op := range ops {
		if op.Trigger == dr.TriggerHTTP && !asked[id] {
			tell("%s was asked for by nobody", id)
		}
	}
}

// events counts what subscribers can have got for each operation, and looks whether it says what is recorded.
func (s *storm) events(ops map[string]dr.Operation, tell func(string, ...any)) (taken map[string]int, dropped int) {
	taken = map[string]int{}
	for _, sent := range s.stack.Bus.Sent("results") {
		var e struct {
			ID   string
			Data struct{ Operation, Outcome string }
		}
		if err := json.Unmarshal(sent.Body, &e); err != nil || sent.MessageID != e.Data.Operation+":result" || e.ID != sent.MessageID {
			tell("event %s: %v", sent.MessageID, err)
			continue
		}
		if op := ops[e.Data.Operation]; string(op.Outcome) != e.Data.Outcome {
			tell("event %s says %s, the record %s", e.ID, e.Data.Outcome, op.Outcome)
		}
		if !sent.Duplicate {
			taken[e.Data.Operation]++
		}
	}
	for id, n := range taken {
		if n > 1 {
			tell("%s: %d events", id, n)
		}
	}
	for _, entity := range []string{"operations", "polls", "results"} {
		for _, sent := range s.stack.Bus.Sent(entity) {
			if sent.Duplicate {
				dropped++
			}
		}
	}
	return taken, dropped
}

// resourceManager looks at its log: on no service two of ours at once, and nothing automatic into the active instance.
func (s *storm) resourceManager(ops map[string]dr.Operation, tell func(string, ...any)) []arm.Operation {
	work := s.stack.ARM.Operations()
	byService := map[string][]arm.Operation{}
	for _, w := range work {
		byService[w.Service] = append(byService[w.Service], w)
	}
	for service, list := range byService {
		slices.SortFunc(list, func(a, b arm.Operation) int { return cmp.Compare(a.Started.UnixNano(), b.Started.UnixNano()) })
		for i, w := range list[1:] {
			if before := list[i]; before.Ended.IsZero() || w.Started.Before(before.Ended) {
				tell("%s: %s of %s began at %s, while %s of %s ran until %s", service, w.Verb, w.BackupName, w.Started, before.Verb, before.BackupName, before.Ended)
			}
		}
	}
	for i := range pairs {
		s.production(primary(i), standby(i), ops, work, tell)
	}
	return work
}

// production follows which of a pair is active through its failovers, and looks at what was restored into it by itself.
func (s *storm) production(a, b string, ops map[string]dr.Operation, work []arm.Operation, tell func(string, ...any)) {
	var failovers []dr.Operation
	var automatic []dr.Operation
	for _, op := range ops {
		switch {
		case op.Kind == dr.KindFailover && op.Outcome == dr.Succeeded && (op.Service == a || op.Service == b):
			failovers = append(failovers, op)
		case op.Recovery != nil && op.Recovery.Intent.Auto && op.Recovery.Bound != nil:
			automatic = append(automatic, op)
		}
	}
	slices.SortFunc(failovers, func(x, y dr.Operation) int { return x.EndedAt.Compare(y.EndedAt) })
	for _, w := range work {
		if w.Verb != arm.Restore || w.Service != a && w.Service != b {
			continue
		}
		active := a
		for _, f := range failovers {
			if f.EndedAt.Before(w.Started) {
				active = f.Service
			}
		}
		for _, op := range automatic {
			if op.Service == w.Service && op.Recovery.Bound.ID == w.BackupName && within(w.Started, op) {
				if s.followed++; active == w.Service {
					tell("%s restores %s into %s, which is active\n%s", op.ID, w.BackupName, w.Service, s.story(op.ID))
				}
			}
		}
	}
}

// within tells whether something happened in the life of an operation.
func within(at time.Time, op dr.Operation) bool {
	return at.After(op.CreatedAt) && at.Before(op.EndedAt)
}

// believed looks whether the outcome of each leg is what Resource Manager says.
func (s *storm) believed(op dr.Operation, work []arm.Operation, blobs map[string]int64, tell func(string, ...any)) {
	for op.Step = range op.Legs {
		leg := op.Leg()
		if leg.Outcome == "" {
			return // never begun
		}
		verb := map[dr.Verb]arm.Verb{dr.VerbBackup: arm.Backup, dr.VerbRestore: arm.Restore}[leg.Verb]
		// Several operations may restore one recovery point into one instance: this leg's is what began after its last claim.
		inTurn := func(at time.Time) bool {
			return within(at, op) && at.After(leg.Claim.From) && at.Before(leg.EndedAt)
		}
		var said []string
		for _, w := range work {
			mine := strings.HasPrefix(w.BackupName, fmt.Sprintf("%s-s%d-", op.ID, op.Step))
			if leg.Verb == dr.VerbRestore {
				mine = w.BackupName == leg.Point && inTurn(w.Started)
			}
			switch {
			case w.Verb != verb || w.Service != leg.Service || !mine:
			case w.Error != nil:
				said = append(said, "failed")
			default:
				said = append(said, "succeeded")
			}
		}
		refused := leg.Error != nil && leg.Error.Code == "DeadLettered" && leg.Attempt == 0 // its message died before it was begun
		for r := range s.refused {
			refused = refused || r.Verb == verb && r.Service == leg.Service && inTurn(r.At)
		}
		wrong := ""
		switch {
		case leg.Outcome == dr.Succeeded && leg.Adopted == "" && !slices.Contains(said, "succeeded"),
			leg.Outcome == dr.Failed && !slices.Contains(said, "failed") && !refused,
			leg.Outcome == dr.Rejected && leg.Verb == dr.VerbBackup && len(said) > 0:
			wrong = fmt.Sprintf("Resource Manager says %v", said)
		case leg.Outcome == dr.Succeeded && leg.Verb == dr.VerbBackup && blobs[op.PointID()] == 0:
			wrong = "its blob is not there or empty"
		}
		if wrong != "" {
			tell("%s: its %s is called %s, and %s\n%s", op.ID, leg.Verb, leg.Outcome, wrong, s.story(op.ID))
		}
	}
}

// story is all that is known of an operation: record, events, what Resource Manager did, and what the handler said.
func (s *storm) story(id string) string {
	op, _ := s.record(id)
	text, err := json.Marshal(op)
	lines := []string{fmt.Sprintf("record: %s %v", text, err)}
	for _, sent := range s.stack.Bus.Sent("results") {
		if sent.MessageID == id+":result" {
			lines = append(lines, fmt.Sprintf("event at %s, duplicate %v: %s", sent.At.Format(time.RFC3339Nano), sent.Duplicate, sent.Body))
		}
	}
	for _, w := range s.stack.ARM.Operations() {
		if slices.ContainsFunc(op.Legs, func(l dr.Leg) bool { return l.Service == w.Service }) && w.Started.After(op.CreatedAt) && (op.Phase != dr.Done || within(w.Started, op)) {
			lines = append(lines, fmt.Sprintf("Resource Manager: %s of %s into %s from %s to %s: %v", w.Verb, w.BackupName, w.Service, w.Started.Format(time.RFC3339Nano), w.Ended.Format(time.RFC3339Nano), w.Error))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var said []string
	for _, line := range s.lines {
		if strings.Contains(line, id) {
			said = append(said, line)
		}
	}
	if len(said) > 60 {
		said = slices.Concat(said[:30], []string{"…"}, said[len(said)-30:])
	}
	return strings.Join(append(lines, said...), "\n")
}
