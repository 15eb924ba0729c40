package apim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"apim-dr/internal/dr"
)

// DefaultAPIVersion is the newest stable api-version of API Management that has backup and restore (2024-05-01 swagger).
const DefaultAPIVersion = "2024-05-01"

// oldestWithAccess is the first api-version whose requests with a storage key name accessType; earlier ones are recorded without it.
const oldestWithAccess = "2021-08-01"

// Options is what a Client needs. Credential, Access, Now, NewID and Mask are required.
type Options struct {
	Endpoint   string // for example https://management.azure.com; plain http for a loopback host only
	Audience   string // for example https://management.core.windows.net/
	APIVersion string // DefaultAPIVersion when empty
	Credential azcore.TokenCredential
	// Transport sends the requests; nil: net/http. One that is no *http.Client must not follow redirects itself.
	Transport policy.Transporter
	Access    func(account string) (Access, error) // of a storage account, by its bare name
	Now       func() time.Time
	NewID     func() string // a new UUID, for x-ms-client-request-id
	// Mask takes secrets out of a text: ARM and what lies before it quote what they were sent.
	Mask func(text string) string
	Log  *slog.Logger // nil: nothing is logged
}

// Client speaks to ARM. It is safe for concurrent use.
type Client struct {
	endpoint
	o        Options
	pipeline runtime.Pipeline
	token    chan struct{} // held by whoever may be fetching a token; see exchange
}

var versionShape = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-preview)?$`)

// New returns a Client. It makes no network call. The error says which option is wrong.
func New(o Options) (*Client, error) {
	end, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if o.Credential == nil || o.Access == nil || o.Now == nil || o.NewID == nil || o.Mask == nil {
		return nil, errors.New("the ARM client needs Credential, Access, Now, NewID and Mask")
	}
	if o.APIVersion == "" {
		o.APIVersion = DefaultAPIVersion
	}
	if !versionShape.MatchString(o.APIVersion) {
		return nil, fmt.Errorf("api-version %q; accepted: a date such as %s, or one with -preview", o.APIVersion, DefaultAPIVersion)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	options := arm.ClientOptions{DisableRPRegistration: true} // it would register the provider and then repeat the call
	options.Cloud = cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
		cloud.ResourceManager: {Endpoint: end.base, Audience: o.Audience},
	}}
	options.InsecureAllowCredentialWithHTTP = end.scheme == "http"
	options.Retry.MaxRetries = -1 // azcore would repeat a POST whose answer was lost, and sleep through a 429
	options.Telemetry.ApplicationID = "apim-dr"
	options.Transport = wire{next: straight(o.Transport)}
	client, err := arm.NewClient("apim-dr/internal/apim", "v1.0.0", o.Credential, &options)
	if err != nil {
		return nil, fmt.Errorf("ARM client: %w", err)
	}
	return &Client{endpoint: end, o: o, pipeline: client.Pipeline(), token: make(chan struct{}, 1)}, nil
}

// straight is a transport that follows no redirect: net/http would take the token along to another port or a subdomain of the host.
func straight(t policy.Transporter) policy.Transporter {
	if t == nil {
		t = &http.Client{Transport: Transport()}
	}
	if client, ok := t.(*http.Client); ok {
		direct := *client
		direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return &direct
	}
	return t
}

// Transport is the way to ARM that a Client takes by itself, for somebody who puts something before it.
func Transport() http.RoundTripper {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32                                                                   // with HTTP/1.1, as through a proxy, each poll at the same time would dial anew beyond two
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second} // finds dead connections, as azcore's own does
	return transport
}

// Trusts tells whether a Location leads to the configured endpoint: same scheme, host and port, no user information, and a form that
// goes out as it is. Only such a one is ever sent a token.
func (c *Client) Trusts(location string) bool { return c.trusts(location) }

// Service reads an instance. OK carries Service. Later: throttled, 408, 5xx or out of reach. No: ARM does not show it to us; Error
// has ARM's words and what to do.
func (c *Client) Service(ctx context.Context, resourceID string) dr.Answer {
	target, failure := c.target(resourceID, "", c.o.APIVersion)
	if failure != nil {
		return dr.Answer{Verdict: dr.No, Error: failure}
	}
	got := c.send(ctx, call{verb: "service", url: target})
	if got.err != nil {
		return dr.Answer{Verdict: dr.Later, Reason: c.why(got)}
	}
	return c.read(got.reply)
}

// Check GETs a Location once. Still carries the Location to look at next. OK: ARM calls it finished; Reason says how, and Service is
// filled when the answer shows the instance. No: ARM says that it failed; Error has its words, whole. Refused: this caller may not see
// the operation, or location is not one of the endpoint's (nothing is sent then). Later: no verdict.
func (c *Client) Check(ctx context.Context, location string) dr.Answer {
	if !c.Trusts(location) {
		return dr.Answer{Verdict: dr.Refused, Error: dr.Failure("UntrustedLocation", "the Location does not lead to "+c.base+"; it was not followed")}
	}
	got := c.send(ctx, call{verb: "check", url: location})
	if got.err != nil {
		return dr.Answer{Verdict: dr.Later, Reason: c.why(got)}
	}
	return c.checked(got.reply, location)
}

// Start POSTs a leg once, for the recovery point named point: Still with Location; Later: ARM did not take it, or nothing was sent; No
// with ARM's words; Lost: nobody knows whether ARM heard it. It returns a little before ctx ends, so that the answer can still be saved.
func (c *Client) Start(ctx context.Context, leg dr.Leg, point string) dr.Answer {
	target, failure := c.target(leg.ResourceID, "/"+string(leg.Verb), c.o.APIVersion)
	if failure != nil {
		return dr.Answer{Verdict: dr.No, Error: failure}
	}
	access, failure := c.access(leg.Storage.Account)
	if failure != nil {
		return dr.Answer{Verdict: dr.No, Error: failure}
	}
	body, failure := c.body(access, leg.Storage, point)
	if failure != nil {
		return dr.Answer{Verdict: dr.No, Error: failure}
	}
	if deadline, ok := ctx.Deadline(); ok {
		margin := min(max(deadline.Sub(c.o.Now())/10, 0), time.Second)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	got := c.send(ctx, call{verb: string(leg.Verb), url: target, body: body})
	switch {
	case got.err != nil && got.unsent:
		return dr.Answer{Verdict: dr.Later, Reason: "nothing was sent: " + c.why(got)}
	case got.err != nil:
		return dr.Answer{Verdict: dr.Lost, Reason: c.why(got)}
	}
	return c.started(got.reply, leg.Verb)
}

var targetShape = regexp.MustCompile(`(?i)^/subscriptions/[^/?#%\\\s]+/resourceGroups/[^/?#%\\\s]+/providers/Microsoft\.ApiManagement/service/[^/?#%\\\s]+(/[a-z]+)?$`)

// target is the URL of an instance, or of what stands below it ("/backup").
func (c *Client) target(resourceID, below, version string) (string, *dr.Error) {
	if !targetShape.MatchString(resourceID + below) {
		return "", dr.Failure("InvalidResourceId", fmt.Sprintf("%q is not the ARM id of an API Management instance; accepted: "+
			"/subscriptions/…/resourceGroups/…/providers/Microsoft.ApiManagement/service/…", resourceID))
	}
	return c.at(resourceID+below, version), nil
}

// at is the URL of a path.
func (c *Client) at(path, version string) string {
	u := url.URL{Path: path} // a resource group may be named in any script
	return c.base + u.EscapedPath() + "?api-version=" + version
}
