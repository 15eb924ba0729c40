package handlers

import (
	_ "embed"
	"net/http"
)

// openAPI describes every HTTP function, OpenAPI 3.1. `go test ./handlers -run OpenAPI -update` makes it from the types that are encoded; tests hold it
// against every answer.
//
//go:embed openapi.json
var openAPI []byte

// getOpenAPI answers with the description of this API.
func (a *App) getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI) // the caller went away: nobody to tell
}
