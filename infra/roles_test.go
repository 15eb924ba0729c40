package infra_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	sender      = "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39"
	receiver    = "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0"
	blobWriter  = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
	blobOwner   = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
	metricsOnly = "3913510d-42f4-4e42-8a64-420c390055eb"
)

// grants are role assignments: the end of the scope, and the role.
func grants(t *testing.T, file string) []string {
	t.Helper()
	var all []string
	for _, r := range of(deployed(t, file), "Microsoft.Authorization/roleAssignments") {
		id, role := r.ID, r.Properties["roleDefinitionId"].(string)
		if scope := regexp.MustCompile(`^\[(?:extensionResourceId|subscriptionResourceId)\('([^']+)'`).FindStringSubmatch(id); scope != nil {
			id = scope[1]
		}
		id, _, _ = strings.Cut(id, "/providers/Microsoft.Authorization/")
		parts := strings.Split(id, "/")
		all = append(all, strings.Join(parts[max(0, len(parts)-2):], "/")+" "+role[strings.LastIndex(role, "/")+1:])
	}
	slices.Sort(all)
	return all
}

// A stamp reads the subscriptions of its own instances alone, and a user-assigned identity of instances writes backups in their stead.
func TestEachStampHasTheRolesOfItsOwnFleet(t *testing.T) {
	var got []string
	for _, r := range of(deployed(t, both[1]), "Microsoft.Authorization/roleAssignments") {
		principal := r.Properties["principalId"].(string)
		if stamp := regexp.MustCompile(`userAssignedIdentities/([^']+)'`).FindStringSubmatch(principal); stamp != nil {
			principal = stamp[1]
		}
		if on := regexp.MustCompile(`^\[subscriptionResourceId\('[^']*(\d)'`).FindStringSubmatch(r.ID); on != nil {
			got = append(got, principal+" reads "+on[1])
		}
		if on := regexp.MustCompile(`/service/([^'/]+)'`).FindStringSubmatch(r.ID); on != nil && strings.Contains(r.ID, "extensionResourceId") && !strings.Contains(r.ID, "storageAccounts") {
			got = append(got, principal+" operates "+on[1])
		}
		if strings.Contains(r.ID, "/rg-contosodr-ne/") && strings.Contains(r.ID, "/stcontosodb") && strings.HasSuffix(r.Properties["roleDefinitionId"].(string), blobWriter) {
			got = append(got, principal+" writes backups")
		}
	}
	want := []string{
		"contosodr-ne reads 1", "contosodr-ne reads 2", "contosodr-ne operates contoso-eu", "contosodr-ne operates fabrikam-eu",
		"contosodr-ch reads 2", "contosodr-ch operates fabrikam-eu",
		"contosodr-ne writes backups", "00000000-0000-0000-0000-00000000000d writes backups",
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("%q\nwanted %q", got, want)
	}
}

// Whoever holds a role on something besides queues.
func TestNobodyMayMoreThanHeNeeds(t *testing.T) {
	custom := map[string]string{}
	for _, r := range of(deployed(t, both[0]), "Microsoft.Authorization/roleDefinitions") {
		name, _ := r.Properties["roleName"].(string)
		custom[r.ID[strings.LastIndex(r.ID, "/")+1:]] = strings.Fields(name)[1]
	}
	builtIn := map[string]string{blobWriter: "writes blobs", blobOwner: "owns blobs", metricsOnly: "writes logs"}
	got := map[string]int{}
	for _, g := range grants(t, both[0]) {
		scope, role, _ := strings.Cut(g, " ")
		if kind, name, _ := strings.Cut(scope, "/"); kind == "storageAccounts" {
			scope = kind + "/" + map[bool]string{true: "backups", false: "state"}[strings.HasPrefix(name, "stcontosodb")]
		}
		if strings.HasPrefix(scope, "queues/") || strings.HasPrefix(scope, "topics/") {
			continue
		}
		what := custom[role]
		if what == "" {
			what = builtIn[role]
		}
		got[scope+": "+what]++
	}
	want := map[string]int{
		// Two stamps operate the pair, one of them the drill instance as well.
		"service/contoso-eu: operator": 2, "service/contoso-us: operator": 2, "service/contoso-drill: operator": 1,
		"00000000-0000-0000-0000-000000000001: reader": 2,
		"storageAccounts/state: owns blobs":            2,
		"storageAccounts/backups: writes blobs":        2 + 5, // stamps, and instances
		"components/contosodr-us: writes logs":         1, "components/contosodr-eu: writes logs": 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v\nwanted %v", got, want)
	}
}
