package apim

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/dr"
	"apim-dr/internal/mask"
)

// documented has the fields of the multi-region example of the 2024-05-01 swagger, and secrets where the swagger has room for them.
const documented = `{"type":"Microsoft.ApiManagement/service","location":"West US","etag":"AAAAAADqC0c=","sku":{"name":"Premium","capacity":1},
 "identity":{"type":"SystemAssigned, UserAssigned","principalId":"p","tenantId":"t","userAssignedIdentities":{
  "/subscriptions/0/resourceGroups/Contoso-RG/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Backup":{"principalId":"p","clientId":"c-1"}}},
 "properties":{"provisioningState":"Succeeded","gatewayUrl":"https://contoso.azure-api.net","gatewayRegionalUrl":"https://contoso-westus-01.regional.azure-api.net",
  "hostnameConfigurations":[
   {"type":"Proxy","hostName":"Contoso.Azure-API.net","certificateSource":"BuiltIn","encodedCertificate":null},
   {"type":"Proxy","hostName":"api.contoso.com","certificateSource":"KeyVault","encodedCertificate":"S3CR3T","certificatePassword":"S3CR3T","certificate":{"thumbprint":"AA"}},
   {"type":"DeveloperPortal","hostName":"contoso.developer.azure-api.us"},{"type":"Scm","hostName":"contoso.scm.azure-api.cn."},
   {"type":"Management","hostName":"contoso.management.azure-api.net.contoso.com","certificateSource":"Custom"}],
  "certificates":[{"storeName":"Root","encodedCertificate":"S3CR3T","certificatePassword":"S3CR3T","certificate":{"thumbprint":"0A1B","subject":"CN=Contoso"}}],
  "additionalLocations":[
   {"location":"West US 2","gatewayRegionalUrl":"https://contoso-westus2-01.regional.azure-api.net","disableGateway":false},
   {"location":"East US","gatewayRegionalUrl":"https://contoso-eastus-01.regional.azure-api.net","disableGateway":true}],
  "virtualNetworkConfiguration":{"subnetResourceId":"/subscriptions/0/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v/subnets/s"},
  "virtualNetworkType":"Internal","customProperties":{"Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Protocols.Tls10":"True"},"disableGateway":false}}`

func settingsOf(t *testing.T, body string) *dr.Settings {
	t.Helper()
	a := with(t, always(200, body)).Service(t.Context(), instance)
	if a.Verdict != dr.OK || a.Service.Settings == nil {
		t.Fatalf("%+v", a)
	}
	return a.Service.Settings
}

func TestSettingsAreReadAndNoSecretAmongThem(t *testing.T) {
	got := settingsOf(t, documented)
	want := &dr.Settings{
		GatewayURL: "https://contoso.azure-api.net",
		Regional:   []string{"https://contoso-westus-01.regional.azure-api.net", "https://contoso-westus2-01.regional.azure-api.net"},
		HostNames: []dr.HostName{
			{Type: "Proxy", Name: "Contoso.Azure-API.net", Certificate: "BuiltIn"}, {Type: "Proxy", Name: "api.contoso.com", Custom: true, Certificate: "KeyVault"},
			{Type: "DeveloperPortal", Name: "contoso.developer.azure-api.us"}, {Type: "Scm", Name: "contoso.scm.azure-api.cn."},
			{Type: "Management", Name: "contoso.management.azure-api.net.contoso.com", Custom: true, Certificate: "Custom"},
		},
		Certificates: []string{"Root 0A1B"}, Network: "Internal", Subnet: "/subscriptions/0/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v/subnets/s",
		SystemIdentity: true, UserIdentities: map[string]string{"/subscriptions/0/resourcegroups/contoso-rg/providers/microsoft.managedidentity/userassignedidentities/backup": "c-1"},
		Protocols: map[string]string{"Microsoft.WindowsAzure.ApiManagement.Gateway.Security.Protocols.Tls10": "True"}, Locations: []string{"West US 2", "East US"},
	}
	whole := *got
	got.Resource = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if b, _ := json.Marshal(whole); strings.Contains(string(b), "S3CR3T") {
		t.Errorf("a secret in %s", b)
	}
}

