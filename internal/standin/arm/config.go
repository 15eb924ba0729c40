package arm

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"apim-dr/internal/standin/identity"
)

// Config says what there is and how it behaves. Now, Tokens, Services and Deleted are for New only, the rest can be changed at any time
// (Change).
type Config struct {
	Now      func() time.Time
	Tokens   *identity.Issuer
	Audience string  // of accepted tokens; empty: https://management.azure.com
	Grants   []Grant // what callers may do; nil: everything
	Services []Service
	Deleted  []Service          // soft-deleted when the server starts; only ID and Location count
	Groups   map[string]string  // location of each resource group, by name; others are not found
	Accounts map[string]Account // by the bare name that a request's storageAccount gives

	// How long operations take by Now; 0: they have ended when first asked about. UpdateDuration is that of create, update and delete.
	BackupDuration, RestoreDuration, UpdateDuration time.Duration
	// RetryAfter is what a 202 asks for, in whole seconds, rounded up; 0: the recorded 60 s; negative: no such header.
	RetryAfter time.Duration
	// BaseURL begins every Location and nextLink, such as https://management.contoso.com; empty: plain http to the host of the request.
	BaseURL string

	Overlap      bool          // a second backup or restore of a busy service is accepted; false: 409 ServiceLocked
	DoubleSlash  bool          // the double slash of 2016 to 2020 in later api-versions too
	VisibleAfter time.Duration // from the 202 to the service showing "Updating"
	ResultsLive  time.Duration // from the end of an operation to 404 for its results; 0: for ever
	// Reads and Writes (and as much again for deletes) throttle requests, as ReadBucket and WriteBucket do; zero: none is refused.
	Reads, Writes Bucket
	// Records are what the reports show, ReportPage of them a page; 0: all, or as many as $top asks for.
	Records    []ReportRecord
	ReportPage int
	// ServicePage is how many services a page of the list of a subscription has; 0: all.
	ServicePage int
	// ReportLinks gives pages of reports a nextLink, byRequest's excepted; false: it is "", and $skip leads on.
	ReportLinks bool
	// BlobTransport replaces azblob's own way to the accounts; nil: that.
	BlobTransport policy.Transporter
}

// Grant lets callers do something in a scope: a role assignment.
type Grant struct {
	Scope   string   // the beginning of an ARM id, up to a slash or its end: a subscription, a group, an instance; in any case of letters
	Actions []string // such as "Microsoft.ApiManagement/service/read", * at the end for all below
}

// Service is an API Management instance.
type Service struct {
	ID       string // /subscriptions/…/resourceGroups/…/providers/Microsoft.ApiManagement/service/<name>
	Location string // such as "West Europe"
	SKU      string // Developer, Basic, Standard, Premium, Consumption, BasicV2, StandardV2, PremiumV2
	Capacity int    // units

	MinAPIVersion       string   // older api-versions are refused; empty: none is
	ProvisioningState   string   // when idle; empty: Succeeded
	GatewayURL          string   // empty: https://<name>.azure-api.net; plain http, which is a GatewayHandler's, in all regions
	HostNames           []string // custom gateway hostnames
	PortalHostNames     []string // custom hostnames of the developer portal
	AdditionalLocations []string
	Tags                map[string]string
	SystemIdentity      bool              // what it may do is for Account.Trusted to say
	UserIdentities      map[string]string // client ids, by ARM id
	Certificates        []string          // custom CA certificates, as store and thumbprint: "Root 0A1B"
	Network             string            // External or Internal; empty: None
	Subnet              string            // ARM id
	Protocols           map[string]string // customProperties that differ from the recorded ones, by their whole name
	Workspaces          int
	// StatusPolls: its operations are polled below the region, at operationsStatuses, and answer 200 with the state in the body; false: as recorded.
	StatusPolls bool
	// Content stands for APIs, policies and so on: a backup keeps it, a restore replaces it.
	Content string
}

// Account is a storage account.
type Account struct {
	Endpoint string // of Blob, such as http://127.0.0.1:10000/devstoreaccount1
	Key      string // base64; for services whose identity is trusted
	// Trusted are the services (by name) whose identity may use the account, or client ids of user-assigned identities.
	Trusted []string
}

func (a Account) trusts(names ...string) bool {
	return slices.ContainsFunc(a.Trusted, func(t string) bool { return t != "" && slices.Contains(names, strings.ToLower(t)) })
}

// name is that which requests are signed with: the last part of a local address, the first of a host such as contoso.blob.core.windows.net.
func (a Account) name() string {
	end := strings.TrimRight(a.Endpoint, "/")
	name, _, _ := strings.Cut(end[strings.LastIndex(end, "/")+1:], ".")
	return name
}

// New makes a server. It fails when the clock or the issuer is missing, or a service lacks its full resource id, location or SKU.
func New(cfg Config) (*Server, error) {
	if cfg.Now == nil || cfg.Tokens == nil {
		return nil, errors.New("arm: Config.Now and Config.Tokens are needed")
	}
	s := &Server{cfg: cfg, services: map[string]*service{}, gone: map[string]deleted{}, failNext: map[failKey]*Error{}, levels: map[[3]string]*level{}}
	for _, d := range cfg.Services {
		v, err := newService(d, cfg.Now())
		if err != nil {
			return nil, err
		}
		s.services[strings.ToLower(d.ID)] = v
	}
	for _, d := range cfg.Deleted {
		if !serviceID.MatchString(d.ID) {
			return nil, fmt.Errorf("arm: deleted service %q: the full resource id is needed", d.ID)
		}
		s.gone[strings.ToLower(d.ID)] = deleted{d, cfg.Now()}
	}
	return s, nil
}

// Change changes the configuration while the server runs. The function gets copies of Accounts, Grants and Records, so it may write to them;
// an operation under way keeps its duration. The function must not call the server.
func (s *Server) Change(f func(*Config)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Accounts, s.cfg.Grants = maps.Clone(s.cfg.Accounts), slices.Clone(s.cfg.Grants)
	s.cfg.Records = slices.Clone(s.cfg.Records)
	f(&s.cfg)
}

func (c Config) allows(action, over string) bool {
	return c.Grants == nil || slices.ContainsFunc(c.Grants, func(g Grant) bool { return g.reaches(over) && g.lets(action) })
}

func (g Grant) reaches(id string) bool {
	return strings.HasPrefix(strings.ToLower(id)+"/", strings.ToLower(g.Scope)+"/")
}

func (g Grant) lets(action string) bool {
	return slices.ContainsFunc(g.Actions, func(a string) bool {
		prefix, all := strings.CutSuffix(strings.ToLower(a), "*")
		return strings.EqualFold(a, action) || all && strings.HasPrefix(strings.ToLower(action), prefix)
	})
}
