package arm

import (
	"embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// shapes are services as recorded, one file for each api-version from which on they looked so.
//
//go:embed shapes/*.json
var shapes embed.FS

var serviceID = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/resourceGroups/([^/]+)/providers/Microsoft\.ApiManagement/service/([^/]+)$`)

// service is an instance and what happens to it. It is guarded by Server.mu.
type service struct {
	Service
	name    string
	created time.Time
	etag    uint64
	running []*operation
}

func newService(d Service, now time.Time) (*service, error) {
	m := serviceID.FindStringSubmatch(d.ID)
	if m == nil || d.SKU == "" || d.Location == "" {
		return nil, fmt.Errorf("arm: service %q: the full resource id, the SKU and the location are needed", d.ID)
	}
	if d.ProvisioningState == "" {
		d.ProvisioningState = "Succeeded"
	}
	if d.GatewayURL == "" {
		d.GatewayURL = "https://" + m[2] + ".azure-api.net"
	}
	return &service{Service: d, name: m[2], created: now, etag: 0x2a1d95}, nil
}

// state is what the service shows at a time. The ETag moves when an operation becomes visible.
func (v *service) state(now time.Time) (provisioning, target string) {
	provisioning = v.ProvisioningState
	for _, op := range v.running {
		if now.Before(op.visible) {
			continue
		}
		if !op.seen {
			op.seen = true
			v.etag++
		}
		provisioning, target = op.during, op.during
	}
	return provisioning, target
}

func (v *service) etagText() string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, v.etag))
}

// resource is the whole service as an api-version shows it: the recorded shape, with the values of this service where it has such a field.
func (v *service) resource(version string, now time.Time) map[string]any {
	files, _ := shapes.ReadDir("shapes") // embedded: sorted, and always there
	file := files[0].Name()
	for _, f := range files {
		if f.Name() <= version+".json" {
			file = f.Name()
		}
	}
	raw, _ := shapes.ReadFile("shapes/" + file)
	var body map[string]any
	if err := json.Unmarshal([]byte(strings.NewReplacer("{id}", v.ID, "{name}", v.name, "{location}", v.Location, "{region}", region(v.Location),
		"{gateway}", v.GatewayURL, "{regional}", v.regional(v.Location), "{created}", v.created.UTC().Format("2006-01-02T15:04:05.0000000Z")).Replace(string(raw))), &body); err != nil {
		panic(err) // a value with a quote in it
	}
	props := body["properties"].(map[string]any)
	set := func(name string, value any) {
		for _, m := range []map[string]any{body, props} {
			if _, ok := m[name]; ok {
				m[name] = value
			}
		}
	}
	state, target := v.state(now)
	set("provisioningState", state)
	set("targetProvisioningState", target)
	set("etag", v.etagText())
	set("sku", map[string]any{"name": v.SKU, "capacity": v.Capacity})
	minimum := &v.MinAPIVersion
	if *minimum == "" {
		minimum = nil
	}
	set("apiVersionConstraint", map[string]any{"minApiVersion": minimum})
	if v.Tags != nil {
		set("tags", v.Tags)
	}
	var locations []any
	for _, l := range v.AdditionalLocations {
		locations = append(locations, map[string]any{"location": l, "sku": map[string]any{"name": v.SKU, "capacity": v.Capacity},
			"gatewayRegionalUrl": v.regional(l), "disableGateway": false})
		set("additionalLocations", locations)
	}
	hosts := props["hostnameConfigurations"].([]any)
	for i, name := range slices.Concat(v.HostNames, v.PortalHostNames) {
		host := map[string]any{}
		if len(hosts) > 0 {
			host = maps.Clone(hosts[0].(map[string]any))
			host["certificateSource"], host["defaultSslBinding"] = "Custom", false
		}
		host["type"], host["hostName"] = "Proxy", name
		if i >= len(v.HostNames) {
			host["type"] = "DeveloperPortal"
		}
		hosts = append(hosts, host)
	}
	set("hostnameConfigurations", hosts)
	v.settings(props, set)
	return body
}

// settings shows what is configured of identity, certificates, network and protocols.
func (v *service) settings(props map[string]any, set func(string, any)) {
	var kinds []string
	identity := map[string]any{}
	if v.SystemIdentity { // recorded
		kinds = append(kinds, "SystemAssigned")
		identity["principalId"], identity["tenantId"] = uuid("principal", v.ID), uuid("tenant")
	}
	if len(v.UserIdentities) > 0 {
		kinds = append(kinds, "UserAssigned")
		users := map[string]any{}
		for id, client := range v.UserIdentities {
			users[id] = map[string]any{"principalId": uuid("principal", id), "clientId": client}
		}
		identity["userAssignedIdentities"] = users
	}
	set("identity", nil)
	if identity["type"] = strings.Join(kinds, ", "); len(kinds) > 0 {
		set("identity", identity)
	}
	var certificates []any
	for _, c := range v.Certificates {
		store, thumbprint, _ := strings.Cut(c, " ")
		certificates = append(certificates, map[string]any{"encodedCertificate": nil, "certificatePassword": nil, "storeName": store,
			"certificate": map[string]any{"expiry": "2030-01-01T00:00:00+00:00", "thumbprint": thumbprint, "subject": "CN=Contoso"}})
		set("certificates", certificates)
	}
	if v.Network != "" {
		set("virtualNetworkType", v.Network)
	}
	if v.Subnet != "" {
		set("virtualNetworkConfiguration", map[string]any{"vnetid": uuid("vnet", v.Subnet), "subnetname": nil, "subnetResourceId": v.Subnet})
	}
	if p, ok := props["customProperties"].(map[string]any); ok {
		for name, value := range v.Protocols {
			p[name] = value
		}
	}
}

// regional is the address of the gateway in a region, as recorded; on this machine all regions have one.
func (v *service) regional(location string) string {
	if strings.HasPrefix(v.GatewayURL, "http://") {
		return v.GatewayURL
	}
	return "https://" + v.name + "-" + region(location) + "-01.regional.azure-api.net"
}

// region is a location's short form: "West Europe" is westeurope.
func region(location string) string { return strings.ToLower(strings.ReplaceAll(location, " ", "")) }
