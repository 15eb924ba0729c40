package config

import (
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// CredentialKind is how this program proves to Azure who it is.
type CredentialKind string

// The kinds of credential.
const (
	ManagedIdentity  CredentialKind = "managedIdentity"  // the Function App's identity; ClientID picks a user-assigned one
	ClientSecret     CredentialKind = "clientSecret"     // an app registration with a secret
	WorkloadIdentity CredentialKind = "workloadIdentity" // an app registration that trusts a token in a file
	AzureCLI         CredentialKind = "azureCLI"         // whoever ran az login on this machine
)

// Credential is what NewCredential builds from.
type Credential struct {
	Kind         CredentialKind
	ClientID     string
	TenantID     string
	ClientSecret Secret
	TokenFile    string // path of the federated token
}

func newCredentialSettings(s settings, m *mistakes) Credential {
	type need struct{ name, value string }
	client, tenant := need{"AZURE_CLIENT_ID", s.ClientID}, need{"AZURE_TENANT_ID", s.TenantID}
	needs := map[CredentialKind][]need{
		ClientSecret:     {tenant, client, {"AZURE_CLIENT_SECRET", s.ClientSecret.Reveal()}},
		WorkloadIdentity: {tenant, client, {"AZURE_FEDERATED_TOKEN_FILE", s.TokenFile}},
	}
	for _, n := range needs[s.Credential] {
		if n.value == "" {
			m.add(n.name, "not set; CREDENTIAL %s needs it", s.Credential)
		}
	}
	return Credential{Kind: s.Credential, ClientID: s.ClientID, TenantID: s.TenantID, ClientSecret: s.ClientSecret, TokenFile: s.TokenFile}
}

// NewCredential builds the configured credential without any network call; tokens are asked for when they are needed. transport nil
// takes azcore's own; azureCLI runs az and has no use for one. A managed identity's endpoint is found by azidentity in the process environment
// (IDENTITY_ENDPOINT and IDENTITY_HEADER on App Service).
func (c Config) NewCredential(transport policy.Transporter) (azcore.TokenCredential, error) {
	credential, err := c.newCredential(azcore.ClientOptions{Cloud: c.Cloud.Configuration, Transport: transport})
	if err != nil {
		return nil, fmt.Errorf("credential %s: %w", c.Credential.Kind, err)
	}
	return credential, nil
}

func (c Config) newCredential(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	with := c.Credential
	switch with.Kind {
	case ManagedIdentity:
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if with.ClientID != "" {
			o.ID = azidentity.ClientID(with.ClientID)
		}
		return azidentity.NewManagedIdentityCredential(o)
	case ClientSecret:
		return azidentity.NewClientSecretCredential(with.TenantID, with.ClientID, with.ClientSecret.Reveal(),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: c.Cloud.OwnAuthority})
	case WorkloadIdentity:
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: options,
			ClientID: with.ClientID, TenantID: with.TenantID, TokenFilePath: with.TokenFile, DisableInstanceDiscovery: c.Cloud.OwnAuthority})
	case AzureCLI:
		return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: with.TenantID})
	default:
		return nil, fmt.Errorf("unknown kind %q", with.Kind)
	}
}
