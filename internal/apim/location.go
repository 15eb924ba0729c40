package apim

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"apim-dr/internal/dr"
)

// endpoint is where ARM is: scheme and host, and a port that is never empty; base has no slash at its end.
type endpoint struct{ base, scheme, host, port string }

func parseEndpoint(text string) (endpoint, error) {
	base := strings.TrimSuffix(text, "/")
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" || strings.ContainsAny(base, "?#") {
		return endpoint{}, fmt.Errorf("the ARM endpoint is not scheme and host; accepted: for example https://management.azure.com")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if local := u.Hostname() == "localhost" || err == nil && ip.IsLoopback(); u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return endpoint{}, fmt.Errorf("the ARM endpoint on %s must be https; plain http is for this machine only", u.Host)
	}
	return endpoint{base: base, scheme: u.Scheme, host: u.Hostname(), port: portOf(u)}, nil
}

func portOf(u *url.URL) string {
	if u.Port() == "" {
		return map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Port()
}

// trusts tells whether target leads to the endpoint and nowhere else, and goes out byte for byte: a URL that net/http would re-encode
// (ARM's Locations hold a double slash and %3D, recorded) would be another Location.
func (e endpoint) trusts(target string) bool {
	if len(target) > dr.MaxLocation || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		return false
	}
	u, err := url.Parse(target)
	if err != nil || u.User != nil || u.Scheme != e.scheme || !strings.EqualFold(u.Hostname(), e.host) || portOf(u) != e.port || strings.HasSuffix(u.Host, ":") {
		return false
	}
	_, rest, _ := strings.Cut(target, "://")
	path, found := strings.CutPrefix(rest, u.Host)
	return found && path == u.RequestURI()
}
