package apim

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// maxLocation bounds a Location in bytes: it travels in messages. ARM's rules speak of URLs of 4 KB and more.
const maxLocation = 32 << 10

// endpoint is where ARM is; base has no slash at its end.
type endpoint struct {
	base         string
	scheme, host string
	port         string
}

func parseEndpoint(text string) (endpoint, error) {
	base := strings.TrimSuffix(text, "/")
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return endpoint{}, errors.New("the ARM endpoint is not a URL; accepted: for example https://management.azure.com")
	case u.Hostname() == "" || u.User != nil || u.Path != "" || strings.ContainsAny(base, "?#"):
		return endpoint{}, errors.New("the ARM endpoint must be scheme and host only; accepted: for example https://management.azure.com")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return endpoint{base: base, scheme: u.Scheme, host: u.Hostname(), port: portOf(u)}, nil
	}
	return endpoint{}, fmt.Errorf("the ARM endpoint %s must be https; plain http is for this machine only", u.Host)
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// trusts tells whether target leads to the endpoint and nowhere else, and goes out byte for byte: a URL that net/http would re-encode
// (ARM's Locations hold a double slash and %3D, recorded) would be another Location.
func (e endpoint) trusts(target string) bool {
	if len(target) > maxLocation || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		return false
	}
	u, err := url.Parse(target)
	if err != nil || u.User != nil || u.Scheme != e.scheme || !strings.EqualFold(u.Hostname(), e.host) || portOf(u) != e.port {
		return false
	}
	_, rest, _ := strings.Cut(target, "://")
	path, found := strings.CutPrefix(rest, u.Host)
	return found && path == u.RequestURI()
}
