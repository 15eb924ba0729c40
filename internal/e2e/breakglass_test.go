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

// hand is a person's: the built binary with az, ARM and the storage of the backups, and nothing else.
type hand struct {
	arm     *arm.Server
	armURL  string
	token   string
	blobs   *azurite.Server
	vault   *azblob.Client
	backups dr.Storage
	environ []string
}

// byHand starts ARM with instances of these names, and has a fake az. There is no Functions host, no Service Bus and no state storage.
func byHand(t *testing.T, change func(*arm.Config), names ...string) *hand {
	t.Helper()
	h := &hand{backups: dr.Storage{Account: backupAccount, Container: devstack.BackupContainer}}
	var err error
	if h.blobs, err = azurite.Start(t.Context(), azurite.Options{Accounts: backupAccount + ":" + azurite.Key}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.blobs.Close() })
	if h.vault, err = azblob.NewClientFromConnectionString(h.blobs.ConnectionString(h.backups.Account, azurite.Key), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := h.vault.CreateContainer(t.Context(), h.backups.Container, nil); err != nil {
		t.Fatal(err)
	}
	tokens := identity.New([]byte("contoso"), time.Now)
	cfg := arm.Config{
		Now: time.Now, Tokens: tokens, Audience: audience, BackupDuration: 1500 * time.Millisecond, RestoreDuration: 1500 * time.Millisecond, RetryAfter: time.Second,
		Accounts: map[string]arm.Account{h.backups.Account: {Endpoint: h.blobs.BlobEndpoint(h.backups.Account), Key: azurite.Key}}, Groups: map[string]string{},
	}
	gateway := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(gateway.Close)
	for _, name := range names {
		cfg.Services = append(cfg.Services, arm.Service{ID: devstack.ResourceID(name), Location: "North Europe", SKU: "Developer", Capacity: 1, Content: "of " + name, GatewayURL: gateway.URL})
		cfg.Groups["rg-"+name] = "northeurope"
	}
	change(&cfg)
	if h.arm, err = arm.New(cfg); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h.arm)
	t.Cleanup(server.Close)
	h.armURL = server.URL
	h.token, _ = tokens.Issue(audience, "ann")
	h.environ = []string{"PATH=" + loggedIn(t, h.token) + ":" + os.Getenv("PATH"), "ARM_ENDPOINT=" + server.URL, "ARM_AUDIENCE=" + audience, "BACKUP_KEY=" + azurite.Key,
		"BLOB_ENDPOINT=http://" + h.blobs.Addr() + "/{account}"}
	return h
}

// loggedIn is a folder with an az that gives this token.
func loggedIn(t *testing.T, token string) string {
	t.Helper()
	dir := t.TempDir()
	az := fmt.Sprintf("#!/bin/sh\necho '{\"accessToken\":\"%s\",\"expires_on\":%d}'\n", token, time.Now().Add(time.Hour).Unix())
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte(az), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (h *hand) run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = h.environ
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestTheBinaryFailsOverWithTheLoginOfAzAndTheBackupsAlone(t *testing.T) {
	t.Parallel()
	h := byHand(t, func(*arm.Config) {}, "contoso-eu", "contoso-us")
	primary, target := devstack.ResourceID("contoso-eu"), devstack.ResourceID("contoso-us")
	fleet := []string{"--primary-id", primary, "--target-id", target, "--storage", h.backups.Account + "/" + h.backups.Container, "--access", "storageKey:BACKUP_KEY"}
	failover := append([]string{"failover", "--direct"}, fleet...)

	point := leftBehind(t, h.armURL, login(h.token), h.vault.ServiceClient(), primary, h.backups)
	if out, status := h.run(t, append(failover, "--dry-run")...); status != 0 || !strings.Contains(out, point) {
		t.Fatalf("dry run: status %d\n%s", status, out)
	}
	out, status := h.run(t, append(failover, "--confirm", "contoso-us")...)
	if status != 0 || h.arm.Content("contoso-us") != "of contoso-eu" || !strings.Contains(out, " answers 200") || !strings.Contains(out, "contoso-us is the active instance") {
		t.Errorf("status %d, contoso-us holds %q\n%s", status, h.arm.Content("contoso-us"), out)
	}
	if out, status = h.run(t, append(failover, "--confirm", "contoso-us")...); status != 2 || !strings.Contains(out, "contoso-us is the active instance of the pair") {
		t.Errorf("the second time: status %d\n%s", status, out)
	}
	if _, err := h.vault.CreateContainer(t.Context(), devstack.StateContainer, nil); err != nil {
		t.Fatal(err)
	}
	h.environ = append(h.environ, "STATE_STORAGE="+h.blobs.ConnectionString(h.backups.Account, azurite.Key),
		`FLEET={"storages":{"north":{"account":"`+h.backups.Account+`","container":"`+h.backups.Container+`","access":"storageKey","keyVariable":"BACKUP_KEY"}},
		"plans":{"nightly":{"storage":"north"}},"services":[{"id":"`+primary+`","plan":"nightly","secondaries":[{"id":"`+target+`"}]}]}`)
	if out, status = h.run(t, "catalog", "rebuild"); status != 0 || !blobExists(t, h.vault, devstack.StateContainer, "recovery-points/contoso-eu/"+point+".json") || !blobExists(t, h.vault, devstack.StateContainer, "pairs/contoso-eu~7Econtoso-us") {
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
	if err := store.Over(store.Memory(time.Now), store.Options{Vault: vault}).CopyPoint(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p.ID
}

type login string

func (l login) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(l), ExpiresOn: time.Now().Add(time.Hour)}, nil
}
