package dr

import (
	"fmt"
	"strings"
)

// SupportsBackup tells why an instance's tier has no backup and restore; nil when it has, or when the tier is not known. Developer,
// Basic, Standard and Premium have it; Consumption and the v2 tiers do not (Azure docs, API Management disaster recovery, 2025-12).
func SupportsBackup(v ServiceView) *Error {
	tier := strings.ToLower(v.SKU)
	if tier != "consumption" && !strings.HasSuffix(tier, "v2") {
		return nil
	}
	return Failure("SkuNotSupported", fmt.Sprintf("tier %s has no backup and restore; the tiers Developer, Basic, Standard and Premium have", v.SKU))
}

// AcceptsVersion tells why an instance refuses calls with apiVersion (its apiVersionConstraint); nil when it accepts them.
func AcceptsVersion(v ServiceView, apiVersion string) *Error {
	if !olderVersion(apiVersion, v.MinVersion) {
		return nil
	}
	return Failure("ApiVersionTooOld", fmt.Sprintf("the instance accepts api-version %s and newer (its apiVersionConstraint); %s is older: raise the configured version", v.MinVersion, apiVersion))
}

// olderVersion compares api-versions: by date, and a preview is older than the version of its day.
func olderVersion(a, b string) bool {
	const date = len("2006-01-02")
	if len(a) < date || len(b) < date {
		return false
	}
	if a[:date] != b[:date] {
		return a[:date] < b[:date]
	}
	return len(a) > len(b)
}
