package arm

import (
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
	svc     *service
	p       parameters
	style   PollStyle
	version string // of the request that began it
	due     time.Time
	visible time.Time
	seen    bool              // the service has shown it
	during  string            // the state it shows
	fail    *Error            // how it is to fail
	apply   func(*service)    // what success does to the service; may be nil
	work    func() (e *Error) // reads or writes the blob, sets apply; may be nil

	settling sync.Mutex // held during work
}

// begin starts an operation; the caller holds s.mu. ctx outlives the request.
func (s *Server) begin(ctx context.Context, c *call, v *service, during string) *operation {
	now := s.cfg.Now()
	s.seq++
	text := fmt.Sprintf("%s_%s_%s", v.name, strings.ToUpper(string(c.verb[:1]))+string(c.verb[1:]), hexID(fmt.Sprint(v.ID, s.seq, now.UnixNano()))[:8])
	if c.version > "2019-01-01" { // recorded: the region came into the id
		text = region(v.Location) + ":" + text
	}
	op := &operation{svc: v, style: s.cfg.PollStyle, version: c.version, due: now.Add(s.cfg.duration(c.verb)), visible: now.Add(s.cfg.VisibleAfter), during: during}
	op.Operation = Operation{ID: base64.StdEncoding.EncodeToString([]byte(text)), Service: v.name, Verb: c.verb, Started: now}
	key := failKey{strings.ToLower(v.name), c.verb}
	op.fail = s.failNext[key]
	delete(s.failNext, key)
	s.operations = append(s.operations, op)
	v.running = append(v.running, op)
	// Requests settle what is due; the timer is for blobs that somebody waits for without asking us.
	time.AfterFunc(op.due.Sub(now), func() { s.settle(ctx, op) })
	return op
}

