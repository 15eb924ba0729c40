// Package principal reads who calls from the header that App Service's built-in authentication sets. Whoever can reach the app without going through that
// could write the header himself: it is believed only where the platform says that built-in authentication is on.
package principal

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
)

// Header holds a JSON object in base64
// (https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities).
const Header = "X-Ms-Client-Principal"

// Role is an app role of the Entra application that stands for this app. Each includes those before it.
type Role string

// The roles, as the application's appRoles name them (value).
const (
	Anybody          Role = "anybody"          // none is needed: what is asked for holds no data
	Reader           Role = "Reader"           // looks
	Operator         Role = "Operator"         // backs up, drills, holds, abandons
	FailoverOperator Role = "FailoverOperator" // overwrites instances, and says which one is active
)

var ranks = []Role{Reader, Operator, FailoverOperator}

// Principal is a person or an application that Entra has identified.
type Principal struct {
	Name  string // user principal name or display name; empty: an application
	App   string // application (client) id of an application that calls for itself
	ID    string // object id: never used twice
	roles []string
}

const (
	maxHeader = 64 << 10 // bytes: the claims of somebody in many groups
	maxText   = 100      // bytes of a name or an id
)

// Of tells who has sent a request. An error says why that cannot be told, without any of what was sent.
func Of(h http.Header) (Principal, error) {
	values := h.Values(Header)
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxHeader {
		return Principal{}, fmt.Errorf("%s must be there once, with at most %d bytes", Header, maxHeader)
	}
	text, err := base64.StdEncoding.DecodeString(values[0])
	if err != nil {
		return Principal{}, errors.New(Header + " is not base64")
	}
	var sent struct {
		Provider string                      `json:"auth_typ"`
		NameType string                      `json:"name_typ"`
		RoleType string                      `json:"role_typ"`
		Claims   []struct{ Typ, Val string } `json:"claims"`
	}
	if err := json.Unmarshal(text, &sent); err != nil {
		return Principal{}, errors.New(Header + " does not hold what built-in authentication writes")
	}
	if sent.Provider != "aad" { // the roles of others are not given by this app's owner
		return Principal{}, errors.New("only identities of Microsoft Entra are accepted")
	}
	claim := func(types ...string) string {
		for _, typ := range types {
			for _, c := range sent.Claims {
				if typ != "" && c.Typ == typ && c.Val != "" {
					return printable(c.Val)
				}
			}
		}
		return ""
	}
	p := Principal{
		Name: claim("preferred_username", "upn", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn", sent.NameType, "name"),
		App:  claim("azp", "appid"),
		ID:   claim("http://schemas.microsoft.com/identity/claims/objectidentifier", "oid"),
	}
	if p.ID == "" {
		return Principal{}, errors.New("the caller's token has no object id")
	}
	for _, c := range sent.Claims {
		if c.Typ == "roles" || c.Typ == sent.RoleType && c.Typ != "" {
			p.roles = append(p.roles, c.Val)
		}
	}
	return p, nil
}

// Is tells whether the principal has a role, or one that includes it.
func (p Principal) Is(role Role) bool {
	i := slices.Index(ranks, role)
	return i >= 0 && slices.ContainsFunc(ranks[i:], func(r Role) bool { return slices.Contains(p.roles, string(r)) })
}

// String tells who it is, in one line.
func (p Principal) String() string {
	switch {
	case p.Name != "":
		return fmt.Sprintf("%s (%s)", p.Name, p.ID)
	case p.App != "":
		return fmt.Sprintf("app %s (%s)", p.App, p.ID)
	}
	return p.ID
}

// printable is a text that can stand in a log line and in a record.
func printable(text string) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, text)
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}
