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
	"strings"
	"sync"
	"time"

	"apim-dr/internal/standin/identity"
)

// Verb is what a request is about.
type Verb string

const (
	Read            Verb = "read"   // GET of a service
	Poll            Verb = "poll"   // GET of an operation, below its service
	PollStatus      Verb = "status" // GET of an operation, below its region, see Service.StatusPolls
	Backup          Verb = "backup"
	Restore         Verb = "restore"
	Write           Verb = "write" // PUT and PATCH of a service
	Delete          Verb = "delete"
	ListWorkspaces  Verb = "workspaces"  // of a service
	ListServices    Verb = "services"    // of a subscription
	ListDeleted     Verb = "deleted"     // services of a subscription
	ReadGroup       Verb = "group"       // GET of a resource group
	ListPermissions Verb = "permissions" // of the caller, on a subscription, a group or an instance
	Reports         Verb = "reports"     // GET of a service's report
	Gateway         Verb = "gateway"     // GET from a service's gateway, see GatewayHandler
	Other           Verb = "other"       // nothing that is served here
)

// actions are what a caller must be allowed to do.
var actions = map[Verb]string{
	Read: "Microsoft.ApiManagement/service/read", Poll: "Microsoft.ApiManagement/service/operationresults/read",
	PollStatus: "Microsoft.ApiManagement/locations/operationsStatuses/read",
	Backup:     "Microsoft.ApiManagement/service/backup/action", Restore: "Microsoft.ApiManagement/service/restore/action",
	Write: "Microsoft.ApiManagement/service/write", Delete: "Microsoft.ApiManagement/service/delete",
	ListServices: "Microsoft.ApiManagement/service/read", ListWorkspaces: "Microsoft.ApiManagement/service/workspaces/read", ListDeleted: "Microsoft.ApiManagement/deletedservices/read",
	ReadGroup: "Microsoft.Resources/subscriptions/resourceGroups/read", ListPermissions: "Microsoft.Authorization/permissions/read",
	// Azure permissions for Integration (MicrosoftDocs/azure-docs, role-based-access-control/permissions/integration.md, February 2026), which also
	// lists Microsoft.ApiManagement/reports/read, of no path that the swagger has.
	Reports: "Microsoft.ApiManagement/service/reports/read",
}

// Action is what a caller must be allowed to do for a request; empty: nothing.
func (v Verb) Action() string { return actions[v] }

// routes are what may follow a service's id, and the method.
var routes = map[string]Verb{"GET": Read, "PUT": Write, "PATCH": Write, "DELETE": Delete, "POST backup": Backup, "POST restore": Restore, "GET workspaces": ListWorkspaces}

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
	gone       map[string]deleted  // soft-deleted services, likewise
	operations []*operation
	requests   []Request
	faults     []*Fault
	failNext   map[failKey]*Error
	levels     map[[3]string]*level // by kind of request, subscription and principal; "" is all of them
	seq        int
}

// call is one request on its way.
type call struct {
	ctx                  context.Context // outlives the request: work that was begun is done even if the client goes away
	w                    http.ResponseWriter
	r                    *http.Request
	body                 []byte
	id, group, service   string // from the path; id is what the action is over
	verb                 Verb
	subscription         string     // from the path, in lower case
	operation            string     // id, of a poll
	polled               *operation // what a poll is about; nil: there is no such operation
	report               string     // name, of a report
	status               bool       // a poll whose answer has the state in its body
	version, fullVersion string     // api-version without and with "-preview"
	sent                 int        // status sent, 0: none
	mute                 bool       // the answer is to be lost
}

