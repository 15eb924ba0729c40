package store

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

// ClientOptions are those that main gives to every storage client: few and quick repetitions, so that a call ends within 15 s (three tries of 4 s, the
// fetching of a token included, and two pauses of at most 1 s) and an invocation has time left to schedule its successor. A nil transport
// is azcore's own.
func ClientOptions(transport policy.Transporter) *service.ClientOptions {
	return &service.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: transport,
		Telemetry: policy.TelemetryOptions{ApplicationID: "apim-dr"},
		Retry: policy.RetryOptions{
			MaxRetries: 2, TryTimeout: 4 * time.Second, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: time.Second,
		},
	}}
}

// FromConnectionString returns a client for an account and its key. It makes no call, and no error repeats the string. One with a shared
// access signature is refused: the signature would stand in the URL, and so in errors and logs.
func FromConnectionString(text string, o *service.ClientOptions) (*service.Client, error) {
	if strings.Contains(strings.ToLower(text), "sharedaccesssignature=") {
		return nil, errors.New("storage connection string: a shared access signature is not accepted; give AccountName and AccountKey, or use an identity")
	}
	client, err := service.NewClientFromConnectionString(text, o)
	if err != nil {
		return nil, fmt.Errorf("storage connection string: %w", err)
	}
	if !plain(client.URL()) {
		return nil, errors.New("storage connection string: BlobEndpoint must be a URL and nothing else")
	}
	return client, nil
}

// FromEndpoint returns a client for the Blob endpoint of an account, for example https://contosodr.blob.core.windows.net, and an identity. It
// makes no call.
func FromEndpoint(endpoint string, credential azcore.TokenCredential, o *service.ClientOptions) (*service.Client, error) {
	if !plain(endpoint) {
		return nil, errEndpoint
	}
	return service.NewClient(endpoint, credential, o)
}

// FromKey is FromEndpoint with the account's key (base64) in place of an identity. No error repeats the key.
func FromKey(endpoint, account, key string, o *service.ClientOptions) (*service.Client, error) {
	if !plain(endpoint) {
		return nil, errEndpoint
	}
	credential, err := service.NewSharedKeyCredential(account, key)
	if err != nil {
		return nil, fmt.Errorf("key of storage account %s: %w", account, err)
	}
	return service.NewClientWithSharedKeyCredential(endpoint, credential, o)
}

var errEndpoint = errors.New("storage endpoint: must be a URL like https://contosodr.blob.core.windows.net, without user, query or fragment")

// plain tells whether an endpoint is scheme, host and path, with no place where a secret could hide.
func plain(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && !strings.ContainsAny(u.Path, "=;")
}
