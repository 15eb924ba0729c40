package handlers

import (
	"reflect"
	"slices"
	"strings"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/principal"
)

// described is what the types of a route do not tell.
type described struct {
	summary string
	body    any            // zero value of the body's type
	needs   []string       // members that the body must have
	answers map[int]answer // without those that all routes share
}

type answer struct {
	text    string
	of      any      // zero value of what is encoded; nil: no body
	also    any      // another shape that it may have
	media   string   // with a string in it; empty: application/json
	headers []string // always there
}

var (
	begun = map[int]answer{
		202: {text: "It is begun, and goes its own way. Location is where it is followed.", of: operationView{}, headers: []string{"Location", "Retry-After"}},
		200: {text: "The operation that the same Idempotency-Key began, which has ended.", of: operationView{}, headers: []string{"Location"}},
	}
	recoveryBegun = map[int]answer{
		202: begun[202],
		200: {text: "Of a dry run, the plan: nothing was begun. Otherwise the operation that the same Idempotency-Key began, which has ended.", of: dryRunView{}, also: operationView{}},
	}
)

// routes by pattern.
var routes = map[string]described{
	"POST /api/backups":   {summary: "Back up one instance.", body: backupRequest{}, needs: []string{"service"}, answers: begun},
	"POST /api/restores":  {summary: "Overwrite an instance with a recovery point, its own or another's.", body: restoreRequest{}, needs: []string{"service"}, answers: recoveryBegun},
	"POST /api/failovers": {summary: "Make a standby the active instance. A failback is the same call with the names exchanged.", body: failoverRequest{}, needs: []string{"primary"}, answers: recoveryBegun},
	"POST /api/drills":    {summary: "Prove a recovery point in the drill instance.", body: drillRequest{}, needs: []string{"service"}, answers: recoveryBegun},
	"GET /api/operations/{id}": {summary: "One operation.", answers: map[int]answer{
		200: {text: "The operation. Retry-After is there while it is in flight.", of: operationView{}},
	}},
	"GET /api/operations": {summary: "What is in flight, or the operations of a day in pages.", answers: map[int]answer{200: {text: "The operations.", of: operationList{}}}},
	"POST /api/operations/{id}/abandon": {summary: "Give an operation up: its lock is free, Resource Manager may still be at work.", body: abandonRequest{}, needs: []string{"reason"},
		answers: map[int]answer{200: {text: "The operation, ended.", of: operationView{}}}},
	"POST /api/services/{name}/rearm": {summary: "Say which instance of the pairs serves production.", body: rearmRequest{}, needs: []string{"active"}, answers: map[int]answer{200: {text: "The pairs.", of: pairList{}}}},
	"PUT /api/services/{name}/hold":   {summary: "Keep scheduled work away from an instance.", body: holdRequest{}, needs: []string{"until", "reason"}, answers: map[int]answer{200: {text: "The hold, and the one that it replaces.", of: engine.Holding{}}}},
	"POST /api/services/{name}/release": {summary: "End a hold.", body: releaseRequest{}, answers: map[int]answer{
		200: {text: "The hold that is ended.", of: releaseView{}}, 204: {text: "There was none."},
	}},
	"GET /api/services/{name}/busy": {summary: "Whether an instance may be worked on.", answers: map[int]answer{200: {text: "What is known. Retry-After is there while it is busy.", of: engine.Busy{}}}},
	"GET /api/status": {summary: "Whether each service is protected, and what is in flight.", answers: map[int]answer{
		200: {text: "The status; with format=prometheus as gauges.", of: statusView{}, media: "text/plain"},
	}},
	"GET /api/recovery-points":                  {summary: "The recovery points of a service, the newest first.", answers: map[int]answer{200: {text: "The recovery points.", of: pointList{}}}},
	"GET /api/recovery-points/{id}/not-covered": {summary: "What a restore leaves to be done by hand.", answers: map[int]answer{200: {text: "In words, and what they are made of.", of: notCovered{}}}},
	"GET /api/dashboard":                        {summary: "A page that shows the status. It holds no data.", answers: map[int]answer{200: {text: "The page.", media: "text/html"}}},
	"GET /api/openapi.json":                     {summary: "This description.", answers: map[int]answer{200: {text: "OpenAPI 3.1.", of: object{}}}},
}

