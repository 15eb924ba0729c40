package arm_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/apimanagement/armapimanagement/v3"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/azurite"
)

type credential struct{ b *bench }

func (c credential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, expires := c.b.tokens.Issue(strings.TrimSuffix(o.Scopes[0], "/.default"), appID)
	return azcore.AccessToken{Token: token, ExpiresOn: expires}, nil
}

// official is Microsoft's own client for services.
func official(t *testing.T, change func(*arm.Config)) (*bench, *armapimanagement.ServiceClient) {
	t.Helper()
	b, factory := officials(t, change)
	return b, factory.NewServiceClient()
}

// officials are Microsoft's own clients, asking a stand-in that lives by the real clock.
func officials(t *testing.T, change func(*arm.Config)) (*bench, *armapimanagement.ClientFactory) {
	t.Helper()
	b := newBench(t, func(c *arm.Config) {
		c.Now, c.RetryAfter = time.Now, -1 // without Retry-After the client polls as often as it is told to
		c.BackupDuration, c.RestoreDuration, c.UpdateDuration = 30*time.Millisecond, 30*time.Millisecond, 30*time.Millisecond
		change(c)
	})
	b.clock.set(time.Now())
	factory, err := armapimanagement.NewClientFactory("00000000-0000-0000-0000-000000000000", credential{b}, &azarm.ClientOptions{ClientOptions: policy.ClientOptions{
		Cloud:                           cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: b.url, Audience: audience}}},
		InsecureAllowCredentialWithHTTP: true,
		Retry:                           policy.RetryOptions{MaxRetries: -1},
	}, DisableRPRegistration: true})
	if err != nil {
		t.Fatal(err)
	}
	return b, factory
}

// finish polls as often as possible (PollUntilDone waits at least a second between two polls).
func finish[T any](t *testing.T, begun *runtime.Poller[T], err error) (T, error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !begun.Done() {
		if _, err := begun.Poll(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return begun.Result(ctx)
}

func (b *bench) parameters() armapimanagement.ServiceBackupRestoreParameters {
	return armapimanagement.ServiceBackupRestoreParameters{StorageAccount: new("contosobackups"), ContainerName: &b.container, BackupName: new("nightly"),
		AccessType: new(armapimanagement.AccessTypeAccessKey), AccessKey: new(azurite.Key)}
}

func TestTheOfficialClientBacksUpAndRestores(t *testing.T) {
	for name, change := range map[string]func(*arm.Config){
		"plain": func(*arm.Config) {}, "double slash": func(c *arm.Config) { c.DoubleSlash = true },
		"below the region": func(c *arm.Config) { c.Services[0].StatusPolls, c.Services[1].StatusPolls = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, client := official(t, change)
			backup, err := client.BeginBackup(t.Context(), "contoso-rg", "contoso-west", b.parameters(), nil)
			if err != nil {
				t.Fatal(err)
			}
			done, err := backup.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if op := b.srv.Operations()[0]; op.Ended.IsZero() || op.Error != nil {
				t.Errorf("the client took it for finished: %+v", op)
			}
			if name == "below the region" { // ends with the state alone
			} else if *done.Name != "contoso-west" || *done.Properties.ProvisioningState != "Succeeded" || *done.SKU.Name != armapimanagement.SKUTypeStandard {
				t.Errorf("the backup ended with %+v", done.ServiceResource)
			}
			restore, err := client.BeginRestore(t.Context(), "contoso-rg", "contoso-north", b.parameters(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := restore.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second}); err != nil {
				t.Fatal(err)
			}
			if got := b.srv.Content("contoso-north"); got != "apis of west" {
				t.Errorf("north holds %q", got)
			}
		})
	}
}

func TestTheOfficialClientTellsARestoreThatFailed(t *testing.T) {
	t.Parallel()
	b, client := official(t, func(*arm.Config) {})
	b.srv.FailNext("contoso-north", arm.Restore, arm.SKUMismatch("StandardV2", "Standard"))
	restore, err := client.BeginRestore(t.Context(), "contoso-rg", "contoso-north", b.parameters(), nil)
	_, err = finish(t, restore, err)
	var e *azcore.ResponseError
	if !errors.As(err, &e) || e.ErrorCode != "RestoreFailed" || e.StatusCode != 400 || !strings.Contains(e.Error(), "current SKU is 'StandardV2', backup SKU is 'Standard'") {
		t.Errorf("got %v", err)
	}
}

func TestTheOfficialClientCreatesReadsUpdatesAndDeletesAService(t *testing.T) {
	t.Parallel()
	_, client := official(t, func(*arm.Config) {})
	create, err := client.BeginCreateOrUpdate(t.Context(), "contoso-rg", "contoso-new", armapimanagement.ServiceResource{Location: new("West Europe"),
		SKU:        &armapimanagement.ServiceSKUProperties{Name: new(armapimanagement.SKUTypeBasic), Capacity: new(int32(1))},
		Properties: &armapimanagement.ServiceProperties{PublisherEmail: new("apim@contoso.com"), PublisherName: new("Contoso")}}, nil)
	if _, err := finish(t, create, err); err != nil {
		t.Fatal(err)
	}
	update, err := client.BeginUpdate(t.Context(), "contoso-rg", "contoso-new", armapimanagement.ServiceUpdateParameters{Tags: map[string]*string{"team": new("contoso")}}, nil)
	if _, err := finish(t, update, err); err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(t.Context(), "contoso-rg", "contoso-new", nil)
	if err != nil || *got.Tags["team"] != "contoso" || *got.Properties.ProvisioningState != "Succeeded" {
		t.Fatalf("got %+v, %v", got.ServiceResource, err)
	}
	remove, err := client.BeginDelete(t.Context(), "contoso-rg", "contoso-new", nil)
	if _, err := finish(t, remove, err); err != nil {
		t.Fatal(err)
	}
}
