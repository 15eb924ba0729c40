package handlers

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"apim-dr/internal/apicheck"
)

// api is held against every answer of these tests.
var (
	api   *apicheck.Checker
	wrong []string
)

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if api, err = apicheck.New(openAPI); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" { // all tests ran
		for _, missing := range api.Missing() {
			wrong = append(wrong, "described, but no test is answered so: "+missing)
		}
	}
	for _, w := range wrong {
		fmt.Fprintln(os.Stderr, "--- FAIL: openapi.json:", w)
		code = 1
	}
	os.Exit(code)
}

// serve answers a request, and holds the answer against the description.
func serve(h http.Handler, w *httptest.ResponseRecorder, r *http.Request) {
	sent, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(sent))
	h.ServeHTTP(w, r)
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return
	}
	if err := api.CheckAround(apicheck.Exchange{Method: r.Method, Path: r.URL.EscapedPath(), Sent: sent, Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}); err != nil {
		wrong = append(wrong, err.Error())
	}
}
