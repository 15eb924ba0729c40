package customhandler

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"apim-dr/internal/trace"
)

// The keys of log attributes, so that one thing has one name in every line.
const (
	KeyInvocation = "invocation" // the host's id of the invocation
	KeyFunction   = "function"
	KeyTrace      = "trace" // the W3C trace id, 32 hex digits
	KeyMessage    = "message"
	KeyDelivery   = "delivery"   // delivery count of the message
	KeyStatus     = "status"     // HTTP status
	KeyDuration   = "durationMs" // milliseconds
	KeyError      = "error"
	KeyStack      = "stack"
)

// Invocation says which call of which function a context belongs to.
type Invocation struct {
	// ID is the host's id of the invocation; empty when it sent none.
	ID string
	// Function is the name the function is registered under.
	Function string
	// TraceParent is a valid W3C traceparent: of a message that has one, and where the host did not go on with its trace, the message's; else the
	// caller's, else a new one. Empty only if Options.Rand failed.
	TraceParent string
}

type invocationKey struct{}

// InvocationFrom returns the invocation ctx belongs to; the zero Invocation outside one.
func InvocationFrom(ctx context.Context) Invocation {
	inv, _ := ctx.Value(invocationKey{}).(Invocation)
	return inv
}

// begin returns the context of r with its invocation, whose ids go into every line, and its trace.
func (rt *Router) begin(r *http.Request, function string) context.Context {
	inv := Invocation{ID: invocationID(r), Function: function}
	ctx := trace.Annotate(r.Context(), KeyFunction, function, KeyInvocation, inv.ID)
	if got := r.Header.Values("Traceparent"); len(got) == 1 {
		inv.TraceParent = trace.Parent(got[0])
	}
	if inv.TraceParent == "" {
		made, err := rt.newTraceParent()
		if err != nil {
			rt.opts.Log.WarnContext(ctx, "no trace id could be made", KeyError, err)
		}
		inv.TraceParent = made
	}
	return withInvocation(ctx, inv)
}

func withInvocation(ctx context.Context, inv Invocation) context.Context {
	return context.WithValue(trace.With(ctx, inv.TraceParent), invocationKey{}, inv)
}

// follow returns ctx in the trace of the message that it is about, if that has one: whether the host goes on with it is the host's to decide.
func follow(ctx context.Context, traceparent string) context.Context {
	inv := InvocationFrom(ctx)
	if id := trace.ID(traceparent); id == "" || id == trace.ID(inv.TraceParent) {
		return ctx
	}
	inv.TraceParent = trace.Parent(traceparent)
	return withInvocation(ctx, inv)
}

// invocationID reads the host's id; it goes into logs and answers, so an overlong one is not taken.
func invocationID(r *http.Request) string {
	if id := r.Header.Get("X-Azure-Functions-InvocationId"); len(id) <= 128 {
		return id
	}
	return ""
}

// newTraceParent makes a version 00 traceparent, marked as sampled because the log keeps it.
func (rt *Router) newTraceParent() (string, error) {
	rt.randMu.Lock()
	defer rt.randMu.Unlock()
	var id [24]byte
	if _, err := io.ReadFull(rt.opts.Rand, id[:]); err != nil {
		return "", err
	}
	id[0] |= 1 // an id of zeros is not valid; one fixed bit in each rules it out
	id[16] |= 1
	return fmt.Sprintf("00-%x-%x-01", id[:16], id[16:]), nil
}
