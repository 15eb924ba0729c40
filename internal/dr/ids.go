package dr

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// NewID derives an operation's id from its natural key, so that a redelivery finds what the first delivery made:
// <yyyymmdd>-<kind>-<20 hex digits>. The day is that of at, which must come from the key itself.
func NewID(kind Kind, at time.Time, key ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(key, "|")))
	return fmt.Sprintf("%s-%s-%s", at.UTC().Format("20060102"), kind, hex.EncodeToString(sum[:10]))
}

// TickID is the id of the operation that a plan's tick makes for a service.
func TickID(kind Kind, plan, service string, tick time.Time) string {
	return NewID(kind, tick, "tick", plan, strings.ToLower(service), tick.UTC().Format(time.RFC3339))
}

// ChangeID is the id of the backup that is taken after changes of a service, of which the first was heard of at a time.
func ChangeID(service string, firstAt time.Time) string {
	return NewID(KindBackup, firstAt, "change", strings.ToLower(service), firstAt.UTC().Format(time.RFC3339Nano))
}

// WarmID is the id of the operation that restores a recovery point into a warm standby.
func WarmID(target string, p RecoveryPoint) string {
	return NewID(KindRestore, p.CreatedAt, "warm", strings.ToLower(target), p.ID)
}

// FinalID is the id of the last backup that a failover takes of the instance that it leaves.
func FinalID(failover Operation) string {
	return NewID(KindBackup, failover.CreatedAt, "final", failover.ID)
}

var idShape = regexp.MustCompile(`^[0-9]{8}-[a-z]{1,20}-[0-9a-f]{20}$`)

// ValidID tells whether id has the shape that NewID makes. Nothing else ever becomes part of a blob's name.
func ValidID(id string) bool { return idShape.MatchString(id) }

var pointShape = regexp.MustCompile(`^[0-9]{8}-[a-z]{1,20}-[0-9a-f]{20}-s[0-9]{1,3}-a[0-9]{1,6}$`)

// ValidPointID tells whether id has the shape of a recovery point's.
func ValidPointID(id string) bool { return pointShape.MatchString(id) }

// KindOf is the kind in an id, as NewID was given it; "" when it is none.
func KindOf(id string) Kind {
	if !ValidID(id) {
		return ""
	}
	return Kind(strings.Split(id, "-")[1])
}

// MadeBy is the id of the operation that made a recovery point.
func MadeBy(pointID string) string {
	return pointID[:strings.LastIndex(pointID, "-s")]
}

// Day is the day in an id, yyyymmdd: the folder of its record.
func Day(id string) string { return id[:8] }

// PointID is the id of the recovery point that the leg at work makes with its present attempt, and the name of its blob.
func (op Operation) PointID() string { return op.pointID(op.Step) }

func (op Operation) pointID(step int) string {
	return op.ID + "-s" + strconv.Itoa(step) + "-a" + strconv.Itoa(op.Legs[step].Attempt)
}
