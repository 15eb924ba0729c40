package store

import (
	"context"
	"fmt"
	"regexp"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// Vault implements engine.Vault: the storage that the backups themselves lie in, one account or many.
type Vault struct {
	open func(dr.Storage) (Blobs, error)
}

var _ engine.Vault = (*Vault)(nil)

// NewVault returns the vault whose accounts open opens. It makes no call.
func NewVault(open func(account string) (*service.Client, error)) *Vault {
	return VaultOver(func(s dr.Storage) (Blobs, error) {
		client, err := open(s.Account)
		if err != nil {
			return nil, fmt.Errorf("storage account %s: %w", s.Account, err)
		}
		return AzureBlobs(client.NewContainerClient(s.Container)), nil
	})
}

// VaultOver returns the vault whose containers open opens.
func VaultOver(open func(dr.Storage) (Blobs, error)) *Vault { return &Vault{open: open} }

// Head implements engine.Vault. Being refused (403) and out of reach are errors: they say nothing of the blob.
func (v *Vault) Head(ctx context.Context, s dr.Storage, blob string) (dr.BlobView, error) {
	c, err := v.container(s)
	if err != nil {
		return dr.BlobView{}, err
	}
	return c.Head(ctx, blob)
}

// Azure docs, "Naming rules and restrictions for Azure resources" (Microsoft.Storage).
var (
	accountShape   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	containerShape = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`)
)

// container opens a container. Its names become parts of a URL, and azblob does not escape them.
func (v *Vault) container(s dr.Storage) (Blobs, error) {
	if !accountShape.MatchString(s.Account) {
		return nil, badName("storage account", s.Account)
	}
	if !containerShape.MatchString(s.Container) || len(s.Container) > 63 {
		return nil, badName("container", s.Container)
	}
	return v.open(s)
}
