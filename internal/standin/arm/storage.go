package arm

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

// parameters are the body of backup and restore. They hold a key: never shown.
type parameters struct {
	StorageAccount string `json:"storageAccount"`
	ContainerName  string `json:"containerName"`
	BackupName     string `json:"backupName"`
	AccessType     string `json:"accessType"`
	AccessKey      string `json:"accessKey"`
	ClientID       string `json:"clientId"`
}

const (
	accessKey      = "AccessKey"
	systemAssigned = "SystemAssignedManagedIdentity"
	userAssigned   = "UserAssignedManagedIdentity"
)

// parse reads and checks a body as the api-version does: access by identity came in April 2021, before that accessType was not looked at.
func parse(body []byte, version string) (parameters, *Error) {
	var p parameters
	if err := json.Unmarshal(body, &p); err != nil {
		return p, frontDoor(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
	}
	if p.AccessType == "" || version < "2021-04-01" {
		p.AccessType = accessKey
	}
	required := []struct{ name, value string }{{"storageAccount", p.StorageAccount}, {"containerName", p.ContainerName}, {"backupName", p.BackupName}}
	switch p.AccessType {
	case accessKey:
		required = append(required, struct{ name, value string }{"accessKey", p.AccessKey})
	case userAssigned:
		required = append(required, struct{ name, value string }{"clientId", p.ClientID})
	case systemAssigned:
	default:
		return p, invalidParameter("Requested value '"+p.AccessType+"' was not found.", "accessType", p.AccessType)
	}
	for _, r := range required {
		if r.value == "" {
			return p, invalidParameter("Value cannot be null.", r.name, "")
		}
	}
	return p, nil
}

// content is what a backup blob holds.
type content struct {
	Format    string    `json:"format"`
	Service   string    `json:"service"`
	SKU       string    `json:"sku"`
	Capacity  int       `json:"capacity"`
	CreatedAt time.Time `json:"createdAt"`
	Content   string    `json:"content"`
}

const (
	format     = "API Management stand-in backup 1"
	backupLife = 30 * 24 * time.Hour // documented
)

// client is a client of the account with the access that the parameters ask for, or why API Management has none.
func (c Config) client(service string, v Verb, p parameters) (*azblob.Client, *Error) {
	account, ok := c.Accounts[p.StorageAccount]
	if !ok { // recorded, with this parameter's name
		return nil, invalidParameter("The remote name could not be resolved: '"+p.StorageAccount+".blob.core.windows.net'", "backupContainerName", p.ContainerName)
	}
	key := p.AccessKey
	if p.AccessType != accessKey {
		if key = account.Key; !account.trusts(service, p.ClientID) { // recorded, with these two texts
			why := "This request is not authorized to perform this operation."
			if v == Restore {
				why = "This request is not authorized to perform this operation using this permission."
			}
			return nil, invalidParameter(why, "backupContainerName", p.ContainerName)
		}
	}
	cred, err := azblob.NewSharedKeyCredential(account.name(), key)
	if err != nil { // not base64
		return nil, storageError(bloberror.AuthenticationFailed, p)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(account.Endpoint, cred, &azblob.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: c.BlobTransport, Retry: policy.RetryOptions{MaxRetries: -1},
	}})
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

// code is the storage error code in an error; empty: the account could not be reached. A HEAD has its code in a header only.
func code(err error) bloberror.Code {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		return bloberror.Code(answer.ErrorCode)
	}
	return ""
}

func storageError(c bloberror.Code, p parameters) *Error {
	why := "Unable to connect to the remote server"
	switch {
	case c == bloberror.ContainerNotFound:
		why = "The specified container does not exist."
	case strings.HasPrefix(string(c), "Auth"):
		why = "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature."
	case c != "":
		why = "The remote server returned an error: " + string(c)
	}
	return invalidParameter(why, "backupContainerName", p.ContainerName)
}

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
	return &Error{Status: http.StatusBadRequest, Code: "BackupFailed", Message: "Cannot backup: " + e.Message}
}

// read fetches a backup and checks that it fits a service of that tier at that time.
func (c Config) read(ctx context.Context, service, sku string, p parameters, at time.Time) (content, *Error) {
	var b content
	client, e := c.client(service, Restore, p)
	if e != nil {
		return b, new(restoreFailed(e.Message))
	}
	answer, err := client.DownloadStream(ctx, p.ContainerName, p.BackupName, nil)
	if code(err) == bloberror.BlobNotFound {
		return b, new(restoreFailed("backup '" + p.BackupName + "' was not found"))
	} else if err != nil {
		return b, new(restoreFailed(storageError(code(err), p).Message))
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	switch {
	case err != nil || json.Unmarshal(data, &b) != nil || b.Format != format:
		return b, new(restoreFailed("backup '" + p.BackupName + "' is not a valid backup"))
	case !at.Before(b.CreatedAt.Add(backupLife)):
		return b, new(BackupExpired())
	case !strings.EqualFold(b.SKU, sku):
		return b, new(SKUMismatch(sku, b.SKU))
	}
	return b, nil
}
