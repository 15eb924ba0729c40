package apim

import (
	"strings"
	"testing"

	"apim-dr/internal/dr"
)

// untrusted are Locations that must never see a token, for an endpoint https://management.azure.com.
var untrusted = []string{
	"", "/", "x", instance + "/operationresults/1", "//management.azure.com/x",
	"http://management.azure.com/x", "ftp://management.azure.com/x", "HTTP://management.azure.com/x", "https:management.azure.com/x", "https:///x",
	"https://management.azure.com.contoso.example/x", "https://contoso.example/management.azure.com", "https://management.azure.com@contoso.example/x",
	"https://contoso.example#@management.azure.com/x", "https://contoso.example?@management.azure.com/x", `https://contoso.example\@management.azure.com/x`,
	`https://management.azure.com\.contoso.example/x`, "https://westeurope.management.azure.com/x", "https://management.azure.com./x",
	"https://user@management.azure.com/x", "https://user:pass@management.azure.com/x", "https://@management.azure.com/x", "https://:@management.azure.com/x",
	"https://management.azure.com:8443/x", "https://management.azure.com:80/x", "https://management.azure.com:443@contoso.example/x", "https://management.azure.com:0443/x",
	"https://[::1]/x", "https://%6danagement.azure.com.contoso.example/x", "https://management%2eazure.com/x", "https://management.azure.com%00.contoso.example/x",
	" https://management.azure.com/x", "https://management.azure.com/x ", "https://management.azure.com/a b", "https://management.azure.com/x\r\nHost: contoso.example",
	"https://management.azure.com/x#fragment", "https://management.azure.com/x#", "https://management.azure.com/ü", "https://management.azure.com/%zz",
	"https://management.azure.com", "https://management.azure.com?x", "https://management.azure.com/" + strings.Repeat("x", dr.MaxLocation),
	"https://management.azure.com/{x}", `https://management.azure.com/"`, // net/http would re-encode them
}

var trusted = []string{
	location, later, "https://management.azure.com/", "https://management.azure.com/x?", "https://management.azure.com//x", "https://management.azure.com/a/../b",
	"https://management.azure.com:443/x", "https://MANAGEMENT.azure.com/x", "HTTPS://management.azure.com/x",
	"https://management.azure.com/x%3D%3d?api-version=2014-02-14&t=1&c=MII_-.&s=a%2Bb&h=c~", "https://management.azure.com/x==;a,b(c)!$&'*+:@?x=%7B{|}",
	"https://management.azure.com/" + strings.Repeat("x", 7<<10),
}

func TestTrustsTheEndpointOnly(t *testing.T) {
	c := with(t, always(200, ""))
	for _, l := range untrusted {
		if c.Trusts(l) {
			t.Errorf("trusts %q", l)
		}
	}
	for _, l := range trusted {
		if !c.Trusts(l) {
			t.Errorf("does not trust %q", l)
		}
	}
}

func TestTrustsPlainHTTPForALoopbackEndpointOnly(t *testing.T) {
	o := options(always(200, ""))
	o.Endpoint = "http://127.0.0.1:7071"
	c := newClient(t, o)
	for l, want := range map[string]bool{
		"http://127.0.0.1:7071/x": true, "https://127.0.0.1:7071/x": false, "http://127.0.0.1/x": false, "http://127.0.0.1:7072/x": false,
		"http://localhost:7071/x": false, "http://127.0.0.2:7071/x": false, "http://management.azure.com/x": false,
	} {
		if c.Trusts(l) != want {
			t.Errorf("Trusts(%s) is not %t", l, want)
		}
	}
}
