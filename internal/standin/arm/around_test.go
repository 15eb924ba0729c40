package arm_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/apimanagement/armapimanagement/v3"

	"apim-dr/internal/apim"
	"apim-dr/internal/dr"
	"apim-dr/internal/mask"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/azurite"
)

const (
	subscription = "/subscriptions/00000000-0000-0000-0000-000000000000"
	deletedList  = subscription + "/providers/Microsoft.ApiManagement/deletedservices" + current
)

func TestTheOfficialClientReadsWhatARestoreDoesNotBring(t *testing.T) {
	const user = subscription + "/resourceGroups/contoso-rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Backup"
	const tls10 = "Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Protocols.Tls10"
	_, client := official(t, func(c *arm.Config) {
		s := &c.Services[0]
		s.HostNames, s.PortalHostNames = []string{"api.contoso.com"}, []string{"portal.contoso.com"}
		s.SystemIdentity, s.UserIdentities = true, map[string]string{user: appID}
		s.Certificates = []string{"Root 0A1B", "CertificateAuthority 2C3D"}
		s.Network, s.Subnet = "Internal", subscription+"/resourceGroups/contoso-rg/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
		s.Protocols = map[string]string{tls10: "True"}
		s.GatewayURL, s.AdditionalLocations = "http://127.0.0.1:8080/contoso-west", []string{"East US"}
	})
	got, err := client.Get(t.Context(), "contoso-rg", "contoso-west", nil)
	if err != nil {
		t.Fatal(err)
	}
	p := got.Properties
	var hosts []string
	for _, h := range p.HostnameConfigurations {
		hosts = append(hosts, string(*h.Type)+" "+*h.HostName+" "+string(*h.CertificateSource))
	}
	if want := "Proxy contoso-west.azure-api.net BuiltIn, Proxy api.contoso.com Custom, DeveloperPortal portal.contoso.com Custom"; strings.Join(hosts, ", ") != want {
		t.Errorf("hosts %v", hosts)
	}
	if id := got.Identity; *id.Type != armapimanagement.ApimIdentityTypeSystemAssignedUserAssigned || *id.PrincipalID == "" || *id.UserAssignedIdentities[user].ClientID != appID {
		t.Errorf("identity %+v", id)
	}
	if c := p.Certificates; len(c) != 2 || *c[1].StoreName != armapimanagement.CertificateConfigurationStoreNameCertificateAuthority || *c[1].Certificate.Thumbprint != "2C3D" || c[1].EncodedCertificate != nil {
		t.Errorf("certificates %+v", c)
	}
	if *p.VirtualNetworkType != armapimanagement.VirtualNetworkTypeInternal || !strings.HasSuffix(*p.VirtualNetworkConfiguration.SubnetResourceID, "/subnets/s") {
		t.Errorf("network %s", *p.VirtualNetworkType)
	}
	if *p.CustomProperties[tls10] != "True" || len(p.CustomProperties) != 8 {
		t.Errorf("protocols %v", p.CustomProperties)
	}
	for _, url := range []string{*p.GatewayURL, *p.GatewayRegionalURL, *p.AdditionalLocations[0].GatewayRegionalURL} {
		if url != "http://127.0.0.1:8080/contoso-west" {
			t.Errorf("gateway at %s", url)
		}
	}
	plain, err := client.Get(t.Context(), "contoso-rg", "contoso-north", nil)
	if err != nil || plain.Identity != nil || plain.Properties.Certificates != nil || *plain.Properties.VirtualNetworkType != "None" ||
		*plain.Properties.GatewayRegionalURL != "https://contoso-north-northeurope-01.regional.azure-api.net" {
		t.Errorf("%+v, %v", plain, err)
	}
}

