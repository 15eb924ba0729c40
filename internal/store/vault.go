package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

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

// VaultOver returns the vault whose containers open opens. It is told no region: account and container say where a container is.
func VaultOver(open func(dr.Storage) (Blobs, error)) *Vault { return &Vault{open: open} }

// Head implements engine.Vault. Being refused (403) and out of reach are errors: they say nothing of the blob.
func (v *Vault) Head(ctx context.Context, s dr.Storage, blob string) (dr.BlobView, error) {
	c, err := v.container(s)
	if err != nil {
		return dr.BlobView{}, err
	}
	return c.Head(ctx, blob)
}

// Remove implements engine.Vault. The copy goes last: while it lies there the catalog can be rebuilt, and a blob is named by it.
func (v *Vault) Remove(ctx context.Context, s dr.Storage, blob string) error {
	if !dr.ValidPointID(blob) {
		return badName("backup", blob)
	}
	c, err := v.container(s)
	if err != nil {
		return err
	}
	for _, name := range []string{blob, blob + besideSuffix} {
		if err := c.Delete(ctx, name, ""); errors.Is(err, ErrNoContainer) {
			return nil
		} else if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return in(s, err)
		}
	}
	return nil
}

// Exists implements engine.Vault. Being refused and out of reach are errors, as with Head.
func (v *Vault) Exists(ctx context.Context, s dr.Storage) (bool, error) {
	c, err := v.container(s)
	if err != nil {
		return false, err
	}
	_, _, err = c.List(ctx, "", "", 1)
	if errors.Is(err, ErrNoContainer) {
		return false, nil
	}
	return err == nil, in(s, err)
}

// Beside implements engine.Vault, in the order of the ids. A copy whose backup was moved with it to another container is handed over with the
// Storage where it was found; its Region is then s's. A container that does not exist is an error: it is no container without backups.
func (v *Vault) Beside(ctx context.Context, s dr.Storage, got func(dr.RecoveryPoint) error, bad func(blob string, why error)) error {
	c, err := v.container(s)
	if err != nil {
		return err
	}
	err = eachPage(ctx, c, "", func(items []Item) error {
		var names []string
		for _, item := range items {
			if strings.HasSuffix(item.Name, besideSuffix) && !strings.HasPrefix(item.Name, rolesDir) {
				names = append(names, item.Name)
			}
		}
		points, err := loadAll(ctx, c, names, besideBlob, bad)
		if err != nil {
			return err
		}
		for _, p := range points {
			if p.Storage.Account != s.Account || p.Storage.Container != s.Container {
				p.Storage = s
			}
			if err := got(p); err != nil {
				return err
			}
		}
		return nil
	})
	return in(s, err)
}

// besideBlob checks that a copy tells of the blob that it lies beside, and that it could be recorded.
func besideBlob(name string, p dr.RecoveryPoint) error {
	if name != p.ID+besideSuffix {
		return fmt.Errorf("it holds recovery point %q", p.ID)
	}
	if _, err := pointName(p.Service, p.ID); err != nil {
		return err
	}
	return soundPoint(p)
}

// Roles implements engine.Vault. Those that can be read are returned even where others cannot: the error then is engine.ErrUnreadable or ErrNewer
// and names their blobs. In a container that does not exist there are none.
func (v *Vault) Roles(ctx context.Context, s dr.Storage) ([]dr.Pair, error) {
	c, err := v.container(s)
	if err != nil {
		return nil, err
	}
	var names []string
	err = each(ctx, c, rolesDir, func(item Item) error {
		if strings.HasSuffix(item.Name, besideSuffix) {
			names = append(names, item.Name)
		}
		return nil
	})
	if errors.Is(err, ErrNoContainer) {
		return nil, nil
	}
	if err != nil {
		return nil, in(s, err)
	}
	var left []error
	pairs, err := loadAll(ctx, c, names, func(name string, p dr.Pair) error {
		own, pair, err := roleName(p.Name)
		if err != nil || own != name {
			return fmt.Errorf("it holds pair %q", p.Name)
		}
		return pairOf(pair)(p)
	}, func(_ string, why error) { left = append(left, why) })
	if err != nil {
		return nil, in(s, err)
	}
	return pairs, in(s, errors.Join(left...))
}

// Role implements engine.Vault; engine.ErrUnreadable, ErrNewer.
func (v *Vault) Role(ctx context.Context, s dr.Storage, name string) (dr.Pair, error) {
	c, err := v.container(s)
	if err != nil {
		return dr.Pair{}, err
	}
	blob, name, err := roleName(name)
	if err != nil {
		return dr.Pair{}, fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	p, _, err := load(ctx, c, blob, pairOf(name))
	if errors.Is(err, ErrNoContainer) {
		err = fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	return p, in(s, err)
}

// KeepRole implements engine.Vault. A copy that cannot be read, or that is newer, stays as it is: engine.ErrUnreadable, ErrNewer, ErrConflict.
func (v *Vault) KeepRole(ctx context.Context, s dr.Storage, p dr.Pair) error {
	c, err := v.container(s)
	if err != nil {
		return err
	}
	blob, name, err := roleName(p.Name)
	if err != nil {
		return err
	}
	newer := false
	err = updatePair(ctx, c, blob, name, func(kept dr.Pair) (dr.Pair, bool) {
		newer = kept.ChangedAt.After(p.ChangedAt)
		return p, p != kept && !newer
	})
	if err == nil && newer {
		err = fmt.Errorf("%w: %s there was changed later", engine.ErrConflict, blob)
	}
	return in(s, err)
}

// in says which container an error is about: there are many.
func in(s dr.Storage, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s/%s: %w", s.Account, s.Container, err)
}

// roleName names the copy of the record of a pair, and gives the pair's name as records hold it.
func roleName(pair string) (blob, name string, err error) {
	blob, name, err = pairName(rolesDir, pair)
	return blob + besideSuffix, name, err
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
	return v.open(dr.Storage{Account: s.Account, Container: s.Container})
}
