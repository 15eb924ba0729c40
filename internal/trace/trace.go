// Package trace carries a W3C traceparent in a context, so that one trace id runs from the trigger through messages and ARM calls to the
// event. It is a string passed on, not a tracer.
package trace

import "context"

type key struct{}

// With returns a context that carries traceparent; an empty one leaves ctx as it is.
func With(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return context.WithValue(ctx, key{}, traceparent)
}

// From is the traceparent that ctx carries, or "".
func From(ctx context.Context) string {
	s, _ := ctx.Value(key{}).(string)
	return s
}
