// Package identity stands in for Microsoft Entra ID on one machine: it issues bearer tokens, verifies them, and serves the few routes of
// login.microsoftonline.com that a service principal or a federated workload needs.
//
// The tokens have the shape of Entra's, but are signed with a shared key (HS256); clients treat an access token as opaque. Nothing here was
// compared with Entra: routes and error codes follow Microsoft's published ones and what the azidentity module asks for.
package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Lifetime is how long a token of Issue is valid. Entra's live 60 to 90 minutes.
const Lifetime = time.Hour

// Tenant is the directory every token names.
const Tenant = "33333333-3333-3333-3333-333333333333"

// Why Verify and Parse refuse a token.
var (
	ErrMissing  = errors.New("no bearer token")
	ErrForged   = errors.New("the token is malformed or was not signed by this issuer")
	ErrExpired  = errors.New("the token has expired")
	ErrAudience = errors.New("the token is for another audience")
)

// Claims are what a token says.
type Claims struct {
	Audience  string `json:"aud"`
	Issuer    string `json:"iss"`
	IssuedAt  int64  `json:"iat"` // seconds since 1970, as the two below
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
	AppID     string `json:"appid"`
	ObjectID  string `json:"oid"`
	Subject   string `json:"sub"`
	Tenant    string `json:"tid"`
	Version   string `json:"ver"`
}

// Issuer issues and verifies tokens. It is safe for concurrent use.
type Issuer struct {
	key []byte
	now func() time.Time

	mu   sync.Mutex
	apps map[string]App
}

// New returns an issuer that signs with key, a secret of any length, and lives by the clock now.
func New(key []byte, now func() time.Time) *Issuer {
	return &Issuer{key: append([]byte(nil), key...), now: now, apps: map[string]App{}}
}

// Issue returns a token for an audience (a resource such as https://management.azure.com; a slash at the end is of no account)
// in the name of an application, and when it expires.
func (i *Issuer) Issue(audience, clientID string) (token string, expires time.Time) {
	return i.IssueFor(audience, clientID, Lifetime)
}

// IssueFor is Issue with another lifetime, in whole seconds; a negative one makes a token that has already expired.
func (i *Issuer) IssueFor(audience, clientID string, lifetime time.Duration) (token string, expires time.Time) {
	now := i.now()
	expires = now.Add(lifetime).Truncate(time.Second)
	claims, _ := json.Marshal(Claims{ // strings and numbers always marshal
		Audience: audience, Issuer: "https://sts.windows.net/" + Tenant + "/", IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: expires.Unix(),
		AppID: clientID, ObjectID: ObjectID(clientID), Subject: clientID, Tenant: Tenant, Version: "1.0",
	})
	signed := header + "." + base64.RawURLEncoding.EncodeToString(claims)
	return signed + "." + i.sign(signed), expires
}

// ObjectID is the id of an application's service principal: a UUID derived from its client id.
func ObjectID(clientID string) string {
	h := sha256.Sum256([]byte("service principal of " + clientID))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// Verify checks a token (without "Bearer ") for an audience. The error is, or wraps, ErrMissing, ErrForged, ErrExpired or ErrAudience
// and never holds the token.
func (i *Issuer) Verify(token, audience string) error {
	claims, err := i.Parse(token)
	if err != nil {
		return err
	}
	if strings.TrimRight(claims.Audience, "/") == strings.TrimRight(audience, "/") {
		return nil
	}
	return fmt.Errorf("%w: it is for %q, not for %q", ErrAudience, claims.Audience, audience)
}

// Parse checks a token's signature and life, not its audience. The errors are those of Verify; with ErrExpired the claims are filled in.
func (i *Issuer) Parse(token string) (Claims, error) {
	if token == "" {
		return Claims{}, ErrMissing
	}
	p := strings.Split(token, ".") // whatever algorithm the header names, the signature must be ours
	if len(p) != 3 || !hmac.Equal([]byte(p[2]), []byte(i.sign(p[0]+"."+p[1]))) {
		return Claims{}, ErrForged
	}
	var claims Claims
	raw, err := base64.RawURLEncoding.DecodeString(p[1])
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return Claims{}, ErrForged
	}
	if expires := time.Unix(claims.Expires, 0).UTC(); !i.now().Before(expires) {
		return claims, fmt.Errorf("%w at %s", ErrExpired, expires.Format(time.RFC3339))
	}
	return claims, nil
}

var header = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))

func (i *Issuer) sign(s string) string {
	mac := hmac.New(sha256.New, i.key)
	mac.Write([]byte(s))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
