package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"github.com/google/uuid"

	"apim-dr/internal/apim"
	"apim-dr/internal/dr"
	"apim-dr/internal/mask"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/azurite"
	"apim-dr/internal/standin/devstack"
	"apim-dr/internal/standin/identity"
	"apim-dr/internal/store"
)

const (
	audience      = "https://management.core.windows.net/"
	backupAccount = "contosodrbackups"
)

// There is no Functions host, no Service Bus and no state storage here: only ARM, the backups, and a person with az.
func TestTheBinaryFailsOverWithTheLoginOfAzAndTheBackupsAlone(t *testing.T) {
	t.Parallel()
	exe := filepath.Join(t.TempDir(), "apim-dr")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", exe, "apim-dr").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	blobs, err := azurite.Start(t.Context(), azurite.Options{Accounts: backupAccount + ":" + azurite.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	backups := dr.Storage{Account: backupAccount, Container: devstack.BackupContainer}
	vault, err := azblob.NewClientFromConnectionString(blobs.ConnectionString(backups.Account, azurite.Key), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{backups.Container, devstack.StateContainer} {
		if _, err := vault.CreateContainer(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	tokens := identity.New([]byte("contoso"), time.Now)
	gateway := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer gateway.Close()
	primary, target := devstack.ResourceID("contoso-eu"), devstack.ResourceID("contoso-us")
	azure, err := arm.New(arm.Config{
		Now: time.Now, Tokens: tokens, Audience: audience, RestoreDuration: 1500 * time.Millisecond, RetryAfter: time.Second,
		Services: []arm.Service{{ID: primary, Location: "West Europe", SKU: "Developer", Capacity: 1, Content: "of contoso-eu"},
			{ID: target, Location: "North Europe", SKU: "Developer", Capacity: 1, GatewayURL: gateway.URL}},
		Accounts: map[string]arm.Account{backups.Account: {Endpoint: blobs.BlobEndpoint(backups.Account), Key: azurite.Key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(azure)
	defer server.Close()
	accessToken, _ := tokens.Issue(audience, "ann")
	dir := t.TempDir()
	az := fmt.Sprintf("#!/bin/sh\necho '{\"accessToken\":\"%s\",\"expires_on\":%d}'\n", accessToken, time.Now().Add(time.Hour).Unix())
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte(az), 0o755); err != nil {
		t.Fatal(err)
	}
	environ := []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "ARM_ENDPOINT=" + server.URL, "ARM_AUDIENCE=" + audience, "BACKUP_KEY=" + azurite.Key,
		"BLOB_ENDPOINT=http://" + blobs.Addr() + "/{account}", "STATE_STORAGE=" + blobs.ConnectionString(backups.Account, azurite.Key)}
	run := func(args ...string) (string, int) {
		cmd := exec.CommandContext(t.Context(), exe, args...)
		cmd.Env = environ
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	fleet := []string{"--primary-id", primary, "--target-id", target, "--storage", backups.Account + "/" + backups.Container, "--access", "storageKey:BACKUP_KEY"}
	failover := append([]string{"failover", "--direct"}, fleet...)

	point := leftBehind(t, server.URL, login(accessToken), vault.ServiceClient(), primary, backups)
	if out, status := run(append(failover, "--dry-run")...); status != 0 || !strings.Contains(out, point) {
		t.Fatalf("dry run: status %d\n%s", status, out)
	}
	out, status := run(append(failover, "--confirm", "contoso-us")...)
	if status != 0 || azure.Content("contoso-us") != "of contoso-eu" || !strings.Contains(out, gateway.URL+" answers 200") || !strings.Contains(out, "contoso-us is the active instance") {
		t.Errorf("status %d, contoso-us holds %q\n%s", status, azure.Content("contoso-us"), out)
	}
	if out, status = run(append(failover, "--confirm", "contoso-us")...); status != 2 || !strings.Contains(out, "contoso-us is the active instance of the pair") {
		t.Errorf("the second time: status %d\n%s", status, out)
	}
	environ = append(environ, `FLEET={"storages":{"north":{"account":"`+backups.Account+`","container":"`+backups.Container+`","access":"storageKey","keyVariable":"BACKUP_KEY"}},
		"plans":{"nightly":{"storage":"north"}},"services":[{"id":"`+primary+`","plan":"nightly","secondaries":[{"id":"`+target+`"}]}]}`)
	if out, status = run("catalog", "rebuild"); status != 0 || !blobExists(t, vault, devstack.StateContainer, "recovery-points/contoso-eu/"+point+".json") || !blobExists(t, vault, devstack.StateContainer, "pairs/contoso-eu~7Econtoso-us") {
		t.Errorf("catalog rebuild: status %d\n%s", status, out)
	}
}

// leftBehind takes a backup of an instance, with its record beside it, as a stamp did that is gone.
func leftBehind(t *testing.T, armURL string, credential azcore.TokenCredential, account *service.Client, instance string, at dr.Storage) string {
	t.Helper()
	client, err := apim.New(apim.Options{Endpoint: armURL, Audience: audience, Credential: credential, Now: time.Now, NewID: uuid.NewString, Mask: mask.New(azurite.Key).Text,
		Access: func(string) (apim.Access, error) {
			return apim.Access{Mode: apim.AccessKey, Key: func() string { return azurite.Key }}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	operation := dr.NewID(dr.KindBackup, time.Now(), t.Name())
	p := dr.RecoveryPoint{V: dr.Version, ID: operation + "-s0-a1", State: dr.Good, Service: "contoso-eu", ResourceID: instance, Operation: operation,
		CreatedAt: time.Now(), EndedAt: time.Now(), ExpiresAt: time.Now().Add(dr.BackupLife), Storage: at, SKU: "Developer", Capacity: 1}
	a := client.Start(t.Context(), dr.Leg{Verb: dr.VerbBackup, ResourceID: instance, Storage: at}, p.ID)
	for a.Verdict == dr.Still {
		a = client.Check(t.Context(), a.Location)
	}
	if a.Verdict != dr.OK {
		t.Fatalf("backup: %+v", a)
	}
	vault := store.NewVault(func(string) (*service.Client, error) { return account, nil })
	if err := store.Over(store.Memory(time.Now), store.Options{Vault: vault}).PutPoint(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p.ID
}

type login string

func (l login) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(l), ExpiresOn: time.Now().Add(time.Hour)}, nil
}
