package apim_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"apim-dr/internal/apim"
	"apim-dr/internal/dr"
)

// TestResourceManagerKeepsTheContract is what apim-dr relies on when it asks Resource Manager: against the stand-in or, with AZURE_LIVE=1,
// against Azure (docs/live.md). It changes nothing but for the backup at its end.
func TestResourceManagerKeepsTheContract(t *testing.T) {
	p := where(t)
	for _, c := range contract {
		t.Run(c.holds, func(t *testing.T) { c.test(t, p) })
	}
}

var contract = []struct {
	holds string
	test  func(*testing.T, place)
}{
	{"an instance is shown with state, ETag, tier, region and gateway", func(t *testing.T, p place) {
		a := p.client(t, nil).Service(t.Context(), p.instance)
		s := a.Service
		if a.Verdict != dr.OK || s.State == "" || s.ETag == "" || s.SKU == "" || s.Region == "" || s.Settings == nil || !strings.HasPrefix(s.Settings.GatewayURL, "https://") {
			t.Errorf("got %+v, settings %+v", a, s.Settings)
		}
	}},
	{"a resource group is shown with its region, in ARM's form", func(t *testing.T, p place) {
		if a := p.client(t, nil).Group(t.Context(), p.instance); a.Verdict != dr.OK || !regexp.MustCompile(`^[a-z0-9]+$`).MatchString(a.Service.Region) {
			t.Errorf("got %+v", a)
		}
	}},
	{"workspaces are counted", func(t *testing.T, p place) {
		if n := p.client(t, nil).Workspaces(t.Context(), p.instance); n < 0 {
			t.Errorf("got %d", n)
		}
	}},
	{"what is there is not among the deleted, and what never was neither", func(t *testing.T, p place) {
		for _, id := range []string{p.instance, absent(p.instance, 8)} {
			if got := p.client(t, nil).Deleted(t.Context(), id); got != dr.Not {
				t.Errorf("%s: %s", id, got)
			}
		}
	}},
	{"what is not there is told in ARM's words, with what to do", func(t *testing.T, p place) {
		c, instance := p.client(t, nil), absent(p.instance, 8)
		told(t, c.Service(t.Context(), instance), http.StatusNotFound, "ResourceNotFound", "Check the instance's id")
		told(t, c.Group(t.Context(), absent(p.instance, 4)), http.StatusNotFound, "ResourceGroupNotFound", "Check the instance's id")
		if n := c.Workspaces(t.Context(), instance); n != -1 {
			t.Errorf("%d workspaces of what is not there", n)
		}
	}},
	{"an api-version that ARM does not have is told in its words", func(t *testing.T, p place) {
		c := p.client(t, func(o *apim.Options) { o.APIVersion = "2000-01-01" })
		a := c.Service(t.Context(), p.instance)
		if a.Verdict != dr.No || a.Error == nil || a.Error.Status/100 != 4 || a.Error.Code == "" || !regexp.MustCompile(`(?i)api.version`).MatchString(a.Error.Message) {
			t.Errorf("got %+v, %v", a, a.Error)
		}
	}},
	{"a Location that is not ARM's is not followed", func(t *testing.T, p place) {
		c := p.client(t, func(o *apim.Options) { o.Transport = nowhere{t} })
		scheme, host, _ := strings.Cut(p.endpoint, "://")
		name, _, _ := strings.Cut(host, ":")
		for _, l := range []string{
			scheme + "://contoso.example" + p.instance + "/operationresults/1", scheme + "://" + name + ".contoso.example" + host[len(name):] + "/x", p.endpoint + "@contoso.example/x",
			p.endpoint[:len(p.endpoint)-1] + "/x", p.instance + "/operationresults/1", "//" + host + "/x", "",
		} {
			if a := c.Check(t.Context(), l); a.Verdict != dr.Refused || a.Error == nil || a.Error.Code != "UntrustedLocation" || a.Location != "" {
				t.Errorf("%q: %+v", l, a)
			}
		}
	}},
	{"a Location that leads to no operation is no verdict about one", func(t *testing.T, p place) {
		unknown := base64.StdEncoding.EncodeToString([]byte("nowhere_Backup_00000000"))
		a := p.client(t, nil).Check(t.Context(), p.endpoint+p.instance+"/operationresults/"+unknown+"?api-version="+apim.DefaultAPIVersion)
		if a.Verdict != dr.Refused && a.Verdict != dr.Later {
			t.Errorf("got %+v, %v", a, a.Error)
		}
	}},
	{"a token that ARM does not take is told, with what to do", func(t *testing.T, p place) {
		c := p.client(t, func(o *apim.Options) { o.Credential = forged{} })
		told(t, c.Service(t.Context(), p.instance), http.StatusUnauthorized, "", "Check the identity of apim-dr")
	}},
	{"a call ends with its context", func(t *testing.T, p place) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		if a := p.client(t, nil).Service(ctx, p.instance); a.Verdict != dr.Later || a.Reason == "" || time.Since(began) > time.Second {
			t.Errorf("after %v: %+v", time.Since(began), a)
		}
	}},
	{"a backup is accepted with a Location and goes to its end", backup},
}

