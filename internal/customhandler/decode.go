package customhandler

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// DecodeJSON reads the body of r into v, a pointer to a struct whose current values are the defaults. It returns nil, or a Problem
// for WriteProblem that names the field and what is accepted; v is then undefined. The statuses are 413 for a body over
// Options.HTTPBodyLimit (over 1 MiB outside a Router), 415 for a Content-Type other than application/json in UTF-8, and 400 for an
// empty body, one that is not a single JSON object in valid UTF-8, a wrong type, an unknown field or one that is given twice: whoever looked at it before may
// have taken the other. Names are matched without regard to case, as encoding/json does. It panics if v is no pointer to a struct.
func DecodeJSON(r *http.Request, v any) *Problem {
	t := reflect.TypeOf(v).Elem()
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("customhandler: DecodeJSON wants a pointer to a struct, got %T", v))
	}
	body, p := readBody(r)
	if p != nil {
		return p
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return explain(err, body, t)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badRequest("the body goes on after the JSON object; send one object and nothing else")
	}
	if name := twice(json.NewDecoder(bytes.NewReader(body))); name != "" {
		return wrongField(name, "is given twice; give it once")
	}
	return nil
}

// twice finds a member that an object of valid JSON has more than once; "" when there is none.
func twice(dec *json.Decoder) string {
	var around []map[string]bool // the members so far of the objects around; nil: of an array
	isName := false
	for {
		token, err := dec.Token()
		if err != nil {
			return ""
		}
		switch token {
		case json.Delim('{'):
			around, isName = append(around, map[string]bool{}), true
			continue
		case json.Delim('['):
			around, isName = append(around, nil), false
			continue
		case json.Delim('}'), json.Delim(']'):
			around = around[:len(around)-1]
		default:
			if name, ok := token.(string); ok && isName {
				members, folded := around[len(around)-1], strings.Map(fold, name)
				if members[folded] {
					return name
				}
				members[folded], isName = true, false
				continue
			}
		}
		isName = len(around) > 0 && around[len(around)-1] != nil // a value has ended
	}
}

// fold is the least of the letters that encoding/json takes for the same (Unicode's simple folding: K, k and the Kelvin sign).
func fold(c rune) rune {
	least := c
	for next := unicode.SimpleFold(c); next != c; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

// readBody returns a body that is worth decoding.
func readBody(r *http.Request) ([]byte, *Problem) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, MaxEnvelope))
	media, params, mediaErr := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var tooLarge *http.MaxBytesError
	switch trimmed := string(bytes.TrimSpace(body)); {
	case errors.As(err, &tooLarge):
		return nil, &Problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
	case err != nil:
		return nil, badRequest("the body could not be read to its end")
	case trimmed == "" || trimmed == "null":
		return nil, badRequest("the body is empty; send a JSON object")
	case mediaErr != nil || media != "application/json" || !strings.EqualFold(cmp.Or(params["charset"], "utf-8"), "utf-8") ||
		r.Header.Get("Content-Encoding") != "":
		return nil, &Problem{Status: http.StatusUnsupportedMediaType, Detail: "send the body as Content-Type: application/json in UTF-8, without Content-Encoding"}
	case !utf8.Valid(body):
		return nil, badRequest("the body is not valid UTF-8")
	}
	return body, nil
}

// explain turns an error of encoding/json into a Problem. t is the struct that was decoded into.
func explain(err error, body []byte, t reflect.Type) *Problem {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field == "":
		return badRequest("the body must be a JSON object, not " + wrongType.Value)
	case errors.As(err, &wrongType):
		return wrongField(withoutEmbedded(wrongType.Field, t), "must be "+accepted(wrongType.Type)+", not "+wrongType.Value)
	case errors.As(err, &syntax):
		return badRequest(fmt.Sprintf("the body is not valid JSON: %v, at byte %d", err, syntax.Offset))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest("the body is not valid JSON: it ends early")
	}
	// What is left has neither type nor place: a field's own UnmarshalJSON failed, or the field is unknown (golang/go#29035; a test
	// notices if that text changes). Decoding the fields one by one tells where.
	var top map[string]json.RawMessage
	json.Unmarshal(body, &top)
	known := jsonFields(t)
	field, unknown := strings.CutPrefix(err.Error(), "json: unknown field ")
	if field = strings.Trim(field, `"`); unknown && top[field] != nil {
		return wrongField(field, "is not known; accepted are "+strings.Join(sortedKeys(known), ", "))
	} else if unknown {
		return wrongField(field, "is not known")
	}
	for _, name := range sortedKeys(top) {
		one, _ := json.Marshal(map[string]json.RawMessage{name: top[name]})
		if err := json.Unmarshal(one, reflect.New(t).Interface()); err != nil {
			return wrongField(name, "must be "+accepted(known[name])+": "+err.Error())
		}
	}
	return badRequest("a value in the body is not accepted: " + err.Error())
}

// withoutEmbedded drops the Go names of structs embedded in t from the path that encoding/json tells: the body has no such level.
func withoutEmbedded(path string, t reflect.Type) string {
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous && f.Tag.Get("json") == "" {
			path = strings.TrimPrefix(path, f.Name+".")
		}
	}
	return path
}

func badRequest(detail string) *Problem {
	return &Problem{Status: http.StatusBadRequest, Detail: detail}
}

func wrongField(field, detail string) *Problem {
	return &Problem{Status: http.StatusBadRequest, Detail: field + " " + detail, Errors: []FieldError{{Field: field, Detail: detail}}}
}

// jsonFields returns the types of t's fields by their JSON names.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && !f.Anonymous && name != "-" {
			fields[cmp.Or(name, f.Name)] = f.Type
		}
	}
	return fields
}

// accepted says in words what JSON a value of type t takes; t may be nil.
func accepted(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return "a valid value"
	}
	switch k := t.Kind(); {
	case t == reflect.TypeFor[time.Time]():
		return "a time as in RFC 3339, such as 2026-01-31T02:00:00Z"
	case k == reflect.String:
		return "a string"
	case k == reflect.Bool:
		return "true or false"
	case k >= reflect.Int && k <= reflect.Int64:
		return "a whole number"
	case k >= reflect.Uint && k <= reflect.Uint64:
		return "a whole number from 0 on"
	case k == reflect.Float32 || k == reflect.Float64:
		return "a number"
	case k == reflect.Slice || k == reflect.Array:
		return "an array"
	case k == reflect.Struct || k == reflect.Map:
		return "an object"
	}
	return "a valid value"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
