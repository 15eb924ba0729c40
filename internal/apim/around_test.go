package apim

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"apim-dr/internal/dr"
)

const subscription = "/subscriptions/00000000-0000-0000-0000-000000000000"

func TestGroupVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer transport
		want   dr.Verdict
		text   string // region, or part of reason or error
		status int
	}{
		{"200", always(200, `{"id":"x","name":"contoso-rg","type":"Microsoft.Resources/resourceGroups","location":"westeurope","properties":{"provisioningState":"Succeeded"}}`), dr.OK, "westeurope", 0},
		{"200 without a type", always(200, `{"id":"x","location":"westeurope"}`), dr.OK, "westeurope", 0},
		{"200 of something else", always(200, resource), dr.Later, "no resource group", 0},
		{"200 from a proxy", always(200, "<html>"), dr.Later, "no resource group", 0},
		{"403", always(403, armBody("AuthorizationFailed", "no read")), dr.No, "no read (Give the identity of apim-dr Microsoft.Resources/subscriptions/resourceGroups/read", 403},
		{"404", always(404, armBody("ResourceGroupNotFound", "could not be found.")), dr.No, "could not be found. (Check the instance's id", 404},
		{"401", always(401, armBody("InvalidAuthenticationToken", "x")), dr.No, "audience", 401},
		{"429", always(429, "", "Retry-After", "9"), dr.Later, "429", 429},
		{"503", always(503, ""), dr.Later, "503", 503},
		{"302", always(302, "", "Location", "https://contoso.example"), dr.Later, "302", 302},
		{"out of reach", func(*http.Request) (*http.Response, error) { return nil, io.EOF }, dr.Later, "EOF", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			a := with(t, func(r *http.Request) (*http.Response, error) {
				asked = append(asked, r.Method+" "+r.URL.String())
				return tt.answer(r)
			}).Group(t.Context(), instance)
			text, status := a.Service.Region+a.Reason, 0
			if a.Error != nil {
				text, status = text+a.Error.Message, a.Error.Status
			}
			if a.Verdict != tt.want || !strings.Contains(text, tt.text) || status != tt.status || a.Verdict == dr.OK && a.Service != (dr.ServiceView{Region: tt.text}) {
				t.Errorf("%+v (%s)", a, text)
			}
			if want := "GET " + azure + subscription + "/resourceGroups/contoso-rg?api-version=2021-04-01"; len(asked) != 1 || asked[0] != want {
				t.Errorf("asked %v, want %s", asked, want)
			}
		})
	}
}

// deletedPage is a page of deleted services, in the shape of the 2024-05-01 swagger's example.
func deletedPage(next string, ids ...string) string {
	var items []string
	for _, id := range ids {
		items = append(items, fmt.Sprintf(`{"id":"x","name":"y","type":"Microsoft.ApiManagement/deletedservices","location":"West US","properties":{"serviceId":%q,"scheduledPurgeDate":"2026-01-04T00:00:00Z","deletionDate":"2026-01-02T00:00:00Z"}}`, id))
	}
	return fmt.Sprintf(`{"value":[%s],"nextLink":%q}`, strings.Join(items, ","), next)
}

func TestDeletedLooksThroughTheListToItsEnd(t *testing.T) {
	other := strings.Replace(instance, "contoso-eu", "contoso-us", 1)
	link := func(n int) string { return fmt.Sprintf("%s/deleted?page=%d", azure, n) }
	for _, tt := range []struct {
		name  string
		pages []string // the last one again and again
		want  dr.Known
		asked int
	}{
		{"there, in other letters", []string{deletedPage("", other, strings.ToUpper(instance))}, dr.Yes, 1},
		{"not there", []string{deletedPage("", other)}, dr.Not, 1},
		{"nothing deleted", []string{`{"value":[]}`}, dr.Not, 1},
		{"on the third page", []string{deletedPage(link(2), other), deletedPage(link(3)), deletedPage("", instance)}, dr.Yes, 3},
		{"not to the third page's end", []string{deletedPage(link(2), other), deletedPage(link(3)), deletedPage("")}, dr.Not, 3},
		{"a list without end", []string{deletedPage(link(1), other)}, dr.NotKnown, maxPages},
		{"the next page is elsewhere", []string{deletedPage("https://contoso.example/x", other)}, dr.NotKnown, 1},
		{"an instance of the name in another group", []string{deletedPage("", strings.Replace(instance, "contoso-rg", "other-rg", 1))}, dr.Not, 1},
		{"no list", []string{`{"error":"x"}`}, dr.NotKnown, 1},
		{"another type", []string{`{"value":"x"}`}, dr.NotKnown, 1},
		{"a proxy", []string{"<html>"}, dr.NotKnown, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			got := with(t, func(r *http.Request) (*http.Response, error) {
				asked = append(asked, r.URL.String())
				return answer(200, tt.pages[min(len(asked), len(tt.pages))-1]), nil
			}).Deleted(t.Context(), instance)
			if got != tt.want || len(asked) != tt.asked || asked[0] != azure+subscription+"/providers/Microsoft.ApiManagement/deletedservices?api-version=2024-05-01" {
				t.Errorf("%s after %v, want %s", got, asked, tt.want)
			}
		})
	}
}

