package arm_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/azurite"
)

func TestABackupWritesABlobThatNamesServiceTierAndTime(t *testing.T) {
	b := newBench(t, nil)
	location := b.backup("contoso-west")
	if _, err := b.blob("nightly"); err == nil {
		t.Error("the blob is there before the backup has ended")
	}
	b.clock.pass(5 * time.Minute)
	end := b.clock.now()
	b.clock.pass(time.Hour) // whoever looks late finds the same blob
	b.want(b.do("GET", location, ""), 200, "")
	raw, err := b.blob("nightly")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Service, SKU, Content string
		CreatedAt             time.Time
	}
	if err := json.Unmarshal([]byte(raw), &got); err != nil {
		t.Fatal(err)
	}
	if got.Service != west || got.SKU != "Standard" || !got.CreatedAt.Equal(end) || got.Content != "apis of west" {
		t.Errorf("the blob is %s", raw)
	}
	if strings.Contains(raw, azurite.Key) {
		t.Error("the blob holds the key")
	}
}

func TestTheBlobIsWrittenWithoutAnybodyAskingWhenTheRealClockIsUsed(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Now, c.BackupDuration = time.Now, 20*time.Millisecond })
	b.clock.set(time.Now())
	b.backup("contoso-west")
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := b.blob("nightly"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no blob after 10 s")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// restore starts a restore, lets it end and polls it once.
func (b *bench) restore(id string, pairs ...string) answer {
	b.t.Helper()
	location := b.want(b.do("POST", id+"/restore"+current, b.body(pairs...)), 202, "").header.Get("Location")
	b.want(b.do("GET", location, ""), 202, "")
	b.clock.pass(10 * time.Minute)
	return b.do("GET", location, "")
}

func TestARestoreBringsTheContentOfTheBackupAndNothingElse(t *testing.T) {
	b := newBench(t, func(c *arm.Config) {
		c.Services[0].HostNames, c.Services[0].Protocols = []string{"api.contoso.com"}, map[string]string{"contoso": "west"}
		c.Services[1].HostNames, c.Services[1].SystemIdentity = []string{"standby.contoso.com"}, true
	})
	settings := func() string {
		a := b.do("GET", north+current, "")
		raw, _ := json.Marshal([]any{a.prop("hostnameConfigurations"), a.prop("customProperties"), a.body["identity"], a.body["sku"]})
		return string(raw)
	}
	before := settings()
	b.backup("contoso-west")
	b.clock.pass(5 * time.Minute)
	b.want(b.do("GET", west+current, ""), 200, "")
	if a := b.want(b.restore(north), 200, ""); a.body["id"] != north {
		t.Errorf("the poll answered with %v", a.body["id"])
	}
	if got := b.srv.Content("contoso-north"); got != "apis of west" {
		t.Errorf("north holds %q", got)
	}
	if after := settings(); after != before || !strings.Contains(after, "standby.contoso.com") {
		t.Errorf("settings %s\nbefore %s", after, before)
	}
}

func TestARestoreFailsAtItsEndWhenTheBackupDoesNotFit(t *testing.T) {
	b := newBench(t, nil)
	b.backup("contoso-west")
	b.clock.pass(5 * time.Minute)
	b.want(b.do("GET", west+current, ""), 200, "")
	for name, data := range map[string]string{"junk": "junk", "empty": "", "other": `{"format":"2","sku":"Standard","createdAt":"2026-03-01T02:00:00Z"}`} {
		if _, err := b.blobs.UploadBuffer(t.Context(), b.container, name, []byte(data), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ id, backup, message string }{
		{group + "contoso-premium", "nightly", "Cannot restore: current SKU is 'Premium', backup SKU is 'Standard'"},
		{group + "contoso-v2", "nightly", "Cannot restore: current SKU is 'StandardV2', backup SKU is 'Standard'"},
		{north, "absent", "Cannot restore: backup 'absent': Invalid parameter: The remote server returned an error: BlobNotFound\r\nParameter name: backupContainerName (value: [" + b.container + "])"},
		{north, "junk", "Cannot restore: 'junk' is not a valid backup"},
		{north, "empty", "Cannot restore: 'empty' is not a valid backup"},
		{north, "other", "Cannot restore: 'other' is not a valid backup"},
	} {
		before := b.do("GET", tt.id+current, "").body["etag"]
		a := b.want(b.restore(tt.id, "backupName", tt.backup), 400, "RestoreFailed")
		if a.message() != tt.message {
			t.Errorf("got %q, want %q", a.message(), tt.message)
		}
		if after := b.do("GET", tt.id+current, ""); after.body["etag"] == before || after.prop("provisioningState") != "Succeeded" {
			t.Errorf("%s: after the failed restore: etag %v as before, or %v", tt.backup, before, after.prop("provisioningState"))
		}
	}
	for _, name := range []string{"north", "premium"} {
		if got := b.srv.Content("contoso-" + name); got != "apis of "+name {
			t.Errorf("a failed restore changed %s to %q", name, got)
		}
	}
}

func TestABackupExpiresAfterThirtyDays(t *testing.T) {
	b := newBench(t, nil)
	b.backup("contoso-west")
	b.clock.pass(5 * time.Minute)
	b.want(b.do("GET", west+current, ""), 200, "")
	made := b.clock.now()
	b.clock.set(made.Add(30*24*time.Hour - time.Second))
	b.want(b.restore(north), 200, "")
	b.clock.set(made.Add(30 * 24 * time.Hour))
	before := b.do("GET", north+current, "").body["etag"]
	if a := b.want(b.restore(north), 400, "RestoreFailed"); a.message() != "Cannot restore: backup expired" {
		t.Errorf("got %q", a.message())
	}
	if after := b.do("GET", north+current, "").body["etag"]; after == before {
		t.Errorf("the etag stayed %v", after)
	}
}

func TestARequestWithBadParametersIsRefusedAtOnce(t *testing.T) {
	b := newBench(t, nil)
	wrong := base64.StdEncoding.EncodeToString([]byte("a wrong key that is long enough"))
	for name, tt := range map[string]struct {
		pairs         []string
		code, message string
	}{
		"no account":             {[]string{"storageAccount", "-"}, "InvalidParameters", "storageAccount"},
		"no container":           {[]string{"containerName", "-"}, "InvalidParameters", "containerName"},
		"no name":                {[]string{"backupName", ""}, "InvalidParameters", "backupName"},
		"no key":                 {[]string{"accessKey", "-"}, "InvalidParameters", "accessKey"},
		"unknown access":         {[]string{"accessType", "Sas"}, "InvalidParameters", "accessType"},
		"user-assigned, no id":   {[]string{"accessType", "UserAssignedManagedIdentity"}, "InvalidParameters", "clientId"},
		"unknown account":        {[]string{"storageAccount", "contosonowhere"}, "InvalidParameters", "The remote name could not be resolved: 'contosonowhere.blob.core.windows.net'"},
		"an address, not a name": {[]string{"storageAccount", "https://contosobackups.blob.core.windows.net"}, "InvalidParameters", "could not be resolved"},
		"unreachable account":    {[]string{"storageAccount", "contosodown"}, "InvalidParameters", "Unable to connect"},
		"wrong key":              {[]string{"accessKey", wrong}, "InvalidParameters", "Server failed to authenticate the request"},
		"key that is not base64": {[]string{"accessKey", "###"}, "InvalidParameters", "Server failed to authenticate the request"},
		"missing container":      {[]string{"containerName", "absent"}, "InvalidParameters", "The specified container does not exist"},
	} {
		for _, verb := range []string{"/backup", "/restore"} {
			a := b.do("POST", west+verb+current, b.body(tt.pairs...))
			if a.status != 400 || a.code() != tt.code || !strings.Contains(a.message(), tt.message) {
				t.Errorf("%s%s: got %d %s", name, verb, a.status, a.raw)
			}
			if strings.Contains(a.raw, azurite.Key) || strings.Contains(a.raw, wrong) {
				t.Errorf("%s%s: the answer holds a key", name, verb)
			}
		}
	}
	b.want(b.do("POST", west+"/backup"+current, "{"), 400, "InvalidRequestContent")
	if n := len(b.srv.Operations()); n != 0 {
		t.Errorf("%d operations were accepted", n)
	}
}

func TestAManagedIdentityNeedsAGrantOnTheAccount(t *testing.T) {
	b := newBench(t, func(c *arm.Config) {
		c.Services[0].SystemIdentity, c.Services[2].SystemIdentity = true, true
		c.Services[2].UserIdentities = map[string]string{"backup": strings.ToUpper(appID)}
		c.Services[1].UserIdentities = map[string]string{"other": "0c0c0c0c-0000-0000-0000-00000000000c"}
	})
	system := []string{"accessType", "SystemAssignedManagedIdentity", "accessKey", "-"}
	user := func(id string) []string {
		return []string{"accessType", "UserAssignedManagedIdentity", "accessKey", "-", "clientId", id}
	}
	premium := group + "contoso-premium"
	b.want(b.do("POST", west+"/backup"+current, b.body(system...)), 202, "")
	b.want(b.do("POST", premium+"/backup"+current, b.body(system...)), 400, "InvalidParameters")
	for _, access := range [][]string{system, user(appID)} { // the account would let them in, but north has another
		if a := b.want(b.do("POST", north+"/backup"+current, b.body(access...)), 400, "InvalidParameters"); !strings.Contains(a.message(), "is not assigned to the service") {
			t.Errorf("got %q", a.message())
		}
	}
	b.want(b.do("POST", premium+"/backup"+current, b.body(append(system, "clientId", appID)...)), 400, "InvalidParameters") // which is another identity's
	b.want(b.do("POST", premium+"/backup"+current, b.body(user("0b0b0b0b-0000-0000-0000-00000000000b")...)), 400, "InvalidParameters")
	b.want(b.do("POST", premium+"/backup?api-version=2020-12-01", b.body(user(appID)...)), 400, "InvalidParameters") // identity came later
	b.want(b.do("POST", premium+"/backup"+current, b.body(user(appID)...)), 202, "")
	b.clock.pass(5 * time.Minute)
	b.want(b.do("GET", west+current, ""), 200, "")
	if _, err := b.blob("nightly"); err != nil {
		t.Error(err)
	}
	b.srv.Change(func(c *arm.Config) {
		a := c.Accounts["contosobackups"]
		a.Trusted = nil
		c.Accounts["contosobackups"] = a
	})
	b.want(b.do("POST", west+"/backup"+current, b.body(system...)), 400, "InvalidParameters")
}

func TestStorageThatIsLostDuringABackupFailsIt(t *testing.T) {
	b := newBench(t, nil)
	location := b.backup("contoso-west")
	if _, err := b.blobs.DeleteContainer(t.Context(), b.container, nil); err != nil {
		t.Fatal(err)
	}
	b.clock.pass(5 * time.Minute)
	a := b.want(b.do("GET", location, ""), 400, "BackupFailed")
	if !strings.Contains(a.message(), "The specified container does not exist") {
		t.Errorf("got %q", a.message())
	}
}

func TestTiersWithoutBackupAreRefused(t *testing.T) {
	b := newBench(t, nil)
	b.want(b.do("POST", group+"contoso-v2/backup"+current, b.body()), 400, "MethodNotAllowedInPricingTier")
	for _, verb := range []string{"/backup", "/restore"} {
		a := b.want(b.do("POST", group+"contoso-lambda"+verb+current, b.body()), 400, "MethodNotAllowedInPricingTier")
		if a.message() != "Method not allowed in Consumption pricing tier" {
			t.Errorf("got %q", a.message())
		}
	}
}
