package config

import "strings"

// App is the Function App as a command calls it. A package with function keys behind built-in authentication asks for both a key and a token.
type App struct {
	URL      string // without /api
	Key      Secret // of one function, or a host key; empty: none is sent
	Audience string // of tokens; empty: none is sent
}

// login are the settings of the credential.
var login = []string{"AZURE_CLOUD", "AUTHORITY_HOST", "CREDENTIAL", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"}

// LoadApp reads what a command needs that calls the Function App; other settings are not even read. Where a token is asked for, it is without CREDENTIAL
// that of the person's own login, azureCLI. The error is an *Error with every mistake. Like Load it is called before anything else runs.
func LoadApp(environ []string) (Config, error) {
	env, m := newEnvironment(environ), &mistakes{}
	if env.get("CREDENTIAL") == "" {
		env["CREDENTIAL"] = string(AzureCLI)
	}
	names := []string{"APIMDR_URL", "APIMDR_KEY", "APIMDR_AUDIENCE"}
	if env.get("APIMDR_AUDIENCE") != "" {
		names = append(names, login...)
	}
	kept := environment{}
	for _, name := range names {
		if value := env.get(name); value != "" {
			kept[name] = value
		}
	}
	s, err := kept.read(m)
	if err != nil {
		return Config{}, err
	}
	c := Config{Cloud: newCloud(s), App: App{URL: strings.TrimSuffix(strings.TrimRight(s.AppURL, "/"), "/api"), Key: s.AppKey, Audience: s.AppAudience}}
	if c.App.Audience != "" {
		c.Credential = newCredentialSettings(s, m)
	}
	if s.AppURL == "" {
		m.add("APIMDR_URL", "not set; accepted: the URL of the Function App such as https://APP.azurewebsites.net (or --url)")
	}
	if s.AppKey == "" && s.AppAudience == "" {
		m.add("APIMDR_KEY", "not set, nor is APIMDR_AUDIENCE; accepted: a host key of the Function App or, with AUTH=entra there, the Application ID URI as APIMDR_AUDIENCE")
	}
	if err := m.err(c.Secrets()); err != nil {
		return Config{}, err
	}
	return c, nil
}