// settle ends an operation that is due: its work is done and the service shows it. It waits for another that does the same.
func (s *Server) settle(ctx context.Context, op *operation) {
	op.settling.Lock()
	defer op.settling.Unlock()
	s.mu.Lock()
	due := op.Ended.IsZero() && !s.cfg.Now().Before(op.due)
	e := op.fail
	s.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if e == nil {
		e = s.work(ctx, op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	op.Ended, op.Error = op.due, e
	op.svc.etag++
	op.svc.running = slices.DeleteFunc(op.svc.running, func(o *operation) bool { return o == op })
	if e == nil && op.apply != nil {
		op.apply(op.svc)
	}
}

// work writes or reads the blob.
func (s *Server) work(ctx context.Context, op *operation) *Error {
	s.mu.Lock()
	cfg, v := s.cfg, op.svc.Service
	s.mu.Unlock()
	switch op.Verb {
	case Backup:
		return cfg.write(ctx, op.Service, op.p, content{Format: format, Service: v.ID, SKU: v.SKU, Capacity: v.Capacity, CreatedAt: op.due.UTC(), Content: v.Content})
	case Restore:
		b, e := cfg.read(ctx, op.Service, v.SKU, op.p, op.Started)
		op.apply = func(v *service) { v.Content = b.Content }
		return e
	}
	return nil
}

// settleAll settles all that is due.
func (s *Server) settleAll(ctx context.Context) {
	s.mu.Lock()
	var due []*operation
	for _, v := range s.services {
		due = append(due, v.running...)
	}
	s.mu.Unlock()
	for _, op := range due {
		s.settle(ctx, op)
	}
}

// backupOrRestore accepts a backup or restore.
func (s *Server) backupOrRestore(c *call, v *service) *Error {
	p, e := parse(c.body, c.version)
	if e != nil {
		return e
	}
	ctx := context.WithoutCancel(c.r.Context())
	s.mu.Lock()
	cfg, sku := s.cfg, v.SKU
	s.mu.Unlock()
	// A restore into a v2 tier is accepted and fails at its end (reported); a backup there is refused.
	if sku == "Consumption" || c.verb == Backup && strings.HasSuffix(sku, "V2") {
		return pricingTier(sku)
	}
	if e := cfg.reach(ctx, v.name, c.verb, p); e != nil {
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(v.running) > 0 && s.cfg.Overlap == OverlapLocked {
		return serviceLocked(v.name)
	}
	op := s.begin(ctx, c, v, "Updating")
	op.p, op.StorageAccount, op.ContainerName, op.BackupName = p, p.StorageAccount, p.ContainerName, p.BackupName
	s.accepted(c, op)
	return nil
}

// accepted sends the 202 of a new or a running operation; the caller holds s.mu.
func (s *Server) accepted(c *call, op *operation) {
	s.pollHeaders(c, op)
	c.send(http.StatusAccepted, nil)
}

// pollHeaders say where and when to poll, in the forms recorded for the api-version.
func (s *Server) pollHeaders(c *call, op *operation) {
	base := s.cfg.BaseURL
	if base == "" {
		base = c.base()
	}
	id, slash, query := op.ID, "/", "?api-version="+c.fullVersion
	if c.verb == Poll && c.version < "2019-01-01" {
		id = strings.ReplaceAll(id, "=", "%3D")
	}
	if c.verb != Poll && (op.Verb == Backup || op.Verb == Restore) && (c.version <= "2020-12-01" || s.cfg.PollStyle == PollDoubled) {
		slash = "//"
	}
	h := c.w.Header()
	if at := base + op.svc.ID; op.version < "2016-01-01" && (op.Verb == Backup || op.Verb == Restore) {
		h.Set("Location", at+"/"+string(op.Verb)+"/operationresults/"+id+query)
		if c.verb != Poll {
			h.Set("Azure-AsyncOperation", at+"/"+string(op.Verb)+"/operations/"+id)
		}
	} else {
		h.Set("Location", at+slash+"operationresults/"+id+query)
	}
	if op.style == PollStatusBody && c.verb != Poll {
		subscription, _, _ := strings.Cut(op.svc.ID[len("/subscriptions/"):], "/")
		h.Set("Azure-AsyncOperation", base+"/subscriptions/"+subscription+"/providers/Microsoft.ApiManagement/locations/"+region(op.svc.Location)+"/operationsStatuses/"+id+query+"&t=0&c=0&s=0&h=0")
	}
	s.retryAfter(c)
}

func (s *Server) retryAfter(c *call) {
	wait := s.cfg.RetryAfter
	if wait == 0 {
		wait = time.Minute // recorded
	}
	if wait > 0 {
		c.w.Header().Set("Retry-After", seconds(wait))
	}
}

// poll answers how an operation fares.
func (s *Server) poll(c *call) *Error {
	s.mu.Lock()
	i := slices.IndexFunc(s.operations, func(o *operation) bool { return o.ID == c.operation })
	var op *operation
	if i >= 0 && (c.id == "" || strings.EqualFold(s.operations[i].svc.ID, c.id)) {
		op = s.operations[i]
	}
	s.mu.Unlock()
	if op != nil {
		s.settle(context.WithoutCancel(c.r.Context()), op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if op == nil || s.cfg.ResultsLive > 0 && !op.Ended.IsZero() && now.Sub(op.Ended) >= s.cfg.ResultsLive {
		return &Error{Status: http.StatusNotFound, Code: "OperationNotFound", Message: "The operation was not found: " + c.operation}
	}
	if c.status {
		s.statusBody(c, op)
		return nil
	}
	switch {
	case op.Ended.IsZero():
		s.accepted(c, op)
	case op.Error != nil:
		return op.Error
	case op.Verb == Delete:
		c.send(http.StatusNoContent, nil)
	default:
		c.send(http.StatusOK, op.svc.resource(c.version, now))
	}
	return nil
}

// statusBody answers 200 with the state in the body, as Azure-AsyncOperation URLs do.
func (s *Server) statusBody(c *call, op *operation) {
	body := map[string]any{"id": c.r.URL.Path, "name": op.ID, "status": "InProgress", "startTime": op.Started.UTC().Format(time.RFC3339Nano)}
	switch {
	case op.Ended.IsZero():
		s.retryAfter(c)
	case op.Error != nil:
		body["status"], body["error"] = "Failed", op.Error.body("")["error"]
	default:
		body["status"] = "Succeeded"
	}
	c.send(http.StatusOK, body)
}