// ServeHTTP answers as Resource Manager does. It panics with http.ErrAbortHandler where a fault cuts the connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{ctx: context.WithoutCancel(r.Context()), w: w, r: r, fullVersion: r.URL.Query().Get("api-version")}
	c.version = strings.TrimSuffix(c.fullVersion, "-preview")
	c.route()
	s.find(c)
	defer s.record(c)
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20)); err != nil {
		panic(http.ErrAbortHandler)
	}
	f, e := Fault{}, s.admit(c)
	if e == nil {
		f = s.fault(c)
	}
	if f.Hold != nil {
		<-f.Hold
	}
	time.Sleep(f.Delay)
	c.mute = f.Drop != DropNever
	if f.Status != 0 {
		e = frontDoor(f.Status, f.Code, "%s", f.Message)
		e.retryAfter = f.RetryAfter
	}
	if f.Answer != nil {
		e = f.Answer
	}
	if e == nil && f.Drop != DropBefore {
		e = s.serve(c)
	}
	if e != nil {
		c.fail(e)
	}
	if c.mute {
		panic(http.ErrAbortHandler)
	}
}

// route reads the path. Empty segments do not count: recorded Locations have a double slash.
func (c *call) route() {
	c.verb = Other
	p := strings.FieldsFunc(c.r.URL.Path, func(r rune) bool { return r == '/' })
	if len(p) > 1 {
		c.subscription = strings.ToLower(p[1])
	}
	if c.around("/" + strings.Join(p, "/")) {
		return
	}
	if len(p) < 8 || !serviceID.MatchString("/"+strings.Join(p[:8], "/")) {
		return
	}
	c.id, c.group, c.service = "/"+strings.Join(p[:8], "/"), p[3], p[7]
	rest := p[8:]
	if n := len(rest); n >= 2 && c.r.Method == http.MethodGet { // operationresults/x, and backup|restore before it
		kind := strings.ToLower(strings.Join(rest[:n-1], "/"))
		c.status = kind == "backup/operations" || kind == "restore/operations"
		if c.status || kind == "operationresults" || kind == "backup/operationresults" || kind == "restore/operationresults" {
			c.verb, c.operation = Poll, rest[n-1]
		} else if name, ok := reports[strings.ToLower(rest[n-1])]; ok && kind == "reports" {
			c.verb, c.report = Reports, name
		}
	} else if v, ok := routes[strings.TrimSpace(c.r.Method+" "+strings.ToLower(strings.Join(rest, "/")))]; ok {
		c.verb = v
	}
}

var apiVersion = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-preview)?$`)

// admit sets the headers that every answer has and checks what Resource Manager checks itself: token, throttling, api-version,
// action.
func (s *Server) admit(c *call) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	h := c.w.Header()
	h.Set("Date", s.cfg.Now().UTC().Format(http.TimeFormat))
	h.Set("X-Ms-Request-Id", uuid("request", s.seq, s.cfg.Now().UnixNano()))
	h.Set("X-Ms-Correlation-Request-Id", h.Get("X-Ms-Request-Id"))
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	audience := s.cfg.Audience
	if audience == "" {
		audience = "https://management.azure.com"
	}
	err := s.cfg.Tokens.Verify(token, audience)
	switch {
	case errors.Is(err, identity.ErrMissing):
		return c.challenge("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	case errors.Is(err, identity.ErrExpired):
		return c.challenge("ExpiredAuthenticationToken", "The access token is no longer valid: "+err.Error()+".")
	case errors.Is(err, identity.ErrAudience):
		return c.challenge("InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience or resource.")
	case err != nil:
		return c.challenge("InvalidAuthenticationToken", "The access token is invalid.")
	}
	claims, _ := s.cfg.Tokens.Parse(token)
	if e := s.throttle(c, claims.ObjectID); e != nil {
		return e
	}
	switch action := actions[c.verb]; {
	case c.fullVersion == "" && !(c.status && c.verb == Poll): // recorded: 2014's Azure-AsyncOperation has none
		return frontDoor(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	case c.fullVersion != "" && !apiVersion.MatchString(c.fullVersion):
		return frontDoor(http.StatusBadRequest, "InvalidApiVersionParameter", "The api-version '%s' is invalid.", c.fullVersion)
	case c.verb != Other && !s.cfg.allows(action, c.id):
		return frontDoor(http.StatusForbidden, "AuthorizationFailed", "The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			claims.AppID, claims.ObjectID, action, c.id)
	}
	return nil
}

// challenge is a 401 that names the login endpoint.
func (c *call) challenge(code, message string) *Error {
	c.w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization_uri="https://login.windows.net/", error="invalid_token", error_description="%s"`, message))
	return frontDoor(http.StatusUnauthorized, code, "%s", message)
}

