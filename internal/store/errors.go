package store

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"apim-dr/internal/engine"
)

// Error is a call to Blob storage that did not succeed.
type Error struct {
	Op   string // create, read, replace, …
	Blob string // its name; a prefix for list, empty for all
	Kind error  // engine.ErrNotFound, ErrCondition, ErrNoContainer, engine.ErrCursor, engine.ErrImmutable; nil: out of reach, or refused
	Err  error  // the client's
}

// Error tells status and code of an answer, without its body: that of a refused signature repeats the request.
func (e *Error) Error() string {
	text := "blob storage: " + strings.TrimSpace(e.Op+" "+e.Blob) + ": "
	var answer *azcore.ResponseError
	switch {
	case e.Kind != nil:
		return text + e.Kind.Error()
	case !errors.As(e.Err, &answer):
		return text + e.Err.Error()
	}
	text += fmt.Sprintf("HTTP %d %s", answer.StatusCode, answer.ErrorCode)
	if answer.RawResponse != nil {
		if id := answer.RawResponse.Header.Get("x-ms-request-id"); id != "" {
			text += " (request " + id + ")"
		}
	}
	if answer.StatusCode == http.StatusForbidden {
		text += ": the identity needs the role Storage Blob Data Contributor there, and the storage firewall must let it in"
	}
	return text
}

// Unwrap gives kind and cause.
func (e *Error) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Err}
	}
	return []error{e.Kind, e.Err}
}

// immutableByHold is a code that azblob has no name for (Azure docs, "Blob service error codes").
const immutableByHold bloberror.Code = "BlobImmutableDueToLegalHold"

// failed wraps an error of azblob. The code decides and not the status: a 404 may mean the container and a 409 may mean anything.
func failed(op, blob string, err error) error {
	e := &Error{Op: op, Blob: blob, Err: err}
	switch {
	case bloberror.HasCode(err, bloberror.BlobNotFound):
		e.Kind = engine.ErrNotFound
	case bloberror.HasCode(err, bloberror.ContainerNotFound):
		e.Kind = ErrNoContainer
	case bloberror.HasCode(err, bloberror.BlobAlreadyExists, bloberror.ConditionNotMet):
		e.Kind = ErrCondition
	case bloberror.HasCode(err, bloberror.BlobImmutableDueToPolicy, immutableByHold):
		e.Kind = engine.ErrImmutable
	}
	return e
}
