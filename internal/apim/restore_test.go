package apim

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"apim-dr/internal/dr"
)

// The recorded restores replay in TestEveryRecordedExchangeGetsItsVerdict; here is what they cannot show.

func TestARestoreReadsTheStorageOfItsPointWithTheAccessToThatAccount(t *testing.T) {
	var sent string
	o := options(transport(func(r *http.Request) (*http.Response, error) {
		b, err := io.ReadAll(r.Body)
		sent = fmt.Sprintf("%s %s %s", r.Method, r.URL, b)
		return answer(202, "", "Location", location, "Retry-After", "60"), err
	}))
	o.Access = func(account string) (Access, error) {
		return map[string]Access{"contosoeast": {Mode: UserAssigned, ClientID: "c1"}}[account], nil
	}
	c := newClient(t, o)
	l := dr.Leg{Verb: dr.VerbRestore, Service: "contoso-eu", ResourceID: instance, Point: point, Storage: dr.Storage{Account: "contosoeast", Container: "theirs", Region: "East US"}}
	if a := c.Start(t.Context(), l, l.Point); a.Verdict != dr.Still || a.Location != location {
		t.Errorf("%+v", a)
	}
	if want := "POST " + azure + instance + `/restore?api-version=2024-05-01 {"storageAccount":"contosoeast","containerName":"theirs","backupName":"` + point +
		`","accessType":"UserAssignedManagedIdentity","clientId":"c1"}`; sent != want {
		t.Errorf("sent %s\nwant %s", sent, want)
	}
	l.Storage.Account, sent = "contosowest", ""
	if a := c.Start(t.Context(), l, l.Point); a.Verdict != dr.No || a.Error.Code != "StorageAccessUnknown" || sent != "" {
		t.Errorf("without access: %+v after %q", a, sent)
	}
}

func TestARefusedPOSTNamesTheActionThatIsMissing(t *testing.T) {
	for verb, action := range map[dr.Verb]string{dr.VerbBackup: "service/backup/action", dr.VerbRestore: "service/restore/action"} {
		a := with(t, always(403, armBody("AuthorizationFailed", "not authorized"))).Start(t.Context(), leg(verb), point)
		if a.Verdict != dr.No || !strings.HasPrefix(a.Error.Message, "not authorized (Give the identity of apim-dr Microsoft.ApiManagement/"+action) {
			t.Errorf("%s: %+v", verb, a.Error)
		}
		if a := with(t, always(400, armBody("InvalidParameters", "x"))).Start(t.Context(), leg(verb), point); a.Error.Message != "x" {
			t.Errorf("%s: advice that does not fit: %s", verb, a.Error)
		}
	}
	a := with(t, always(403, armBody("AuthorizationFailed", "no read"))).Service(t.Context(), instance)
	for _, action := range []string{"service/read", "backup/action", "restore/action", "operationresults/read"} {
		if !strings.Contains(a.Error.Message, action) {
			t.Errorf("no %s in %s", action, a.Error.Message)
		}
	}
}
