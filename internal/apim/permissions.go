package apim

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"apim-dr/internal/dr"
)

const permissionsVersion = "2022-04-01" // of Microsoft.Authorization

// Need is an action that apim-dr asks Resource Manager for.
type Need struct {
	Action  string
	Without string // what one goes without where it is missing; empty: too much
}

// OnInstance is what an operator needs on an instance: the role operator of infra/modules/roles.bicep.
var OnInstance = []Need{
	{Action: "Microsoft.ApiManagement/service/read"},                                                                      // Service: the look before each POST and after each restore
	{Action: "Microsoft.ApiManagement/service/backup/action"},                                                             // Start of a backup; of a secondary once it is the active instance
	{Action: "Microsoft.ApiManagement/service/restore/action"},                                                            // Start of a restore; of a primary for a failback
	{Action: "Microsoft.ApiManagement/service/operationresults/read"},                                                     // Check: without it a backup may succeed and nobody knows (azure-powershell#26536)
	{Action: "Microsoft.ApiManagement/service/workspaces/read", Without: "plans cannot tell whether it has workspaces"},   // Workspaces
	{Action: "Microsoft.ApiManagement/service/reports/read", Without: "what it reports about its use cannot be exported"}, // Page
}

// OnSubscription is what a reader needs on the subscription of an instance: the role reader.
var OnSubscription = []Need{
	{Action: "Microsoft.ApiManagement/service/read", Without: "an instance that is gone may show as one that may not be read"},                                                      // Service of what is not there
	{Action: "Microsoft.ApiManagement/locations/operationsStatuses/read", Without: "if Azure shows backups and restores there, as newer operations do, how they end stays unknown"}, // Check of such a Location
	{Action: "Microsoft.ApiManagement/deletedservices/read", Without: "an instance that is gone is not known to be one that can be brought back"},                                   // Deleted
	{Action: "Microsoft.Resources/subscriptions/resourceGroups/read", Without: "plans cannot tell in which region its resource group lies"},                                         // Group
}

var subscriptionShape = regexp.MustCompile(`(?i)^/subscriptions/[^/?#%\\\s]+$`)

// Lacks lists what the caller needs and lacks in a scope, the id of an instance (OnInstance) or of a subscription (OnSubscription). An error says that
// the caller's permissions could not be read to their end. Deny assignments do not show in them.
func (c *Client) Lacks(ctx context.Context, scope string) ([]Need, *dr.Error) {
	needs := OnInstance
	if subscriptionShape.MatchString(scope) {
		needs = OnSubscription
	} else if _, failure := c.target(scope, "", permissionsVersion); failure != nil {
		return nil, failure
	}
	ctx, cancel := context.WithTimeout(ctx, getWithin) // for all pages
	defer cancel()
	var all []permission
	next := c.at(scope+"/providers/Microsoft.Authorization/permissions", permissionsVersion)
	for range maxPages {
		got, failure := c.page(ctx, call{verb: "permissions", url: next}) // which refuses a link that leads elsewhere
		if failure != nil {
			return nil, failure
		}
		for _, v := range got.Value {
			all = append(all, v.permission)
		}
		if next = got.NextLink; next == "" {
			return lacking(all, needs), nil
		}
	}
	return nil, dr.Failure("NoList", fmt.Sprintf("the list of permissions has more than %d pages", maxPages))
}

// permission is what one role assignment allows: Actions without NotActions. What one takes away another may give.
type permission struct {
	Actions    []string `json:"actions"`
	NotActions []string `json:"notActions"`
}

func lacking(all []permission, needs []Need) (list []Need) {
	for _, n := range needs {
		if !slices.ContainsFunc(all, func(p permission) bool { return covers(p.Actions, n.Action) && !covers(p.NotActions, n.Action) }) {
			list = append(list, n)
		}
	}
	return list
}

func covers(patterns []string, action string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(strings.ToLower(p), strings.ToLower(action)) })
}

// fits tells whether a pattern, in which * stands for any text, fits an action.
func fits(pattern, action string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(action, parts[0])
	if !ok || len(parts) == 1 {
		return ok && rest == ""
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		if _, rest, ok = strings.Cut(rest, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(rest, last)
}
