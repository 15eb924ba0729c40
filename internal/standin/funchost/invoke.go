package funchost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/google/uuid"
)

// version is what the handler sees of the host in its headers.
const version = "4.0.0-standin"

// answer is what a handler says in the envelope protocol.
type answer struct {
	Outputs     map[string]json.RawMessage
	Logs        []string
	ReturnValue json.RawMessage
}

// result is how an invocation ended.
type result struct {
	status int // of the handler; 0 without an answer
	answer answer
	err    error
}

// run wraps one invocation in its events, id and timeout. ctx must not be a caller's: the host never passes a cancellation on.
func (h *Host) run(ctx context.Context, f *function, messageID string, do func(ctx context.Context, id string) result) (res result) {
	if h.app.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, h.app.timeout, fmt.Errorf("%s: %w (%s)", f.name, ErrTimeout, h.app.timeout))
		defer cancel()
	}
	begun := h.opts.Now()
	e := Event{Kind: InvocationStarted, Function: f.name, InvocationID: uuid.NewString(), MessageID: messageID}
	h.event(e)
	res.err = errors.New("the connection broke while the answer was passed on") // stands when do panics
	defer func() {
		if res.err != nil && ctx.Err() != nil {
			if res.err = context.Cause(ctx); errors.Is(res.err, ErrTimeout) {
				h.recycle()
			}
		}
		e.Kind, e.Duration, e.Status, e.Logs, e.Err = InvocationEnded, h.opts.Now().Sub(begun), res.status, res.answer.Logs, res.err
		if e.Err != nil {
			h.opts.Log.Error("function failed", "function", f.name, "invocation", e.InvocationID, "error", e.Err)
		}
		h.event(e)
	}()
	return do(ctx, e.InvocationID)
}

// invoke runs a function by the envelope protocol.
func (h *Host) invoke(ctx context.Context, f *function, messageID string, body envelope) result {
	return h.run(ctx, f, messageID, func(ctx context.Context, id string) result {
		res := h.post(ctx, f, id, body)
		for _, line := range res.answer.Logs {
			h.opts.Output(StreamLogs, line)
		}
		return res
	})
}

func (h *Host) post(ctx context.Context, f *function, id string, body envelope) result {
	w, err := h.acquire(ctx)
	if err != nil {
		return result{err: err}
	}
	// A reader of unknown length makes the request chunked, as captured from the real host.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.addr+"/"+f.name, io.MultiReader(bytes.NewReader(body.encode())))
	if err != nil {
		return result{err: err}
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Azure-Functions-Host/"+version)
	stamp(req.Header, id)
	res, err := h.client.Do(req)
	if err != nil {
		return result{err: fmt.Errorf("invoke %s: %w", f.name, err)}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	out := result{status: res.StatusCode}
	raw = bytes.TrimSpace(raw)
	kind := res.Header.Get("Content-Type")
	mediaType, _, _ := mime.ParseMediaType(kind)
	switch {
	case err != nil:
		out.err = fmt.Errorf("read the answer of %s: %w", f.name, err)
	case res.StatusCode/100 != 2:
		out.err = fmt.Errorf("%s answered %d", f.name, res.StatusCode) // outputs and logs are discarded
	case len(raw) == 0 || string(raw) == "null":
		<-ctx.Done() // the real host never completes this invocation
		out.err = ctx.Err()
	case mediaType != "application/json":
		out.err = fmt.Errorf("%s answered with Content-Type %q; the host reads application/json only", f.name, kind)
	default:
		if err := json.Unmarshal(raw, &out.answer); err != nil {
			out.answer, out.err = answer{}, fmt.Errorf("the answer of %s cannot be read: %w", f.name, err)
		}
	}
	return out
}

// stamp sets the headers every request to the handler carries. A traceparent from outside is kept.
func stamp(header http.Header, id string) {
	header.Set("X-Azure-Functions-InvocationId", id)
	header.Set("X-Azure-Functions-HostVersion", version)
	if header.Get("Traceparent") == "" {
		trace, span := uuid.New(), uuid.New()
		header.Set("Traceparent", fmt.Sprintf("00-%x-%x-00", trace[:], span[:8]))
	}
}
