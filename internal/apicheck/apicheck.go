// Package apicheck holds exchanges against a description of the API (OpenAPI 3.1). It is for tests.
package apicheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Checker knows one description. It is safe for concurrent use.
type Checker struct {
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	routes   []route
	seen     map[string]bool // answers, as "GET /api/x 200 application/json"
}

type route struct {
	method, path string
	pattern      *regexp.Regexp
	at           string // pointer to its description
	operation
}

type operation struct {
	RequestBody struct {
		Content map[string]any
	}
	Responses map[string]struct {
		Ref     string `json:"$ref"`
		Headers map[string]struct{ Required bool }
		Content map[string]any
	}
}

// where a description stands, as far as references in it go.
const where = "https://apim-dr.example/description.json"

// New reads a description. So that nothing goes undescribed, an object in an answer may have no member that its schema does not name.
func New(description []byte) (*Checker, error) {
	var typed struct {
		OpenAPI    string
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Responses map[string]json.RawMessage }
	}
	if err := json.Unmarshal(description, &typed); err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(description))
	if err != nil {
		return nil, err
	}
	if schemas, ok := at(document, "components", "schemas").(map[string]any); ok {
		for _, s := range schemas {
			closed(s)
		}
	}
	c := &Checker{compiler: jsonschema.NewCompiler(), seen: map[string]bool{}}
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource(where, document); err != nil {
		return nil, err
	}
	for path, methods := range typed.Paths {
		for method, raw := range methods {
			r := route{method: strings.ToUpper(method), path: path, at: "/paths/" + escape(path) + "/" + method}
			if err := json.Unmarshal(raw, &r.operation); err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			for status, answer := range r.Responses {
				if name, ok := strings.CutPrefix(answer.Ref, "#/components/responses/"); ok {
					if err := json.Unmarshal(typed.Components.Responses[name], &answer); err != nil {
						return nil, fmt.Errorf("%s: %w", answer.Ref, err)
					}
					r.Responses[status] = answer
				}
			}
			r.pattern = regexp.MustCompile("^" + regexp.MustCompile(`\\\{[^/]*\\\}`).ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
			c.routes = append(c.routes, r)
		}
	}
	return c, nil
}

func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

// closed refuses members without a description, where an object names any.
func closed(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		if _, named := s["properties"]; named && s["additionalProperties"] == nil {
			s["additionalProperties"] = false
		}
		for keyword, part := range s {
			switch keyword {
			case "if", "then", "else", "not": // of an object that is described beside them
			default:
				closed(part)
			}
		}
	case []any:
		for _, part := range s {
			closed(part)
		}
	}
}

// Exchange is one call and its answer.
type Exchange struct {
	Method, Path string // escaped, without the query
	Sent         []byte // the body; empty: none
	Status       int
	Header       http.Header
	Body         []byte
}

// Check tells what of an exchange is not as described. Calls that no route takes, which have no description, are passed over.
func (c *Checker) Check(x Exchange) error { return c.check(x, true) }

// CheckAround is Check without the body of a success: for tests whose operations are made up.
func (c *Checker) CheckAround(x Exchange) error { return c.check(x, x.Status >= 400) }

func (c *Checker) check(x Exchange, bodies bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.routes, func(r route) bool { return r.method == x.Method && r.pattern.MatchString(x.Path) })
	if i < 0 {
		if x.Status == http.StatusNotFound || x.Status == http.StatusMethodNotAllowed {
			return nil
		}
		return fmt.Errorf("%s %s is not described, and was answered %d", x.Method, x.Path, x.Status)
	}
	r := c.routes[i]
	name := fmt.Sprintf("%s %s", r.method, r.path)
	answer, ok := r.Responses[strconv.Itoa(x.Status)]
	if !ok {
		return fmt.Errorf("%s: no answer with status %d is described: %s", name, x.Status, x.Body)
	}
	for header, h := range answer.Headers {
		if h.Required && x.Header.Get(header) == "" {
			return fmt.Errorf("%s %d: without %s", name, x.Status, header)
		}
	}
	if x.Status == http.StatusUnauthorized && len(x.Body) == 0 { // the host's, for want of a key
		return nil
	}
	media, _, _ := mime.ParseMediaType(x.Header.Get("Content-Type"))
	if _, ok := answer.Content[media]; !ok && (len(answer.Content) > 0 || len(x.Body) > 0) {
		return fmt.Errorf("%s %d: the content type %q is not described", name, x.Status, media)
	}
	c.seen[fmt.Sprintf("%s %d %s", name, x.Status, media)] = true
	if x.Status < 300 && len(x.Sent) > 0 && len(r.RequestBody.Content) > 0 {
		if err := c.valid(r.at+"/requestBody/content/application~1json/schema", withoutNulls(x.Sent)); err != nil {
			return fmt.Errorf("%s: the body %s was accepted: %w", name, x.Sent, err)
		}
	}
	if !bodies || !strings.HasSuffix(media, "json") {
		return nil
	}
	place := r.at + "/responses/" + strconv.Itoa(x.Status)
	if answer.Ref != "" {
		place = strings.TrimPrefix(answer.Ref, "#")
	}
	if err := c.valid(place+"/content/"+escape(media)+"/schema", x.Body); err != nil {
		return fmt.Errorf("%s %d: %s: %w", name, x.Status, x.Body, err)
	}
	return nil
}

// withoutNulls is an object without the members that are null, which are accepted as if they were not there.
func withoutNulls(body []byte) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return body
	}
	maps.DeleteFunc(members, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
	b, err := json.Marshal(members)
	if err != nil {
		return body
	}
	return b
}

func (c *Checker) valid(pointer string, body []byte) error {
	schema, err := c.compiler.Compile(where + "#" + pointer)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// Missing lists the answers that are described and that no checked exchange had.
func (c *Checker) Missing() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	described := map[string]bool{}
	for _, r := range c.routes {
		for status, answer := range r.Responses {
			if len(answer.Content) == 0 {
				described[fmt.Sprintf("%s %s %s ", r.method, r.path, status)] = true
			}
			for media := range answer.Content {
				described[fmt.Sprintf("%s %s %s %s", r.method, r.path, status, media)] = true
			}
		}
	}
	for name := range c.seen {
		delete(described, name)
	}
	return slices.Sorted(maps.Keys(described))
}
