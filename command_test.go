package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"apim-dr/internal/config"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/mask"
)

const (
	contoso = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.ApiManagement/service/contoso-"
	byHand  = `FLEET={"storages":{"north":{"account":"contosodrbackups","container":"apim-backups","access":"storageKey","keyVariable":"BACKUP_KEY"}},
		"plans":{"nightly":{"storage":"north"}},"services":[{"id":"` + contoso + `eu","plan":"nightly","secondaries":[{"id":"` + contoso + `us"}]}]}`
)

func TestADirectCommandIsWiredFromTheFleetAlone(t *testing.T) {
	for name, environ := range map[string][]string{"no key": {byHand}, "key": {byHand, "BACKUP_KEY=Y29udG9zby1rZXktY2FuYXJ5"}} {
		s, err := setUpDirect(environ, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		access := s.Engine.Fleet.Storages[0].Access
		if missing := map[string]string{"no key": "BACKUP_KEY"}[name]; access.Mode != "storageKey" || access.Missing != missing || (len(s.Warnings) > 0) != (name == "no key") {
			t.Errorf("%s: %+v, warnings %q", name, access, s.Warnings)
		}
		north := dr.Storage{Account: "contosodrbackups", Container: "apim-backups"}
		r, failure := s.Request(dr.Leg{Verb: dr.VerbRestore, ResourceID: contoso + "us", Storage: north}, "p")
		if failure != nil || r.Variable != "BACKUP_KEY" || !strings.Contains(r.Body, `"accessKey":"$BACKUP_KEY"`) {
			t.Errorf("%s: %+v, %v", name, r, failure)
		}
		if len(s.Storages) != 1 || s.Storages[0].Name != "north" || s.Storages[0].Storage != north || s.Engine.Bus != nil {
			t.Errorf("%s: %+v", name, s.Storages)
		}
		if _, err := s.Engine.Store.Point(t.Context(), "contoso-eu", dr.NewID(dr.KindBackup, time.Now())+"-s0-a1"); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("%s: the records are not an empty memory: %v", name, err)
		}
	}
	if _, err := setUpStamp([]string{byHand}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "STATE_STORAGE") {
		t.Errorf("a command for the stamp's records without them: %v", err)
	}
	if s, err := setUpStamp([]string{byHand, "STATE_STORAGE__blobServiceUri=https://contosostate.blob.core.windows.net"}, slog.New(slog.DiscardHandler)); err != nil || s.Engine.Store == nil {
		t.Errorf("%v", err)
	}
}

// az gives tokens as az does: slowly.
type az struct {
	takes time.Duration
	fails error
	asked []string
}

func (a *az) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	a.asked = append(a.asked, strings.Join(o.Scopes, " "))
	select {
	case <-time.After(a.takes):
		return azcore.AccessToken{Token: fmt.Sprint("t", len(a.asked)), ExpiresOn: time.Now().Add(time.Hour)}, a.fails
	case <-ctx.Done():
		return azcore.AccessToken{}, ctx.Err()
	}
}

func TestALoginAsksAzOnceForEachScopeUntilTheTokenRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &az{takes: 6 * time.Second}
		l := newLogin(a, config.AzureCLI)
		if err := l.try(t.Context(), "https://management.core.windows.net/"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // a single try of azblob
		defer cancel()
		get := func(o policy.TokenRequestOptions) string {
			o.Scopes = []string{storageScope}
			token, err := l.GetToken(ctx, o)
			if err != nil {
				t.Error(err)
			}
			return token.Token
		}
		if want := []string{"https://management.core.windows.net//.default", storageScope}; get(policy.TokenRequestOptions{}) != "t2" || !slices.Equal(a.asked, want) {
			t.Errorf("asked for %q", a.asked)
		}
		if get(policy.TokenRequestOptions{Claims: "c"}) != "t3" {
			t.Error("a challenge was answered with the token that it refuses")
		}
		time.Sleep(56 * time.Minute)
		for range 2 {
			if get(policy.TokenRequestOptions{}) != "t4" {
				t.Errorf("asked for %q", a.asked)
			}
		}
	})
}

func TestALoginThatFailsSaysWhatToDo(t *testing.T) {
	with, without := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(with, "az"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		kind       config.CredentialKind
		path, says string
	}{
		{config.AzureCLI, with, "Run: az login"},
		{config.AzureCLI, without, "az is not on the PATH"},
		{config.ManagedIdentity, without, "CREDENTIAL is managedIdentity"}, // az would not be asked
	} {
		t.Setenv("PATH", tc.path)
		a := &az{fails: errors.New("no account")}
		l := newLogin(a, tc.kind)
		if err := l.try(t.Context(), "https://management.core.windows.net/"); !errors.Is(err, a.fails) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%+v: %v", tc, err)
		}
		if a.fails = nil; l.try(t.Context(), "https://management.core.windows.net/") != nil || len(a.asked) != 3 {
			t.Errorf("the failure was kept: asked for %q", a.asked)
		}
	}
}

func TestALoginDoesNotWaitForEverAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := newLogin(&az{takes: time.Hour}, config.AzureCLI).try(t.Context(), "https://management.core.windows.net/")
		if took := time.Since(began); took != loginWithin || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not within 45s") {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// given is a credential that gives a token, or an error.
type given struct {
	token string
	fails error
}

func (g given) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: g.token}, g.fails
}

func TestATokenIsASecretFromTheMomentThatItIsThere(t *testing.T) {
	secrets := mask.New("contoso-client-secret")
	token, err := secretive{given{token: "an-opaque-token"}, secrets}.GetToken(t.Context(), policy.TokenRequestOptions{})
	if err != nil || token.Token != "an-opaque-token" || secrets.Text("Bearer an-opaque-token") != "Bearer "+mask.Redacted {
		t.Errorf("%q, %v: %s", token.Token, err, secrets.Text("Bearer an-opaque-token"))
	}
	fails := errors.New("the form client_secret=contoso-client-secret was refused")
	if _, err := (secretive{given{fails: fails}, secrets}).GetToken(t.Context(), policy.TokenRequestOptions{}); !errors.Is(err, fails) || strings.Contains(err.Error(), "contoso-client") {
		t.Errorf("%v", err)
	}
}
