package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"apim-dr/internal/config"
	"apim-dr/internal/mask"
)

// secretive tells a mask of each token that a credential gives. An error of the credential may quote what was sent for a token.
type secretive struct {
	from azcore.TokenCredential
	mask *mask.Mask
}

// GetToken implements azcore.TokenCredential.
func (s secretive) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	t, err := s.from.GetToken(ctx, o)
	s.mask.Learn(t.Token)
	return t, s.mask.Error(err)
}

const (
	loginWithin = 45 * time.Second // az is a Python program that has to start, perhaps on a small machine
	renewBefore = 5 * time.Minute
)

// login keeps the tokens of a credential. AzureCLICredential keeps none: each client of each container would start az anew, within the few seconds that a
// single call to storage may take.
type login struct {
	from azcore.TokenCredential
	kind config.CredentialKind

	mu     sync.Mutex
	tokens map[string]azcore.AccessToken // by scopes
}

func newLogin(from azcore.TokenCredential, kind config.CredentialKind) *login {
	return &login{from: from, kind: kind, tokens: map[string]azcore.AccessToken{}}
}

// GetToken implements azcore.TokenCredential. A token that the call cannot wait for is there for the next one.
func (l *login) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := strings.Join(append(o.Scopes, o.TenantID), " ")
	if t, ok := l.tokens[key]; ok && o.Claims == "" && time.Until(t.ExpiresOn) > renewBefore {
		return t, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginWithin)
	defer cancel()
	t, err := l.from.GetToken(ctx, o)
	switch {
	case err == nil:
		l.tokens[key] = t
	case ctx.Err() != nil: // of an az that was killed, azidentity says no more than that
		err = fmt.Errorf("not within %v: %w", loginWithin, err)
	}
	return t, err
}

// storageScope is what azblob asks a token for, in every cloud.
const storageScope = "https://storage.azure.com/.default"

// try gets the tokens that are needed, ahead of calls that cannot wait for them.
func (l *login) try(ctx context.Context, audience string) error {
	for _, scope := range []string{audience + "/.default", storageScope} {
		if _, err := l.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}, EnableCAE: true}); err != nil {
			return fmt.Errorf("no token for %s: %w\n%s", scope, err, l.advice())
		}
	}
	return nil
}

// advice is what a person can do who gets no token.
func (l *login) advice() string {
	if l.kind != config.AzureCLI {
		return fmt.Sprintf("CREDENTIAL is %s. Without it your own login is taken: az login.", l.kind)
	}
	if _, err := exec.LookPath("az"); errors.Is(err, exec.ErrNotFound) {
		return "The Azure CLI is not installed, or az is not on the PATH. Install it and run: az login. Or let CREDENTIAL name another login (docs/configuration.md)."
	}
	return "Run: az login"
}
