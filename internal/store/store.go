// Package store keeps the records of apim-dr in one Blob container: operations, markers, locks, recovery points, pairs and the little that
// is remembered between operations. Every write is conditional, and a write of ours that was repeated because its answer got lost is
// known as ours. The layout is in names.go; what a container can do, in blobs.go; Azure, in azure.go; memory, in memory.go.
package store

import (
	"log/slog"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"apim-dr/internal/engine"
)

// Options is what a Store needs beside its container.
type Options struct {
	Vault *Vault       // where the copies of recovery points go; needed by CopyPoint alone
	Log   *slog.Logger // nil: nothing is logged
}

// Store implements engine.Store. It holds no state of its own: any number of processes may share a container.
type Store struct {
	blobs Blobs
	vault *Vault
	log   *slog.Logger
}

var _ engine.Store = (*Store)(nil)

// New returns the store in an Azure container. It makes no call. The container must exist.
func New(client *container.Client, o Options) *Store { return Over(AzureBlobs(client), o) }

// Over returns the store in any container.
func Over(blobs Blobs, o Options) *Store {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{blobs: blobs, vault: o.Vault, log: o.Log}
}
