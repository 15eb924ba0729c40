package arm

import (
	"fmt"
	"net/http"
	"time"
)

// Error is an error answer.
type Error struct {
	Status        int // HTTP status
	Code, Message string

	target     string // of a ValidationError: which parameter
	frontDoor  bool   // from Resource Manager itself, not from API Management: without details, always inside "error"
	retryAfter time.Duration
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// body is the error as the api-version shows it: API Management's own came without "error" around them up to 2019-01-01.
func (e *Error) body(version string) map[string]any {
	inner := map[string]any{"code": e.Code, "message": e.Message}
	if !e.frontDoor {
		inner["details"], inner["innerError"] = nil, nil
		if e.target != "" { // reported: the message itself says nothing
			inner = map[string]any{"code": e.Code, "message": "One or more fields contain incorrect values:",
				"details": []any{map[string]any{"code": e.Code, "target": e.target, "message": e.Message}}}
		}
		if version != "" && version <= "2019-01-01" {
			return inner
		}
	}
	return map[string]any{"error": inner}
}

func badRequest(code, text string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: code, Message: fmt.Sprintf(text, args...)}
}

func invalidParameter(why, name, value string) *Error {
	return badRequest("InvalidParameters", "Invalid parameter: %s\r\nParameter name: %s (value: [%s])", why, name, value)
}

// invalid is API Management's error for a parameter.
func invalid(target, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "ValidationError", Message: message, target: target}
}

func frontDoor(status int, code, text string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(text, args...), frontDoor: true}
}

func serviceLocked(name string) *Error { // recorded: no Retry-After
	return &Error{Status: http.StatusConflict, Code: "ServiceLocked", Message: "The API Service " + name + " is transitioning at this time. Please try the request again later."}
}

func notInTier(sku string) *Error {
	return badRequest("MethodNotAllowedInPricingTier", "Method not allowed in %s pricing tier", sku)
}

// ActivationFailed is the recorded failure of a create, told by its poll.
func ActivationFailed(correlation string, at time.Time) *Error {
	return badRequest("ActivationFailed", "Unable to activate API service at this time. Please open a support case for your API management service using the Azure portal."+
		"Please provide correlationId %s and TimeStamp %s.", correlation, at.UTC().Format("1/2/2006 3:04:05 PM"))
}

// SKUMismatch is the reported failure of a restore into another tier.
func SKUMismatch(current, backup string) *Error {
	return badRequest("RestoreFailed", "Cannot restore: current SKU is '%s', backup SKU is '%s'", current, backup)
}

// BackupExpired is the failure of a restore more than 30 days after the backup.
func BackupExpired() *Error { return badRequest("RestoreFailed", "Cannot restore: backup expired") }