// product is the app's own client.
func (b *bench) product() *apim.Client {
	b.t.Helper()
	client, err := apim.New(apim.Options{Endpoint: b.url, Audience: audience, Credential: credential{b}, Now: b.clock.now, NewID: func() string { return "id" }, Mask: mask.New().Text,
		Access: func(string) (apim.Access, error) {
			return apim.Access{Mode: apim.AccessKey, Key: func() string { return azurite.Key }}, nil
		}})
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

func TestTheClientOfTheProductFollowsOperationsBelowTheirRegion(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Services[0].StatusPolls = true })
	client, ctx := b.product(), t.Context()
	start := func(verb dr.Verb) string {
		t.Helper()
		a := client.Start(ctx, dr.Leg{Verb: verb, ResourceID: west, Storage: dr.Storage{Account: "contosobackups", Container: b.container}}, "nightly")
		if a.Verdict != dr.Still || !strings.Contains(a.Location, "/locations/westeurope/operationsStatuses/") || a.Retry != 20*time.Second {
			t.Fatalf("%+v, %v", a, a.Error)
		}
		b.clock.pass(time.Minute)
		if still := client.Check(ctx, a.Location); still.Verdict != dr.Still || still.Location != a.Location || still.Retry != 20*time.Second {
			t.Errorf("while it runs: %+v, %v", still, still.Error)
		}
		b.clock.pass(time.Hour)
		return a.Location
	}
	location := start(dr.VerbBackup)
	if a := client.Check(ctx, location); a.Verdict != dr.OK || a.Service.State != "" {
		t.Errorf("at its end: %+v, %v", a, a.Error)
	}
	b.srv.FailNext("contoso-west", arm.Restore, arm.SKUMismatch("StandardV2", "Standard"))
	if a := client.Check(ctx, start(dr.VerbRestore)); a.Verdict != dr.No || a.Error.Code != "RestoreFailed" || a.Error.Message != arm.SKUMismatch("StandardV2", "Standard").Message {
		t.Errorf("one that failed: %+v, %v", a, a.Error)
	}
	b.srv.Change(func(c *arm.Config) {
		c.Grants = []arm.Grant{{Scope: subscription, Actions: []string{"Microsoft.ApiManagement/service/*"}}}
	})
	if a := client.Check(ctx, location); a.Verdict != dr.Refused || a.Error.Status != 403 {
		t.Errorf("without the right: %+v, %v", a, a.Error)
	}
}

func TestTheClientOfTheProductSeesWhatIsConfigured(t *testing.T) {
	b := newBench(t, func(c *arm.Config) {
		c.Services[0].Workspaces, c.Services[0].SystemIdentity, c.Services[0].Certificates = 3, true, []string{"Root 0A1B"}
		c.Groups = map[string]string{"contoso-rg": "West Europe"}
		c.Deleted = []arm.Service{{ID: group + "Contoso-Gone", Location: "West US"}}
	})
	client, ctx := b.product(), t.Context()
	if a := client.Service(ctx, west); a.Verdict != dr.OK || !a.Service.Settings.SystemIdentity || a.Service.Settings.Certificates[0] != "Root 0A1B" || a.Service.Settings.HostNames[0].Custom {
		t.Errorf("%+v", a)
	}
	if a := client.Group(ctx, west); a.Verdict != dr.OK || a.Service.Region != "westeurope" {
		t.Errorf("group %+v", a)
	}
	if got := [3]int{client.Workspaces(ctx, west), client.Workspaces(ctx, group+"contoso-lambda"), client.Workspaces(ctx, group+"absent")}; got != [3]int{3, 0, -1} {
		t.Errorf("workspaces %v", got)
	}
	if yes, not := client.Deleted(ctx, group+"contoso-gone"), client.Deleted(ctx, west); yes != dr.Yes || not != dr.Not {
		t.Errorf("deleted: %s, %s", yes, not)
	}
	if a := client.Service(ctx, group+"contoso-gone"); a.Verdict != dr.No || a.Error.Status != 404 {
		t.Errorf("%+v", a)
	}
}

func TestTheOfficialClientListsWorkspacesAndDeletedServices(t *testing.T) {
	_, factory := officials(t, func(c *arm.Config) {
		c.Services[2].Workspaces = 2
		c.Deleted = []arm.Service{{ID: group + "contoso-gone", Location: "West US"}}
	})
	workspaces, err := factory.NewWorkspaceClient().NewListByServicePager("contoso-rg", "contoso-premium", nil).NextPage(t.Context())
	if err != nil || len(workspaces.Value) != 2 || *workspaces.Count != 2 || *workspaces.Value[1].Name != "wks2" {
		t.Errorf("%+v, %v", workspaces, err)
	}
	none, err := factory.NewWorkspaceClient().NewListByServicePager("contoso-rg", "contoso-west", nil).NextPage(t.Context())
	if err != nil || len(none.Value) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	gone, err := factory.NewDeletedServicesClient().NewListBySubscriptionPager(nil).NextPage(t.Context())
	if err != nil || len(gone.Value) != 1 || *gone.Value[0].Properties.ServiceID != group+"contoso-gone" || *gone.Value[0].Location != "West US" ||
		gone.Value[0].Properties.ScheduledPurgeDate.Sub(*gone.Value[0].Properties.DeletionDate) != 48*time.Hour {
		t.Errorf("%+v, %v", gone, err)
	}
}

