package engine

import (
	"context"
	"errors"
	"time"

	"apim-dr/internal/dr"
)

// What a Store answers. Anything else means that it could not be reached.
var (
	ErrNotFound   = errors.New("no such record")
	ErrExists     = errors.New("the record exists already")
	ErrConflict   = errors.New("the record was changed by another writer")
	ErrUnreadable = errors.New("the record cannot be read") // not JSON, or not of its shape
	ErrNewer      = errors.New("the record was written by a newer version")
	ErrDeleting   = errors.New("the recovery point is being deleted")
	ErrInUse      = errors.New("the recovery point is in use")
	ErrNoPoint    = errors.New("no such recovery point")
	ErrImmutable  = errors.New("an immutability policy, or a legal hold, keeps the blob")
	ErrCursor     = errors.New("the listing cannot be continued from there: begin it again")
)

// illegible tells whether a record was reached, but cannot be made use of: trying again will not help soon.
func illegible(err error) bool { return errors.Is(err, ErrUnreadable) || errors.Is(err, ErrNewer) }

// Store keeps records. Every write is conditional. An ETag is opaque.
type Store interface {
	// CreateOperation writes a new record and returns its ETag; ErrExists when there is one.
	CreateOperation(ctx context.Context, op dr.Operation) (etag string, err error)
	// Operation reads a record; ErrNotFound, ErrUnreadable, ErrNewer.
	Operation(ctx context.Context, id string) (op dr.Operation, etag string, err error)
	// OperationIDs tells the ids of the operations of a day (yyyymmdd, as in their ids). The cost is that of the day's operations.
	OperationIDs(ctx context.Context, day string) (map[string]bool, error)
	// SaveOperation replaces a record that still has etag; ErrConflict, ErrNotFound.
	SaveOperation(ctx context.Context, op dr.Operation, etag string) (newETag string, err error)

	// Mark creates the marker of an operation in flight, or does what Beat does to one that is there.
	Mark(ctx context.Context, w dr.Wake) error
	// Beat moves the marker's lease and keeps the wake that was sent last; ErrNotFound when there is no marker.
	Beat(ctx context.Context, w dr.Wake) error
	// Unmark deletes the marker; no error when it is gone.
	Unmark(ctx context.Context, id string) error
	// Markers lists all markers, in no order. The cost is that of the operations in flight.
	Markers(ctx context.Context) ([]Marker, error)
	// UnmarkIf deletes a marker that still has its ETag; ErrConflict.
	UnmarkIf(ctx context.Context, m Marker) error

	// Lock takes the lock of a service for an invocation of operation and tells its holder: operation, or whoever has it. What another
	// invocation of operation holds becomes this one's.
	Lock(ctx context.Context, service, operation, invocation string) (Locked, error)
	// TakeOver gives the lock to operation if holder still has it; otherwise it tells who has it.
	TakeOver(ctx context.Context, service, holder, operation, invocation string) (newHolder string, err error)
	// Yield frees the lock if operation has it through this very invocation; otherwise it does nothing.
	Yield(ctx context.Context, service, operation, invocation string) error
	// Free frees the lock of a service if it still has etag, and tells whether it did. Whatever was written to it since Lock, by Touch and Reserve, too,
	// leaves it locked; without an etag nothing is done.
	Free(ctx context.Context, service, etag string) (freed bool, err error)
	// Touch gives the lock of a service a new ETag, so that whoever has it cannot Free it; no error when it is free.
	Touch(ctx context.Context, service string) error
	// Unlock frees the lock of an operation that is done, whichever of its invocations took it, or takes back its reservation; if another operation has
	// the lock, that keeps it.
	Unlock(ctx context.Context, service, operation string) error
	// Reserve lets operation have the lock next, if holder still has it: Yield, Unlock and TakeOver then hand it to operation. A later
	// reservation replaces an earlier one.
	Reserve(ctx context.Context, service, holder, operation string) error
	// Holder tells which operation has the lock of a service; "" when none has.
	Holder(ctx context.Context, service string) (operation string, err error)
	// Locks lists the locks, service to holder.
	Locks(ctx context.Context) (map[string]string, error)

	// RecordPoint creates the record of a recovery point; one that is there stays as it is.
	RecordPoint(ctx context.Context, p dr.RecoveryPoint) error
	// CopyPoint creates the copy of the record beside the blob; one that is there stays as it is.
	CopyPoint(ctx context.Context, p dr.RecoveryPoint) error
	// Point reads the record of a recovery point of a service; ErrNotFound, ErrUnreadable, ErrNewer.
	Point(ctx context.Context, service, id string) (dr.RecoveryPoint, error)
	// Points lists the recovery points of a service, the newest first; those that cannot be read are left out.
	Points(ctx context.Context, service string) ([]dr.RecoveryPoint, error)
	// Pin notes in the record of a recovery point that an operation restores it; ErrNotFound, ErrDeleting.
	Pin(ctx context.Context, service, id, operation string) error
	// Unpin takes that back; no error when it was not so, or there is no record.
	Unpin(ctx context.Context, service, id, operation string) error
	// MarkChanged notes that the configuration was changed while a recovery point was made; ErrNotFound.
	MarkChanged(ctx context.Context, service, id string) error
	// Condemn puts a recovery point that no operation uses, but perhaps some of done, into the state deleting; ErrInUse, ErrNotFound.
	Condemn(ctx context.Context, service, id string, done []string) error
	// Reprieve takes that back: storage keeps the blob, for the reason told. No error when there is no record.
	Reprieve(ctx context.Context, service, id, why string) error
	// Forget deletes the record of a recovery point in the state deleting; ErrConflict in another. No error when there is none.
	Forget(ctx context.Context, service, id string) error
	// Catalogued lists the services that have recovery points, as their records name them. The cost is that of all recovery points.
	Catalogued(ctx context.Context) ([]string, error)
	// Service tells what is remembered of a service; ErrNotFound when nothing is, ErrUnreadable, ErrNewer.
	Service(ctx context.Context, service string) (dr.ServiceState, error)
	// Pair reads the record of a pair (dr.PairName); ErrNotFound, ErrUnreadable, ErrNewer.
	Pair(ctx context.Context, name string) (dr.Pair, error)
	// MergePair reads, merges and writes the record of a pair, again on a conflict. merge gets a pair without a Name when there is no record; it
	// may be called more than once. It writes only what merge changes.
	MergePair(ctx context.Context, name string, merge func(dr.Pair) (dr.Pair, bool)) error
	// MergeService reads, merges and writes what is remembered of a service, again on a conflict. It writes only what merge changes.
	MergeService(ctx context.Context, service string, merge func(dr.ServiceState) (dr.ServiceState, bool)) error

	// Pending reads what is remembered of the changes of a service; ErrNotFound when nothing is, ErrUnreadable, ErrNewer.
	Pending(ctx context.Context, service string) (dr.Pending, error)
	// MergePending reads, merges and writes it, again on a conflict; what is Empty is removed. It writes only what merge changes.
	MergePending(ctx context.Context, service string, merge func(dr.Pending) (dr.Pending, bool)) error
	// Pendings lists the services of which something is remembered. The cost is that of those.
	Pendings(ctx context.Context) ([]string, error)

	// Discovery reads what was found by its tag; ErrNotFound when nobody has looked, ErrUnreadable, ErrNewer.
	Discovery(ctx context.Context) (dr.Discovery, error)
	// MergeDiscovery reads, merges and writes it, again on a conflict.
	MergeDiscovery(ctx context.Context, merge func(dr.Discovery) dr.Discovery) error

	// Remember keeps what an Idempotency-Key (hashed by the caller) stands for and returns what is kept: claim, or an earlier one.
	Remember(ctx context.Context, keyHash string, claim Claim) (Claim, error)
	// Recall returns what an Idempotency-Key stands for; ErrNotFound when it was not used yet.
	Recall(ctx context.Context, keyHash string) (Claim, error)
	// LastTick is the newest tick of a plan that was carried out; zero when none was.
	LastTick(ctx context.Context, plan string) (time.Time, error)
	// MoveTick sets it; an older one than is kept is ignored.
	MoveTick(ctx context.Context, plan string, to time.Time) error
	// Quarantine keeps content that cannot be read, with the reason; the same content is kept once.
	Quarantine(ctx context.Context, content []byte, reason string) error
}

