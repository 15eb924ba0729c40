package devstack

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// https://learn.microsoft.com/azure/storage/blobs/map-rest-apis-transaction-categories, standard general-purpose v2.
func TestBlobRequestsAreOfTheKindsThatAzureBills(t *testing.T) {
	for request, want := range map[string]string{
		"PUT /account/c/some/blob":                                "write",
		"PUT /account/c/some/blob?comp=block&blockid=YQ%3D%3D":    "write",
		"PUT /account/c/some/blob?comp=blocklist":                 "write",
		"PUT /account/c/some/blob?comp=metadata":                  "other",
		"PUT /account/c/some/blob?comp=lease":                     "other",
		"GET /account/c/some/blob":                                "read",
		"GET /account/c/pairs/a~7Eb?timeout=4":                    "read",
		"HEAD /account/c/some/blob":                               "other",
		"DELETE /account/c/some/blob":                             "delete",
		"GET /account/c?restype=container&comp=list&prefix=a%2Fb": "list",
		"GET /account?comp=list":                                  "list",
		"PUT /account/c?restype=container":                        "list",
		"PUT /account/c?restype=container&comp=metadata":          "other",
		"GET /account/c?restype=container":                        "other",
		"DELETE /account/c?restype=container":                     "delete",
	} {
		method, target, _ := strings.Cut(request, " ")
		if got := billed(httptest.NewRequest(method, target, nil)); got != (Transaction{"account", want}) {
			t.Errorf("%s is %v, want %s", request, got, want)
		}
	}
}

func TestAStampThatMayBeStartedAgainIsNotMetered(t *testing.T) {
	if _, err := new(Cloud).StartStamp(t.Context(), Options{Meter: true, Keep: true}); err == nil {
		t.Error("it was started")
	}
}