func TestADeletedServiceIsListedUntilItIsCreatedAgainOrPurged(t *testing.T) {
	b := newBench(t, nil)
	listed := func() string {
		t.Helper()
		raw := b.want(b.do("GET", deletedList, ""), 200, "").raw
		var names []string
		for _, name := range []string{"contoso-west", "contoso-north"} {
			if strings.Contains(raw, `"serviceId":"`+group+name+`"`) {
				names = append(names, name)
			}
		}
		return strings.Join(names, " ")
	}
	if got := listed(); got != "" {
		t.Errorf("at the start: %s", got)
	}
	for _, id := range []string{west, north} {
		b.want(b.do("DELETE", id+current, ""), 202, "")
	}
	b.clock.pass(time.Minute)
	if got := listed(); got != "contoso-west contoso-north" {
		t.Errorf("deleted: %q", got)
	}
	if a := b.do("GET", strings.Replace(deletedList, "00000000-0", "11111111-0", 1), ""); a.raw != "{\"value\":[]}\n" {
		t.Errorf("in another subscription: %s", a.raw)
	}
	b.want(b.do("PUT", west+current, `{"location":"West Europe","sku":{"name":"Standard","capacity":1}}`), 201, "")
	if got := listed(); got != "contoso-north" {
		t.Errorf("one created again: %q", got)
	}
	b.clock.pass(48 * time.Hour)
	if got := listed(); got != "" {
		t.Errorf("purged: %q", got)
	}
}

func TestAResourceGroupShowsItsLocation(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Groups = map[string]string{"Contoso-RG": "West Europe"} })
	if a := b.want(b.do("GET", subscription+"/resourcegroups/contoso-rg?api-version=2021-04-01", ""), 200, ""); a.body["location"] != "westeurope" || a.body["type"] != "Microsoft.Resources/resourceGroups" {
		t.Errorf("got %s", a.raw)
	}
	b.srv.Change(func(c *arm.Config) { c.Groups = map[string]string{"contoso-rg": "northeurope"} })
	if a := b.do("GET", subscription+"/resourceGroups/contoso-rg?api-version=2021-04-01", ""); a.body["location"] != "northeurope" {
		t.Errorf("moved: %s", a.raw)
	}
	if a := b.want(b.do("GET", subscription+"/resourceGroups/other?api-version=2021-04-01", ""), 404, "ResourceGroupNotFound"); a.message() != "Resource group 'other' could not be found." {
		t.Errorf("got %q", a.message())
	}
	b.want(b.do("DELETE", subscription+"/resourceGroups/contoso-rg?api-version=2021-04-01", ""), 404, "InvalidResourceType")
}

func TestTheOfficialClientListsASubscription(t *testing.T) {
	for _, page := range []int{0, 1, 2} {
		b, client := official(t, func(c *arm.Config) {
			c.ServicePage = page
			c.Services[0].Tags = map[string]string{"apim-dr": "nightly"}
		})
		var names []string
		for pager := client.NewListPager(nil); pager.More(); {
			got, err := pager.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range got.Value {
				names = append(names, *s.Name)
				if (*s.Name == "contoso-west") != (s.Tags["apim-dr"] != nil) {
					t.Errorf("%s has tags %v", *s.Name, s.Tags)
				}
			}
		}
		if !slices.IsSorted(names) || len(names) < 2 || !slices.Contains(names, "contoso-west") || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("%d a page: %q", page, names)
		}
		if got, failure := b.product().Tagged(t.Context(), strings.TrimPrefix(subscription, "/subscriptions/")); failure != nil || len(got) != 1 || got[0].Name != "contoso-west" || got[0].Plan != "nightly" {
			t.Errorf("%d a page: %+v, %v", page, got, failure)
		}
	}
}

