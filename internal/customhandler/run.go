package customhandler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"apim-dr/internal/trace"
)

// badEnvelope is a request of the host that cannot be read.
type badEnvelope struct {
	error
	status int
}

// panicked is a recovered panic. Its text goes to the caller; value and stack go to the log only.
type panicked struct {
	value any
	stack []byte
}

func (panicked) Error() string { return "internal error, see the log" }

// isAbort says that a function gave its request up with panic(http.ErrAbortHandler), which has to reach net/http.
func isAbort(err error) bool {
	p, ok := err.(panicked)
	return ok && p.value == http.ErrAbortHandler
}

// protect turns a panic of f into an error.
func protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked{v, debug.Stack()}
		}
	}()
	return f()
}

// serveEnvelope runs a Timer or Message function. The line is written before the pause, so that it is not lost when the host
// kills the process meanwhile, and therefore without the pause in its duration.
func (rt *Router) serveEnvelope(w http.ResponseWriter, r *http.Request, function string) {
	start := rt.opts.Now()
	ctx := rt.begin(r, function)
	call, err := rt.decode(w, r, function)
	ctx = trace.Annotate(follow(ctx, call.traceparent), call.args...)
	status := http.StatusOK
	if err == nil {
		deadline, cancel := context.WithTimeout(ctx, rt.opts.Timeout)
		defer cancel()
		err = protect(func() error { return call.run(deadline) })
	}
	if bad, ok := err.(badEnvelope); ok {
		status = bad.status
	} else if err != nil {
		status = http.StatusInternalServerError
	}
	rt.report(ctx, start, status, err)
	answer := invokeResponse{Logs: []string{}}
	if isAbort(err) {
		panic(http.ErrAbortHandler)
	} else if err != nil {
		rt.pause(r.Context())
		answer.Logs = []string{err.Error()}
	}
	writeJSON(w, "application/json", status, answer)
}

// decode reads the envelope of r; its errors are of type badEnvelope.
func (rt *Router) decode(w http.ResponseWriter, r *http.Request, function string) (call, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxEnvelope))
	if errors.As(err, new(*http.MaxBytesError)) {
		return call{}, badEnvelope{fmt.Errorf("customhandler: the envelope is larger than %d bytes", MaxEnvelope), http.StatusRequestEntityTooLarge}
	}
	if err != nil {
		return call{}, badEnvelope{fmt.Errorf("customhandler: reading the envelope: %w", err), http.StatusBadRequest}
	}
	c, err := rt.envelopes[function](body)
	if err != nil {
		err = badEnvelope{err, http.StatusBadRequest}
	}
	return c, err
}

// pause waits Options.ErrorPause or for the end of ctx, which is the request's and not the invocation's: the deadline of the
// latter may be what failed.
func (rt *Router) pause(ctx context.Context) {
	select {
	case <-time.After(rt.opts.ErrorPause): // at once if negative
	case <-ctx.Done():
	}
}

// report writes the one line of an invocation: at error when it failed on our side, else at info.
func (rt *Router) report(ctx context.Context, start time.Time, status int, err error) {
	level := slog.LevelInfo
	args := []any{KeyStatus, status, KeyDuration, rt.opts.Now().Sub(start).Milliseconds()}
	if err != nil || status >= 500 {
		level = slog.LevelError
	}
	if p, ok := err.(panicked); ok {
		args = append(args, KeyError, fmt.Sprintf("panic: %v", p.value), KeyStack, string(p.stack))
	} else if err != nil {
		args = append(args, KeyError, err)
	}
	rt.opts.Log.Log(ctx, level, "invocation ended", args...)
}

// httpHandler wraps an HTTP function with context, limits, recovery and the closing line.
func (rt *Router) httpHandler(function string, h func(http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := rt.opts.Now()
		ctx := rt.begin(r, function)
		deadline, cancel := context.WithTimeout(ctx, rt.opts.Timeout)
		defer cancel()
		r = r.WithContext(deadline)
		r.Body = http.MaxBytesReader(w, r.Body, rt.opts.HTTPBodyLimit)
		answer := &answerWriter{ResponseWriter: w}
		err := protect(func() error {
			h(answer, r)
			return nil
		})
		// Half an answer must not be taken for a whole one: the connection breaks instead.
		abort := isAbort(err) || err != nil && answer.status != 0
		switch {
		case abort:
		case err != nil:
			WriteProblem(answer, r, Problem{Status: http.StatusInternalServerError, Detail: "internal error, see the log of invocation " + InvocationFrom(ctx).ID})
		case answer.status == 0:
			answer.status = http.StatusOK // net/http writes it
		}
		rt.report(ctx, start, answer.status, err)
		if abort {
			panic(http.ErrAbortHandler)
		}
	}
}

// answerWriter remembers the status. http.ResponseController reaches the original through Unwrap.
type answerWriter struct {
	http.ResponseWriter
	status int // 0 until the header is out
}

func (a *answerWriter) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answerWriter) WriteHeader(status int) {
	if a.status == 0 && status >= 200 { // 1xx is not the answer yet
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answerWriter) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// FlushError is what http.ResponseController looks for.
func (a *answerWriter) FlushError() error {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}
