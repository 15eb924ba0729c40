package apim

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"apim-dr/internal/dr"
)

// The api-versions of what is looked at around an instance: the first stable ones that have it, unless the configured one is newer. An
// instance refuses older api-versions, never newer ones.
const (
	groupVersion      = "2021-04-01" // of Microsoft.Resources
	deletedVersion    = "2021-08-01"
	workspacesVersion = "2024-05-01"
)

// maxPages bounds how much of a list is read.
const maxPages = 10

// list is a page of a list.
type list struct {
	Value []struct {
		ID         string            `json:"id"`
		Location   string            `json:"location"`
		Tags       map[string]string `json:"tags"`
		Properties struct {
			ServiceID string `json:"serviceId"` // of a deleted service
		} `json:"properties"`
		permission
	} `json:"value"` // nil: no list
	Count    int    `json:"count"` // over all pages; not every list has it
	NextLink string `json:"nextLink"`
}

// page GETs one page of a list, once.
func (c *Client) page(ctx context.Context, k call) (list, *dr.Error) {
	got := c.send(ctx, k)
	if got.err != nil {
		return list{}, dr.Failure("OutOfReach", c.why(got))
	}
	if got.reply.status != http.StatusOK {
		e, _ := got.reply.failure()
		return list{}, e
	}
	d, err := got.reply.parse()
	if err != nil || d.Value == nil {
		return list{}, dr.Failure("NoList", "HTTP 200, but no list in it")
	}
	return d.list, nil
}

var groupAdvice = map[int]string{
	http.StatusNotFound:     " (Check the instance's id in the fleet: subscription, resource group.)",
	http.StatusForbidden:    " (Give the identity of apim-dr Microsoft.Resources/subscriptions/resourceGroups/read on the resource group.)",
	http.StatusUnauthorized: advice[http.StatusUnauthorized],
}

// Group reads the resource group of an instance. OK carries Service with nothing but Region, as ARM writes it (westeurope). Later: throttled,
// 408, 5xx or out of reach. No: ARM does not show it to us; Error has ARM's words and what to do.
func (c *Client) Group(ctx context.Context, resourceID string) dr.Answer {
	if _, failure := c.target(resourceID, "", groupVersion); failure != nil {
		return dr.Answer{Verdict: dr.No, Error: failure}
	}
	path := strings.Join(strings.Split(resourceID, "/")[:5], "/")
	got := c.send(ctx, call{verb: "group", url: c.at(path, groupVersion)})
	if got.err != nil {
		return dr.Answer{Verdict: dr.Later, Reason: c.why(got)}
	}
	if got.reply.status/100 != 2 {
		return c.unread(got.reply, groupAdvice)
	}
	d, _ := got.reply.parse()
	if d.Location == "" || d.Type != "" && !strings.EqualFold(d.Type, "Microsoft.Resources/resourceGroups") {
		return dr.Answer{Verdict: dr.Later, Reason: fmt.Sprintf("HTTP %d, but no resource group in it", got.reply.status)}
	}
	return dr.Answer{Verdict: dr.OK, Service: dr.ServiceView{Region: got.reply.upTo(maxSetting, d.Location)}}
}

// Deleted tells whether an instance was soft-deleted and can be brought back: it stands in the subscription's list of deleted services, which
// holds what can still be undeleted (2024-05-01 swagger, DeletedServices_ListBySubscription). NotKnown: the list could not be read, or not to its end.
func (c *Client) Deleted(ctx context.Context, resourceID string) dr.Known {
	if _, failure := c.target(resourceID, "", deletedVersion); failure != nil {
		return dr.NotKnown
	}
	ctx, cancel := context.WithTimeout(ctx, getWithin) // for all pages
	defer cancel()
	path := "/subscriptions/" + strings.Split(resourceID, "/")[2] + "/providers/Microsoft.ApiManagement/deletedservices"
	next := c.at(path, max(c.o.APIVersion, deletedVersion))
	for range maxPages {
		got, failure := c.page(ctx, call{verb: "deleted", url: next}) // which refuses a link that leads elsewhere
		if failure != nil {
			return dr.NotKnown
		}
		for _, v := range got.Value {
			if strings.EqualFold(v.Properties.ServiceID, resourceID) {
				return dr.Yes
			}
		}
		if next = got.NextLink; next == "" {
			return dr.Not
		}
	}
	return dr.NotKnown
}

// maxListed bounds the pages of a subscription's instances: each has some hundred.
const maxListed = 100

var taggedAdvice = map[int]string{
	http.StatusForbidden: " (Give the identity of apim-dr Microsoft.ApiManagement/service/read on the subscription.)",
	http.StatusNotFound:  " (Check DISCOVER_SUBSCRIPTIONS.)",
}

// Tagged lists the instances of a subscription that have the tag dr.PlanTag, in any case of letters (2024-05-01 swagger, ApiManagementService_List). The
// error has ARM's words and what to do; then there may be others.
func (c *Client) Tagged(ctx context.Context, subscription string) ([]dr.Tagged, *dr.Error) {
	ctx, cancel := context.WithTimeout(ctx, getWithin) // for all pages
	defer cancel()
	next := c.at("/subscriptions/"+url.PathEscape(subscription)+"/providers/Microsoft.ApiManagement/service", c.o.APIVersion)
	var all []dr.Tagged
	for range maxListed {
		got, failure := c.page(ctx, call{verb: "list", url: next, long: true}) // which refuses a link that leads elsewhere
		if failure != nil {
			failure.Message += taggedAdvice[failure.Status]
			return nil, failure
		}
		for _, v := range got.Value {
			for name, plan := range v.Tags {
				if _, bad := c.target(v.ID, "", c.o.APIVersion); strings.EqualFold(name, dr.PlanTag) && bad == nil {
					all = append(all, dr.Tagged{Instance: dr.Instance{Name: path.Base(v.ID), ResourceID: v.ID, Region: regionName(v.Location)}, Plan: plan})
				}
			}
		}
		if next = got.NextLink; next == "" {
			return all, nil
		}
	}
	return nil, dr.Failure("NoList", fmt.Sprintf("the list of instances has more than %d pages", maxListed))
}

// regionName is a region as the fleet writes it: West Europe is westeurope.
func regionName(location string) string {
	return strings.ToLower(strings.ReplaceAll(location, " ", ""))
}

// Workspaces counts the workspaces of an instance; -1 when that cannot be seen. A tier that has none answers 400 MethodNotAllowedInPricingTier,
// which other tools take for an empty list too (Azure/apiops#686, Azure/apiops-cli#136): 0. That a default workspace, if an instance has one, does
// not stand in the list is inferred.
func (c *Client) Workspaces(ctx context.Context, resourceID string) int {
	target, failure := c.target(resourceID, "/workspaces", max(c.o.APIVersion, workspacesVersion))
	if failure != nil {
		return -1
	}
	got, failure := c.page(ctx, call{verb: "workspaces", url: target})
	switch n := max(got.Count, len(got.Value)); {
	case failure != nil && failure.Status == http.StatusBadRequest && strings.EqualFold(failure.Code, "MethodNotAllowedInPricingTier"):
		return 0
	case failure != nil, n == 0 && got.NextLink != "": // what comes next is not read
		return -1
	default:
		return n
	}
}
