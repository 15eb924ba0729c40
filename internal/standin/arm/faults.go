package arm

import (
	"net/http"
	"slices"
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

// Fault is a way for requests that have a valid token and the right to go wrong.
type Fault struct {
	Verb    Verb   // which requests; empty: all
	Service string // of which service, by name; empty: of all
	Times   int    // how many of them; 0: one; Always: until ClearFaults

	// Delay passes first, by the real clock or that of a synctest bubble. The work is then done even if the client has gone.
	Delay time.Duration
	// Hold, unless nil, keeps the request waiting until it is closed, before Delay.
	Hold <-chan struct{}
	// Status, unless 0, is answered in place of the work, with Code and Message (empty: the status in words) and RetryAfter (0: none).
	Status        int
	Code, Message string
	RetryAfter    time.Duration
	// Answer, unless nil, is answered instead: an error of API Management, where Status makes one of Resource Manager.
	Answer *Error
	Drop   Drop
}

// Inject adds a fault. Of several that fit a request the oldest strikes, alone.
func (s *Server) Inject(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	if f.Code == "" {
		f.Code = strings.ReplaceAll(http.StatusText(f.Status), " ", "")
	}
	if f.Message == "" {
		f.Message = "The request was refused: " + http.StatusText(f.Status) + "."
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

type failKey struct {
	service string
	verb    Verb
}

// FailNext lets the next accepted operation (Backup, Restore, Write or Delete) of a service, given by name, end with an error: its poll
// answers with it, and its work is not done.
func (s *Server) FailNext(service string, v Verb, e *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failNext[failKey{strings.ToLower(service), v}] = e
}

// fault is the fault that strikes a request; the zero Fault when none does.
func (s *Server) fault(c *call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.faults, func(f *Fault) bool {
		return (f.Verb == "" || f.Verb == c.verb) && (f.Service == "" || strings.EqualFold(f.Service, c.service))
	})
	if i < 0 {
		return Fault{}
	}
	f := s.faults[i]
	if f.Times--; f.Times == 0 {
		s.faults = slices.Delete(s.faults, i, i+1)
	}
	return *f
}
