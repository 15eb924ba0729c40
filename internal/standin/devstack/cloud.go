package devstack

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"apim-dr/infra"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/identity"
)

// Instance is an API Management instance and its place in a fleet.
type Instance struct {
	Name string
	// Service is the instance in ARM. ID and GatewayURL are the stack's; empty: West Europe, Developer with one unit, and a Content that
	// names the instance.
	arm.Service
	Unlisted  bool   // no service of the fleet, so that it is not backed up: a standby or drill instance
	Secondary string // name of its standby; empty: none
	Warm      bool   // whether that is kept up to date
	Drill     string // name of its drill instance; empty: none
	Container string // for its backups; empty: BackupContainer
	Usage     bool   // its use is exported, and that of its standby
	Absent    bool   // never created: it stands in the fleet alone
	Deleted   bool   // soft-deleted when the cloud starts
}

// Cloud is what of Azure stays when a region is lost: Resource Manager, with the instances of all regions and their gateways, and tokens.
type Cloud struct {
	ARM    *arm.Server
	Tokens *identity.Issuer

	armURL string
	close  []func()
}

// StartCloud starts it. Of behaviour only the durations and RetryAfter count.
func StartCloud(ctx context.Context, instances []Instance, behaviour arm.Config) (*Cloud, error) {
	c := &Cloud{Tokens: identity.New([]byte(newKey()), time.Now)}
	gateways, gatewayURL, err := c.listen(ctx)
	if err != nil {
		return nil, err
	}
	front, armURL, err := c.listen(ctx)
	if err != nil {
		_ = gateways.Close()
		return nil, err
	}
	c.armURL = armURL
	behaviour.Now, behaviour.Tokens, behaviour.Audience, behaviour.Accounts = time.Now, c.Tokens, armAudience, map[string]arm.Account{}
	// What the deployment grants, and nothing else.
	behaviour.Grants = []arm.Grant{{Scope: subscription, Actions: infra.Actions(infra.Reader)}}
	behaviour.Groups = map[string]string{}
	for _, i := range instances {
		s := i.Service
		s.ID, s.GatewayURL = ResourceID(i.Name), gatewayURL+"/"+i.Name
		s.Location, s.SKU, s.Capacity = i.location(), cmp.Or(s.SKU, "Developer"), cmp.Or(s.Capacity, 1)
		s.Content = cmp.Or(s.Content, "the APIs of "+i.Name)
		switch behaviour.Groups[group(i.Name)] = s.Location; {
		case i.Deleted:
			behaviour.Deleted = append(behaviour.Deleted, s)
		case !i.Absent:
			behaviour.Services = append(behaviour.Services, s)
			behaviour.Grants = append(behaviour.Grants, arm.Grant{Scope: s.ID, Actions: infra.Actions(infra.Operator)})
		}
	}
	if c.ARM, err = arm.New(behaviour); err != nil {
		_, _ = gateways.Close(), front.Close()
		return nil, err
	}
	c.serve(gateways, c.ARM.GatewayHandler())
	c.serve(front, c.ARM)
	return c, nil
}

func (i Instance) location() string  { return cmp.Or(i.Location, "West Europe") }
func (i Instance) container() string { return cmp.Or(i.Container, BackupContainer) }

func (c *Cloud) listen(ctx context.Context) (l net.Listener, url string, err error) {
	if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, "", err
	}
	return l, "http://" + l.Addr().String(), nil
}

func (c *Cloud) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go server.Serve(l)
	c.close = append(c.close, func() { _ = server.Close() })
}

// Close stops everything.
func (c *Cloud) Close() {
	for _, end := range c.close {
		end()
	}
	c.close = nil
}

// ResourceID is the ARM id of an instance. Each has a resource group of its own, in its own region.
func ResourceID(service string) string {
	return subscription + "/resourceGroups/" + group(service) + "/providers/Microsoft.ApiManagement/service/" + service
}

const subscription = "/subscriptions/00000000-0000-0000-0000-000000000001"

func group(service string) string { return "rg-" + service }
