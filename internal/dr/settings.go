package dr

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Settings is what an instance has beside its data, and what a restore does not bring (Azure docs, API Management disaster recovery, 2025-12:
// hostnames and their certificates, CA certificates, virtual network, managed identities, protocol and cipher settings). It holds no secret.
type Settings struct {
	GatewayURL string     `json:"gatewayUrl,omitempty"`
	Regional   []string   `json:"regionalGateways,omitempty"` // URLs, the instance's own region first
	HostNames  []HostName `json:"hostNames,omitempty"`
	// Certificates are the custom CA certificates, as store and thumbprint.
	Certificates []string `json:"certificates,omitempty"`
	// Network is the virtual network type (None, External, Internal), Subnet the ARM id of its subnet.
	Network string `json:"network,omitempty"`
	Subnet  string `json:"subnet,omitempty"`
	// SystemIdentity: it has one; UserIdentities are the others, client ids by ARM id in lower case.
	SystemIdentity bool              `json:"systemIdentity,omitempty"`
	UserIdentities map[string]string `json:"userIdentities,omitempty"`
	// Protocols are the customProperties: protocols and ciphers.
	Protocols map[string]string `json:"protocols,omitempty"`
	// Locations are the additional regions of a multi-region instance.
	Locations []string `json:"additionalLocations,omitempty"`
	// Resource is the instance as ARM showed it, without what may be secret: what a new one has to be like. Empty: it was too long.
	Resource json.RawMessage `json:"resource,omitempty"`
}

// HostName is one name that an instance answers to.
type HostName struct {
	Type string `json:"type"` // Proxy, Portal, DeveloperPortal, Management, Scm, ConfigurationApi
	Name string `json:"name"`
	// Custom: not one of the platform's own names.
	Custom bool `json:"custom,omitempty"`
	// Certificate is where the certificate comes from: BuiltIn, Managed, KeyVault, Custom.
	Certificate string `json:"certificate,omitempty"`
}

// custom lists the names that are not the platform's, each once, gateways first.
func (s *Settings) custom() []HostName {
	if s == nil {
		return nil
	}
	var names []HostName
	for _, h := range s.HostNames {
		if h.Custom && !slices.ContainsFunc(names, func(o HostName) bool { return strings.EqualFold(o.Name, h.Name) }) {
			names = append(names, h)
		}
	}
	slices.SortStableFunc(names, func(a, b HostName) int { return rank(a.Type) - rank(b.Type) })
	return names
}

func rank(hostType string) int {
	if strings.EqualFold(hostType, "Proxy") {
		return 0
	}
	return 1
}

// NotCovered lists in words what a restore leaves different between the instance that was backed up and the one that is restored into. In
// the same order for the same settings; nil where nothing is known to differ. Settings that were not read are told as such.
func NotCovered(from, to *Settings) []string {
	if from == nil || to == nil {
		return []string{"the settings of both instances could not be compared: hostnames, certificates, virtual network, identities and protocol settings are not restored"}
	}
	var list []string
	tell := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, h := range from.custom() {
		if !slices.ContainsFunc(to.custom(), func(o HostName) bool { return strings.EqualFold(o.Name, h.Name) }) {
			tell("hostname %s (%s, certificate from %s)", h.Name, h.Type, orUnknown(h.Certificate))
		}
	}
	for _, c := range from.Certificates {
		if !slices.Contains(to.Certificates, c) {
			tell("CA certificate %s", c)
		}
	}
	if from.Network != "" && to.Network != "" && from.Network != to.Network { // old api-versions do not tell
		tell("virtual network: %s there, %s here", from.Network, to.Network)
	}
	if from.SystemIdentity && !to.SystemIdentity {
		tell("system-assigned identity: here is none")
	} else if from.SystemIdentity {
		tell("system-assigned identity: another one here; give it the rights that the first has (Key Vault, backends)")
	}
	for _, id := range slices.Sorted(maps.Keys(from.UserIdentities)) {
		if _, ok := to.UserIdentities[id]; !ok {
			tell("user-assigned identity %s", id)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(from.Protocols)) {
		if got := to.Protocols[name]; !strings.EqualFold(got, from.Protocols[name]) {
			tell("protocol setting %s: %s there, %s here", name, from.Protocols[name], orNone(got))
		}
	}
	return list
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func orUnknown(text string) string {
	if text == "" {
		return "an unknown source"
	}
	return text
}

// ByHand lists in words what restoring a recovery point into an instance that has nothing yet leaves to be done by hand (Azure docs, API Management
// disaster recovery, "What is not backed up").
func ByHand(p RecoveryPoint) []string {
	var list []string
	tell := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	s := p.Settings
	if s == nil {
		tell("hostnames, certificates, virtual network, identities and protocol settings: %s was not seen when this backup was made", p.Service)
		s = &Settings{}
	}
	for _, h := range s.custom() {
		tell("hostname %s (%s): add it with its certificate (from %s), then point the DNS name there", h.Name, h.Type, orUnknown(h.Certificate))
	}
	for _, c := range s.Certificates {
		tell("CA certificate %s: upload it", c)
	}
	if s.Network != "" && s.Network != "None" {
		tell("virtual network: %s, subnet %s", s.Network, orNone(s.Subnet))
	}
	if s.SystemIdentity {
		tell("system-assigned identity: turn it on and give it the rights that the one of %s has (Key Vault, backends, backup storage)", p.Service)
	}
	for _, id := range slices.Sorted(maps.Keys(s.UserIdentities)) {
		tell("user-assigned identity %s: assign it", id)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Protocols)) {
		tell("protocol setting %s: %s", name, s.Protocols[name])
	}
	if len(s.Locations) > 0 {
		tell("gateways in additional regions: %s", strings.Join(s.Locations, ", "))
	}
	tell("diagnostic settings of Azure Monitor: compare them by hand, apim-dr does not read them")
	tell("the developer portal: publish its content again")
	tell("usage data: what the analytics of %s show is not in a backup", p.Service)
	return list
}
