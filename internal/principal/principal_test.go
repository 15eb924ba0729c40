package principal_test

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"apim-dr/internal/principal"
)

const (
	oid     = "00000000-0000-0000-0000-00000000000a"
	ann     = `{"typ":"preferred_username","val":"ann@contoso.com"},{"typ":"http://schemas.microsoft.com/identity/claims/objectidentifier","val":"` + oid + `"}`
	app     = `{"typ":"azp","val":"00000000-0000-0000-0000-0000000000aa"},{"typ":"oid","val":"` + oid + `"}`
	roleURI = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
)

func header(json string) http.Header {
	h := http.Header{}
	h.Set("X-MS-CLIENT-PRINCIPAL", base64.StdEncoding.EncodeToString([]byte(json)))
	return h
}

func aad(claims string) http.Header {
	return header(`{"auth_typ":"aad","name_typ":"name","role_typ":"` + roleURI + `","claims":[` + claims + `]}`)
}

func TestWhoCallsAndWhatTheyMay(t *testing.T) {
	for _, row := range []struct {
		claims, who, roles string
		may                []principal.Role
	}{
		{claims: ann, who: "ann@contoso.com (" + oid + ")"},
		{claims: app, who: "app 00000000-0000-0000-0000-0000000000aa (" + oid + ")"},
		{claims: `{"typ":"oid","val":"` + oid + `"},{"typ":"name","val":"Ann\r\nB\u202e"}`, who: "AnnB (" + oid + ")"},
		{claims: `{"typ":"oid","val":"` + oid + `"}`, who: oid},
		{claims: `{"typ":"upn","val":""},{"typ":"name","val":"Ann"},{"typ":"oid","val":"` + oid + `"}`, who: "Ann (" + oid + ")"},
		{claims: `{"typ":"oid","val":"` + oid + `"},{"typ":"name","val":"` + strings.Repeat("é", 60) + `"}`, who: strings.Repeat("é", 50) + " (" + oid + ")"},
		{claims: ann, roles: "Reader", who: "ann@contoso.com (" + oid + ")", may: []principal.Role{principal.Reader}},
		{claims: ann, roles: "Operator", who: "ann@contoso.com (" + oid + ")", may: []principal.Role{principal.Reader, principal.Operator}},
		{claims: ann, roles: "FailoverOperator", who: "ann@contoso.com (" + oid + ")", may: []principal.Role{principal.Reader, principal.Operator, principal.FailoverOperator}},
		{claims: ann, roles: "reader Operators failoveroperator", who: "ann@contoso.com (" + oid + ")"},
	} {
		for _, typ := range []string{"roles", roleURI} {
			claims := row.claims
			for _, r := range strings.Fields(row.roles) {
				claims += `,{"typ":"` + typ + `","val":"` + r + `"}`
			}
			p, err := principal.Of(aad(claims))
			if err != nil || p.String() != row.who {
				t.Errorf("%s: %s %v", claims, p, err)
			}
			var may []principal.Role
			for _, r := range []principal.Role{principal.Reader, principal.Operator, principal.FailoverOperator, "", "Owner"} {
				if p.Is(r) {
					may = append(may, r)
				}
			}
			if !slices.Equal(may, row.may) {
				t.Errorf("%s: may %v", claims, may)
			}
		}
	}
}

func TestAClaimWithoutATypeIsNoRoleAndNoName(t *testing.T) {
	for _, claims := range []string{`{"typ":"","val":"FailoverOperator"},`, `{"val":"FailoverOperator"},`} {
		p, err := principal.Of(header(`{"auth_typ":"aad","claims":[` + claims + `{"typ":"oid","val":"` + oid + `"}]}`))
		if err != nil || p.Is(principal.Reader) || p.String() != oid {
			t.Errorf("%s: %s %v, is a reader: %v", claims, p, err, p.Is(principal.Reader))
		}
	}
}

func TestWhoCannotBeTold(t *testing.T) {
	twice := aad(ann)
	twice.Add("X-Ms-Client-Principal", twice.Get("X-Ms-Client-Principal"))
	for name, h := range map[string]http.Header{
		"nothing": {}, "empty": {"X-Ms-Client-Principal": {""}}, "twice": twice,
		"no base64": {"X-Ms-Client-Principal": {"{}"}}, "no JSON": header("ann"), "no object": header(`["aad"]`), "wrong types": header(`{"auth_typ":"aad","claims":{"oid":"x"}}`),
		"another provider": header(`{"auth_typ":"google","claims":[` + ann + `,{"typ":"roles","val":"Operator"}]}`),
		"no object id":     aad(`{"typ":"name","val":"Ann"}`), "too long": aad(ann + strings.Repeat(`,{"typ":"groups","val":"x"}`, 2000)),
	} {
		if p, err := principal.Of(h); err == nil || strings.Contains(err.Error(), "ann") || p.ID != "" {
			t.Errorf("%s: %v %v", name, p, err)
		}
	}
}

// Whatever the header holds: who calls is one short line, and nobody gets a role that does not stand there.
func FuzzOf(f *testing.F) {
	for _, json := range []string{
		`{"auth_typ":"aad","name_typ":"name","role_typ":"r","claims":[` + ann + `,{"typ":"r","val":"Reader"}]}`,
		`{"auth_typ":"aad","role_typ":"","claims":[{"typ":"","val":"Operator"},{"typ":"oid","val":"1"}]}`,
		`{"auth_typ":"aad","claims":[{"typ":"oid","val":"\r\n\u0000x"},{"typ":"roles","val":"FailoverOperator"}]}`, `null`, `{"claims":[null]}`,
	} {
		f.Add([]byte(json))
	}
	f.Fuzz(func(t *testing.T, json []byte) {
		h := http.Header{"X-Ms-Client-Principal": {base64.StdEncoding.EncodeToString(json)}}
		p, err := principal.Of(h)
		if err != nil {
			if p.ID != "" || p.Is(principal.Reader) {
				t.Errorf("%v and %v", p, err)
			}
			return
		}
		if s := p.String(); s == "" || len(s) > 300 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			t.Errorf("%q", s)
		}
		if p.Is(principal.Reader) && !strings.Contains(string(json), "Reader") && !strings.Contains(string(json), "Operator") && !strings.Contains(string(json), `\u`) {
			t.Errorf("%s is a reader", json)
		}
	})
}