func backup(t *testing.T, p place) {
	if p.backups.Account == "" {
		t.Skip("no backup is made: AZURE_LIVE_BACKUP=account/container is not set")
	}
	shown := p.client(t, nil).Service(t.Context(), p.instance)
	if shown.Verdict != dr.OK || shown.Service.State != "Succeeded" {
		t.Fatalf("the instance must be idle: %+v", shown)
	}
	access := apim.Access{Mode: apim.SystemAssigned}
	if s := shown.Service.Settings; !s.SystemIdentity {
		for _, access.ClientID = range s.UserIdentities {
			access.Mode = apim.UserAssigned
		}
		if access.ClientID == "" {
			t.Fatal("the instance has no identity: give it one that is Storage Blob Data Contributor on the account")
		}
	}
	c := p.client(t, func(o *apim.Options) { o.Access = func(string) (apim.Access, error) { return access, nil } })
	leg := dr.Leg{Verb: dr.VerbBackup, ResourceID: p.instance, Storage: p.backups}
	point, began := dr.NewID(dr.KindBackup, time.Now(), rand.Text())+"-s0-a1", time.Now()
	a := c.Start(t.Context(), leg, point)
	if a.Verdict != dr.Still || !c.Trusts(a.Location) || a.Retry <= 0 {
		t.Fatalf("the POST: %+v, %v", a, a.Error)
	}
	end, bounded := t.Deadline()
	for polls := 1; ; polls++ {
		wait, location := max(a.Retry, time.Second), a.Location
		if bounded && time.Until(end) < wait+time.Minute {
			t.Fatalf("still at work after %v and %d polls, and go test's -timeout is near: %s", time.Since(began), polls, location)
		}
		time.Sleep(wait)
		switch a = c.Check(t.Context(), location); a.Verdict {
		case dr.Still:
		case dr.Later: // no verdict: the same Location again
			a.Location = location
		case dr.OK:
			t.Logf("%s in %s/%s took %v and %d polls", point, p.backups.Account, p.backups.Container, time.Since(began).Round(time.Second), polls)
			if after := c.Service(t.Context(), p.instance); after.Verdict != dr.OK || after.Service.State != "Succeeded" || after.Service.ETag == shown.Service.ETag {
				t.Errorf("afterwards %+v, before %+v", after, shown)
			}
			return
		default:
			t.Fatalf("after %v and %d polls: %+v, %v", time.Since(began), polls, a, a.Error)
		}
	}
}

// absent is an ARM id in which one part (4: the group, 8: the instance) names nothing that is there.
func absent(id string, part int) string {
	parts := strings.Split(id, "/")
	parts[part] = "apimdr-" + strings.ToLower(rand.Text())
	return strings.Join(parts, "/")
}

// told checks that an answer is a no with ARM's status and code, and with advice; any code when code is empty.
func told(t *testing.T, a dr.Answer, status int, code, advice string) {
	t.Helper()
	if a.Verdict != dr.No || a.Error == nil || a.Error.Source != "arm" || a.Error.Status != status || a.Error.Code == "" || code != "" && a.Error.Code != code || !strings.Contains(a.Error.Message, advice) {
		t.Errorf("got %+v, %v; want %d %s and %q", a, a.Error, status, code, advice)
	}
}

// nowhere is a transport that nothing may reach.
type nowhere struct{ t *testing.T }

func (n nowhere) Do(r *http.Request) (*http.Response, error) {
	n.t.Errorf("sent to %s", r.URL.Host)
	return nil, errors.New("nowhere")
}

// forged is a credential whose token nobody has issued.
type forged struct{}

func (forged) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "e30.e30.c2lnbmF0dXJl", ExpiresOn: time.Now().Add(time.Hour)}, nil
}
