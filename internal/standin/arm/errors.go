package arm

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Error is an error answer.
type Error struct {
	Status        int // HTTP status
	Code, Message string

	frontDoor  bool // from Resource Manager itself, not from API Management: without details, always inside "error"
	challenge  string
	retryAfter time.Duration
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// body is the error as the api-version shows it: API Management's own came without "error" around them up to 2019-01-01.
func (e *Error) body(version string) map[string]any {
	inner := map[string]any{"code": e.Code, "message": e.Message}
	if !e.frontDoor {
		inner["details"], inner["innerError"] = nil, nil
		if version != "" && version <= "2019-01-01" {
			return inner
		}
	}
	return map[string]any{"error": inner}
}

// ActivationFailed is the recorded failure of a create, told by its poll.
func ActivationFailed(correlation string, at time.Time) Error {
	return Error{Status: http.StatusBadRequest, Code: "ActivationFailed", Message: "Unable to activate API service at this time. Please open a support case for your API management service using the Azure portal.Please provide correlationId " +
		correlation + " and TimeStamp " + at.UTC().Format("1/2/2006 3:04:05 PM") + "."}
}

// SKUMismatch is the reported failure of a restore into another tier.
func SKUMismatch(current, backup string) Error {
	return restoreFailed(fmt.Sprintf("current SKU is '%s', backup SKU is '%s'", current, backup))
}

// BackupExpired is the documented failure of a restore more than 30 days after the backup.
func BackupExpired() Error { return restoreFailed("backup expired") }

func restoreFailed(why string) Error {
	return Error{Status: http.StatusBadRequest, Code: "RestoreFailed", Message: "Cannot restore: " + why}
}

func serviceLocked(name string) *Error { // recorded: no Retry-After
	return &Error{Status: http.StatusConflict, Code: "ServiceLocked", Message: fmt.Sprintf("The API Service %s is transitioning at this time. Please try the request again later.", name)}
}

func invalidParameter(why, name, value string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "InvalidParameters", Message: fmt.Sprintf("Invalid parameter: %s\r\nParameter name: %s (value: [%s])", why, name, value)}
}

func serviceNotFound(name string) *Error {
	return &Error{Status: http.StatusNotFound, Code: "ServiceNotFound", Message: "Api service does not exist: " + name}
}

func resourceNotFound(name, group string) *Error {
	return frontDoor(http.StatusNotFound, "ResourceNotFound", fmt.Sprintf("The Resource 'Microsoft.ApiManagement/service/%s' under resource group '%s' was not found.", name, group))
}

func pricingTier(sku string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "MethodNotAllowedInPricingTier", Message: fmt.Sprintf("Method not allowed in %s pricing tier", sku)}
}

func frontDoor(status int, code, message string) *Error {
	return &Error{Status: status, Code: code, Message: message, frontDoor: true}
}

// unauthorized is a 401 with the challenge that names the login endpoint.
func unauthorized(code, message string) *Error {
	e := frontDoor(http.StatusUnauthorized, code, message)
	e.challenge = fmt.Sprintf(`Bearer authorization_uri="https://login.windows.net/", error="invalid_token", error_description="%s"`, strings.ReplaceAll(message, `"`, `'`))
	return e
}

func throttled(after time.Duration) *Error {
	e := frontDoor(http.StatusTooManyRequests, "SubscriptionRequestsThrottled", fmt.Sprintf("Number of requests for the subscription exceeded its limit. Please try again after '%s' seconds.", seconds(after)))
	e.retryAfter = after
	return e
}

// seconds is a duration as Retry-After shows it: whole seconds, rounded up.
func seconds(d time.Duration) string {
	return fmt.Sprint(int64((d + time.Second - 1) / time.Second))
}