func TestWorkspacesAreCounted(t *testing.T) {
	two := `{"value":[{"name":"wks1"},{"name":"wks2"}],"count":2,"nextLink":""}` // 2024-05-01 swagger's example
	for _, tt := range []struct {
		name   string
		answer transport
		want   int
	}{
		{"two", always(200, two), 2},
		{"none", always(200, `{"value":[],"count":0}`), 0},
		{"none, without a count", always(200, `{"value":[]}`), 0},
		{"more than a page", always(200, strings.Replace(two, `"count":2`, `"count":120`, 1)), 120},
		{"a count that is none", always(200, strings.Replace(two, `"count":2`, `"count":"-7"`, 1)), 2},
		{"an empty page before others", always(200, `{"value":[],"nextLink":"`+azure+`/x"}`), -1},
		{"no list", always(200, `{}`), -1},
		{"a proxy", always(200, "<html>"), -1},
		{"204", always(204, ""), -1},
		{"a tier without", always(400, armBody("MethodNotAllowedInPricingTier", "Method not allowed in Consumption pricing tier")), 0},
		{"400 of another kind", always(400, armBody("InvalidApiVersionParameter", "x")), -1},
		{"403", always(403, armBody("AuthorizationFailed", "x")), -1},
		{"404 of an unknown type", always(404, armBody("InvalidResourceType", "x")), -1},
		{"503", always(503, ""), -1},
		{"out of reach", func(*http.Request) (*http.Response, error) { return nil, errors.New("gone") }, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			got := with(t, func(r *http.Request) (*http.Response, error) {
				asked = append(asked, r.URL.String())
				return tt.answer(r)
			}).Workspaces(t.Context(), instance)
			if got != tt.want || len(asked) != 1 || asked[0] != azure+instance+"/workspaces?api-version=2024-05-01" {
				t.Errorf("%d after %v, want %d", got, asked, tt.want)
			}
		})
	}
}

func TestAListIsAskedForInAnApiVersionThatHasIt(t *testing.T) {
	for configured, want := range map[string][2]string{
		"2014-02-14": {"2021-08-01", "2024-05-01"}, "2022-08-01": {"2022-08-01", "2024-05-01"}, "2024-06-01-preview": {"2024-06-01-preview", "2024-06-01-preview"},
	} {
		var asked []string
		o := options(transport(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.Query().Get("api-version"))
			return answer(200, `{"value":[]}`), nil
		}))
		o.APIVersion = configured
		c := newClient(t, o)
		c.Deleted(t.Context(), instance)
		c.Workspaces(t.Context(), instance)
		if len(asked) != 2 || [2]string(asked) != want {
			t.Errorf("%s: asked %v, want %v", configured, asked, want)
		}
	}
}

func TestNothingIsAskedAroundWhatIsNoInstance(t *testing.T) {
	c := with(t, func(r *http.Request) (*http.Response, error) { t.Errorf("sent %s", r.URL); return nil, io.EOF })
	for _, id := range []string{"", "/", subscription, subscription + "/resourceGroups/contoso-rg", "@contoso.example" + instance, instance + "/x/y", instance + "?x"} {
		if a := c.Group(t.Context(), id); a.Verdict != dr.No || a.Error.Code != "InvalidResourceId" {
			t.Errorf("Group %q: %+v", id, a)
		}
		if got := c.Deleted(t.Context(), id); got != dr.NotKnown {
			t.Errorf("Deleted %q: %s", id, got)
		}
		if got := c.Workspaces(t.Context(), id); got != -1 {
			t.Errorf("Workspaces %q: %d", id, got)
		}
	}
}

func TestASilentRegionHoldsUpNoLookAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pages := 0
		c := with(t, func(r *http.Request) (*http.Response, error) {
			if pages++; pages%2 == 1 {
				time.Sleep(getWithin / 2)
				return answer(200, deletedPage(azure+"/x")), nil
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		began := time.Now()
		if got := c.Deleted(t.Context(), instance); got != dr.NotKnown || time.Since(began) != getWithin {
			t.Errorf("Deleted: %s after %s", got, time.Since(began))
		}
		pages, began = 1, time.Now()
		if a := c.Group(t.Context(), instance); a.Verdict != dr.Later || time.Since(began) != getWithin {
			t.Errorf("Group: %+v after %s", a, time.Since(began))
		}
	})
}

// A subscription may have a thousand instances, each shown in some 10 KB, and show them at once.
func TestAListOfAThousandInstancesIsReadWhole(t *testing.T) {
	var all []string
	for n := range 1000 {
		all = append(all, fmt.Sprintf(`{"id":"%s/resourceGroups/contoso-rg/providers/Microsoft.ApiManagement/service/contoso-%03d","location":"West Europe","tags":{"apim-dr":"nightly"},
			"properties":{"publicIPAddresses":["%s"]}}`, subscription, n, strings.Repeat("x", 10_000)))
	}
	got, failure := with(t, always(200, `{"value":[`+strings.Join(all, ",")+`]}`)).Tagged(t.Context(), strings.TrimPrefix(subscription, "/subscriptions/"))
	if len(got) != 1000 || failure != nil {
		t.Errorf("%d, %v", len(got), failure)
	}
	_, failure = with(t, always(200, `{"value":["`+strings.Repeat("x", maxList)+`"]}`)).Tagged(t.Context(), strings.TrimPrefix(subscription, "/subscriptions/"))
	if failure == nil {
		t.Error("there is no bound")
	}
}

func TestTaggedLooksThroughTheListToItsEnd(t *testing.T) {
	service := func(name, tags string) string {
		return fmt.Sprintf(`{"id":"%s/resourceGroups/contoso-rg/providers/Microsoft.ApiManagement/service/%s","location":"West Europe","tags":%s}`, subscription, name, tags)
	}
	page := func(next string, services ...string) string {
		return fmt.Sprintf(`{"value":[%s],"nextLink":%q}`, strings.Join(services, ","), next)
	}
	one, two := service("one", `{"APIM-dr":"nightly","x":"y"}`), service("two", `{"apim-dr":"weekly"}`)
	for name, tt := range map[string]struct {
		pages []string
		want  string
		err   string
	}{
		"none":                    {[]string{page("")}, "", ""},
		"tagged ones":             {[]string{page("", one, service("untagged", `{"apim":"dr"}`), service("no tags", "null"), two)}, "one:nightly@westeurope two:weekly@westeurope", ""},
		"over pages":              {[]string{page(azure+"/next", one), page("", two)}, "one:nightly@westeurope two:weekly@westeurope", ""},
		"what is no instance":     {[]string{page("", `{"id":"/subscriptions/0/x","tags":{"apim-dr":"nightly"}}`, one)}, "one:nightly@westeurope", ""},
		"a link elsewhere":        {[]string{page("https://evil.example/next", one)}, "", "does not lead to https://management.azure.com"},
		"no list":                 {[]string{`{}`}, "", "no list"},
		"refused":                 {[]string{""}, "", "no read (Give the identity of apim-dr Microsoft.ApiManagement/service/read on the subscription.)"},
		"refused after the first": {[]string{page(azure+"/next", one), ""}, "", "no read"},
	} {
		n := 0
		got, failure := with(t, func(r *http.Request) (*http.Response, error) {
			body := tt.pages[min(n, len(tt.pages)-1)]
			if n++; n == 1 && r.URL.String() != azure+subscription+"/providers/Microsoft.ApiManagement/service?api-version=2024-05-01" {
				t.Errorf("%s: asked %s", name, r.URL)
			}
			if body == "" {
				return always(403, armBody("AuthorizationFailed", "no read"))(r)
			}
			return always(200, body)(r)
		}).Tagged(t.Context(), strings.TrimPrefix(subscription, "/subscriptions/"))
		var words []string
		for _, g := range got {
			words = append(words, g.Name+":"+g.Plan+"@"+g.Region)
		}
		if strings.Join(words, " ") != tt.want || (failure == nil) != (tt.err == "") || failure != nil && !strings.Contains(failure.Message, tt.err) {
			t.Errorf("%s: %q, %v", name, words, failure)
		}
	}
}
