package arm

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/standin/identity"
)

// Verb is what a request is about.
type Verb string

const (
	Read    Verb = "read"    // GET of a service
	Poll    Verb = "poll"    // GET of an operation
	Backup  Verb = "backup"  //
	Restore Verb = "restore" //
	Write   Verb = "write"   // PUT and PATCH
	Delete  Verb = "delete"  //
	Other   Verb = "other"   // nothing that is served here
)

// actions are what a caller must be allowed to do.
var actions = map[Verb]string{Read: "read", Poll: "operationresults/read", Backup: "backup/action", Restore: "restore/action", Write: "write", Delete: "delete"}

// Request is one request as it was answered, for tests.
type Request struct {
	Method, Path                 string
	Service                      string // name; empty: none in the path
	Verb                         Verb
	At                           time.Time
	Status                       int // HTTP status; 0: no answer was sent
	Traceparent, ClientRequestID string
}

// Server is the stand-in. It must not be mounted below http.ServeMux, which would redirect the double slash of a recorded Location.
type Server struct {
	mu         sync.Mutex
	cfg        Config
	services   map[string]*service // by id in lower case
	gone       map[string]bool     // deleted services, likewise
	operations []*operation
	requests   []Request
	faults     []*Fault
	failNext   map[failKey]*Error
	reads      bucket
	writes     bucket
	seq        int
}

// New makes a server. It fails when the configuration is not complete or a service's id is not a full resource id.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, services: map[string]*service{}, gone: map[string]bool{}, failNext: map[failKey]*Error{}}
	for _, d := range cfg.Services {
		v, err := newService(d, cfg.Now())
		if err != nil {
			return nil, err
		}
		s.services[strings.ToLower(d.ID)] = v
	}
	return s, nil
}

// call is one request on its way.
type call struct {
	w                    http.ResponseWriter
	r                    *http.Request
	body                 []byte
	id, group, service   string // from the path
	verb                 Verb
	operation            string // id, of a poll
	status               bool   // a poll whose answer has the state in its body
	version, fullVersion string // api-version without and with "-preview"
	sent                 int    // status sent, 0: none
	mute                 bool   // the answer is to be lost
}

// ServeHTTP answers as Resource Manager does. It panics with http.ErrAbortHandler where a fault cuts the connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{w: w, r: r, fullVersion: r.URL.Query().Get("api-version")}
	c.version = strings.TrimSuffix(c.fullVersion, "-preview")
	c.route()
	defer s.record(c)
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20)); err != nil {
		panic(http.ErrAbortHandler)
	}
	s.identify(c)
	if e := s.admit(c); e != nil {
		c.fail(e)
		return
	}
	f := s.fault(c)
	if f.Delay > 0 {
		time.Sleep(f.Delay)
	}
	switch {
	case f.Drop == DropBefore:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		c.fail(f.answer())
		return
	}
	c.mute = f.Drop == DropAfter
	if e := s.serve(c); e != nil {
		c.fail(e)
	}
	if c.mute {
		panic(http.ErrAbortHandler)
	}
}

// route reads the path. Empty segments do not count: recorded Locations have a double slash.
func (c *call) route() {
	p := strings.FieldsFunc(c.r.URL.Path, func(r rune) bool { return r == '/' })
	is := func(i int, names ...string) bool {
		return i < len(p) && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, p[i]) })
	}
	c.verb = Other
	if len(p) == 8 && is(2, "providers") && is(3, "Microsoft.ApiManagement") && is(4, "locations") && is(6, "operationsStatuses") && c.r.Method == http.MethodGet {
		c.verb, c.operation, c.status = Poll, p[7], true
		return
	}
	if len(p) < 8 || !serviceID.MatchString("/"+strings.Join(p[:8], "/")) {
		return
	}
	c.id, c.group, c.service = "/"+strings.Join(p[:8], "/"), p[3], p[7]
	method, n := c.r.Method, len(p)
	switch {
	case n == 8 && method == http.MethodGet:
		c.verb = Read
	case n == 8 && (method == http.MethodPut || method == http.MethodPatch):
		c.verb = Write
	case n == 8 && method == http.MethodDelete:
		c.verb = Delete
	case n == 9 && method == http.MethodPost && is(8, "backup", "restore"):
		c.verb = Verb(strings.ToLower(p[8]))
	case n == 10 && method == http.MethodGet && is(8, "operationresults"):
		c.verb, c.operation = Poll, p[9]
	case n == 11 && method == http.MethodGet && is(8, "backup", "restore") && is(9, "operationresults", "operations"):
		c.verb, c.operation, c.status = Poll, p[10], is(9, "operations")
	}
}

// identify sets the headers that every answer has.
func (s *Server) identify(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	h := c.w.Header()
	h.Set("Date", s.cfg.Now().UTC().Format(http.TimeFormat))
	h.Set("X-Ms-Request-Id", hexID(fmt.Sprint("request", s.seq, s.cfg.Now().UnixNano())))
	h.Set("X-Ms-Correlation-Request-Id", h.Get("X-Ms-Request-Id"))
}

