// Package trace carries in a context what the hops of an operation have in common: a W3C traceparent, which runs from the trigger through messages and
// ARM calls to the event, and the attributes of log lines. The traceparent is passed on as it came: there is no tracer, so no span of our own that it
// could name (docs/telemetry.md).
package trace

import (
	"context"
	"log/slog"
	"slices"
)

// The keys of what a line tells about an operation, so that one thing has one name in every line.
const (
	KeyOperation = "operation" // id
	KeyService   = "service"   // name of the instance
)

type (
	parentKey struct{}
	attrsKey  struct{}
)

// With returns a context that carries traceparent. One that is none (see Parent) leaves ctx as it is: what From returns may be sent to anybody.
func With(ctx context.Context, traceparent string) context.Context {
	if traceparent = Parent(traceparent); traceparent == "" {
		return ctx
	}
	return context.WithValue(ctx, parentKey{}, traceparent)
}

// From is the traceparent that ctx carries, or "".
func From(ctx context.Context) string {
	s, _ := ctx.Value(parentKey{}).(string)
	return s
}

// Annotate returns a context whose log lines carry args (as in slog.Logger.With), too. A key that ctx has already keeps its place and
// gets the new value.
func Annotate(ctx context.Context, args ...any) context.Context {
	var r slog.Record
	r.Add(args...)
	attrs := slices.Clone(Attrs(ctx))
	r.Attrs(func(a slog.Attr) bool {
		if i := slices.IndexFunc(attrs, func(b slog.Attr) bool { return a.Key == b.Key }); i >= 0 {
			attrs[i] = a
		} else {
			attrs = append(attrs, a)
		}
		return true
	})
	return context.WithValue(ctx, attrsKey{}, attrs)
}

// Attrs are the attributes that Annotate gave to ctx. A slog.Handler adds them to its lines.
func Attrs(ctx context.Context) []slog.Attr {
	attrs, _ := ctx.Value(attrsKey{}).([]slog.Attr)
	return attrs
}