// Marker is an operation in flight, as listed.
type Marker struct {
	Wake      dr.Wake // the wake sent last, as far as a heartbeat kept it; only the ID when the metadata are not ours
	ETag      string
	CreatedAt time.Time
}

// Locked tells of a lock.
type Locked struct {
	Holder string // id of the operation that has it
	ETag   string // of the lock, if that is the operation that asked
}

// Claim is what an Idempotency-Key stands for.
type Claim struct {
	Operation string `json:"operation"` // id
	BodyHash  string `json:"bodyHash"`
}

// Vault looks at backup blobs.
type Vault interface {
	// Head tells what storage shows of a blob. An absent blob or container is no error.
	Head(ctx context.Context, s dr.Storage, blob string) (dr.BlobView, error)
	// Exists tells whether the container is there.
	Exists(ctx context.Context, s dr.Storage) (bool, error)
	// Remove deletes a backup blob and then the copy of its recovery point beside it; ErrImmutable. No error when they, or their container, are gone.
	Remove(ctx context.Context, s dr.Storage, blob string) error
	// Beside reads the copies of recovery points that lie beside the backups of a container, and hands each to got until that fails; what cannot be
	// read is told to bad.
	Beside(ctx context.Context, s dr.Storage, got func(dr.RecoveryPoint) error, bad func(blob string, why error)) error
	// Roles lists the copies of the records of pairs that lie in a container of backups.
	Roles(ctx context.Context, s dr.Storage) ([]dr.Pair, error)
	// Role reads one of them; ErrNotFound when there is none, or no container.
	Role(ctx context.Context, s dr.Storage, name string) (dr.Pair, error)
	// KeepRole writes the copy of the record of a pair; ErrConflict when the one that is there was changed later: it stays.
	KeepRole(ctx context.Context, s dr.Storage, p dr.Pair) error
}