// serve does the work of a request that was let in.
func (s *Server) serve(c *call) *Error {
	key := strings.ToLower(c.id)
	s.mu.Lock()
	var running []*operation
	for _, v := range s.services {
		running = append(running, v.running...)
	}
	s.mu.Unlock()
	for _, op := range running { // those that are due end before anything is answered
		s.settle(c.ctx, op)
	}
	s.mu.Lock()
	v, minimum := s.services[key], ""
	_, gone := s.gone[key]
	if v != nil {
		minimum = v.MinAPIVersion
	}
	s.mu.Unlock()
	switch {
	case c.verb == Other:
		return frontDoor(http.StatusNotFound, "InvalidResourceType", "The resource type could not be found in the namespace 'Microsoft.ApiManagement' for api version '%s'.", c.fullVersion)
	case c.verb == ListPermissions: // not the instance's to answer
		return s.listPermissions(c)
	case c.version < minimum && !c.status:
		return badRequest("InvalidApiVersionParameter", "API version query parameter is not specified or was specified incorrectly.  Supported versions: %s and later", minimum)
	case c.verb == Poll, c.verb == PollStatus:
		return s.poll(c)
	case c.verb == ReadGroup:
		return s.readGroup(c)
	case c.verb == ListServices:
		return s.listServices(c)
	case c.verb == ListDeleted:
		return s.listDeleted(c)
	case c.verb == Write && (v != nil || c.r.Method == http.MethodPut):
		return s.write(c, v)
	case v == nil && gone:
		return &Error{Status: http.StatusNotFound, Code: "ServiceNotFound", Message: "Api service does not exist: " + c.service}
	case v == nil:
		return frontDoor(http.StatusNotFound, "ResourceNotFound", "The Resource 'Microsoft.ApiManagement/service/%s' under resource group '%s' was not found.", c.service, c.group)
	case c.verb == Delete:
		return s.remove(c, v)
	case c.verb == ListWorkspaces:
		return s.listWorkspaces(c, v)
	case c.verb == Reports:
		return s.report(c, v)
	case c.verb != Read:
		return s.backupOrRestore(c, v)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body := v.resource(c.version, s.cfg.Now())
	c.w.Header().Set("ETag", `"`+v.etagText()+`"`)
	c.send(http.StatusOK, body)
	return nil
}

func (c *call) fail(e *Error) {
	if e.frontDoor { // recorded with ResourceNotFound
		c.w.Header().Set("X-Ms-Failure-Cause", "gateway")
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
	if body != nil {
		c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	c.w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(c.w).Encode(body) // the client has gone: nothing to be done
	}
}

// base is what begins the addresses in an answer. The caller holds s.mu.
func (s *Server) base(c *call) string {
	if s.cfg.BaseURL != "" {
		return s.cfg.BaseURL
	}
	return "http://" + c.r.Host
}

func (s *Server) record(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests[max(0, len(s.requests)-9999):], Request{Method: c.r.Method, Path: c.r.URL.EscapedPath(), Service: c.service, Verb: c.verb, At: s.cfg.Now(),
		Status: c.sent, Traceparent: c.r.Header.Get("Traceparent"), ClientRequestID: c.r.Header.Get("X-Ms-Client-Request-Id")})
}

// seconds is a duration as Retry-After shows it: whole seconds, rounded up.
func seconds(d time.Duration) string { return fmt.Sprint(int64((d + time.Second - 1) / time.Second)) }

// uuid is a UUID derived from what it is for.
func uuid(parts ...any) string {
	h := sha256.Sum256(fmt.Appendln(nil, parts...))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
