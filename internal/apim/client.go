package apim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
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

// The api-versions from which on a call is different.
const (
	versionNamesAccess = "2021-08-01" // accessType goes out with a storage key too; older versions are recorded without it
	versionIdentity    = "2021-04-01" // managed identities may be named (2021-04-01-preview)
)

// Warning tells what is wrong with an api-version, or "" for a good one.
func Warning(apiVersion string) string {
	if apiVersion >= "2021-08-01" {
		return ""
	}
	return fmt.Sprintf("api-version %s: versions before 2021-08-01 have been retired in public Azure since June 2024; use %s", apiVersion, DefaultAPIVersion)
}

// Mode is how API Management reaches the storage account, in ARM's words.
type Mode string

// The modes.
const (
	AccessKey      Mode = "AccessKey"
	SystemAssigned Mode = "SystemAssignedManagedIdentity"
	UserAssigned   Mode = "UserAssignedManagedIdentity"
)

// Access is how API Management reaches one storage account.
type Access struct {
	Mode     Mode
	ClientID string        // of the identity; UserAssigned only
	Key      func() string // the account's key; AccessKey only. Asked for each POST and never kept
}

// Options is what a Client needs. Credential, Access, Now and NewID are required.
type Options struct {
	Endpoint   string // for example https://management.azure.com; plain http for a loopback host only
	Audience   string // for example https://management.core.windows.net/
	APIVersion string // DefaultAPIVersion when empty
	Credential azcore.TokenCredential
	// Transport sends the requests; nil: net/http with the settings of http.DefaultTransport. One that is no *http.Client must not
	// follow redirects itself.
	Transport policy.Transporter
	Access    func(account string) (Access, error) // of a storage account, by its bare name
	Now       func() time.Time
	NewID     func() string // a new UUID, for x-ms-client-request-id
	Log       *slog.Logger  // nil: nothing is logged
}

// Client speaks to ARM. It is safe for concurrent use.
type Client struct {
	end        endpoint
	apiVersion string
	pipeline   runtime.Pipeline
	access     func(string) (Access, error)
	now        func() time.Time
	newID      func() string
	log        *slog.Logger
	token      chan struct{} // held by whoever may be fetching a token; see send
}

// module names this client in the User-Agent.
const (
	moduleName    = "apim-dr/internal/apim"
	moduleVersion = "v1.0.0"
	applicationID = "apim-dr"
)

// New returns a Client. It makes no network call. The error says which option is wrong.
func New(o Options) (*Client, error) {
	end, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if o.Credential == nil || o.Access == nil || o.Now == nil || o.NewID == nil {
		return nil, errors.New("the ARM client needs Credential, Access, Now and NewID")
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
	options := arm.ClientOptions{DisableRPRegistration: true} // it would POST a registration and the call itself a second time
	options.Cloud = cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
		cloud.ResourceManager: {Endpoint: end.base, Audience: o.Audience},
	}}
	options.InsecureAllowCredentialWithHTTP = end.scheme == "http"
	options.Retry.MaxRetries = -1 // azcore would repeat a POST whose answer was lost, and sleep through a 429
	options.Telemetry.ApplicationID = applicationID
	options.Transport = wire{next: straight(o.Transport)}
	client, err := arm.NewClient(moduleName, moduleVersion, o.Credential, &options)
	if err != nil {
		return nil, fmt.Errorf("ARM client: %w", err)
	}
	return &Client{
		end: end, apiVersion: o.APIVersion, pipeline: client.Pipeline(), access: o.Access, now: o.Now, newID: o.NewID, log: o.Log,
		token: make(chan struct{}, 1),
	}, nil
}

