package customhandler

import (
	"context"
	"io"
	"log/slog"
	"slices"

	"apim-dr/internal/trace"
)

// logHandler writes JSON lines, each with what its context knows: the invocation, what trace.Annotate added, and the trace.
type logHandler struct{ out, err slog.Handler }

// NewLogHandler returns the handler of the program's log. Lines from level error on go to stderr, which the host logs as errors; the others to stdout,
// which it logs as information.
func NewLogHandler(stdout, stderr io.Writer, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	return logHandler{slog.NewJSONHandler(stdout, o), slog.NewJSONHandler(stderr, o)}
}

func (h logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.out.Enabled(ctx, level)
}

func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	r.AddAttrs(besides(r, trace.Attrs(ctx))...)
	if id := trace.ID(trace.From(ctx)); id != "" {
		r.AddAttrs(slog.String(KeyTrace, id))
	}
	if r.Level >= slog.LevelError {
		return h.err.Handle(ctx, r)
	}
	return h.out.Handle(ctx, r)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.out.WithAttrs(attrs), h.err.WithAttrs(attrs)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.out.WithGroup(name), h.err.WithGroup(name)}
}

// besides are those of attrs that the line does not have itself: a field that a line has twice is read in two ways.
func besides(r slog.Record, attrs []slog.Attr) []slog.Attr {
	own := map[string]bool{}
	r.Attrs(func(a slog.Attr) bool {
		own[a.Key] = true
		return true
	})
	return slices.DeleteFunc(slices.Clone(attrs), func(a slog.Attr) bool { return own[a.Key] })
}