func TestTheResourceIsKeptWithoutSecrets(t *testing.T) {
	resource := `{"type":"Microsoft.ApiManagement/service","name":"contoso-eu","sku":{"name":"Premium","capacity":2},"zones":["1","2"],"tags":{"owner":"api","dbPassword":"S3CR3T","api_key":"S3CR3T","functionKey":"S3CR3T","Keys":"S3CR3T","db-pwd":"S3CR3T","sasUrl":"S3CR3T"},
		"properties":{"provisioningState":"Succeeded","publisherEmail":"x@contoso.com","note":"` + storageKey + `","hostnameConfigurations":[{"hostName":"h","keyVaultId":"https://v/secrets/c",
		"encodedCertificate":"S3CR3T","certificatePassword":"S3CR3T"}],"primaryKey":"S3CR3T","list":[{"accessToken":"S3CR3T"}]}}`
	got := string(settingsOf(t, resource).Resource)
	for _, want := range []string{`"capacity":2`, `"zones":["1","2"]`, `"owner":"api"`, `"publisherEmail":"x@contoso.com"`, `"keyVaultId":"https://v/secrets/c"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	for _, secret := range []string{"S3CR3T", storageKey, "Password", "encodedCertificate", "primaryKey", "Token"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s has %s", got, secret)
		}
	}
	if long := settingsOf(t, strings.Replace(resource, `"owner":"api"`, `"owner":"`+strings.Repeat("x", maxResource)+`"`, 1)); long.Resource != nil {
		t.Errorf("%d bytes are kept", len(long.Resource))
	}
}

func TestAGatewayThatIsSwitchedOffInItsOwnRegionIsNotListed(t *testing.T) {
	got := settingsOf(t, strings.Replace(documented, `"disableGateway":false}}`, `"disableGateway":true}}`, 1))
	if len(got.Regional) != 1 || got.Regional[0] != "https://contoso-westus2-01.regional.azure-api.net" {
		t.Errorf("regional gateways %v", got.Regional)
	}
}

func TestSettingsOfOtherTypesAreLeftOutAndTheRestIsRead(t *testing.T) {
	got := settingsOf(t, `{"type":"Microsoft.ApiManagement/service","identity":[1],"properties":{"provisioningState":"Succeeded","hostnameConfigurations":"x","certificates":[null,7],`+
		`"additionalLocations":{},"customProperties":{"a":"1","b":2,"c":null},"virtualNetworkConfiguration":"x","gatewayRegionalUrl":5,"virtualNetworkType":"None"}}`)
	if got.Network != "None" || got.Protocols["a"] != "1" || len(got.Regional)+len(got.HostNames)+len(got.Locations) != 0 || got.SystemIdentity || got.Subnet != "" {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsKeptOfSettingsIsBounded(t *testing.T) {
	long := strings.Repeat("x", 2000)
	var hosts, more, users []string
	for i := range 1000 {
		hosts = append(hosts, fmt.Sprintf(`{"type":"Proxy","hostName":"%d.%s"}`, i, long[:30]))
		more = append(more, fmt.Sprintf(`"p%d":%q`, i, storageKey))
		users = append(users, fmt.Sprintf(`"/u%d":{}`, i))
	}
	got := settingsOf(t, `{"type":"Microsoft.ApiManagement/service","identity":{"userAssignedIdentities":{`+strings.Join(users, ",")+`}},"properties":{"provisioningState":"Succeeded","gatewayUrl":"`+long+
		`","hostnameConfigurations":[`+strings.Join(hosts, ",")+`],"customProperties":{`+strings.Join(more, ",")+`}}}`)
	if len(got.HostNames) != 100 || len(got.Protocols) != 100 || len(got.UserIdentities) != 100 || len(got.GatewayURL) > 600 || got.Protocols["p0"] != mask.Redacted {
		t.Errorf("%d hosts, %d protocols (%s), %d identities, URL of %d bytes", len(got.HostNames), len(got.Protocols), got.Protocols["p0"], len(got.UserIdentities), len(got.GatewayURL))
	}
}

// Before and after, safety backup and restore, plan and recovery point: an operation's record, which is not to exceed 1 MiB, holds six.
func TestSettingsOfAnySizeStayStorable(t *testing.T) {
	long := strings.Repeat("<", 1000) // six bytes each in JSON
	entries := func(format string) string {
		var list []string
		for i := range 150 {
			list = append(list, fmt.Sprintf(format, i, long))
		}
		return strings.Join(list, ",")
	}
	b, err := json.Marshal(settingsOf(t, `{"type":"Microsoft.ApiManagement/service","identity":{"userAssignedIdentities":{`+entries(`"%d%s":{}`)+`}},"properties":{"provisioningState":"Succeeded",`+
		`"hostnameConfigurations":[`+entries(`{"type":"%d","hostName":"%s"}`)+`],"customProperties":{`+entries(`"%d":"%s"`)+`},"certificates":[`+entries(`{"storeName":"%d%s"}`)+
		`],"additionalLocations":[`+entries(`{"location":"%d%s","gatewayRegionalUrl":"x"}`)+`]}}`))
	if err != nil || len(b) > 1<<20/6 || len(b) < maxTexts {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// The last exchange of a recording ends a restore with the whole service. Up to 2016-10-10 the gateway's address had another name.
func TestSettingsOfTheRecordedServices(t *testing.T) {
	for file, want := range map[string]string{
		"azps_2015-10-31_api2014-02-14":              " network, system false, 0 hosts, 0 protocols, 0 regional",
		"net_sdk_2016-11_api2016-10-10":              " network, system false, 0 hosts, 0 protocols, 0 regional",
		"net_sdk_2017-08_api2017-03-01":              "None network, system false, 0 hosts, 0 protocols, 0 regional",
		"net_sdk_2019-04-11_api2019-01-01":           "None network, system false, 1 hosts, 8 protocols, 1 regional",
		"net_sdk_2021-05-02_api2020-12-01":           "None network, system true, 1 hosts, 8 protocols, 1 regional",
		"net_sdk_2023-07-20_api2022-08-01_accesskey": "None network, system true, 1 hosts, 8 protocols, 1 regional",
	} {
		text, err := os.ReadFile(filepath.Join("testdata", "recordings", file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var exchanges []exchange
		if err := json.Unmarshal(text, &exchanges); err != nil {
			t.Fatal(err)
		}
		s := settingsOf(t, string(exchanges[len(exchanges)-1].ResponseBody))
		if got := fmt.Sprintf("%s network, system %t, %d hosts, %d protocols, %d regional", s.Network, s.SystemIdentity, len(s.HostNames), len(s.Protocols), len(s.Regional)); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
		for _, h := range s.HostNames {
			if h.Custom || h.Type != "Proxy" {
				t.Errorf("%s: %+v", file, h)
			}
		}
	}
}
