package arm

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Operation is what became of an accepted request, for tests.
type Operation struct {
	ID      string // as in the Location
	Service string // name
	Verb    Verb   // Backup, Restore, Write or Delete
	Started time.Time
	Ended   time.Time // zero: it runs, or nobody has looked since it was due
	Error   *Error    // nil: it succeeded, or has not ended

	StorageAccount, ContainerName, BackupName string // of a backup or restore
}

type operation struct {
	Operation
	svc          *service
	place        string // id below which it is polled: of its service, or that which operationsStatuses gives it
	signature    string // of such a place
	p            parameters
	due, visible time.Time
	seen         bool           // the service has shown it
	during       string         // the state it shows
	fail         *Error         // how it is to fail
	apply        func(*service) // what success does to the service; may be nil
	settling     sync.Mutex     // held during work
}

// begin starts an operation; label is its word in the id. The caller holds s.mu.
func (s *Server) begin(c *call, v *service, label, during string) *operation {
	now := s.cfg.Now()
	s.seq++
	text := fmt.Sprintf("%s_%s_%.8s", v.name, label, uuid("operation", v.ID, s.seq, now.UnixNano()))
	if c.version > "2019-01-01" { // recorded: the region came into the id
		text = region(v.Location) + ":" + text
	}
	took := map[Verb]time.Duration{Backup: s.cfg.BackupDuration, Restore: s.cfg.RestoreDuration, Write: s.cfg.UpdateDuration, Delete: s.cfg.UpdateDuration}[c.verb]
	op := &operation{svc: v, place: v.ID, due: now.Add(took), visible: now.Add(s.cfg.VisibleAfter), during: during}
	op.Operation = Operation{ID: base64.StdEncoding.EncodeToString([]byte(text)), Service: v.name, Verb: c.verb, Started: now}
	if v.StatusPolls {
		op.place = strings.Join(strings.Split(v.ID, "/")[:3], "/") + "/providers/Microsoft.ApiManagement/locations/" + region(v.Location) + "/operationsStatuses/" + op.ID
		op.signature = uuid("signature", op.ID)
	}
	key := failKey{strings.ToLower(v.name), c.verb}
	op.fail = s.failNext[key]
	delete(s.failNext, key)
	s.operations = append(s.operations, op)
	v.running = append(v.running, op)
	// Requests settle what is due; the timer is for blobs that somebody waits for without asking us.
	time.AfterFunc(took, func() { s.settle(c.ctx, op) })
	return op
}

// Tag replaces the tags of a service, given by name. For a name that is not there it does nothing.
func (s *Server) Tag(name string, tags map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.services {
		if strings.EqualFold(v.name, name) {
			v.Tags = tags
			v.etag++
		}
	}
}

// Occupy lets somebody else work on a service, given by name, until free is called: meanwhile it shows Updating and is locked. That work is none
// of Operations. For a name that is not there it does nothing.
func (s *Server) Occupy(name string) (free func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.services {
		if strings.EqualFold(v.name, name) {
			op := &operation{svc: v, due: s.cfg.Now().AddDate(1, 0, 0), during: "Updating"}
			v.running = append(v.running, op)
			return func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				v.running = slices.DeleteFunc(v.running, func(o *operation) bool { return o == op })
				v.etag++
			}
		}
	}
	return func() {}
}

