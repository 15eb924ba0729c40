package handlers

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/invopop/jsonschema"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/principal"
)

type object = map[string]any

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
