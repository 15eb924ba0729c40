package apim

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"apim-dr/internal/dr"
)

func TestACommandIsWhatStartSendsButForTheKey(t *testing.T) {
	for name, access := range map[string]Access{
		"key":           {Mode: AccessKey, Key: func() string { return storageKey }, Variable: "BACKUP_KEY"},
		"key not set":   {Mode: AccessKey, Key: func() string { return "" }, Variable: "BACKUP_KEY"},
		"key, unnamed":  {Mode: AccessKey, Key: func() string { return storageKey }},
		"system":        {Mode: SystemAssigned},
		"user":          {Mode: UserAssigned, ClientID: "c1"},
		"user, unnamed": {Mode: UserAssigned},
	} {
		var sent string
		o := options(transport(func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			sent = fmt.Sprintf("%s %s", r.URL, b)
			return answer(202, "", "Location", location), err
		}))
		o.Access = func(string) (Access, error) { return access, nil }
		c := newClient(t, o)
		got, failure := c.Command(leg(dr.VerbRestore), point)
		a := c.Start(t.Context(), leg(dr.VerbRestore), point)
		switch name {
		case "key not set": // whoever sends it has the key
			if failure != nil || a.Error == nil {
				t.Errorf("%s: %v, %v", name, failure, a.Error)
			}
			continue
		case "key, unnamed":
			if failure == nil {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if text := fmt.Sprint(failure); text != fmt.Sprint(a.Error) {
			t.Errorf("%s: %s, but Start says %v", name, text, a.Error)
		}
		if strings.Contains(fmt.Sprint(got), storageKey) || got.Variable != access.Variable {
			t.Errorf("%s: %+v", name, got)
		}
		if text := strings.TrimSpace(got.URL + " " + strings.ReplaceAll(got.Body, "$BACKUP_KEY", storageKey)); text != sent {
			t.Errorf("%s: %s\nsent %s", name, text, sent)
		}
	}
	c := with(t, always(202, ""))
	if _, failure := c.Command(dr.Leg{Verb: dr.VerbRestore, ResourceID: "/x"}, point); failure == nil || failure.Code != "InvalidResourceId" {
		t.Errorf("%v", failure)
	}
}