// queries by name. Whether a route knows one, the table says.
var queries = map[string]object{
	"day":      {"description": "The day, UTC; today without it.", "schema": object{"type": "string", "format": "date"}},
	"limit":    {"description": "How many at most; 50 without it, 200 of those in flight.", "schema": object{"type": "integer", "minimum": 1, "maximum": maxListLimit}},
	"inFlight": {"description": "true: those in flight, in place of a day's.", "schema": object{"type": "string", "enum": []any{"true", "false"}}},
	"after":    {"description": "Where a page begins: what nextLink holds.", "schema": object{"type": "string", "maxLength": maxAfter}},
	"format":   {"description": "prometheus: text for those who scrape.", "schema": object{"type": "string", "enum": []any{"json", "prometheus"}}},
	"service":  {"description": "Name of the service.", "required": true, "schema": object{"type": "string", "maxLength": maxName}},
	"prune":    {"description": "preview: tell what would be deleted now, and why.", "schema": object{"type": "string", "enum": []any{"preview"}}},
}

var errorTexts = map[int]string{
	400: "The call is not valid. errors has every mistake; nothing was begun.",
	401: "Who calls is not known: no key (then without a body), or no token.",
	403: "The token has no app role that may do this.",
	404: "There is none of that name.",
	409: "Not possible as things are. Without the right confirm, or with a check that fails, plan tells what would be done; nothing was begun.",
	413: "The body is too large.",
	415: "The body is not application/json in UTF-8.",
	422: "The Idempotency-Key stands for another body.",
	500: "A record cannot be read, or something that should not be. The log has more.",
	503: "Something that this needs cannot be reached. Try again after Retry-After.",
}

// errorsOf are the statuses that a route can refuse with.
func errorsOf(f Function, d described) []int {
	if f.Role == principal.Anybody {
		return []int{400}
	}
	list := []int{400, 401, 403}
	if d.body != nil {
		list = append(list, 413, 415)
	}
	if f.Name == "GetOpenAPI" {
		return list
	}
	if strings.Contains(f.Pattern, "{") || d.needs != nil || slices.Contains(f.Query, "service") {
		list = append(list, 404)
	}
	if d.body != nil && f.Name != "HoldService" && f.Name != "ReleaseService" {
		list = append(list, 409)
	}
	if _, ok := d.answers[202]; ok {
		list = append(list, 422)
	}
	return append(list, 500, 503)
}

// enums are the types whose values are few.
var enums = map[reflect.Type][]any{
	reflect.TypeFor[dr.Kind]():       {dr.KindBackup, dr.KindRestore, dr.KindFailover, dr.KindDrill},
	reflect.TypeFor[dr.Verb]():       {dr.VerbBackup, dr.VerbRestore},
	reflect.TypeFor[dr.Phase]():      {dr.Queued, dr.Starting, dr.Running, dr.Verifying, dr.Done},
	reflect.TypeFor[dr.Outcome]():    {dr.Succeeded, dr.Failed, dr.Rejected, dr.Unknown},
	reflect.TypeFor[dr.Grade]():      {dr.Pass, dr.Warn, dr.Fail, dr.Unseen},
	reflect.TypeFor[dr.Known]():      {dr.Yes, dr.Not, dr.NotKnown},
	reflect.TypeFor[dr.FinalMode]():  {dr.FinalNever, dr.FinalAuto, dr.FinalRequire},
	reflect.TypeFor[dr.PointState](): {dr.Good, dr.Unverified, dr.Deleting},
}
