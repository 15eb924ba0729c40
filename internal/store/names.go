package store

import (
	"fmt"
	"net/url"
	"strings"

	"apim-dr/internal/dr"
)

// The layout of the container. A name that comes from outside never becomes a path: ids have a fixed shape, all else is encoded.
const (
	operationsDir = "operations/"      // <day>/<id>.json
	activeDir     = "active/"          // <id>
	locksDir      = "locks/"           // <service>
	pointsDir     = "recovery-points/" // <service>/<point>.json
	servicesDir   = "services/"        // <service>
	pairsDir      = "pairs/"           // <pair>
	idemDir       = "idem/"            // <hash of the Idempotency-Key>
	ticksDir      = "ticks/"           // <plan>
	discoveryName = "fleet/discovered"
	changesDir    = "changes/"    // <service>
	usageDir      = "usage/"      // <service>
	quarantineDir = "quarantine/" // <sha256 of the content>

	recordSuffix = ".json"
	besideSuffix = ".apimdr.json" // of the copy of a recovery point, beside its blob, and of what else we put among backups
	rolesDir     = "roles/"       // among backups: <pair>.apimdr.json, the copy of the record of a pair
)

func dayDir(day string) string        { return operationsDir + day + "/" }
func operationName(id string) string  { return dayDir(dr.Day(id)) + id + recordSuffix }
func markerName(id string) string     { return activeDir + id }
func badID(id string) error           { return fmt.Errorf("%q is not the id of an operation", id) }
func badName(what, name string) error { return fmt.Errorf("%q cannot be the name of a %s", name, what) }

// escapes turns query escaping, which leaves letters, digits, '-', '_', '.' and '~', into one that has no dot or percent sign either: neither a URL
// nor a path can be misled by it.
var escapes = strings.NewReplacer("%", "~", ".", "~2E", "~", "~7E", "+", "~20")

// maxName bounds an encoded part, in bytes; a whole blob name may have 1,024 characters (Azure docs, "Naming and referencing containers, blobs, and metadata").
const maxName = 400

// encoded is the name below dir for a text from outside.
func encoded(dir, what, text string) (string, error) {
	name := escapes.Replace(url.QueryEscape(text))
	if name == "" || len(name) > maxName {
		return "", badName(what, text)
	}
	return dir + name, nil
}

// decoded is the text that encoded was given.
func decoded(dir, name string) (string, error) {
	return url.PathUnescape(strings.ReplaceAll(strings.TrimPrefix(name, dir), "~", "%"))
}

// pairName names what belongs to a pair, and gives the pair's name as records hold it.
func pairName(dir, pair string) (name, lower string, err error) {
	lower = strings.ToLower(pair)
	a, b, _ := strings.Cut(lower, "~")
	if a == "" || b == "" || dr.PairName(a, b) != lower {
		return "", "", badName("pair", pair)
	}
	name, err = encoded(dir, "pair", lower)
	return name, lower, err
}

// pointName names the record of a recovery point.
func pointName(service, id string) (string, error) {
	if !dr.ValidPointID(id) {
		return "", fmt.Errorf("%q is not the id of a recovery point", id)
	}
	folder, err := serviceName(pointsDir, service)
	return folder + "/" + id + recordSuffix, err
}

// serviceName names what belongs to a service. Azure compares the names of instances without regard to case, Blob storage does not.
func serviceName(dir, service string) (string, error) {
	return encoded(dir, "service", strings.ToLower(service))
}
