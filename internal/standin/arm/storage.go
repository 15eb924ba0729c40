package arm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

// parameters are the body of backup and restore. They hold a key: never shown.
type parameters struct {
	StorageAccount, ContainerName, BackupName, AccessType, AccessKey, ClientID string
}

// parse reads and checks a body as the api-version does: access by identity came in April 2021, before that accessType was not looked at.
func parse(body []byte, version string) (p parameters, e *Error) {
	if err := json.Unmarshal(body, &p); err != nil {
		return p, frontDoor(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
	}
	if p.AccessType == "" || version < "2021-04-01" {
		p.AccessType = "AccessKey"
	}
	required := [][2]string{{"storageAccount", p.StorageAccount}, {"containerName", p.ContainerName}, {"backupName", p.BackupName}}
	switch p.AccessType {
	case "AccessKey":
		required = append(required, [2]string{"accessKey", p.AccessKey})
	case "UserAssignedManagedIdentity":
		required = append(required, [2]string{"clientId", p.ClientID})
	case "SystemAssignedManagedIdentity":
		p.ClientID = ""
	default:
		return p, invalidParameter("Requested value '"+p.AccessType+"' was not found.", "accessType", p.AccessType)
	}
	for _, r := range required {
		if r[1] == "" {
			return p, invalidParameter("Value cannot be null.", r[0], "")
		}
	}
	return p, nil
}

// assigned tells whether an instance has the identity that it is to use.
func (v Service) assigned(p parameters) bool {
	switch p.AccessType {
	case "SystemAssignedManagedIdentity":
		return v.SystemIdentity
	case "UserAssignedManagedIdentity":
		return slices.ContainsFunc(slices.Collect(maps.Values(v.UserIdentities)), func(id string) bool { return strings.EqualFold(id, p.ClientID) })
	}
	return true
}

// client is a client of the account with the access that the parameters ask for, or why API Management has none.
func (c Config) client(service string, v Verb, p parameters) (*azblob.Client, *Error) {
	account, ok := c.Accounts[p.StorageAccount]
	if !ok { // recorded, with this parameter's name
		return nil, invalidParameter("The remote name could not be resolved: '"+p.StorageAccount+".blob.core.windows.net'", "backupContainerName", p.ContainerName)
	}
	key := p.AccessKey
	if p.AccessType != "AccessKey" {
		if key = account.Key; !account.trusts(strings.ToLower(service), strings.ToLower(p.ClientID)) { // recorded, with these two texts
			why := map[Verb]string{Backup: ".", Restore: " using this permission."}[v]
			return nil, invalidParameter("This request is not authorized to perform this operation"+why, "backupContainerName", p.ContainerName)
		}
	}
	cred, err := azblob.NewSharedKeyCredential(account.name(), key)
	if err != nil { // not base64
		return nil, storageError(bloberror.AuthenticationFailed, p)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(account.Endpoint, cred, &azblob.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: c.BlobTransport, Retry: policy.RetryOptions{MaxRetries: -1}}})
	if err != nil {
		return nil, storageError("", p)
	}
	return client, nil
}

// reach checks, before an operation is accepted, that the container can be reached.
func (c Config) reach(ctx context.Context, service string, v Verb, p parameters) *Error {
	client, refused := c.client(service, v, p)
	if refused != nil {
		return refused
	}
	if _, err := client.ServiceClient().NewContainerClient(p.ContainerName).GetProperties(ctx, nil); err != nil {
		return storageError(code(err), p)
	}
	return nil
}

// code is the storage error code in an error; empty: the account could not be reached.
func code(err error) bloberror.Code {
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return bloberror.Code(cmp.Or(answer.ErrorCode, http.StatusText(answer.StatusCode)))
	}
	return ""
}

func storageError(c bloberror.Code, p parameters) *Error {
	why := "The remote server returned an error: " + string(c)
	switch {
	case c == "":
		why = "Unable to connect to the remote server"
	case c == bloberror.ContainerNotFound:
		why = "The specified container does not exist."
	case strings.HasPrefix(string(c), "Auth"):
		why = "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature."
	}
	return invalidParameter(why, "backupContainerName", p.ContainerName)
}

// content is what a backup blob holds.
type content struct {
	Format    string    `json:"format"`
	Service   string    `json:"service"`
	SKU       string    `json:"sku"`
	CreatedAt time.Time `json:"createdAt"`
	Content   string    `json:"content"`
}

const (
	format     = "API Management stand-in backup 1"
	backupLife = 30 * 24 * time.Hour // documented
)

// write makes the backup.
func (c Config) write(ctx context.Context, service string, p parameters, b content) *Error {
	client, e := c.client(service, Backup, p)
	if e == nil {
		data, err := json.Marshal(b)
		if err == nil {
			_, err = client.UploadBuffer(ctx, p.ContainerName, p.BackupName, data, nil)
		}
		if err == nil {
			return nil
		}
		e = storageError(code(err), p)
	}
	return badRequest("BackupFailed", "Cannot backup: %s", e.Message)
}

// read fetches a backup and checks that it fits a service of that tier at that time.
func (c Config) read(ctx context.Context, service, sku string, p parameters, at time.Time) (b content, e *Error) {
	client, e := c.client(service, Restore, p)
	if e != nil {
		return b, badRequest("RestoreFailed", "Cannot restore: %s", e.Message)
	}
	answer, err := client.DownloadStream(ctx, p.ContainerName, p.BackupName, nil)
	if err != nil {
		return b, badRequest("RestoreFailed", "Cannot restore: backup '%s': %s", p.BackupName, storageError(code(err), p).Message)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	switch {
	case err != nil || json.Unmarshal(data, &b) != nil || b.Format != format:
		return b, badRequest("RestoreFailed", "Cannot restore: '%s' is not a valid backup", p.BackupName)
	case !at.Before(b.CreatedAt.Add(backupLife)):
		return b, BackupExpired()
	case !strings.EqualFold(b.SKU, sku):
		return b, SKUMismatch(sku, b.SKU)
	}
	return b, nil
}