// settle ends an operation that is due: its work is done, then the service shows it. It waits for another that does the same.
func (s *Server) settle(ctx context.Context, op *operation) {
	op.settling.Lock()
	defer op.settling.Unlock()
	s.mu.Lock()
	cfg, v, e := s.cfg, op.svc.Service, op.fail
	due := op.Ended.IsZero() && !cfg.Now().Before(op.due)
	s.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	apply := op.apply
	switch {
	case e != nil:
	case op.Verb == Backup:
		e = cfg.write(ctx, op.Service, op.p, content{Format: format, Service: v.ID, SKU: v.SKU, CreatedAt: op.due.UTC(), Content: v.Content})
	case op.Verb == Restore:
		var b content
		b, e = cfg.read(ctx, op.Service, v.SKU, op.p, op.Started)
		apply = func(v *service) { v.Content = b.Content }
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	op.Ended, op.Error = op.due, e
	op.svc.etag++
	op.svc.running = slices.DeleteFunc(op.svc.running, func(o *operation) bool { return o == op })
	if e == nil && apply != nil {
		apply(op.svc)
	}
}

// backupOrRestore accepts a backup or restore.
func (s *Server) backupOrRestore(c *call, v *service) *Error {
	p, e := parse(c.body, c.version)
	if e != nil {
		return e
	}
	s.mu.Lock()
	cfg, sku, assigned := s.cfg, v.SKU, v.assigned(p)
	s.mu.Unlock()
	// A restore into a v2 tier is accepted and fails at its end (reported); a backup there is refused.
	if sku == "Consumption" || c.verb == Backup && strings.HasSuffix(sku, "V2") {
		return notInTier(sku)
	}
	if e := cfg.reach(c.ctx, v.name, c.verb, p); e != nil {
		return e
	}
	if !assigned {
		return invalidParameter("The managed identity is not assigned to the service.", "accessType", p.AccessType)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(v.running) > 0 && !s.cfg.Overlap {
		return serviceLocked(v.name)
	}
	op := s.begin(c, v, map[Verb]string{Backup: "Backup", Restore: "Restore"}[c.verb], "Updating")
	op.p, op.StorageAccount, op.ContainerName, op.BackupName = p, p.StorageAccount, p.ContainerName, p.BackupName
	s.pollHeaders(c, op)
	c.send(http.StatusAccepted, nil)
	return nil
}

// pollHeaders say where and when to poll.
func (s *Server) pollHeaders(c *call, op *operation) {
	h, usual := c.w.Header(), 60*time.Second
	if op.signature == "" {
		s.locate(c, op)
	} else if usual = 20 * time.Second; c.verb != PollStatus {
		at := fmt.Sprintf("%s%s?api-version=%s&t=%d&c=TUlJSA&s=%s&h=%.8[5]s", s.base(c), op.place, c.fullVersion, op.Started.Unix(), op.signature)
		h.Set("Location", at)
		h.Set("Azure-AsyncOperation", at) // by it the official client knows that a 200 need not be the end
	}
	if wait := cmp.Or(s.cfg.RetryAfter, usual); wait > 0 { // recorded
		h.Set("Retry-After", seconds(wait))
	}
}

// locate sets Location, and what stood beside it, in the forms recorded for the api-version.
func (s *Server) locate(c *call, op *operation) {
	base, id, h := s.base(c)+op.place, op.ID, c.w.Header()
	if c.verb == Poll && c.version < "2019-01-01" {
		id = strings.ReplaceAll(id, "=", "%3D")
	}
	switch backupOrRestore := op.Verb == Backup || op.Verb == Restore; {
	case backupOrRestore && c.version < "2016-01-01":
		base += "/" + string(op.Verb)
		if c.verb != Poll {
			h.Set("Azure-AsyncOperation", base+"/operations/"+id)
		}
	case backupOrRestore && c.verb != Poll && (c.version <= "2020-12-01" || s.cfg.DoubleSlash):
		base += "/"
	}
	h.Set("Location", base+"/operationresults/"+id+"?api-version="+c.fullVersion)
}

// find finds what a poll is about.
func (s *Server) find(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range s.operations {
		if op.ID == c.operation && strings.EqualFold(op.place, c.id) && op.signature == c.r.URL.Query().Get("s") {
			c.polled, c.service = op, op.Service
		}
	}
}

// poll answers how an operation fares.
func (s *Server) poll(c *call) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	op := c.polled
	if op == nil || s.cfg.ResultsLive > 0 && !op.Ended.IsZero() && s.cfg.Now().Sub(op.Ended) >= s.cfg.ResultsLive {
		return &Error{Status: http.StatusNotFound, Code: "OperationNotFound", Message: "The operation was not found: " + c.operation}
	}
	switch {
	case c.status: // 200 with the state in the body, as Azure-AsyncOperation URLs have it
		body := map[string]any{"name": op.ID, "status": "Succeeded"}
		switch {
		case op.Error != nil:
			body["status"], body["error"] = "Failed", op.Error.body("")["error"]
		case op.Ended.IsZero():
			if body["status"] = "InProgress"; c.verb == PollStatus { // 2014's are not recorded
				s.pollHeaders(c, op)
			}
		}
		c.send(http.StatusOK, body)
	case op.Ended.IsZero():
		s.pollHeaders(c, op)
		c.send(http.StatusAccepted, nil)
	case op.Error != nil:
		return op.Error
	case op.Verb == Delete:
		c.send(http.StatusNoContent, nil)
	default:
		c.send(http.StatusOK, op.svc.resource(c.version, s.cfg.Now()))
	}
	return nil
}
