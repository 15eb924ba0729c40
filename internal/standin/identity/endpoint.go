package identity

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// ExchangeAudience is the audience a federated workload's assertion must have. Source: Entra's documentation of workload identity federation.
const ExchangeAudience = "api://AzureADTokenExchange"

// resource finds the resource in a scope such as "https://management.azure.com/.default openid offline_access".
var resource = regexp.MustCompile(`(\S+)/\.default(?:\s|$)`)

// App is an application that may ask the token endpoint for tokens.
type App struct {
	ClientID string
	Secret   string // empty: it has none
	// Subject (the client id given to Issue) is that of the assertions it may exchange, tokens of this Issuer for ExchangeAudience; empty: none.
	Subject string
}

// Register makes an application known, in place of an earlier one with the same id.
func (i *Issuer) Register(a App) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.apps[a.ClientID] = a
}

// TokenEndpoint serves instance discovery, the OpenID configuration and the client-credentials grant for any tenant, as
// login.microsoftonline.com does. Clients insist on TLS.
func (i *Issuer) TokenEndpoint() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /common/discovery/instance", i.discovery)
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", i.configuration)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", i.token)
	return mux
}

func (i *Issuer) discovery(w http.ResponseWriter, r *http.Request) {
	tenant, _, _ := strings.Cut(strings.TrimPrefix(r.FormValue("authorization_endpoint"), "https://"+r.Host+"/"), "/")
	answer(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": "https://" + r.Host + "/" + tenant + "/v2.0/.well-known/openid-configuration",
		"metadata":                  []any{map[string]any{"preferred_network": r.Host, "preferred_cache": r.Host, "aliases": []string{r.Host}}},
	})
}

func (i *Issuer) configuration(w http.ResponseWriter, r *http.Request) {
	tenant := "https://" + r.Host + "/" + r.PathValue("tenant")
	answer(w, http.StatusOK, map[string]any{
		"issuer": tenant + "/v2.0", "authorization_endpoint": tenant + "/oauth2/v2.0/authorize", "token_endpoint": tenant + "/oauth2/v2.0/token",
	})
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	id := r.PostFormValue("client_id")
	i.mu.Lock()
	app, known := i.apps[id]
	i.mu.Unlock()
	audience := resource.FindStringSubmatch(r.PostFormValue("scope"))
	grant := r.PostFormValue("grant_type")
	status, name, code, text := http.StatusBadRequest, "", 0, ""
	switch {
	case grant != "client_credentials":
		name, code, text = "unsupported_grant_type", 70003, fmt.Sprintf("The app requested an unsupported grant type '%s'.", grant)
	case audience == nil:
		name, code, text = "invalid_scope", 1002012, "Client credential flows must have a scope value with /.default suffixed to the resource identifier."
	case !known:
		name, code, text = "unauthorized_client", 700016, fmt.Sprintf("Application with identifier '%s' was not found in the directory '%s'.", id, r.PathValue("tenant"))
	default:
		status, name = http.StatusUnauthorized, "invalid_client"
		code, text = i.authenticate(app, r.PostForm)
	}
	if code != 0 {
		i.refuse(w, status, name, code, text)
		return
	}
	token, expires := i.Issue(audience[1], id)
	seconds := int(expires.Sub(i.now()).Seconds())
	answer(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token})
}

// authenticate checks the proof a client sent; code 0 means that it is good.
func (i *Issuer) authenticate(app App, form url.Values) (code int, text string) {
	if form.Has("client_assertion") {
		claims, err := i.Parse(form.Get("client_assertion"))
		switch {
		case form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
			return 50027, "The client assertion type is not supported."
		case claims.Expires != 0 && err != nil:
			return 700024, "Client assertion is not within its valid time range."
		case err != nil:
			return 50013, "Assertion failed signature validation."
		case claims.Audience != ExchangeAudience:
			return 700212, fmt.Sprintf("No matching federated identity record found for presented assertion audience '%s'.", claims.Audience)
		case app.Subject == "" || claims.Subject != app.Subject:
			return 700213, fmt.Sprintf("No matching federated identity record found for presented assertion subject '%s'.", claims.Subject)
		}
		return 0, ""
	}
	switch secret := form.Get("client_secret"); {
	case secret == "":
		return 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
	case subtle.ConstantTimeCompare([]byte(secret), []byte(app.Secret)) != 1:
		return 7000215, fmt.Sprintf("Invalid client secret provided. Ensure that it is the secret's value and not its ID, for app '%s'.", app.ClientID)
	}
	return 0, ""
}

// refuse answers with an error in Entra's form.
func (i *Issuer) refuse(w http.ResponseWriter, status int, name string, code int, text string) {
	at := i.now().UTC().Format("2006-01-02 15:04:05Z")
	answer(w, status, map[string]any{"error": name, "error_description": fmt.Sprintf("AADSTS%d: %s", code, text), "error_codes": []int{code}, "timestamp": at})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone: nothing to be done
}