var apiVersion = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-preview)?$`)

// admit checks what Resource Manager checks before API Management sees a request: token, api-version, action, rate.
func (s *Server) admit(c *call) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	err := s.cfg.Tokens.Verify(token, s.cfg.Audience)
	switch {
	case errors.Is(err, identity.ErrMissing):
		return unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	case errors.Is(err, identity.ErrExpired):
		return unauthorized("ExpiredAuthenticationToken", "The access token is no longer valid: "+err.Error()+".")
	case errors.Is(err, identity.ErrAudience):
		return unauthorized("InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience or resource: "+err.Error()+".")
	case err != nil:
		return unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
	}
	if !(c.status && c.fullVersion == "") { // recorded: 2014's Azure-AsyncOperation has none
		switch {
		case c.fullVersion == "":
			return frontDoor(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
		case !apiVersion.MatchString(c.fullVersion):
			return frontDoor(http.StatusBadRequest, "InvalidApiVersionParameter", fmt.Sprintf("The api-version '%s' is invalid.", c.fullVersion))
		}
	}
	if action := "Microsoft.ApiManagement/service/" + actions[c.verb]; c.verb != Other && !s.cfg.allows(action) {
		claims, _ := s.cfg.Tokens.Parse(token)
		return frontDoor(http.StatusForbidden, "AuthorizationFailed", fmt.Sprintf("The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			claims.AppID, claims.ObjectID, action, c.id))
	}
	b, limit, name := &s.writes, s.cfg.Writes, "writes"
	if c.r.Method == http.MethodGet {
		b, limit, name = &s.reads, s.cfg.Reads, "reads"
	}
	wait, left := b.take(limit, s.cfg.Now())
	if wait > 0 {
		return throttled(wait)
	}
	c.w.Header().Set("X-Ms-Ratelimit-Remaining-Subscription-"+name, fmt.Sprint(left))
	return nil
}

func (c Config) allows(action string) bool {
	return c.Actions == nil || slices.ContainsFunc(c.Actions, func(a string) bool {
		prefix, all := strings.CutSuffix(a, "*")
		return strings.EqualFold(a, action) || all && len(action) >= len(prefix) && strings.EqualFold(prefix, action[:len(prefix)])
	})
}

// serve does the work of a request that was let in.
func (s *Server) serve(c *call) *Error {
	s.settleAll(context.WithoutCancel(c.r.Context()))
	s.mu.Lock()
	v, gone := s.services[strings.ToLower(c.id)], s.gone[strings.ToLower(c.id)]
	old := v != nil && c.version < v.MinAPIVersion
	minimum := ""
	if old {
		minimum = v.MinAPIVersion
	}
	s.mu.Unlock()
	switch {
	case c.verb == Other:
		return frontDoor(http.StatusNotFound, "InvalidResourceType", fmt.Sprintf("The resource type could not be found in the namespace 'Microsoft.ApiManagement' for api version '%s'.", c.fullVersion))
	case old && !c.status:
		return &Error{Status: http.StatusBadRequest, Code: "InvalidApiVersionParameter", Message: "API version query parameter is not specified or was specified incorrectly.  Supported versions: " + minimum + " and later"}
	case c.verb == Poll:
		return s.poll(c)
	case v == nil && c.r.Method == http.MethodPut:
		return s.create(c)
	case v == nil && gone:
		return serviceNotFound(c.service)
	case v == nil:
		return resourceNotFound(c.service, c.group)
	case c.verb == Backup || c.verb == Restore:
		return s.backupOrRestore(c, v)
	case c.verb == Write || c.verb == Delete:
		return s.change(c, v)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body := v.resource(c.version, s.cfg.Now())
	c.w.Header().Set("ETag", `"`+v.etagText()+`"`)
	c.send(http.StatusOK, body)
	return nil
}

func (c *call) fail(e *Error) {
	if e.challenge != "" {
		c.w.Header().Set("WWW-Authenticate", e.challenge)
	}
	if e.retryAfter > 0 {
		c.w.Header().Set("Retry-After", seconds(e.retryAfter))
	}
	c.send(e.Status, e.body(c.version))
}

// send sends an answer, unless it is to be lost; a nil body is an empty one.
func (c *call) send(status int, body map[string]any) {
	if c.mute {
		return
	}
	c.sent = status
	if body == nil {
		c.w.WriteHeader(status)
		return
	}
	c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	c.w.WriteHeader(status)
	_ = json.NewEncoder(c.w).Encode(body) // the client has gone: nothing to be done
}

// base is the address under which the client reached us.
func (c *call) base() string {
	scheme := "http"
	if c.r.TLS != nil || c.r.URL.Scheme == "https" {
		scheme = "https"
	}
	return scheme + "://" + c.r.Host
}

func (s *Server) record(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests[max(0, len(s.requests)-9999):], Request{Method: c.r.Method, Path: c.r.URL.EscapedPath(), Service: c.service, Verb: c.verb, At: s.cfg.Now(),
		Status: c.sent, Traceparent: c.r.Header.Get("Traceparent"), ClientRequestID: c.r.Header.Get("X-Ms-Client-Request-Id")})
}

// hexID is a UUID derived from a text.
func hexID(text string) string {
	h := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
