package usage

import (
	"context"
	"io"
	"time"

	"apim-dr/internal/dr"
)

// Query asks for a page of a report.
type Query struct {
	ResourceID string // of the instance
	Report     Report
	Filter     string
	Interval   string // of byTime alone
	Skip       int64  // records of the pages before
	Link       string // where the page before says that this one is; it wins, and is input: followed to the configured endpoint only
}

// Reports are those of Azure Resource Manager.
type Reports interface {
	// Page asks once. OK: body is the page, to be read and closed by the caller within ctx. Later: not now; Retry is how long ARM asks to wait. Refused:
	// there is no such report here, as in a tier without it; Error has ARM's words. No: not allowed, or the instance is not there; Error says what to do.
	Page(ctx context.Context, q Query) (body io.ReadCloser, a dr.Answer)
}

// Files is where the days are kept.
type Files interface {
	// Begin begins a file. Nothing is seen of it before Commit, which replaces whatever has the name at once; one without it leaves no trace.
	Begin(ctx context.Context, name string) Draft
	// Look tells what was committed with a file, and its version; no error when there is none: both are empty then.
	Look(ctx context.Context, name string) (facts map[string]string, version string, err error)
	// Put writes a small file, whatever is there.
	Put(ctx context.Context, name string, body []byte) error
	// Remove deletes a file; no error when there is none.
	Remove(ctx context.Context, name string) error
}

// Draft is a file that is being written.
type Draft interface {
	io.Writer
	// Commit ends it. The facts (lower-case keys, ASCII values) are seen together with the content and never with another's.
	Commit(facts map[string]string) (version string, err error)
}

// States keeps what is remembered of each instance.
type States interface {
	// Usage reads it; zero when there is none. engine.ErrUnreadable, ErrNewer.
	Usage(ctx context.Context, service string) (State, error)
	// MergeUsage reads, merges and writes it, again on a conflict, and returns what is kept then. It writes only what merge changes.
	MergeUsage(ctx context.Context, service string, merge func(State) (State, bool)) (State, error)
}

// Bus sends. A send is done when Service Bus has accepted it.
type Bus interface {
	// Export sends a turn, for the time at.
	Export(ctx context.Context, m Message, at time.Time) error
	// Exported publishes an event.
	Exported(ctx context.Context, e Event) error
}
