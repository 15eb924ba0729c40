package identity_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/standin/identity"
)

const (
	arm   = "https://management.azure.com"
	appID = "0a0a0a0a-0000-0000-0000-00000000000a"
)

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)} }

func TestATokenIsGoodForItsAudienceUntilItExpires(t *testing.T) {
	c := newClock()
	i := identity.New([]byte("k"), c.now)
	token, expires := i.Issue(arm+"/", appID)
	if want := c.t.Add(identity.Lifetime); !expires.Equal(want) {
		t.Fatalf("expires %v, want %v", expires, want)
	}
	for _, audience := range []string{arm, arm + "/"} {
		if err := i.Verify(token, audience); err != nil {
			t.Errorf("Verify for %s: %v", audience, err)
		}
	}
	c.t = expires.Add(-time.Second)
	if err := i.Verify(token, arm); err != nil {
		t.Errorf("a second before it expires: %v", err)
	}
	c.t = expires
	if err := i.Verify(token, arm); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("when it expires: %v, want ErrExpired", err)
	}
}

func TestATokenHasEntrasShape(t *testing.T) {
	c := newClock()
	token, expires := identity.New([]byte("k"), c.now).Issue(arm, appID)
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts, want 3", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"aud": arm, "appid": appID, "oid": identity.ObjectID(appID), "tid": identity.Tenant, "exp": float64(expires.Unix()), "nbf": float64(c.t.Unix())}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s = %v, want %v", k, got[k], v)
		}
	}
}

func TestVerifySaysWhyItRefuses(t *testing.T) {
	c := newClock()
	i := identity.New([]byte("k"), c.now)
	good, _ := i.Issue(arm, appID)
	foreign, _ := identity.New([]byte("another key"), c.now).Issue(arm, appID)
	storage, _ := i.Issue("https://storage.azure.com", appID)
	short, _ := i.IssueFor(arm, appID, time.Second)
	c.t = c.t.Add(2 * time.Second)
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
	raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
	longer := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(raw), `"exp":`, `"exp":9`, 1)))
	for name, tt := range map[string]struct {
		token string
		want  error
	}{
		"nothing":          {"", identity.ErrMissing},
		"no JWT":           {"abc", identity.ErrForged},
		"another key":      {foreign, identity.ErrForged},
		"changed claims":   {parts[0] + "." + longer + "." + parts[2], identity.ErrForged},
		"algorithm none":   {none, identity.ErrForged},
		"no signature":     {parts[0] + "." + parts[1] + ".", identity.ErrForged},
		"expired":          {short, identity.ErrExpired},
		"another audience": {storage, identity.ErrAudience},
	} {
		err := i.Verify(tt.token, arm)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if tt.token != "" && err != nil && strings.Contains(err.Error(), tt.token) {
			t.Errorf("%s: the error holds the token", name)
		}
	}
}