func TestWorkspacesOfAServiceThatHasNone(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Services[0].MinAPIVersion = "2024-06-01" })
	b.want(b.do("GET", group+"contoso-lambda/workspaces"+current, ""), 400, "MethodNotAllowedInPricingTier")
	b.want(b.do("GET", group+"absent/workspaces"+current, ""), 404, "ResourceNotFound")
	b.want(b.do("GET", west+"/workspaces"+current, ""), 400, "InvalidApiVersionParameter")
}

// around are the looks at and around a service, and the action that each needs.
var around = []struct {
	verb         arm.Verb
	path, action string
}{
	{arm.Read, west + current, "Microsoft.ApiManagement/service/read"},
	{arm.ListWorkspaces, west + "/workspaces" + current, "Microsoft.ApiManagement/service/workspaces/read"},
	{arm.Reports, west + "/reports/byUser" + current + juneTime, "Microsoft.ApiManagement/service/reports/read"},
	{arm.ListDeleted, deletedList, "Microsoft.ApiManagement/deletedservices/read"},
	{arm.ReadGroup, subscription + "/resourceGroups/contoso-rg" + current, "Microsoft.Resources/subscriptions/resourceGroups/read"},
}

func TestEachLookAroundNeedsItsOwnAction(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Groups = map[string]string{"contoso-rg": "West Europe"} })
	for _, granted := range around {
		b.srv.Change(func(c *arm.Config) { c.Grants = []arm.Grant{{Scope: subscription, Actions: []string{granted.action}}} })
		for _, x := range around {
			a := b.do("GET", x.path, "")
			if x.verb == granted.verb {
				b.want(a, 200, "")
			} else if b.want(a, 403, "AuthorizationFailed"); !strings.Contains(a.message(), "'"+x.action+"' over scope '"+subscription) {
				t.Errorf("%s: %s", x.verb, a.message())
			}
		}
	}
}

func TestAFaultStrikesALookAround(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Groups = map[string]string{"contoso-rg": "West Europe"} })
	for _, x := range around {
		b.srv.Inject(arm.Fault{Verb: x.verb, Status: 503})
		for _, y := range around {
			if want := map[bool]int{true: 503, false: 200}[x.verb == y.verb]; b.do("GET", y.path, "").status != want {
				t.Errorf("fault of %s, %s: not %d", x.verb, y.verb, want)
			}
		}
	}
}

// An instance hangs in all that is asked of it, and others do not.
func TestAHeldServiceAnswersNothingAndTheOthersDo(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Groups = map[string]string{"contoso-rg": "West Europe"} })
	location := strings.TrimPrefix(b.backup("contoso-west"), b.url)
	b.do("GET", west+current, "") // who comes later need not end anything
	ask := func(ctx context.Context, h http.Handler, method, path string) int {
		r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader("{}"))
		token, _ := b.tokens.Issue(audience, appID)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		b.srv.Inject(arm.Fault{Service: "contoso-west", Hold: hold, Status: 503, Times: arm.Always})
		var answered atomic.Int32
		const held = 9
		for _, x := range [held][2]string{{"GET", west + current}, {"GET", location}, {"POST", west + "/backup" + current}, {"POST", west + "/restore" + current}, {"PATCH", west + current},
			{"PUT", west + current}, {"DELETE", west + current}, {"GET", west + "/workspaces" + current}, {"GET", "/contoso-west/status-0123456789abcdef"}} {
			h := http.Handler(b.srv)
			if strings.HasPrefix(x[1], "/contoso-west") {
				h = b.srv.GatewayHandler()
			}
			go func() {
				if got := ask(t.Context(), h, x[0], x[1]); got != 503 {
					t.Errorf("%s %s: %d", x[0], x[1], got)
				}
				answered.Add(1)
			}()
		}
		synctest.Wait()
		if n := answered.Load(); n != 0 {
			t.Errorf("%d were answered", n)
		}
		for _, x := range around {
			if got := ask(t.Context(), b.srv, "GET", strings.Replace(x.path, "contoso-west", "contoso-north", 1)); got != 200 {
				t.Errorf("%s of another: %d", x.verb, got)
			}
		}
		close(hold)
		synctest.Wait()
		if n := answered.Load(); n != held {
			t.Errorf("%d of %d were answered in the end", n, held)
		}
	})
}

