package dr

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// expiresSoon is when a recovery point that is about to expire is a warning.
const expiresSoon = 24 * time.Hour

// checks are all that is looked at, in the order in which it is told. A look without a Result does not concern the plan.
var checks = []struct {
	name string
	code string // of the error, where the check ends an operation
	hard bool   // cannot be overridden: there would be nothing to restore, nothing to restore into, or production would be overwritten unasked
	look func(Intent, Facts, time.Time) Finding
}{
	{"recoveryPoint", "RecoveryPointNotFound", true, checkPoint},
	{"expiry", "BackupExpired", false, checkExpiry},
	{"container", "ContainerMissing", false, checkContainer},
	{"blob", "BackupBlobMissing", false, checkBlob},
	{"target", "TargetMissing", true, checkTarget},
	{"tier", "SkuNotSupported", false, checkTier},
	{"workspaces", "WorkspacesNotSupported", false, checkWorkspaces},
	{"sku", "SkuMismatch", false, checkSKU},
	{"state", "TargetNotReady", false, checkState},
	{"apiVersion", "ApiVersionTooOld", false, checkVersion},
	{"access", "StorageAccess", false, checkAccess},
	{"roles", "NotActive", true, checkRoles},
	{"active", "TargetIsActive", true, checkActive},
	{"resourceGroup", "", false, checkGroup},
	{"source", "", false, checkSource},
	{"additionalLocations", "", false, checkLocations},
	{"finalBackup", "FinalBackupImpossible", true, checkFinal},
	{"content", "", false, checkContent},
}

var checkCodes = func() map[string]string {
	codes := map[string]string{}
	for _, c := range checks {
		codes[c.name] = c.code
	}
	return codes
}()

// Overridable lists the checks that a caller may override.
func Overridable() []string {
	var names []string
	for _, c := range checks {
		if !c.hard && c.code != "" {
			names = append(names, c.name)
		}
	}
	return names
}

func pass(format string, args ...any) Finding {
	return Finding{Result: Pass, Detail: fmt.Sprintf(format, args...)}
}
func fail(format string, args ...any) Finding {
	return Finding{Result: Fail, Detail: fmt.Sprintf(format, args...)}
}
func warn(format string, args ...any) Finding {
	return Finding{Result: Warn, Detail: fmt.Sprintf(format, args...)}
}
func unsure(format string, args ...any) Finding {
	return Finding{Result: Unseen, Detail: fmt.Sprintf(format, args...)}
}

func checkPoint(i Intent, f Facts, _ time.Time) Finding {
	switch {
	case f.Point == nil && i.Point == Latest:
		return fail("%s has no good recovery point; list them: GET /api/recovery-points?service=%s", i.Source.Name, i.Source.Name)
	case f.Point == nil && !ValidPointID(i.Point):
		return fail("%s has no good recovery point of %s or before; list them: GET /api/recovery-points?service=%[1]s; if another instance was active then, it is among its: \"from\"", i.Source.Name, i.Point)
	case f.Point == nil:
		return fail("%s has no recovery point %q; list them: GET /api/recovery-points?service=%s", i.Source.Name, i.Point, i.Source.Name)
	case f.Point.State == Deleting:
		return fail("recovery point %s is being deleted; choose another: GET /api/recovery-points?service=%s", f.Point.ID, i.Source.Name)
	case i.Kind == KindFailover && i.Point == Latest && !f.ofSource(i) && i.Final != FinalRequire:
		return warn("%s was not backed up since it was restored: what was changed there since %s is lost; with \"finalBackup\":\"require\" it is backed up first", i.Source.Name, f.Point.CreatedAt.UTC().Format(time.RFC3339))
	case f.Point.State == Unverified:
		return warn("ARM could not confirm recovery point %s: its blob may not be whole", f.Point.ID)
	}
	return pass("%s of %s", f.Point.ID, f.Point.CreatedAt.UTC().Format(time.RFC3339))
}

