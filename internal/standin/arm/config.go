package arm

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"apim-dr/internal/standin/identity"
)

// Config says what there is and how it behaves. Now, Tokens and Services are read by New only; the rest can be changed while the
// server runs (Change).
type Config struct {
	Now      func() time.Time
	Tokens   *identity.Issuer
	Audience string   // of accepted tokens; empty: https://management.azure.com
	Actions  []string // what callers may do, such as "Microsoft.ApiManagement/service/read", * at the end for all below; nil: everything
	Services []Service
	Accounts map[string]Account // by the bare name that a request's storageAccount gives

	// How long operations take, by Now; 0: they have ended when first asked about. UpdateDuration is that of create, update and delete.
	BackupDuration, RestoreDuration, UpdateDuration time.Duration
	// RetryAfter is what 202 asks clients to wait, in whole seconds, rounded up; 0: the recorded 60 s; negative: no such header.
	RetryAfter time.Duration
	// BaseURL begins every Location, such as https://management.contoso.com; empty: as the client addressed the request.
	BaseURL string

	Overlap      Overlap       // what a second backup or restore meets
	PollStyle    PollStyle     // where new operations are polled
	VisibleAfter time.Duration // from the 202 to the service showing "Updating"
	ResultsLive  time.Duration // from the end of an operation to 404 for its results; 0: for ever
	Reads        Bucket        // throttles GET
	Writes       Bucket        // throttles all others
	// BlobTransport replaces azblob's own way to the accounts; nil: that.
	BlobTransport policy.Transporter
}

// Overlap is what a backup or restore of a busy service meets.
type Overlap string

const (
	OverlapLocked   Overlap = ""         // 409 ServiceLocked
	OverlapAccepted Overlap = "accepted" // 202: both run
)

// PollStyle is where a 202 sends the client.
type PollStyle string

const (
	PollRecorded   PollStyle = ""         // as recorded for the api-version
	PollDoubled    PollStyle = "doubled"  // the double slash of 2016 to 2020 for every api-version since 2016
	PollStatusBody PollStyle = "statuses" // an Azure-AsyncOperation header too, whose URL answers 200 {"status":"InProgress"}
)

// Bucket is a token bucket. Size 0 throttles nothing.
type Bucket struct {
	Size      int
	PerSecond float64 // how fast it fills again
}

// Service is an API Management instance.
type Service struct {
	ID       string // /subscriptions/…/resourceGroups/…/providers/Microsoft.ApiManagement/service/<name>
	Location string // such as "West Europe"
	SKU      string // Developer, Basic, Standard, Premium, Consumption, BasicV2, StandardV2, PremiumV2
	Capacity int    // units

	MinAPIVersion       string   // older api-versions are refused; empty: none is
	ProvisioningState   string   // when idle; empty: Succeeded
	GatewayURL          string   // empty: https://<name>.azure-api.net
	HostNames           []string // custom gateway hostnames
	AdditionalLocations []string
	Tags                map[string]string
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

func (a Account) trusts(service, clientID string) bool {
	return slices.ContainsFunc(a.Trusted, func(t string) bool {
		return strings.EqualFold(t, service) || clientID != "" && strings.EqualFold(t, clientID)
	})
}

// name is the account's own name, with which requests are signed: of an address with a path its first part, else the host's.
func (a Account) name() string {
	u, err := url.Parse(a.Endpoint)
	if err != nil {
		return ""
	}
	if first, _, _ := strings.Cut(strings.Trim(u.Path, "/"), "/"); first != "" {
		return first
	}
	host, _, _ := strings.Cut(u.Hostname(), ".")
	return host
}

func (c *Config) validate() error {
	if c.Now == nil || c.Tokens == nil {
		return errors.New("arm: Config.Now and Config.Tokens are needed")
	}
	if c.Audience == "" {
		c.Audience = "https://management.azure.com"
	}
	for name, a := range c.Accounts {
		if u, err := url.Parse(a.Endpoint); err != nil || u.Host == "" {
			return fmt.Errorf("arm: account %s: the endpoint %q is no URL", name, a.Endpoint)
		}
	}
	return nil
}

func (c Config) duration(v Verb) time.Duration {
	switch v {
	case Backup:
		return c.BackupDuration
	case Restore:
		return c.RestoreDuration
	}
	return c.UpdateDuration
}

// Change changes the configuration while the server runs. The function gets copies of Accounts and Actions, so it may write to them;
// an operation under way keeps its duration. The function must not call the server.
func (s *Server) Change(f func(*Config)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Accounts, s.cfg.Actions = maps.Clone(s.cfg.Accounts), slices.Clone(s.cfg.Actions)
	f(&s.cfg)
}