// ARM is Azure Resource Manager. It answers for every outcome, being out of reach included: there is no error beside the answer.
type ARM interface {
	// Service reads an instance: OK with Service; Later; No.
	Service(ctx context.Context, resourceID string) dr.Answer
	// Group reads the resource group of an instance: OK with Service.Region; Later; No.
	Group(ctx context.Context, resourceID string) dr.Answer
	// Deleted tells whether an instance that is not there was soft-deleted and can be brought back.
	Deleted(ctx context.Context, resourceID string) dr.Known
	// Tagged lists the instances of a subscription that have the tag dr.PlanTag; an error: not all of them could be seen.
	Tagged(ctx context.Context, subscription string) ([]dr.Tagged, *dr.Error)
	// Workspaces counts the workspaces of an instance; -1 when that cannot be seen.
	Workspaces(ctx context.Context, resourceID string) int
	// Start POSTs a leg once, for the recovery point named point: Still with Location; Later; No; Lost. It returns before ctx ends.
	Start(ctx context.Context, leg dr.Leg, point string) dr.Answer
	// Check GETs a Location once: Still with Location; Later; Refused; No; OK.
	Check(ctx context.Context, location string) dr.Answer
	// Trusts tells whether a Location leads to the configured endpoint. Only such a one is ever sent a token.
	Trusts(location string) bool
}

// Gateways asks the gateways of API Management.
type Gateways interface {
	// Probe asks each URL's status address once, all at the same time, and returns before ctx ends. The order is that of urls.
	Probe(ctx context.Context, urls []string) []dr.Gateway
}

// Bus sends messages. A send is done when Service Bus has accepted it.
type Bus interface {
	// Wake sends w for the time at: to the queue of polls once ARM has accepted the work, else to that of operations.
	Wake(ctx context.Context, w dr.Wake, queue Queue, at time.Time) error
	// Tick sends t to the queue of operations, for the time at.
	Tick(ctx context.Context, t dr.Tick, at time.Time) error
	// Publish sends a result event to the topic.
	Publish(ctx context.Context, e dr.Event) error
}

// Queue is one of the two queues of wake messages.
type Queue string

// The queues. Both lead to the same method; they are two so that polls never wait behind starts.
const (
	Operations Queue = "operations"
	Polls      Queue = "polls"
)
