package arm

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"time"
)

var serviceID = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/resourceGroups/([^/]+)/providers/Microsoft\.ApiManagement/service/([^/]+)$`)

// service is an instance and what happens to it. It is guarded by Server.mu.
type service struct {
	Service
	name, group string
	created     time.Time
	etag        uint64
	running     []*operation
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
	return &service{Service: d, group: m[1], name: m[2], created: now, etag: 0x2a1d95}, nil
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

// versions are the first and the last api-version in which a field was recorded; what is not here is in all of them.
var versions = map[string][2]string{
	"sku": {"2016-10-10", ""}, "identity": {"2019-01-01", ""}, "zones": {"2020-12-01", ""}, "systemData": {"2022-08-01", ""},
	"properties.sku": {"", "2014-02-14"}, "properties.vpnType": {"2016-10-10", "2016-10-10"},
	"properties.runtimeUrl": {"", "2016-10-10"}, "properties.addresserEmail": {"", "2016-10-10"},
	"properties.staticIPs": {"", "2016-10-10"}, "properties.vpnconfiguration": {"", "2016-10-10"},
	"properties.notificationSenderEmail": {"2017-03-01", ""}, "properties.gatewayUrl": {"2017-03-01", ""},
	"properties.virtualNetworkConfiguration": {"2017-03-01", ""}, "properties.virtualNetworkType": {"2017-03-01", ""},
	"properties.staticIps": {"2017-03-01", "2018-12-31"}, "properties.gatewayRegionalUrl": {"2019-01-01", ""},
	"properties.publicIPAddresses": {"2019-01-01", ""}, "properties.privateIPAddresses": {"2019-01-01", ""}, "properties.certificates": {"2019-01-01", ""},
	"properties.developerPortalUrl": {"2019-12-01", ""}, "properties.disableGateway": {"2019-12-01", "2020-12-01"}, "properties.apiVersionConstraint": {"2019-12-01", ""},
	"properties.natGatewayState": {"2022-08-01", ""}, "properties.outboundPublicIPAddresses": {"2022-08-01", ""}, "properties.publicIpAddressId": {"2022-08-01", ""},
	"properties.publicNetworkAccess": {"2022-08-01", ""}, "properties.privateEndpointConnections": {"2022-08-01", ""}, "properties.platformVersion": {"2022-08-01", ""},
	"host.identityClientId": {"2020-12-01", ""}, "host.certificateSource": {"2022-08-01", ""}, "host.certificateStatus": {"2022-08-01", ""},
}

// prune removes the fields that an api-version does not have.
func prune(version, prefix string, fields map[string]any) map[string]any {
	for name := range fields {
		if v, ok := versions[prefix+name]; ok && (version < v[0] || v[1] != "" && version > v[1]) {
			delete(fields, name)
		}
	}
	return fields
}

// resource is the whole service as an api-version shows it.
func (v *service) resource(version string, now time.Time) map[string]any {
	version = version[:min(len(version), 10)] // a preview has the fields of its date
	state, target := v.state(now)
	host := func(kind string) string { return "https://" + v.name + "." + kind + "azure-api.net" }
	regional := func(location string) string {
		return "https://" + v.name + "-" + region(location) + "-01.regional.azure-api.net"
	}
	sku := map[string]any{"name": v.SKU, "capacity": v.Capacity}
	ips := []string{"192.0.2.10"}
	tags := v.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	var locations any
	var additional []any
	for _, l := range v.AdditionalLocations {
		additional = append(additional, map[string]any{"location": l, "sku": sku, "publicIPAddresses": ips, "privateIPAddresses": nil, "virtualNetworkConfiguration": nil,
			"gatewayRegionalUrl": regional(l), "disableGateway": false})
		locations = additional
	}
	props := prune(version, "properties.", map[string]any{
		"publisherEmail": "apim@contoso.com", "publisherName": "Contoso", "notificationSenderEmail": "apimgmt-noreply@contoso.com", "addresserEmail": nil,
		"provisioningState": state, "targetProvisioningState": target, "createdAtUtc": v.created.UTC().Format("2006-01-02T15:04:05.0000000Z"), "sku": sku,
		"runtimeUrl": v.GatewayURL, "gatewayUrl": v.GatewayURL, "gatewayRegionalUrl": regional(v.Location),
		"portalUrl": host("portal."), "developerPortalUrl": host("developer."), "managementApiUrl": host("management."), "scmUrl": host("scm."),
		"hostnameConfigurations": v.hosts(version), "additionalLocations": locations, "customProperties": nil, "certificates": nil,
		"staticIPs": ips, "staticIps": ips, "publicIPAddresses": ips, "outboundPublicIPAddresses": ips, "privateIPAddresses": nil, "publicIpAddressId": nil,
		"vpnconfiguration": nil, "vpnType": 0, "virtualNetworkConfiguration": nil, "virtualNetworkType": "None", "natGatewayState": "Disabled",
		"publicNetworkAccess": "Enabled", "privateEndpointConnections": nil, "platformVersion": "stv2", "disableGateway": false,
		"apiVersionConstraint": map[string]any{"minApiVersion": orNil(v.MinAPIVersion)},
	})
	return prune(version, "", map[string]any{
		"id": v.ID, "name": v.name, "type": "Microsoft.ApiManagement/service", "tags": tags, "location": v.Location, "etag": v.etagText(),
		"properties": props, "sku": sku, "identity": map[string]any{"type": "SystemAssigned", "principalId": hexID(v.ID), "tenantId": "33333333-3333-3333-3333-333333333333"},
		"zones": nil, "systemData": map[string]any{"createdBy": "apim@contoso.com", "createdByType": "User", "createdAt": v.created.UTC().Format(time.RFC3339Nano),
			"lastModifiedBy": "apim@contoso.com", "lastModifiedByType": "User", "lastModifiedAt": v.created.UTC().Format(time.RFC3339Nano)},
	})
}

// hosts are the gateway's hostnames; recorded: the built-in one is listed since 2019.
func (v *service) hosts(version string) []any {
	list := []any{}
	add := func(name, source string, standard bool) {
		list = append(list, prune(version, "host.", map[string]any{"type": "Proxy", "hostName": name, "encodedCertificate": nil, "keyVaultId": nil, "certificatePassword": nil,
			"negotiateClientCertificate": false, "certificate": nil, "defaultSslBinding": standard, "identityClientId": nil, "certificateSource": source, "certificateStatus": nil}))
	}
	if version >= "2019-01-01" {
		add(v.name+".azure-api.net", "BuiltIn", len(v.HostNames) == 0)
	}
	for i, name := range v.HostNames {
		add(name, "Custom", i == len(v.HostNames)-1)
	}
	return list
}

// region is a location's short form: "West Europe" is westeurope.
func region(location string) string {
	return strings.ToLower(strings.ReplaceAll(location, " ", ""))
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}
