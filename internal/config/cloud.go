package config

import (
	"cmp"
	"strings"

	_ "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm/runtime" // registers ARM's endpoints and audiences in azcore/cloud
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
)

// CloudName is one of the Azure clouds.
type CloudName string

// The clouds.
const (
	Public       CloudName = "public"
	USGovernment CloudName = "usgovernment"
	China        CloudName = "china"
)

// Cloud is where Azure is reached.
type Cloud struct {
	Name CloudName
	// Configuration holds the authority host and ARM's endpoint and audience, the way azcore's clients take them. ARM's endpoint is https, or
	// http on a loopback address.
	Configuration cloud.Configuration
	// ServiceBusSuffix is what a namespace's host name ends with, without a leading dot.
	ServiceBusSuffix string
	// BlobTemplate is the address of a storage account's blob service, with {account} for its name.
	BlobTemplate string
	// OwnAuthority tells that the authority host was overridden: azidentity must not ask Azure's instance metadata about it.
	OwnAuthority bool
}

// ARM returns the endpoint of Azure Resource Manager, without a slash at its end, and the audience of its tokens.
func (c Cloud) ARM() cloud.ServiceConfiguration {
	return c.Configuration.Services[cloud.ResourceManager]
}

// BlobEndpoint returns the address of an account's blob service, without a slash at its end.
func (c Cloud) BlobEndpoint(account string) string {
	return strings.ReplaceAll(c.BlobTemplate, "{account}", account)
}

// Suffixes as in the Azure CLI's cloud profiles (azure-cli-core cloud.py).
var clouds = map[CloudName]struct {
	azure     cloud.Configuration
	blob, bus string
}{
	Public:       {cloud.AzurePublic, "blob.core.windows.net", "servicebus.windows.net"},
	USGovernment: {cloud.AzureGovernment, "blob.core.usgovcloudapi.net", "servicebus.usgovcloudapi.net"},
	China:        {cloud.AzureChina, "blob.core.chinacloudapi.cn", "servicebus.chinacloudapi.cn"},
}

func newCloud(s settings) Cloud {
	known := clouds[s.Cloud]
	arm := known.azure.Services[cloud.ResourceManager]
	arm.Endpoint = strings.TrimRight(cmp.Or(s.ARMEndpoint, arm.Endpoint), "/")
	arm.Audience = cmp.Or(s.ARMAudience, arm.Audience)
	return Cloud{
		Name: s.Cloud,
		Configuration: cloud.Configuration{
			ActiveDirectoryAuthorityHost: cmp.Or(s.Authority, known.azure.ActiveDirectoryAuthorityHost),
			Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: arm},
		},
		ServiceBusSuffix: known.bus,
		BlobTemplate:     strings.TrimRight(cmp.Or(s.BlobEndpoint, "https://{account}."+known.blob), "/"),
		OwnAuthority:     s.Authority != "",
	}
}