func TestAHeldGatewayLetsGoOfWhoHangsUp(t *testing.T) {
	b := newBench(t, nil)
	synctest.Test(t, func(t *testing.T) {
		b.srv.Inject(arm.Fault{Service: "contoso-north", Hold: make(chan struct{})})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			b.srv.GatewayHandler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/contoso-north/status-0123456789abcdef", nil))
			close(done)
		}()
		synctest.Wait()
		cancel()
		<-done
	})
	if r := b.srv.Requests(); len(r) != 1 || r[0].Status != 0 {
		t.Errorf("logged %+v", r)
	}
}

func TestAGatewayAnswersWhileItsServiceIsThereAndNotFaulted(t *testing.T) {
	b := newBench(t, nil)
	srv := httptest.NewServer(b.srv.GatewayHandler())
	defer srv.Close()
	const page = "/status-0123456789abcdef"
	ask := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get(srv.URL + path)
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		raw, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(raw)
	}
	want := func(path string, status int) {
		t.Helper()
		if got, body := ask(path); got != status || body != "" {
			t.Errorf("%s: %d %q, want %d", path, got, body, status)
		}
	}
	want("/Contoso-West"+page, 200)
	want("/absent"+page, 404)
	want("/contoso-west", 404)
	want("/contoso-west/other"+page, 404)
	b.srv.Inject(arm.Fault{Verb: arm.Gateway, Service: "contoso-west", Status: 503, Times: arm.Always})
	want("/contoso-west"+page, 503)
	want("/contoso-north"+page, 200)
	b.want(b.do("GET", west+current, ""), 200, "")
	b.srv.ClearFaults()
	b.srv.Inject(arm.Fault{Service: "contoso-west", Drop: arm.DropBefore, Times: 2}) // Go asks again after a reset of a reused connection
	srv.CloseClientConnections()
	if got, _ := ask("/contoso-west" + page); got != 0 {
		t.Errorf("the reset was answered with %d", got)
	}
	b.srv.ClearFaults()
	b.want(b.do("DELETE", west+current, ""), 202, "")
	b.clock.pass(time.Minute)
	b.want(b.do("GET", west+current, ""), 404, "ServiceNotFound")
	want("/contoso-west"+page, 404)
	if r := b.srv.Requests()[0]; r.Verb != arm.Gateway || r.Service != "Contoso-West" || r.Status != 200 {
		t.Errorf("logged %+v", r)
	}
}

func TestPermissionsAreThoseOfTheGrantsInTheScope(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Services[0].MinAPIVersion = "2024-05-01" })
	list := "/providers/Microsoft.Authorization/permissions?api-version=2022-04-01"
	for _, scope := range []string{subscription, west} {
		if got := b.do("GET", scope+list, ""); got.status != 200 || !strings.Contains(got.raw, `"actions":["*"]`) {
			t.Errorf("without grants: %d %s", got.status, got.raw)
		}
	}
	own := arm.Grant{Scope: west, Actions: []string{"Microsoft.ApiManagement/service/read"}}
	b.srv.Change(func(c *arm.Config) { c.Grants = []arm.Grant{own} })
	b.want(b.do("GET", west+list, ""), 403, "AuthorizationFailed")
	b.srv.Change(func(c *arm.Config) {
		c.Grants = []arm.Grant{own, {Scope: subscription, Actions: []string{"Microsoft.Authorization/*"}}}
	})
	if got := b.do("GET", west+list, ""); got.status != 200 || !strings.Contains(got.raw, own.Actions[0]) || !strings.Contains(got.raw, "Microsoft.Authorization/*") {
		t.Errorf("on the instance: %d %s", got.status, got.raw)
	}
	if got := b.do("GET", subscription+list, ""); got.status != 200 || strings.Contains(got.raw, own.Actions[0]) {
		t.Errorf("on the subscription: %d %s", got.status, got.raw)
	}
	if last := b.srv.Requests()[len(b.srv.Requests())-1]; last.Verb != arm.ListPermissions || last.Verb.Action() != "Microsoft.Authorization/permissions/read" {
		t.Errorf("%+v", last)
	}
}