var versionShape = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-preview)?$`)

// straight is a transport that follows no redirect: net/http would take the token along to a sibling of the host.
func straight(t policy.Transporter) policy.Transporter {
	switch t := t.(type) {
	case nil:
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second} // finds dead connections, as azcore's own does
		return straight(&http.Client{Transport: transport})
	case *http.Client:
		client := *t
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return &client
	}
	return t
}

// Trusts tells whether a Location leads to the configured endpoint: same scheme, host and port, no user information, and a form that
// goes out as it is. Only such a one is ever sent a token.
func (c *Client) Trusts(location string) bool { return c.end.trusts(location) }

// Service reads an instance. OK carries Service. Later: throttled, 408, 5xx or out of reach. No: ARM does not show it to us; Error
// has ARM's words and what to do.
func (c *Client) Service(ctx context.Context, resourceID string) dr.Answer {
	target, failure := c.target(resourceID, "")
	if failure != nil {
		return dr.Answer{Verdict: dr.No, Error: failure}
	}
	got := c.get(ctx, call{verb: "service", url: target})
	if got.err != nil {
		return dr.Answer{Verdict: dr.Later, Reason: got.why()}
	}
	return c.read(got.reply)
}

// Check GETs a Location once. Still carries the Location to look at next. OK: ARM calls it finished; Reason says how, and Service is
// filled when the answer shows the instance. No: ARM says that it failed; Error has its words, whole. Refused: this caller may not see
// the operation, or location is not one of the endpoint's (nothing is sent then). Later: no verdict.
func (c *Client) Check(ctx context.Context, location string) dr.Answer {
	if !c.Trusts(location) {
		return dr.Answer{Verdict: dr.Refused, Error: dr.Failure("UntrustedLocation", "the Location does not lead to "+c.end.base+"; it was not followed")}
	}
	got := c.get(ctx, call{verb: "check", url: location})
	if got.err != nil {
		return dr.Answer{Verdict: dr.Later, Reason: got.why()}
	}
	return c.checked(got.reply, location)
}

// Start POSTs a leg once, for the recovery point named point: Still with Location; Later: ARM did not take it, or nothing was sent; No
// with ARM's words; Lost: nobody knows whether ARM heard it. It returns a little before ctx ends, so that the answer can still be saved.
func (c *Client) Start(ctx context.Context, leg dr.Leg, point string) dr.Answer {
	if !verbShape.MatchString(string(leg.Verb)) {
		return dr.Answer{Verdict: dr.No, Error: dr.Failure("InvalidVerb", fmt.Sprintf("%q is no action of an API Management instance", leg.Verb))}
	}
	target, failure := c.target(leg.ResourceID, "/"+string(leg.Verb))
	if failure != nil {
		return dr.Answer{Verdict: dr.No, Error: failure}
	}
	body, failure := c.body(leg, point)
	if failure != nil {
		return dr.Answer{Verdict: dr.No, Error: failure}
	}
	if deadline, ok := ctx.Deadline(); ok {
		margin := min(max(deadline.Sub(c.now())/10, 0), time.Second)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	got := c.send(ctx, call{verb: string(leg.Verb), url: target, body: body, point: point})
	switch {
	case got.err != nil && got.unsent:
		return dr.Answer{Verdict: dr.Later, Reason: "nothing was sent: " + got.why()}
	case got.err != nil:
		return dr.Answer{Verdict: dr.Lost, Reason: got.why()}
	}
	return c.started(got.reply)
}

// request is the body of a backup or restore; both take the same one.
type request struct {
	StorageAccount string `json:"storageAccount"`
	ContainerName  string `json:"containerName"`
	BackupName     string `json:"backupName"`
	AccessType     Mode   `json:"accessType,omitempty"`
	AccessKey      string `json:"accessKey,omitempty"`
	ClientID       string `json:"clientId,omitempty"`
}

func (c *Client) body(leg dr.Leg, point string) (*request, *dr.Error) {
	access, err := c.access(leg.Storage.Account)
	if err != nil {
		return nil, dr.Failure("StorageAccessUnknown", redact(fmt.Sprintf("storage account %s: %v", leg.Storage.Account, err)))
	}
	r := request{StorageAccount: leg.Storage.Account, ContainerName: leg.Storage.Container, BackupName: point, AccessType: access.Mode}
	switch {
	case access.Mode == AccessKey && access.Key != nil:
		if c.apiVersion < versionNamesAccess {
			r.AccessType = ""
		}
		if r.AccessKey = access.Key(); r.AccessKey != "" {
			return &r, nil
		}
	case access.Mode == UserAssigned && access.ClientID == "":
	case access.Mode == SystemAssigned, access.Mode == UserAssigned:
		if c.apiVersion < versionIdentity {
			return nil, dr.Failure("ApiVersionTooOld", fmt.Sprintf("api-version %s cannot name a managed identity; use %s", c.apiVersion, DefaultAPIVersion))
		}
		if access.Mode == UserAssigned {
			r.ClientID = access.ClientID
		}
		return &r, nil
	}
	return nil, dr.Failure("StorageAccessUnknown", fmt.Sprintf("storage account %s: set a key, the system-assigned identity, or a user-assigned identity with its client id", leg.Storage.Account))
}

var resourceShape = regexp.MustCompile(`(?i)^/subscriptions/[^/?#%\\\s]+/resourceGroups/[^/?#%\\\s]+/providers/Microsoft\.ApiManagement/service/[^/?#%\\\s]+$`)

var verbShape = regexp.MustCompile(`^[a-z]+$`)

// target is the URL of an instance, or of one of its actions ("/backup").
func (c *Client) target(resourceID, action string) (string, *dr.Error) {
	if !resourceShape.MatchString(resourceID) {
		return "", dr.Failure("InvalidResourceId", fmt.Sprintf("%q is not the ARM id of an API Management instance; accepted: /subscriptions/…/resourceGroups/…/providers/Microsoft.ApiManagement/service/…", resourceID))
	}
	return c.end.base + resourceID + action + "?api-version=" + c.apiVersion, nil
}