// checkExpiry uses ARM's own words for what ARM would refuse (reported, see internal/standin/arm).
func checkExpiry(_ Intent, f Facts, now time.Time) Finding {
	if f.Point == nil {
		return Finding{}
	}
	at := f.Point.ExpiresAt.UTC().Format(time.RFC3339)
	switch left := f.Point.ExpiresAt.Sub(now); {
	case left <= 0:
		return fail("Cannot restore: backup expired (%s expired at %s; a backup can be restored for 30 days)", f.Point.ID, at)
	case left < expiresSoon:
		return warn("%s expires at %s, in %s", f.Point.ID, at, left.Round(time.Minute))
	}
	return pass("until %s", at)
}

func checkContainer(_ Intent, f Facts, _ time.Time) Finding {
	if f.Point == nil {
		return Finding{}
	}
	where := f.Point.Storage.Account + "/" + f.Point.Storage.Container
	switch f.Container {
	case Yes:
		return pass("%s", where)
	case Not:
		return fail("the container %s does not exist", where)
	}
	return unsure("the container %s could not be looked at: %s", where, cmp.Or(f.BlobError, "for a reason that is not known"))
}

func checkBlob(_ Intent, f Facts, _ time.Time) Finding {
	if f.Point == nil || f.Container == Not {
		return Finding{}
	}
	where := fmt.Sprintf("%s/%s/%s", f.Point.Storage.Account, f.Point.Storage.Container, f.Point.ID)
	switch {
	case f.BlobError != "":
		return unsure("the blob %s could not be looked at: %s", where, f.BlobError)
	case !f.Blob.Exists:
		return fail("the blob %s is not there", where)
	case f.Blob.Bytes == 0:
		return fail("the blob %s is empty", where)
	case f.Point.Bytes > 0 && f.Point.Bytes != f.Blob.Bytes:
		return fail("the blob %s has %d bytes, but %d were backed up: it was replaced or damaged", where, f.Blob.Bytes, f.Point.Bytes)
	}
	return pass("%d bytes", f.Blob.Bytes)
}

func checkTarget(i Intent, f Facts, _ time.Time) Finding {
	name := i.Target.Name
	switch {
	case f.Target.Verdict == OK:
		return pass("%s exists", name)
	case f.Target.Verdict != No || f.Target.Error == nil, f.Target.Error.Code == "Http404": // a 404 in no words of ARM's is a proxy's
		return unsure("%s could not be read: %s", name, f.Target.Why())
	case f.Target.Error.Status != 404:
		return fail("%s cannot be read: %s", name, f.Target.Why())
	case f.Deleted == Yes:
		return fail("%s was deleted and can be brought back: az rest --method put --url '%s?api-version=%s' --body '{\"location\":%q,\"properties\":{\"restore\":true,\"publisherEmail\":\"EMAIL\",\"publisherName\":\"NAME\"},\"sku\":%s}'",
			name, i.Target.ResourceID, f.APIVersion, f.region(i), f.skuJSON())
	}
	also := ""
	if f.Deleted != Not {
		also = "; if it was deleted, bring it back instead: az apim deletedservice list"
	}
	return fail("%s does not exist and is never created here; create it: az apim create --name %s --resource-group %s --location %s --sku-name %s --publisher-email EMAIL --publisher-name NAME%s",
		name, name, groupOf(i.Target.ResourceID), f.region(i), f.skuName(), also)
}

func (f Facts) region(i Intent) string { return word(i.Target.Region, "REGION") }

func (f Facts) skuName() string {
	if f.Point == nil {
		return "SKU"
	}
	return word(f.Point.SKU, "SKU")
}

var wordShape = regexp.MustCompile(`^[A-Za-z0-9-]{1,40}$`)

// word is a text that stands in a command which somebody will copy into a shell, or what it stands for: it comes from outside.
func word(text, otherwise string) string {
	if !wordShape.MatchString(text) {
		return otherwise
	}
	return text
}

func (f Facts) skuJSON() string {
	capacity := 1
	if f.Point != nil && f.Point.Capacity > 0 {
		capacity = f.Point.Capacity
	}
	return fmt.Sprintf(`{"name":%q,"capacity":%d}`, f.skuName(), capacity)
}

// groupOf is the resource group in an ARM id.
func groupOf(id string) string {
	parts := strings.Split(id, "/")
	if i := slices.IndexFunc(parts, func(p string) bool { return strings.EqualFold(p, "resourceGroups") }); i >= 0 && i+1 < len(parts) {
		return parts[i+1]
	}
	return "GROUP"
}

