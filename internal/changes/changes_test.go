package changes

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/dr"
)

const (
	id = "/subscriptions/0/resourceGroups/rg/providers/Microsoft.ApiManagement/service/contoso-eu"
	// As Azure's documents show them, with other names.
	ownGrid = `{"id":"1","topic":"` + id + `","subject":"/apis/echo;Rev=1","data":{"resourceUri":"` + id + `/apis/echo;Rev=1"},
		"eventType":"Microsoft.ApiManagement.APIUpdated","dataVersion":"1","metadataVersion":"1","eventTime":"2026-01-05T03:00:00.123Z"}`
	ownCloud = `{"id":"1","source":"` + id + `","subject":"/apis/echo;Rev=1","data":{"resourceUri":"` + id + `/apis/echo;Rev=1"},
		"type":"Microsoft.ApiManagement.APIUpdated","time":"2026-01-05T03:00:00.123Z","specversion":"1.0"}`
	armGrid = `{"subject":"` + id + `/policies/policy","eventType":"Microsoft.Resources.ResourceWriteSuccess","id":"2","topic":"/subscriptions/0/resourceGroups/rg",
		"data":{"authorization":{},"operationName":"Microsoft.ApiManagement/service/policies/write","resourceUri":"` + id + `/policies/policy","status":"Succeeded"},
		"dataVersion":"2","metadataVersion":"1","eventTime":"2026-01-05T03:00:00.123Z"}`
	armAction = `{"id":"3","source":"/subscriptions/0","subject":"` + id + `","type":"Microsoft.Resources.ResourceActionSuccess","time":"2026-01-05T03:00:00.123Z","specversion":"1.0",
		"data":{"operationName":"Microsoft.ApiManagement/service/backup/action"}}`
)

var at = time.Date(2026, 1, 5, 3, 0, 0, 123e6, time.UTC)

func TestChangesAreReadInBothSchemas(t *testing.T) {
	own, policy := dr.Change{ResourceID: id, At: at, What: "Microsoft.ApiManagement.APIUpdated"}, dr.Change{ResourceID: id, At: at, What: "Microsoft.ApiManagement/service/policies/write"}
	swap := func(text, old, new string) string {
		t.Helper()
		if !strings.Contains(text, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	for name, row := range map[string]struct {
		body string
		want []dr.Change
	}{
		"Event Grid":                  {ownGrid, []dr.Change{own}},
		"CloudEvents":                 {ownCloud, []dr.Change{own}},
		"Resource Manager":            {armGrid, []dr.Change{policy}},
		"a list of both":              {"\n[" + ownCloud + "," + armGrid + "]", []dr.Change{own, policy}},
		"an empty list":               {"[]", nil},
		"a byte order mark":           {"\ufeff" + ownGrid, []dr.Change{own}},
		"types in other cases":        {swap(ownGrid, "ApiManagement.APIUpdated", "APIMANAGEMENT.APIupdated"), []dr.Change{{ResourceID: id, At: at, What: "Microsoft.APIMANAGEMENT.APIupdated"}}},
		"without a resource URI":      {swap(ownGrid, "resourceUri", "x"), []dr.Change{own}},
		"data of another shape":       {swap(ownGrid, `{"resourceUri":"`+id+`/apis/echo;Rev=1"}`, `"text"`), []dr.Change{own}},
		"a name of any length":        {swap(armGrid, "Microsoft.ApiManagement/service/policies/write", strings.Repeat("x", 300)), []dr.Change{{ResourceID: id, At: at, What: "a change of an odd name"}}},
		"a name of two lines":         {swap(armGrid, "policies/write", "policies\\nwrite"), []dr.Change{{ResourceID: id, At: at, What: "a change of an odd name"}}},
		"a write that failed":         {swap(armGrid, "ResourceWriteSuccess", "ResourceWriteFailure"), nil},
		"a gateway's token":           {swap(ownGrid, "APIUpdated", "GatewayTokenNearExpiry"), nil},
		"a circuit breaker":           {swap(ownGrid, "APIUpdated", "CircuitBreakerOpened"), nil},
		"another resource":            {strings.ReplaceAll(armGrid, "Microsoft.ApiManagement/service/contoso-eu", "Microsoft.Web/sites/x"), nil},
		"another kind of event":       {swap(ownGrid, "Microsoft.ApiManagement.APIUpdated", "Microsoft.Storage.BlobCreated"), nil},
		"a zone that no record holds": {swap(ownGrid, "2026-01-05T03:00:00.123Z", "2026-01-06T03:00:00.123+24:00"), []dr.Change{own}},
		"an action without a name":    {swap(swap(armGrid, "ResourceWriteSuccess", "ResourceActionSuccess"), "operationName", "x"), nil}, // it may be our own backup
		"an action in a text":         {swap(armAction, armAction[strings.Index(armAction, "{\"operationName"):len(armAction)-1], `"{\"operationName\":\"Microsoft.ApiManagement/service/backup/action\"}"`), nil},
		"of a user in the product":    {swap(ownGrid, "APIUpdated", "ProductDeleted"), []dr.Change{{ResourceID: id, At: at, What: "Microsoft.ApiManagement.ProductDeleted"}}},
	} {
		got, err := Parse([]byte(row.body))
		if diff := cmp.Diff(row.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNoEventIsRefused(t *testing.T) {
	for name, body := range map[string]string{
		"nothing": "", "no JSON": "{", "a text": `"x"`, "a number": "7", "null": "null", "no type": `{"time":"2026-01-05T03:00:00Z"}`, "no time": `{"type":"a"}`,
		"a wrong time": `{"type":"a","time":"yesterday"}`, "a time before all": `{"type":"a","time":"0000-01-01T00:00:00+01:00"}`, "a wake": `{"v":1,"id":"20260105-backup-00000000000000000000","epoch":0,"n":0,"try":0}`,
		"deep nesting": strings.Repeat("[", 100_000), "too many": "[" + strings.Repeat(ownGrid+",", 1000) + ownGrid + "]",
		"a type that is none": `{"type":{},"time":"2026-01-05T03:00:00Z"}`,
	} {
		if got, err := Parse([]byte(body)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What is wrong with one event of a message loses no change of the others.
func TestTheOthersOfAMessageAreReadAllTheSame(t *testing.T) {
	for _, bad := range []string{"{}", "null", "7", `{"type":{},"time":"2026-01-05T03:00:00Z"}`} {
		got, err := Parse([]byte("[" + ownGrid + "," + bad + "," + armGrid + "]"))
		if len(got) != 2 || err == nil || !strings.HasPrefix(err.Error(), "event 1: ") {
			t.Errorf("%s: %+v, %v", bad, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, body := range []string{ownGrid, ownCloud, armGrid, "[]", "[" + ownGrid + "]", "{}"} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := Parse(body)
		if err != nil && list != nil && !bytes.Contains(body, []byte("[")) {
			t.Errorf("%+v beside %v", list, err)
		}
		if _, err := json.Marshal(list); err != nil {
			t.Error(err)
		}
		for _, c := range list {
			if c.ResourceID == "" || c.What == "" || c.At.IsZero() && !strings.Contains(string(body), "0001") {
				t.Errorf("%+v", c)
			}
		}
	})
}
