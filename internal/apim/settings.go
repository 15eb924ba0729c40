package apim

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"apim-dr/internal/dr"
)

// What is kept of an answer that shows settings: it is input, and stands in records. The platform's own limits are far below
// (20 custom domains, 10 CA certificates, 10 user-assigned identities; Azure docs, API Management limits).
const (
	maxSettings = 100      // entries of a list
	maxSetting  = 512      // bytes of a text; an ARM id has up to about 400
	maxTexts    = 16 << 10 // bytes of all together: a record holds several views of an instance, and must stay storable
)

// settings are the properties of an instance that a restore does not bring (2024-05-01 swagger). What older api-versions do not show stays
// empty. encodedCertificate and certificatePassword, which would be secrets, are not read.
type settings struct {
	GatewayURL string `json:"gatewayUrl"`
	place
	HostNames []struct {
		Type   string `json:"type"`
		Name   string `json:"hostName"`
		Source string `json:"certificateSource"`
	} `json:"hostnameConfigurations"`
	Certificates []struct {
		Store       string `json:"storeName"`
		Certificate struct {
			Thumbprint string `json:"thumbprint"`
		} `json:"certificate"`
	} `json:"certificates"`
	Network string `json:"virtualNetworkType"`
	VNet    struct {
		Subnet string `json:"subnetResourceId"`
	} `json:"virtualNetworkConfiguration"`
	Protocols map[string]string `json:"customProperties"`
	Locations []struct {
		Location string `json:"location"`
		place
	} `json:"additionalLocations"`
}

// place is the gateway of one region.
type place struct {
	URL string `json:"gatewayRegionalUrl"`
	Off bool   `json:"disableGateway"`
}

// identity stands beside the properties.
type identity struct {
	Type  string `json:"type"` // SystemAssigned; UserAssigned; "SystemAssigned, UserAssigned"; None
	Users map[string]struct {
		ClientID string `json:"clientId"`
	} `json:"userAssignedIdentities"`
}

// read gives the settings in the words of dr, bounded and, by upTo, without secrets.
func (s settings) read(id identity, upTo func(int, string) string) *dr.Settings {
	left := maxTexts
	kept := func(text string) string {
		text = upTo(min(maxSetting, left), text)
		left = max(left-len(text), 0)
		return text
	}
	out := dr.Settings{GatewayURL: kept(s.GatewayURL), Network: kept(s.Network), Subnet: kept(s.VNet.Subnet),
		SystemIdentity: strings.Contains(strings.ToLower(id.Type), "systemassigned")}
	places := []place{s.place}
	for _, l := range first(s.Locations) {
		out.Locations = append(out.Locations, kept(l.Location))
		places = append(places, l.place)
	}
	for _, p := range places {
		if p.URL != "" && !p.Off {
			out.Regional = append(out.Regional, kept(p.URL))
		}
	}
	for _, h := range first(s.HostNames) {
		out.HostNames = append(out.HostNames, dr.HostName{Type: kept(h.Type), Name: kept(h.Name), Custom: !ours(h.Name), Certificate: kept(h.Source)})
	}
	for _, c := range first(s.Certificates) {
		out.Certificates = append(out.Certificates, kept(c.Store+" "+c.Certificate.Thumbprint))
	}
	if names := first(slices.Sorted(maps.Keys(s.Protocols))); len(names) > 0 {
		out.Protocols = map[string]string{}
		for _, name := range names {
			out.Protocols[kept(name)] = kept(s.Protocols[name])
		}
	}
	if ids := first(slices.Sorted(maps.Keys(id.Users))); len(ids) > 0 {
		out.UserIdentities = map[string]string{}
		for _, user := range ids {
			out.UserIdentities[strings.ToLower(kept(user))] = kept(id.Users[user].ClientID)
		}
	}
	return &out
}

// maxResource bounds what is kept of the resource itself, in bytes: those on record have up to 4,000.
const maxResource = 16 << 10

// secretField is the name of a field, or tag, whose value is left out, whatever it is: certificates with their keys, passwords, keys, tokens.
var secretField = regexp.MustCompile(`(?i)passw|pwd|passphrase|secret|encodedcertificate|certificatedata|keys?$|connectionstring|token|credential|^sas(ur[il])?$`)

// stripped is the body without the values that may be secret; nil where it is too long or no JSON.
func (r reply) stripped() json.RawMessage {
	var resource any
	if json.Unmarshal(bytes.TrimPrefix(r.body, []byte("\ufeff")), &resource) != nil {
		return nil
	}
	body, err := json.Marshal(r.strip(resource))
	if err != nil || len(body) > maxResource {
		return nil
	}
	return body
}

func (r reply) strip(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			if secretField.MatchString(name) {
				delete(v, name)
			} else {
				v[name] = r.strip(v[name])
			}
		}
	case []any:
		for i := range v {
			v[i] = r.strip(v[i])
		}
	case string:
		return r.upTo(maxResource, v)
	}
	return value
}

func first[T any](list []T) []T { return list[:min(len(list), maxSettings)] }

// domains are the platform's own, in public Azure, US Government and China; every default hostname (gateway, .portal, .developer,
// .management, .scm, .configuration) ends with one (Azure docs, API Management custom domains; Azure Government and Azure China endpoints).
var domains = []string{".azure-api.net", ".azure-api.us", ".azure-api.cn"}

func ours(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(domains, func(d string) bool { return strings.HasSuffix(host, d) })
}
