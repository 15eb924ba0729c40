package apim

import (
	"fmt"

	"apim-dr/internal/dr"
)

// Mode is how API Management reaches the storage account, in ARM's words.
type Mode string

// The modes.
const (
	AccessKey      Mode = "AccessKey"
	SystemAssigned Mode = "SystemAssignedManagedIdentity"
	UserAssigned   Mode = "UserAssignedManagedIdentity"
)

// Access is how API Management reaches one storage account.
type Access struct {
	Mode     Mode
	ClientID string        // of the identity; UserAssigned only
	Key      func() string // the account's key; AccessKey only. Asked for each POST and never kept
	Variable string        // the environment variable that holds the key, by which Command names it
}

// request is the body of a backup or restore; both take the same one.
type request struct {
	StorageAccount string `json:"storageAccount"`
	ContainerName  string `json:"containerName"`
	BackupName     string `json:"backupName"`
	AccessType     Mode   `json:"accessType,omitempty"`
	AccessKey      string `json:"accessKey,omitempty"`
	ClientID       string `json:"clientId,omitempty"`
}

func (c *Client) access(account string) (Access, *dr.Error) {
	access, err := c.o.Access(account)
	if err != nil {
		return Access{}, dr.Failure("StorageAccessUnknown", c.o.Mask(fmt.Sprintf("storage account %s: %v", account, err)))
	}
	return access, nil
}

func (c *Client) body(access Access, s dr.Storage, point string) (*request, *dr.Error) {
	r := request{StorageAccount: s.Account, ContainerName: s.Container, BackupName: point, AccessType: access.Mode}
	known := access.Mode == SystemAssigned
	switch {
	case access.Mode == AccessKey && access.Key != nil:
		r.AccessKey = access.Key()
		known = r.AccessKey != ""
		if c.o.APIVersion < oldestWithAccess {
			r.AccessType = ""
		}
	case access.Mode == UserAssigned:
		r.ClientID = access.ClientID
		known = r.ClientID != ""
	}
	if !known {
		return nil, dr.Failure("StorageAccessUnknown", fmt.Sprintf("storage account %s needs a key, the system-assigned identity, or a user-assigned identity with its client id", s.Account))
	}
	if access.Mode != AccessKey && c.o.APIVersion < "2021-04-01" { // from 2021-04-01-preview on
		return nil, dr.Failure("ApiVersionTooOld", fmt.Sprintf("api-version %s cannot name a managed identity; use %s", c.o.APIVersion, DefaultAPIVersion))
	}
	return &r, nil
}
