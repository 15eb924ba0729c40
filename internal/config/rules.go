package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/usage"
)

// A rule tells whether a text fits, whether it comes from a setting or from the fleet. Its error says what is accepted and, since it is
// printed, nothing of the text. Every rule refuses the empty text.
type rule func(text string) error

// rules are named by the tag "is" of the fields they hold for.
var rules = map[string]rule{
	"cloud":      among(Public, USGovernment, China),
	"credential": among(ManagedIdentity, ClientSecret, WorkloadIdentity, AzureCLI),
	"auth":       among(Key, Entra),
	"access":     among(SystemAssigned, UserAssigned, StorageKey),
	"mode":       among(Cold, Warm),
	"level":      among("debug", "info", "warn", "error"),
	"weekday":    among("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
	"report":     among(usage.Usual...),

	"name":        shape(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`, "a name of 1 to 63 letters, digits, - or _"),
	"guid":        shape(`^`+guid+`$`, "a GUID"),
	"tenant":      shape(`^[A-Za-z0-9.-]+$`, "a tenant id (GUID) or domain"),
	"file":        shape(`.`, "the path of a file"),
	"port":        fits(validPort, "a port, 1 to 65535"),
	"host":        shape(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`, "a host name such as contoso-dr.servicebus.windows.net"),
	"version":     shape(`^\d{4}-\d{2}-\d{2}(-preview)?$`, "yyyy-mm-dd or yyyy-mm-dd-preview"),
	"audience":    shape(`^[A-Za-z0-9.:/_-]+$`, "the audience of ARM tokens such as https://management.core.windows.net/"),
	"appAudience": shape(`^[A-Za-z0-9.:/_-]+$`, "the Application ID URI of the Function App's registration such as api://CLIENT-ID"),
	"appKey":      shape(`^[!-~]+$`, "a function key or a host key"),
	"variable":    shape(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`, "the NAME of the environment variable with the key, at most 64 letters, digits and _"),
	"account":     shape(`^[a-z0-9]{3,24}$`, "the bare name of a storage account, 3 to 24 lower-case letters and digits"),
	"container":   fits(validContainer, "a container name, 3 to 63 lower-case letters, digits and single hyphens inside"),
	"region":      shape(`^[A-Za-z][A-Za-z0-9 ]*$`, "an Azure region such as westeurope"),
	"instance": fits(instanceShape.MatchString, "/subscriptions/<GUID>/resourceGroups/<group>/providers/Microsoft.ApiManagement/service/<name>, "+
		"the name 1 to 50 letters, digits and hyphens, a letter first"),

	"duration": fits(func(text string) bool { return span(text) > 0 }, "a duration above 0 in hours, minutes, seconds, such as 26h, 1h30m or 90s"),
	"clock":    shape(`^([01]\d|2[0-3]):[0-5]\d$`, "a time of day in UTC, 00:00 to 23:59"),
	"schedule": validSchedule("0 0 3 * * *"),
	"watch":    validSchedule("0 */5 * * * *"),
	"drills":   validSchedule("0 0 5 1 * *"),
	"exports":  validSchedule("0 30 3 * * *"),

	// A token or key goes there, hence https.
	"endpoint": fits(validEndpoint, "an https URL without query (http only for this machine's loopback addresses)"),
	// azidentity refuses http even on loopback.
	"authority": fits(func(text string) bool { return validEndpoint(text) && strings.HasPrefix(text, "https:") },
		"an https URL such as https://login.microsoftonline.com"),
	"blobTemplate": fits(func(text string) bool {
		return strings.Contains(text, "{account}") && validEndpoint(strings.ReplaceAll(text, "{account}", "account"))
	}, "an https URL with {account} in it, such as https://{account}.blob.core.windows.net (http only for this machine's loopback addresses)"),

	"busConnection": fits(func(text string) bool {
		return has(text, "Endpoint", "SharedAccessKeyName", "SharedAccessKey") || has(text, "Endpoint", "SharedAccessSignature")
	}, "a connection string Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…"),
	// azblob v1.8.0 reads no UseDevelopmentStorage=true (internal/shared ParseConnectionString).
	"storageConnection": fits(func(text string) bool {
		return has(text, "AccountName", "AccountKey") || has(text, "BlobEndpoint", "SharedAccessSignature")
	}, "a connection string DefaultEndpointsProtocol=…;AccountName=…;AccountKey=…, written out also for Azurite"),
	// A Key Vault reference that App Service could not resolve reaches the process as it was written.
	"clientSecret": fits(func(text string) bool { return text != "" && !strings.HasPrefix(text, "@Microsoft.KeyVault(") },
		"a client secret (a Key Vault reference was not resolved?)"),
	"storageKey":    fits(validKey, "a storage account key (base64)"),
	"subscriptions": shape(`^`+guid+`( *, *`+guid+`)*$`, "ids of subscriptions (GUIDs), with commas between them"),
	"text":          shape(`.`, "a text"),
}

func fits(good func(string) bool, accepts string) rule {
	return func(text string) error {
		if good(text) {
			return nil
		}
		return errors.New("accepted: " + accepts)
	}
}

// shape compiles its pattern when a setting needs it: most are never set, and every start would pay for all.
func shape(re, accepts string) rule {
	pattern := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(re) })
	return fits(func(text string) bool { return pattern().MatchString(text) }, accepts)
}

func among[T ~string](all ...T) rule {
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = string(one)
	}
	return shape(`^(`+strings.Join(names, `|`)+`)$`, strings.Join(names, " | "))
}

const guid = `[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`

// subscriptionsOf is what DISCOVER_SUBSCRIPTIONS lists.
func subscriptionsOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func validPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n > 0 && n < 1<<16
}

var containerShape = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func validContainer(text string) bool {
	return len(text) >= 3 && len(text) <= 63 && containerShape.MatchString(text)
}

func validKey(text string) bool {
	raw, err := base64.StdEncoding.DecodeString(text)
	return err == nil && len(raw) >= 16
}

func validSchedule(example string) rule {
	return func(text string) error {
		_, err := dr.ParseSchedule(text)
		if err == nil {
			return nil
		}
		accepts := "accepted: an NCRONTAB expression in UTC such as " + example
		_, detail, _ := strings.Cut(err.Error(), fmt.Sprintf("%q", text))
		switch n := len(strings.Fields(text)); {
		case text == "" || held(text) == hidden(text): // the detail could show a part of it
		case n != 5 && n != 6:
			accepts += " ({second} {minute} {hour} {day} {month} {day of week}, or five fields without the second)"
		default:
			accepts += " (" + strings.TrimLeft(detail, ": ") + ")"
		}
		return errors.New(accepts)
	}
}

func validEndpoint(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" &&
		(u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// has tells whether a connection string holds all the keys, each with a value.
func has(connection string, keys ...string) bool {
	found := map[string]bool{}
	for part := range strings.SplitSeq(connection, ";") {
		key, value, _ := strings.Cut(part, "=")
		found[key] = value != ""
	}
	for _, key := range keys {
		if !found[key] {
			return false
		}
	}
	return true
}

// The functions below read what its rule found good; of anything else they make a zero value.

func span(text string) time.Duration {
	d, _ := time.ParseDuration(text)
	return d
}

func ncrontab(text string) dr.Schedule {
	s, _ := dr.ParseSchedule(text)
	return s
}

func timeOfDay(text string) time.Duration {
	at, _ := time.Parse("15:04", text)
	return at.Sub(at.Truncate(24 * time.Hour))
}

var weekdays = map[string]time.Weekday{"sun": time.Sunday, "mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday,
	"thu": time.Thursday, "fri": time.Friday, "sat": time.Saturday}

// regionName is a region as ARM writes it; App Service's REGION_NAME reads "West Europe".
func regionName(text string) string { return strings.ToLower(strings.ReplaceAll(text, " ", "")) }

var instanceShape = regexp.MustCompile(`(?i)^/subscriptions/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/resourceGroups/([\w().-]{0,89}[\w()-])` +
	`/providers/Microsoft\.ApiManagement/service/([a-z](?:[a-z0-9-]{0,48}[a-z0-9])?)$`)

// instance reads an ARM id. Its fixed segments may be in any case, as in ARM's own answers, and are kept in the usual one.
func instance(id string) Instance {
	m := instanceShape.FindStringSubmatch(id)
	if m == nil {
		return Instance{}
	}
	return Instance{Subscription: m[1], ResourceGroup: m[2], Name: m[3],
		ID: "/subscriptions/" + m[1] + "/resourceGroups/" + m[2] + "/providers/Microsoft.ApiManagement/service/" + m[3]}
}
