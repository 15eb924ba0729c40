package funchost

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strconv"
)

// identityPath is where App Service's managed-identity endpoint is served to the handler.
const identityPath = "/msi/token"

// serveToken answers as App Service does for api-version 2019-08-01.
func (h *Host) serveToken(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	resource, clientID := q.Get("resource"), q.Get("client_id")
	status, why := http.StatusBadRequest, ""
	switch {
	case subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Identity-Header")), []byte(h.identityHeader)) != 1:
		status, why = http.StatusUnauthorized, "X-IDENTITY-HEADER is missing or wrong"
	case r.Method != http.MethodGet || q.Get("api-version") != "2019-08-01" || resource == "":
		why = "accepted: GET with api-version=2019-08-01 and a resource"
	}
	var answer any = map[string]any{"statusCode": status, "message": why}
	if why == "" {
		token, expires, err := h.opts.Token(r.Context(), resource, clientID)
		if err != nil {
			answer = map[string]any{"statusCode": status, "message": err.Error()}
		} else {
			status = http.StatusOK
			answer = map[string]string{
				"access_token": token, "expires_on": strconv.FormatInt(expires.Unix(), 10), "resource": resource, "token_type": "Bearer", "client_id": clientID,
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // when the handler is gone nobody is left to tell
}
