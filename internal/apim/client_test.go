package apim

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/mask"
)

var _ engine.ARM = (*Client)(nil)

const (
	azure       = "https://management.azure.com"
	instance    = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/contoso-rg/providers/Microsoft.ApiManagement/service/contoso-eu"
	location    = azure + instance + "//operationresults/Y29udG9zbw==?api-version=2024-05-01"
	token       = "eyJhbGciOiJub25lIn0.eyJvaWQiOiJjb250b3NvIn0.c2lnbmF0dXJl"
	storageKey  = "Y29udG9zb2NvbnRvc29jb250b3NvY29udG9zb2NvbnRvc29jb250b3NvY29udG9zb2NvbnRvc29jb250b3NvY2==" // shape of a key, 88 characters
	traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// start is a fixed time: 2026-01-02 03:00 UTC.
var start = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// transport answers requests with a function.
type transport func(*http.Request) (*http.Response, error)

func (t transport) Do(r *http.Request) (*http.Response, error) { return t(r) }

// credential gives tokens; get may replace that.
type credential struct {
	get func(context.Context) error

	mu   sync.Mutex
	seen []policy.TokenRequestOptions
}

func (c *credential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.mu.Lock()
	c.seen = append(c.seen, o)
	c.mu.Unlock()
	if c.get != nil {
		if err := c.get(ctx); err != nil {
			return azcore.AccessToken{}, err
		}
	}
	return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func answer(status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// always answers every request alike.
func always(status int, body string, headers ...string) transport {
	return func(*http.Request) (*http.Response, error) { return answer(status, body, headers...), nil }
}

func options(t policy.Transporter) Options {
	return Options{
		Endpoint: azure, Audience: "https://management.core.windows.net/", Credential: &credential{}, Transport: t,
		Access: func(string) (Access, error) {
			return Access{Mode: AccessKey, Key: func() string { return storageKey }}, nil
		},
		Now:   func() time.Time { return start },
		NewID: func() string { return "5f0c9f4e-0000-4000-8000-000000000001" },
		Mask:  mask.New().Text,
	}
}

func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func with(t testing.TB, tr transport) *Client { t.Helper(); return newClient(t, options(tr)) }

func leg(verb dr.Verb) dr.Leg {
	return dr.Leg{Verb: verb, Service: "contoso-eu", ResourceID: instance, Storage: dr.Storage{Account: "contosodrbackups", Container: "apim-backups"}}
}

const point = "20260102-backup-0123456789abcdef0123-s0-a1"

func logInto(b *lockedBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestNewNamesTheOptionThatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(*Options)
	}{
		{"no endpoint", "endpoint", func(o *Options) { o.Endpoint = "" }},
		{"endpoint with a path", "endpoint", func(o *Options) { o.Endpoint = azure + "/x" }},
		{"endpoint with a query", "endpoint", func(o *Options) { o.Endpoint = azure + "?x" }},
		{"endpoint with a user", "endpoint", func(o *Options) { o.Endpoint = "https://contoso@management.azure.com" }},
		{"endpoint without a scheme", "endpoint", func(o *Options) { o.Endpoint = "management.azure.com" }},
		{"plain http to another machine", "https", func(o *Options) { o.Endpoint = "http://management.azure.com" }},
		{"plain http to a look-alike", "https", func(o *Options) { o.Endpoint = "http://127.0.0.1.contoso.com" }},
		{"no audience", "Azure Resource Manager", func(o *Options) { o.Audience = "" }},
		{"no credential", "Credential", func(o *Options) { o.Credential = nil }},
		{"no access", "Access", func(o *Options) { o.Access = nil }},
		{"no clock", "Now", func(o *Options) { o.Now = nil }},
		{"no ids", "NewID", func(o *Options) { o.NewID = nil }},
		{"a version with a query in it", "api-version", func(o *Options) { o.APIVersion = "2024-05-01&x=y" }},
	} {
		o := options(always(200, ""))
		tt.change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error that names %q", tt.name, err, tt.want)
		}
	}
	for _, endpoint := range []string{azure, azure + "/", "http://localhost:7071", "http://127.0.0.1:1", "http://[::1]:1"} {
		o := options(always(200, ""))
		o.Endpoint = endpoint
		if _, err := New(o); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestNoAnswerNamesTheURLOrASecretOfAnError(t *testing.T) {
	var log lockedBuffer
	o := options(transport(func(r *http.Request) (*http.Response, error) {
		return nil, errors.New("wrote Authorization: Bearer " + token + " and " + storageKey)
	}))
	o.Log = logInto(&log)
	c := newClient(t, o)
	for _, a := range []dr.Answer{c.Start(t.Context(), leg("backup"), point), c.Check(t.Context(), location), c.Service(t.Context(), instance)} {
		if text := a.Reason + log.String(); a.Reason == "" || strings.Contains(text, token) || strings.Contains(text, storageKey) {
			t.Errorf("secret or nothing in %q", text)
		}
	}
}
