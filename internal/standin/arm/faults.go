package arm

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// Always as Fault.Times keeps a fault until ClearFaults.
const Always = -1

// Drop says when a connection is cut without an answer. Mind that Go's transport by itself repeats a GET whose reused connection broke.
type Drop string

const (
	DropNever  Drop = ""
	DropBefore Drop = "before" // nothing has been done: a connection reset
	DropAfter  Drop = "after"  // the work is done and its answer lost
)

// Fault is a way for requests with a valid token to go wrong.
type Fault struct {
	Verb    Verb   // which requests; empty: all
	Service string // of which service, by name; empty: of all
	Times   int    // how many of them; 0: one; Always: until ClearFaults

	// Delay passes before anything else happens. The work is then done even if the client has gone.
	Delay time.Duration
	// Status, unless 0, is answered in place of the work, with Code and Message (empty: usual ones for the status) and RetryAfter.
	Status        int
	Code, Message string
	RetryAfter    time.Duration // 0: no such header
	Drop          Drop
}

func (f Fault) answer() *Error {
	e := frontDoor(f.Status, f.Code, f.Message)
	e.retryAfter = f.RetryAfter
	if e.Code == "" {
		e.Code = strings.ReplaceAll(http.StatusText(f.Status), " ", "")
		if f.Status == http.StatusForbidden {
			e.Code = "AuthorizationFailed"
		}
	}
	if e.Message == "" {
		e.Message = "The request could not be served: " + http.StatusText(f.Status) + "."
	}
	return e
}

// Inject adds a fault. Of several that fit a request the oldest strikes, alone.
func (s *Server) Inject(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// ClearFaults ends all faults and forgets what FailNext arranged.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	clear(s.failNext)
}

// FailNext lets the next accepted operation (Backup, Restore, Write or Delete) of a service, given by name, end with an error: its poll
// answers with it, and its work is not done.
func (s *Server) FailNext(service string, v Verb, e Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failNext[failKey{strings.ToLower(service), v}] = &e
}

type failKey struct {
	service string
	verb    Verb
}

// fault is the fault that strikes a request; the zero Fault when none does.
func (s *Server) fault(c *call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Verb != "" && f.Verb != c.verb || f.Service != "" && !strings.EqualFold(f.Service, c.service) {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		if f.Times == 0 {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		}
		return *f
	}
	return Fault{}
}

type bucket struct {
	used float64 // tokens taken and not yet refilled
	at   time.Time
}

// take takes a token, or says after how long there will be one, and how many are left.
func (b *bucket) take(limit Bucket, now time.Time) (wait time.Duration, left int) {
	if limit.Size <= 0 {
		return 0, 11999
	}
	b.used = max(0, b.used-now.Sub(b.at).Seconds()*limit.PerSecond)
	b.at = now
	if over := b.used + 1 - float64(limit.Size); over > 0 {
		return time.Duration(math.Ceil(max(1, over/max(limit.PerSecond, 1e-3)))) * time.Second, 0
	}
	b.used++
	return 0, limit.Size - int(math.Ceil(b.used))
}
