package apim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"apim-dr/internal/dr"
)

// refusal is an answer that is no success: its Retry, Error and Reason. named: ARM gave a code.
func (c *Client) refusal(r reply) (a dr.Answer, named bool) {
	a.Retry = c.retryAfter(r.header)
	a.Error, named = r.failure()
	a.Reason = reason(a.Error)
	return a, named
}

func reason(e *dr.Error) string { return clip(fmt.Sprintf("%d %s", e.Status, e)) }

// started turns the answer to the POST of a verb into a verdict.
func (c *Client) started(r reply, verb dr.Verb) dr.Answer {
	if r.status/100 == 2 { // 202; the others are not documented
		if location := c.next(r.header, ""); location != "" {
			return dr.Answer{Verdict: dr.Still, Location: location, Retry: c.retryAfter(r.header)}
		}
		return dr.Answer{Verdict: dr.Lost, Reason: fmt.Sprintf("ARM answered %d without a Location on %s", r.status, c.base)}
	}
	a, _ := c.refusal(r)
	switch {
	case r.status == http.StatusTooManyRequests, r.status == http.StatusConflict && transient(a.Error):
		a.Verdict = dr.Later
	case r.status == http.StatusRequestTimeout, r.status < 400, r.status >= 500:
		a.Verdict = dr.Lost
	default:
		if a.Verdict = dr.No; r.status == http.StatusForbidden {
			a.Error.Message += fmt.Sprintf(" (Give the identity of apim-dr Microsoft.ApiManagement/service/%s/action on the instance.)", verb)
		}
	}
	return a
}

// transient tells a 409 that passes from one that stays. ServiceLocked is recorded; PessimisticConcurrencyConflict is reported in
// Azure/apiops#379; that AnotherOperationInProgress may come is a guess. ScopeLocked stays until somebody removes the lock.
func transient(e *dr.Error) bool {
	switch strings.ToLower(e.Code) {
	case "servicelocked", "pessimisticconcurrencyconflict", "anotheroperationinprogress":
		return true
	case "scopelocked":
		return false
	}
	return strings.Contains(e.Message, "is transitioning")
}

// checked turns the answer to a GET of location into a verdict.
func (c *Client) checked(r reply, location string) dr.Answer {
	switch r.status {
	case http.StatusAccepted:
		return dr.Answer{Verdict: dr.Still, Location: c.next(r.header, location), Retry: c.retryAfter(r.header)}
	case http.StatusOK, http.StatusNoContent:
		return c.settled(r, location)
	}
	a, named := c.refusal(r)
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
func (c *Client) settled(r reply, location string) dr.Answer {
	a := dr.Answer{Retry: c.retryAfter(r.header)}
	d, err := r.parse()
	if err != nil { // a proxy's page, or cut off: neither is ARM's word
		a.Verdict, a.Reason = dr.Later, fmt.Sprintf("HTTP %d: %v", r.status, err)
		return a
	}
	a.Service, _ = r.view(d)
	switch state := d.state(); strings.ToLower(state) {
	case "", "succeeded":
		a.Verdict, a.Reason = dr.OK, strings.TrimSpace(fmt.Sprint(r.status, " ", state))
	case "failed", "canceled", "cancelled":
		a.Verdict, a.Error = dr.No, r.words(d)
		if a.Error.Code == "" {
			a.Error.Code = state
		}
		if a.Error.Message == "" {
			a.Error.Message = "ARM gave no reason"
		}
		a.Reason = reason(a.Error)
	default:
		a.Verdict, a.Location, a.Reason = dr.Still, c.next(r.header, location), r.upTo(maxReason, state)
	}
	return a
}

// aboutTheGet tells whether an error speaks of the request for the operation's result and not of the operation. What ARM's front door
// answered, before the service heard of it, has x-ms-failure-cause: gateway (recorded on a 404; its meaning is inferred).
func aboutTheGet(e *dr.Error, h http.Header) bool {
	code := strings.ToLower(e.Code)
	return strings.EqualFold(h.Get("x-ms-failure-cause"), "gateway") || strings.Contains(code, "apiversion") || slices.Contains([]string{
		"invalidresourcetype", "invalidresourcenamespace", "noregisteredproviderfound", "missingsubscription", "invalidsubscriptionid",
		"resourcenotfound", "servicenotfound", "invalidrequesturi", "authorizationfailed", "authenticationfailed", "malformedrequest"}, code)
}

// advice is what a person can do about an instance that ARM does not show.
var advice = map[int]string{
	http.StatusNotFound: " (Check the instance's id in the fleet: subscription, resource group, name. If the instance was deleted, take it out.)",
	http.StatusForbidden: " (Give the identity of apim-dr Microsoft.ApiManagement/service/read, …/backup/action and …/operationresults/read on the instance, " +
		"and …/restore/action where it is to be restored into.)",
	http.StatusUnauthorized: " (Check the identity of apim-dr, its tenant and the ARM audience.)",
}

// read turns the answer to a GET of an instance into a verdict.
func (c *Client) read(r reply) dr.Answer {
	if r.status/100 == 2 {
		d, _ := r.parse()
		if view, ok := r.view(d); ok && r.status == http.StatusOK {
			view.Settings.Resource = r.stripped()
			return dr.Answer{Verdict: dr.OK, Service: view}
		}
		return dr.Answer{Verdict: dr.Later, Reason: fmt.Sprintf("HTTP %d, but no API Management instance in it", r.status)}
	}
	return c.unread(r, advice)
}

// unread turns the answer to a GET that shows nothing into a verdict.
func (c *Client) unread(r reply, advice map[int]string) dr.Answer {
	a, _ := c.refusal(r)
	switch {
	case r.status == http.StatusRequestTimeout, r.status == http.StatusConflict, r.status == http.StatusTooManyRequests, r.status < 400, r.status >= 500:
		a.Verdict = dr.Later
	default:
		a.Verdict = dr.No
		a.Error.Message += advice[r.status]
	}
	return a
}