func checkTier(i Intent, f Facts, _ time.Time) Finding {
	if f.Target.Verdict != OK {
		return Finding{}
	}
	if e := SupportsBackup(f.Target.Service); e != nil {
		return fail("%s: %s", i.Target.Name, e.Message)
	}
	return pass("%s", f.Target.Service.SKU)
}

// checkWorkspaces: one published text says that backup is not supported on instances with workspaces, and workspace gateways rule it out (Azure docs).
func checkWorkspaces(i Intent, f Facts, _ time.Time) Finding {
	switch {
	case f.Target.Verdict != OK:
		return Finding{}
	case f.Workspaces < 0:
		return unsure("whether %s has workspaces could not be looked at", i.Target.Name)
	case f.Workspaces > 0:
		return fail("%s has %d workspaces; backup and restore do not support them", i.Target.Name, f.Workspaces)
	}
	return pass("none")
}

// checkSKU uses ARM's own words (azure-powershell#25072).
func checkSKU(i Intent, f Facts, _ time.Time) Finding {
	if f.Target.Verdict != OK || f.Point == nil {
		return Finding{}
	}
	v := f.Target.Service
	switch {
	case f.Point.SKU == "":
		return unsure("the tier of the recovery point is not recorded; %s has %s", i.Target.Name, v.SKU)
	case !strings.EqualFold(f.Point.SKU, v.SKU):
		return fail("Cannot restore: current SKU is '%s', backup SKU is '%s'", v.SKU, f.Point.SKU)
	case f.Point.Capacity != v.Capacity:
		return warn("%s has %d units, the backup was taken with %d", i.Target.Name, v.Capacity, f.Point.Capacity)
	}
	return pass("%s, %d units", v.SKU, v.Capacity)
}

func checkState(i Intent, f Facts, _ time.Time) Finding {
	switch v := f.Target.Service; {
	case f.Target.Verdict != OK:
		return Finding{}
	case v.State == "Failed":
		return fail("%s is in state Failed: its last change did not succeed; repair it, or override this check", i.Target.Name)
	case v.State != "Succeeded":
		return warn("%s is %s; the restore waits until it is Succeeded", i.Target.Name, v.State)
	case f.Holder != "" && f.Holder != f.Self:
		return warn("operation %s is at work on %s; the restore waits for its end", f.Holder, i.Target.Name)
	}
	return pass("Succeeded and free")
}

func checkVersion(i Intent, f Facts, _ time.Time) Finding {
	if f.Target.Verdict != OK {
		return Finding{}
	}
	if e := AcceptsVersion(f.Target.Service, f.APIVersion); e != nil {
		return fail("%s: %s", i.Target.Name, e.Message)
	}
	return pass("%s", f.APIVersion)
}

func checkAccess(i Intent, f Facts, _ time.Time) Finding {
	if f.Point == nil {
		return Finding{}
	}
	account, s := f.Point.Storage.Account, f.Target.Service.Settings
	switch {
	case f.Access.Mode == "":
		return fail("the storage account %s is not in the fleet's storages, so that nobody knows how %s reaches it: add it", account, i.Target.Name)
	case f.Access.Missing != "":
		return fail("the key of %s is not at hand: set the environment variable %s to it", account, f.Access.Missing)
	case f.Access.Mode == "storageKey":
		return pass("with the key of %s", account)
	case f.Target.Verdict != OK || s == nil:
		return Finding{}
	case f.Access.Mode == "systemAssigned" && !s.SystemIdentity:
		return fail("%s has no system-assigned identity, with which it is to reach %s", i.Target.Name, account)
	case f.Access.Mode == "userAssigned" && !s.has(f.Access.ClientID):
		return fail("%s does not have the user-assigned identity %s, with which it is to reach %s", i.Target.Name, f.Access.ClientID, account)
	}
	return pass("%s has the identity; its role on %s (Storage Blob Data Contributor) cannot be seen from here", i.Target.Name, account)
}

func (s *Settings) has(clientID string) bool {
	for _, id := range s.UserIdentities {
		if strings.EqualFold(id, clientID) {
			return true
		}
	}
	return false
}
