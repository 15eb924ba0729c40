package apim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"apim-dr/internal/dr"
)

// started turns the answer to a POST into a verdict.
func (c *Client) started(r reply) dr.Answer {
	a := dr.Answer{Retry: c.retryAfter(r.header), Location: c.next(r.header)}
	if r.status >= 200 && r.status < 300 {
		switch {
		case a.Location != "":
			a.Verdict = dr.Still
		case r.status == http.StatusAccepted:
			a.Verdict, a.Reason = dr.Lost, "ARM accepted it but named no Location on "+c.end.base
		default:
			a.Verdict, a.Reason = dr.Lost, fmt.Sprintf("ARM answered %d, which is not documented for this call", r.status)
		}
		return a
	}
	a.Location = ""
	a.Error, _ = r.failure()
	a.Reason = reason(a.Error)
	switch {
	case r.status == http.StatusTooManyRequests:
		a.Verdict = dr.Later
	case r.status == http.StatusConflict && transient(a.Error):
		a.Verdict = dr.Later
	case r.status == http.StatusRequestTimeout || r.status < 400 || r.status >= 500:
		a.Verdict = dr.Lost
	default:
		a.Verdict = dr.No
	}
	return a
}

// transient tells a 409 that passes from one that stays. ServiceLocked is recorded; PessimisticConcurrencyConflict is reported in
// Azure/apiops#379; AnotherOperationInProgress is ARM's general code. ScopeLocked stays until somebody removes the lock.
func transient(e *dr.Error) bool {
	switch strings.ToLower(e.Code) {
	case "servicelocked", "pessimisticconcurrencyconflict", "anotheroperationinprogress":
		return true
	case "scopelocked":
		return false
	}
	return strings.Contains(e.Message, "transitioning") || strings.Contains(e.Message, "request again later")
}

// checked turns the answer to a GET of location into a verdict.
func (c *Client) checked(r reply, location string) dr.Answer {
	a := dr.Answer{Retry: c.retryAfter(r.header)}
	switch r.status {
	case http.StatusAccepted:
		a.Verdict, a.Location = dr.Still, c.nextOr(r.header, location)
		return a
	case http.StatusOK, http.StatusNoContent:
		return c.settled(a, r, location)
	}
	var named bool
	a.Error, named = r.failure()
	a.Reason = reason(a.Error)
	switch {
	case r.status == http.StatusBadRequest || r.status == http.StatusUnprocessableEntity:
		// An operation that failed answers 400 on its poll with the operation's error (recorded: ActivationFailed). A 400 without a code,
		// or about the GET, says nothing about it.
		if a.Verdict = dr.No; !named || aboutTheGet(a.Error, r.header) {
			a.Verdict = dr.Refused
		}
	case slices.Contains([]int{http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests}, r.status),
		r.status < 300, r.status >= 500:
		a.Verdict = dr.Later
	default: // 403 (azure-powershell#26536: the backup itself succeeds), 404, a redirect, and what no rule knows
		a.Verdict = dr.Refused
	}
	return a
}

// settled reads a 200 or 204: the state in the body, if there is one, overrides the status.
func (c *Client) settled(a dr.Answer, r reply, location string) dr.Answer {
	d, err := r.parse()
	if err != nil { // a proxy's page, or cut off: neither is ARM's word
		a.Verdict, a.Reason = dr.Later, fmt.Sprintf("HTTP %d: %v", r.status, err)
		return a
	}
	a.Service, _ = d.view(r.header)
	switch state := d.state(); strings.ToLower(state) {
	case "":
		a.Verdict, a.Reason = dr.OK, fmt.Sprintf("%d", r.status)
	case "succeeded":
		a.Verdict, a.Reason = dr.OK, fmt.Sprintf("%d %s", r.status, state)
	case "failed", "canceled", "cancelled":
		a.Verdict = dr.No
		if a.Error = r.words(d); a.Error == nil {
			a.Error = &dr.Error{Source: "arm", Status: r.status, Message: fmt.Sprintf("ARM ended the operation as %s and gave no reason", state)}
		}
		if a.Error.Code == "" {
			a.Error.Code = state
		}
		a.Reason = reason(a.Error)
	default:
		a.Verdict, a.Location, a.Reason = dr.Still, c.nextOr(r.header, location), clip(state)
	}
	return a
}

func (c *Client) nextOr(h http.Header, location string) string {
	if next := c.next(h); next != "" {
		return next
	}
	return location
}

// aboutTheGet tells whether an error speaks of the request for the operation's result and not of the operation. ARM marks what its
// front door answered, before the service heard of it, with x-ms-failure-cause: gateway (recorded).
func aboutTheGet(e *dr.Error, h http.Header) bool {
	if strings.EqualFold(h.Get("x-ms-failure-cause"), "gateway") {
		return true
	}
	switch code := strings.ToLower(e.Code); code {
	case "invalidresourcetype", "noregisteredproviderfound", "invalidresourcenamespace", "missingsubscription", "invalidsubscriptionid",
		"subscriptionnotfound", "resourcegroupnotfound", "resourcenotfound", "servicenotfound", "invalidrequesturi", "invaliduri",
		"authorizationfailed", "authenticationfailed", "malformedrequest":
		return true
	default:
		return strings.Contains(code, "apiversion")
	}
}

// read turns the answer to a GET of an instance into a verdict.
func (c *Client) read(r reply) dr.Answer {
	a := dr.Answer{Retry: c.retryAfter(r.header)}
	if r.status == http.StatusOK {
		d, err := r.parse()
		if view, ok := d.view(r.header); err == nil && ok {
			a.Verdict, a.Service = dr.OK, view
			return a
		}
		a.Verdict, a.Reason = dr.Later, "HTTP 200, but no API Management instance in it"
		return a
	}
	a.Error, _ = r.failure()
	a.Reason = reason(a.Error)
	switch {
	case r.status == http.StatusRequestTimeout, r.status == http.StatusConflict, r.status == http.StatusTooManyRequests, r.status < 400, r.status >= 500:
		a.Verdict = dr.Later
	default:
		a.Verdict = dr.No
		a.Error.Message += advice(r.status)
	}
	return a
}

// advice is what a person can do about an instance that ARM does not show.
func advice(status int) string {
	switch status {
	case http.StatusNotFound:
		return " (Check the instance's id in the fleet: subscription, resource group, name. If the instance was deleted, take it out.)"
	case http.StatusForbidden:
		return " (Give the identity of apim-dr Microsoft.ApiManagement/service/read, …/backup/action and …/restore/action on the instance.)"
	case http.StatusUnauthorized:
		return " (Check the identity of apim-dr, its tenant and the ARM audience.)"
	}
	return ""
}

func reason(e *dr.Error) string { return clip(fmt.Sprintf("%d %s", e.Status, e)) }
