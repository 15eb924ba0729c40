package apim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"apim-dr/infra"
)

func actions(needs []Need) (list []string) {
	for _, n := range needs {
		list = append(list, n.Action)
	}
	return list
}

// Whoever deploys the template has what is asked for here, and what is granted there is asked for.
func TestWhatIsNeededIsWhatTheTemplateGrants(t *testing.T) {
	for role, needs := range map[infra.Role][]Need{infra.Operator: OnInstance, infra.Reader: OnSubscription} {
		if got, want := actions(needs), infra.Actions(role); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("needed is %q, the role %s has %q", got, role, want)
		}
	}
}

func TestPermissionsAreAUnionOfActionsWithoutNotActions(t *testing.T) {
	const backup, read = "Microsoft.ApiManagement/service/backup/action", "Microsoft.ApiManagement/service/read"
	type list = []permission
	for name, row := range map[string]struct {
		all  list
		want []string // of the two lacking
	}{
		"nothing":                       {nil, []string{backup, read}},
		"everything":                    {list{{Actions: []string{"*"}}}, nil},
		"by name, in any case":          {list{{Actions: []string{strings.ToUpper(backup), strings.ToLower(read)}}}, nil},
		"below a star":                  {list{{Actions: []string{"Microsoft.ApiManagement/service/*"}}}, nil},
		"a star in the middle":          {list{{Actions: []string{"Microsoft.ApiManagement/*/action"}}}, []string{read}},
		"a star before":                 {list{{Actions: []string{"*/read"}}}, []string{backup}},
		"a star before, and more after": {list{{Actions: []string{"*/backup"}}}, []string{backup, read}},
		"two stars":                     {list{{Actions: []string{"*/service/*"}}}, nil},
		"a star is no overlap":          {list{{Actions: []string{"Microsoft.ApiManagement/service/read*read"}}}, []string{backup, read}},
		"half a name":                   {list{{Actions: []string{"Microsoft.ApiManagement/service/backup", "ApiManagement/service/read"}}}, []string{backup, read}},
		"of another provider":           {list{{Actions: []string{"Microsoft.Web/*"}}}, []string{backup, read}},
		"taken away":                    {list{{Actions: []string{"*"}, NotActions: []string{"*/BACKUP/action"}}}, []string{backup}},
		"all taken away":                {list{{Actions: []string{"*"}, NotActions: []string{"*"}}}, []string{backup, read}},
		"taken away here, given there":  {list{{Actions: []string{"*"}, NotActions: []string{backup}}, {Actions: []string{backup}}}, nil},
		"in two":                        {list{{Actions: []string{backup}}, {Actions: []string{read}}}, nil},
		"what no one gave is not taken": {list{{Actions: []string{read}}, {NotActions: []string{read}}}, []string{backup}},
	} {
		if got := actions(lacking(row.all, []Need{{Action: backup}, {Action: read}})); !slices.Equal(got, row.want) {
			t.Errorf("%s: lacks %q, want %q", name, got, row.want)
		}
	}
}

func TestPermissionsAreReadPageByPageAndFromTheEndpointAlone(t *testing.T) {
	page := func(next string, actions ...string) (*http.Response, error) {
		body, _ := json.Marshal(map[string]any{"value": []any{map[string]any{"actions": actions, "notActions": []string{}}}, "nextLink": next})
		return answer(200, string(body)), nil
	}
	first := azure + instance + "/providers/Microsoft.Authorization/permissions?api-version=2022-04-01"
	var asked []string
	lacks, failure := with(t, func(r *http.Request) (*http.Response, error) {
		if asked = append(asked, r.URL.String()); len(asked) == 1 {
			return page(azure+"/next?api-version=2022-04-01&$skiptoken=2", "Microsoft.ApiManagement/service/*/action")
		}
		return page("", "Microsoft.ApiManagement/service/read", "*/operationresults/read")
	}).Lacks(t.Context(), instance)
	if want := []string{first, azure + "/next?api-version=2022-04-01&$skiptoken=2"}; failure != nil || !slices.Equal(asked, want) {
		t.Errorf("%v, asked %q", failure, asked)
	}
	if got := actions(lacks); !slices.Equal(got, []string{"Microsoft.ApiManagement/service/workspaces/read", "Microsoft.ApiManagement/service/reports/read"}) ||
		lacks[0].Without == "" || lacks[1].Without == "" {
		t.Errorf("lacks %q", got)
	}
	lacks, failure = with(t, func(*http.Request) (*http.Response, error) { return page("", "*") }).Lacks(t.Context(), subscription)
	if failure != nil || len(lacks) > 0 {
		t.Errorf("on the subscription: %v, %v", lacks, failure)
	}
	for name, row := range map[string]struct {
		scope  string
		answer transport
		want   string
		most   int
	}{
		"403":        {instance, always(403, armBody("AuthorizationFailed", "no list")), "AuthorizationFailed: no list", 1},
		"no list":    {instance, always(200, `{}`), "no list in it", 1},
		"elsewhere":  {instance, func(*http.Request) (*http.Response, error) { return page("https://contoso.example/next", "*") }, "does not lead to " + azure, 1},
		"no end":     {instance, func(*http.Request) (*http.Response, error) { return page(first, "Microsoft.Web/*") }, "more than 10 pages", 10},
		"no id":      {"/subscriptions/x/y", always(200, `{}`), "is not the ARM id", 0},
		"no service": {subscription + "/resourceGroups/rg", always(200, `{}`), "is not the ARM id", 0},
	} {
		sent := 0
		lacks, failure := with(t, func(r *http.Request) (*http.Response, error) { sent++; return row.answer(r) }).Lacks(t.Context(), row.scope)
		if failure == nil || lacks != nil || !strings.Contains(fmt.Sprint(failure), row.want) || sent != row.most {
			t.Errorf("%s: %v, %v after %d requests", name, lacks, failure, sent)
		}
	}
}
