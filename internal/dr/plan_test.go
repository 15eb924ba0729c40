package dr

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func goodFacts() Facts {
	p := point
	p.Region = "West Europe"
	p.Settings = &Settings{HostNames: []HostName{{Type: "Proxy", Name: "api.contoso.com", Custom: true, Certificate: "KeyVault"}}, Network: "None"}
	return Facts{
		APIVersion: "2024-05-01", Point: &p, Container: Yes, Blob: BlobView{Exists: true, Bytes: 7}, Access: Access{Mode: "storageKey"},
		Target: Answer{Verdict: OK, Service: ServiceView{State: "Succeeded", SKU: "Developer", Capacity: 1, Region: "North Europe",
			Settings: &Settings{GatewayURL: "https://contoso-us.azure-api.net", Network: "None"}}},
		Source: Answer{Verdict: OK, Service: ServiceView{State: "Succeeded", Settings: &Settings{}}},
		Group:  Answer{Verdict: OK, Service: ServiceView{Region: "northeurope"}},
		Pairs:  []Pair{NewPair("contoso-eu", "contoso-us")},
	}
}

func intent(kind Kind) Intent {
	return Intent{Kind: kind, Point: Latest, Source: Instance{Name: "contoso-eu", ResourceID: "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ApiManagement/service/contoso-eu", Region: "westeurope"},
		Target: Instance{Name: "contoso-us", ResourceID: "/subscriptions/s/resourceGroups/rg-us/providers/Microsoft.ApiManagement/service/contoso-us", Region: "northeurope"}, MaxWait: Duration(10 * time.Minute)}
}

func TestAGoodPlanPasses(t *testing.T) {
	for _, kind := range []Kind{KindRestore, KindFailover, KindDrill} {
		p := MakePlan(intent(kind), goodFacts(), t0)
		if e := p.Refusal(); e != nil {
			t.Errorf("%s: %v", kind, e)
		}
		if len(p.Steps) < 2 || time.Duration(p.DataAge) != 6*time.Hour {
			t.Errorf("%s: %+v", kind, p)
		}
	}
}

func TestEachCheckFindsWhatItIsFor(t *testing.T) {
	notFound := Answer{Verdict: No, Error: &Error{Code: "ResourceNotFound", Status: 404}}
	for name, tc := range map[string]struct {
		kind   Kind
		change func(*Intent, *Facts)
		check  string
		result Grade
		says   string
	}{
		"no recovery point":                   {KindFailover, func(i *Intent, f *Facts) { f.Point = nil }, "recoveryPoint", Fail, "has no good recovery point"},
		"an id that is not there":             {KindFailover, func(i *Intent, f *Facts) { f.Point, i.Point = nil, point.ID }, "recoveryPoint", Fail, `no recovery point "2026`},
		"a time before all":                   {KindFailover, func(i *Intent, f *Facts) { f.Point, i.Point = nil, "2020-01-01T00:00:00Z" }, "recoveryPoint", Fail, "of 2020-01-01T00:00:00Z or before"},
		"not backed up since it was restored": {KindFailover, func(i *Intent, f *Facts) { f.Point.Service = "contoso-us" }, "recoveryPoint", Warn, "is lost"},
		"being deleted":                       {KindFailover, func(i *Intent, f *Facts) { f.Point.State = Deleting }, "recoveryPoint", Fail, "being deleted"},
		"unverified":                          {KindFailover, func(i *Intent, f *Facts) { f.Point.State = Unverified }, "recoveryPoint", Warn, "may not be whole"},
		"expired":                             {KindFailover, func(i *Intent, f *Facts) { f.Point.ExpiresAt = t0 }, "expiry", Fail, "Cannot restore: backup expired"},
		"expires soon":                        {KindFailover, func(i *Intent, f *Facts) { f.Point.ExpiresAt = t0.Add(23 * time.Hour) }, "expiry", Warn, "in 23h0m"},
		"no container":                        {KindFailover, func(i *Intent, f *Facts) { f.Container = Not }, "container", Fail, "contosodr/backups does not exist"},
		"container not seen":                  {KindFailover, func(i *Intent, f *Facts) { f.Container, f.BlobError = "", "403" }, "container", Unseen, "403"},
		"no blob":                             {KindFailover, func(i *Intent, f *Facts) { f.Blob = BlobView{} }, "blob", Fail, "is not there"},
		"empty blob":                          {KindFailover, func(i *Intent, f *Facts) { f.Blob.Bytes = 0 }, "blob", Fail, "is empty"},
		"replaced blob":                       {KindFailover, func(i *Intent, f *Facts) { f.Blob.Bytes = 8 }, "blob", Fail, "replaced or damaged"},
		"blob not seen":                       {KindFailover, func(i *Intent, f *Facts) { f.BlobError = "timeout" }, "blob", Unseen, "timeout"},
		"target never created":                {KindFailover, func(i *Intent, f *Facts) { f.Target, f.Deleted = notFound, Not }, "target", Fail, "az apim create --name contoso-us --resource-group rg-us --location northeurope --sku-name Developer"},
		"target soft-deleted":                 {KindFailover, func(i *Intent, f *Facts) { f.Target, f.Deleted = notFound, Yes }, "target", Fail, `"restore":true`},
		"deleted or not unknown":              {KindFailover, func(i *Intent, f *Facts) { f.Target, f.Deleted = notFound, NotKnown }, "target", Fail, "deletedservice list"},
		"target forbidden": {KindFailover, func(i *Intent, f *Facts) {
			f.Target = Answer{Verdict: No, Error: &Error{Code: "AuthorizationFailed", Status: 403}}
		}, "target", Fail, "AuthorizationFailed"},
		"target out of reach":                 {KindFailover, func(i *Intent, f *Facts) { f.Target = Answer{Verdict: Later, Reason: "timeout"} }, "target", Unseen, "timeout"},
		"a proxy's 404":                       {KindFailover, func(i *Intent, f *Facts) { f.Target = Answer{Verdict: No, Error: &Error{Code: "Http404", Status: 404}} }, "target", Unseen, "Http404"},
		"v2 tier":                             {KindFailover, func(i *Intent, f *Facts) { f.Target.Service.SKU = "StandardV2" }, "tier", Fail, "StandardV2"},
		"Consumption":                         {KindRestore, func(i *Intent, f *Facts) { f.Target.Service.SKU = "Consumption" }, "tier", Fail, "Consumption"},
		"workspaces":                          {KindRestore, func(i *Intent, f *Facts) { f.Workspaces = 2 }, "workspaces", Fail, "2 workspaces"},
		"workspaces not seen":                 {KindRestore, func(i *Intent, f *Facts) { f.Workspaces = -1 }, "workspaces", Unseen, ""},
		"another tier":                        {KindRestore, func(i *Intent, f *Facts) { f.Target.Service.SKU = "Premium" }, "sku", Fail, "Cannot restore: current SKU is 'Premium', backup SKU is 'Developer'"},
		"other units":                         {KindRestore, func(i *Intent, f *Facts) { f.Target.Service.Capacity = 2 }, "sku", Warn, "2 units"},
		"Failed":                              {KindRestore, func(i *Intent, f *Facts) { f.Target.Service.State = "Failed" }, "state", Fail, "Failed"},
		"Updating":                            {KindRestore, func(i *Intent, f *Facts) { f.Target.Service.State = "Updating" }, "state", Warn, "waits"},
		"another operation":                   {KindRestore, func(i *Intent, f *Facts) { f.Holder = "op-1" }, "state", Warn, "op-1"},
		"old api-version":                     {KindRestore, func(i *Intent, f *Facts) { f.Target.Service.MinVersion = "2025-01-01" }, "apiVersion", Fail, "2025-01-01"},
		"unknown account":                     {KindRestore, func(i *Intent, f *Facts) { f.Access = Access{} }, "access", Fail, "not in the fleet's storages"},
		"key not set":                         {KindRestore, func(i *Intent, f *Facts) { f.Access.Missing = "BACKUP_KEY" }, "access", Fail, "set the environment variable BACKUP_KEY"},
		"no system identity":                  {KindRestore, func(i *Intent, f *Facts) { f.Access.Mode = "systemAssigned" }, "access", Fail, "no system-assigned identity"},
		"another user identity":               {KindRestore, func(i *Intent, f *Facts) { f.Access = Access{Mode: "userAssigned", ClientID: "id-1"} }, "access", Fail, "id-1"},
		"source is not active":                {KindFailover, func(i *Intent, f *Facts) { f.Pairs[0].Active = "contoso-us" }, "roles", Fail, "contoso-us is the active instance"},
		"a failover at work":                  {KindFailover, func(i *Intent, f *Facts) { f.Pairs[0].BusyBy = "op-1" }, "roles", Fail, "op-1"},
		"pair not seen":                       {KindFailover, func(i *Intent, f *Facts) { f.Pairs = nil }, "roles", Unseen, ""},
		"by hand into the active":             {KindRestore, func(i *Intent, f *Facts) { f.Pairs[0].Active = "contoso-us" }, "active", Warn, "serves production"},
		"automatic into the active":           {KindDrill, func(i *Intent, f *Facts) { f.Pairs[0].Active, i.Auto = "contoso-us", true }, "active", Fail, "nothing automatic"},
		"failover into another pair's active": {KindFailover, func(i *Intent, f *Facts) { f.Pairs = append(f.Pairs, NewPair("contoso-us", "contoso-asia")) }, "active", Fail, "would overwrite what serves production"},
		"the source is being left": {KindFailover, func(i *Intent, f *Facts) {
			p := NewPair("contoso-eu", "contoso-asia")
			p.BusyBy = "op-2"
			f.Pairs = append(f.Pairs, p)
		}, "roles", Fail, "op-2"},
		"active in one pair, another not seen": {KindFailover, func(i *Intent, f *Facts) {
			f.Pairs, f.Unread = append(f.Pairs, NewPair(i.Target.Name, "contoso-ap")), []string{"contoso-us~x"}
		}, "active", Unseen, "could not all be read"},
		"automatic, and roles not seen":          {KindDrill, func(i *Intent, f *Facts) { i.Auto, f.Unread = true, []string{"a~b"} }, "active", Unseen, "could not be read"},
		"group in the primary's region":          {KindFailover, func(i *Intent, f *Facts) { f.Group.Service.Region = "westeurope" }, "resourceGroup", Warn, "move it"},
		"group in the region of another's point": {KindFailover, func(i *Intent, f *Facts) { f.Point.Service, f.Point.Region = "contoso-us", "northeurope" }, "resourceGroup", Pass, "in northeurope"},
		"group not seen":                         {KindFailover, func(i *Intent, f *Facts) { f.Group = Answer{Verdict: Later, Reason: "timeout"} }, "resourceGroup", Unseen, "timeout"},
		"source answers":                         {KindFailover, func(i *Intent, f *Facts) {}, "source", Pass, "Succeeded"},
		"source is gone":                         {KindFailover, func(i *Intent, f *Facts) { f.Source = Answer{Verdict: Later, Reason: "timeout"} }, "source", Unseen, "timeout"},
		"other gateways":                         {KindFailover, func(i *Intent, f *Facts) { f.Source.Service.Settings.Locations = []string{"East US"} }, "additionalLocations", Warn, "is a failover needed?"},
		"source does not answer":                 {KindFailover, func(i *Intent, f *Facts) { f.Source, f.Point.Settings = Answer{Verdict: Later, Reason: "timeout"}, nil }, "additionalLocations", Unseen, "timeout"},
		"final backup, auto":                     {KindFailover, func(i *Intent, f *Facts) { i.Final = FinalAuto; f.Source = Answer{Verdict: Later, Reason: "timeout"} }, "finalBackup", Warn, "timeout"},
		"final backup, required": {KindFailover, func(i *Intent, f *Facts) {
			i.Final = FinalRequire
			f.Source = Answer{Verdict: Later, Reason: "timeout"}
		}, "finalBackup", Fail, "timeout"},
		"final backup possible": {KindFailover, func(i *Intent, f *Facts) { i.Final = FinalRequire }, "finalBackup", Pass, ""},
		"production users":      {KindDrill, func(i *Intent, f *Facts) {}, "content", Warn, "users, subscriptions and keys"},
	} {
		i, f := intent(tc.kind), goodFacts()
		tc.change(&i, &f)
		p := MakePlan(i, f, t0)
		at := slices.IndexFunc(p.Checks, func(c Finding) bool { return c.Name == tc.check })
		if at < 0 || p.Checks[at].Result != tc.result || !strings.Contains(p.Checks[at].Detail, tc.says) {
			t.Errorf("%s: %+v", name, p.Checks)
			continue
		}
		if e := p.Refusal(); (e != nil) != (tc.result == Fail) || e != nil && (e.Code == "" || !strings.Contains(e.Message, tc.says)) {
			t.Errorf("%s: refused with %v", name, e)
		}
	}
}

func TestAllFindingsAreToldTogether(t *testing.T) {
	f := goodFacts()
	f.Point.ExpiresAt, f.Blob, f.Target.Service.SKU = t0, BlobView{}, "Premium"
	e := MakePlan(intent(KindRestore), f, t0).Refusal()
	for _, want := range []string{"backup expired", "is not there", "current SKU is 'Premium'"} {
		if e == nil || !strings.Contains(e.Message, want) {
			t.Errorf("%v lacks %q", e, want)
		}
	}
}

func TestAnOverrideLetsANamedFailingCheckPass(t *testing.T) {
	i, f := intent(KindRestore), goodFacts()
	f.Target.Service.SKU = "Premium"
	i.Overrides = []string{"sku", "blob"}
	p := MakePlan(i, f, t0)
	if e := p.Refusal(); e != nil {
		t.Error(e)
	}
	for _, c := range p.Checks {
		if c.Overridden != (c.Name == "sku") {
			t.Errorf("%+v", c)
		}
	}
	f.Blob = BlobView{}
	i.Overrides = nil
	if MakePlan(i, f, t0).Refusal() == nil {
		t.Error("not overridden, but let through")
	}
	for _, hard := range []string{"recoveryPoint", "target", "roles", "active"} {
		if slices.Contains(Overridable(), hard) {
			t.Errorf("%s can be overridden", hard)
		}
	}
}

func TestNextStepsSayWhichNamePointsWhere(t *testing.T) {
	i, f := intent(KindFailover), goodFacts()
	steps := strings.Join(MakePlan(i, f, t0).NextSteps, "\n")
	for _, want := range []string{"add the hostname api.contoso.com with its certificate to contoso-us", "point the DNS name api.contoso.com (Proxy) at contoso-us.azure-api.net", "fail back"} {
		if !strings.Contains(steps, want) {
			t.Errorf("%q lacks %q", steps, want)
		}
	}
	f.Target.Service.Settings.HostNames = f.Point.Settings.HostNames
	if steps = strings.Join(MakePlan(i, f, t0).NextSteps, "\n"); strings.Contains(steps, "add the hostname") {
		t.Errorf("the hostname is there already: %s", steps)
	}
	if !strings.Contains(steps, "fail back") || !strings.Contains(steps, `"finalBackup":"require"`) {
		t.Errorf("the way back would lose what was changed: %s", steps)
	}
	f.Pairs[0].Home = "contoso-us"
	if steps = strings.Join(MakePlan(i, f, t0).NextSteps, "\n"); strings.Contains(steps, "fail back") || !strings.Contains(steps, "contoso-eu is the standby again") {
		t.Errorf("after a failback: %s", steps)
	}
	f.Point.Service = "contoso-us"
	f.Source.Service.Settings = &Settings{HostNames: []HostName{{Type: "Proxy", Name: "live.contoso.com", Custom: true}}}
	if steps = strings.Join(MakePlan(i, f, t0).NextSteps, "\n"); !strings.Contains(steps, "live.contoso.com") || strings.Contains(steps, "api.contoso.com") {
		t.Errorf("the names of another instance are taken for the source's: %s", steps)
	}
	f.Point.Settings, f.Source = nil, Answer{Verdict: Later}
	if steps = strings.Join(MakePlan(i, f, t0).NextSteps, "\n"); !strings.Contains(steps, "point the DNS name api.contoso.com (Proxy) at contoso-us.azure-api.net again") || strings.Contains(steps, "send clients") {
		t.Errorf("the failback's own name: %s", steps)
	}
	f.Target.Service.Settings.HostNames = nil
	if steps = strings.Join(MakePlan(i, f, t0).NextSteps, "\n"); !strings.Contains(steps, "no custom hostname of contoso-eu is known") {
		t.Error(steps)
	}
}

func TestWhatARestoreDoesNotBring(t *testing.T) {
	from := &Settings{
		HostNames:    []HostName{{Type: "Proxy", Name: "api.contoso.com", Custom: true, Certificate: "KeyVault"}, {Type: "Proxy", Name: "a.azure-api.net"}},
		Certificates: []string{"Root 01AB"}, Network: "Internal", SystemIdentity: true, UserIdentities: map[string]string{"/ids/b": "2", "/ids/a": "1"},
		Protocols: map[string]string{"Tls10": "False"},
	}
	want := []string{"hostname api.contoso.com", "CA certificate Root 01AB", "virtual network: Internal there, None here", "system-assigned identity: here is none",
		"user-assigned identity /ids/a", "user-assigned identity /ids/b", "protocol setting Tls10: False there, True here"}
	got := NotCovered(from, &Settings{Network: "None", Protocols: map[string]string{"Tls10": "True"}})
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
	if same := NotCovered(from, from); len(same) != 1 || !strings.Contains(same[0], "give it the rights") {
		t.Errorf("the same settings: %q", same)
	}
	if unknown := NotCovered(nil, from); len(unknown) != 1 {
		t.Errorf("%q", unknown)
	}
}

func TestThePlanSaysWhetherAFinalBackupIsTaken(t *testing.T) {
	i, f := intent(KindFailover), goodFacts()
	i.Final = FinalAuto
	if steps := strings.Join(MakePlan(i, f, t0).Steps, "\n"); !strings.Contains(steps, "back contoso-eu up once more") {
		t.Error(steps)
	}
	f.Source = Answer{Verdict: Later, Reason: "timeout"}
	plan := MakePlan(i, f, t0)
	if steps := strings.Join(plan.Steps, "\n"); strings.Contains(steps, "once more") {
		t.Error(steps)
	}
	op := Planned(newRestore(withFinal(FinalAuto)), plan)
	if op.awaits() || !strings.Contains(op.Recovery.Final.Reason, "timeout") {
		t.Errorf("it hangs on the dead side: %+v", op.Recovery.Final)
	}
}

// A plan was approved, and its turn comes later.
func TestAPlanIsUnlikeTheApprovedOneWhenTheTargetHasBecomeActive(t *testing.T) {
	i, f := intent(KindRestore), goodFacts()
	before := MakePlan(i, f, t0)
	f.Pairs = []Pair{NewPair(i.Target.Name, "contoso-ap")}
	after := MakePlan(i, f, t0)
	if e := after.Unlike(&before); e == nil || e.Code != checkCodes["active"] || after.Unlike(&after) != nil || before.Unlike(&after) != nil {
		t.Errorf("%v %v %v", e, after.Unlike(&after), before.Unlike(&after))
	}
}

func TestASurvivalNamesWhatIsLostWithThePrimary(t *testing.T) {
	places := []Place{{"this stamp", "northeurope"}, {"the backup storage contosodr", "North Europe"}}
	if s := Survives("contoso-eu", "West Europe", places); s.Survives != Yes || len(s.Reasons) > 0 {
		t.Errorf("%+v", s)
	}
	if s := Survives("contoso-eu", "North Europe", places); s.Survives != Not || len(s.Reasons) != 2 {
		t.Errorf("%+v", s)
	}
	if s := Survives("contoso-eu", "", places); s.Survives != NotKnown {
		t.Errorf("%+v", s)
	}
	if s := Survives("contoso-eu", "westeurope", append(places, Place{"Service Bus", ""})); s.Survives != NotKnown || len(s.Reasons) != 1 {
		t.Errorf("%+v", s)
	}
}

func TestAPosture(t *testing.T) {
	g := Guard{Service: Instance{Name: "contoso-eu", Region: "westeurope"}, RPO: 26 * time.Hour, Proven: 35 * 24 * time.Hour, Drilled: true,
		Places: []Place{{"this stamp", "northeurope"}},
		State:  ServiceState{NewestGood: PointRef{ID: "p", CreatedAt: t0.Add(-time.Hour)}, Proof: Proof{Operation: "d", At: t0.Add(-24 * time.Hour)}}}
	g.Active, g.Owner = g.Service, g.State
	if p := Assess(g, t0); !p.Protected || !p.Proven || p.SurvivesPrimaryLoss.Survives != Yes || p.Colocated || p.AgeSeconds != 3600 {
		t.Errorf("%+v", p)
	}
	if p := Assess(g, t0.Add(48*time.Hour)); p.Protected || len(p.Why) != 1 {
		t.Errorf("past the RPO: %+v", p)
	}
	if p := Assess(g, t0.Add(36*24*time.Hour)); p.Proven || p.Unproven == "" || len(p.Why) != 2 {
		t.Errorf("past everything: %+v", p)
	}
	held := func(name string) Posture {
		g := g
		g.Holds = []Held{{Service: name, Hold: Hold{Until: t0.AddDate(0, 0, 3), Reason: "a deployment", By: "ann"}}}
		return Assess(g, t0.Add(48*time.Hour))
	}
	if p := held("Contoso-EU"); len(p.Why) != 2 || !strings.Contains(p.Why[1], "a deployment") {
		t.Errorf("held: %q", p.Why)
	}
	if p := held("contoso-us"); len(p.Why) != 1 {
		t.Errorf("that the other one is held is no reason: %q", p.Why)
	}
	beside := g
	beside.Places = []Place{{"this stamp", "West Europe"}}
	if p := Assess(beside, t0); p.Colocated || p.SurvivesPrimaryLoss.Survives != Not { // as configured: nothing has changed by a failover
		t.Errorf("at home: %+v", p)
	}
	g.Active, g.State, g.Owner = Instance{Name: "contoso-us", Region: "northeurope"}, ServiceState{}, ServiceState{}
	if p := Assess(g, t0); p.Protected || !p.Colocated || p.Active != "contoso-us" {
		t.Errorf("after a failover: %+v", p)
	}
	g.Drilled = false
	if p := Assess(g, t0); p.Proven || !strings.Contains(p.Unproven, "no drill instance") {
		t.Errorf("%+v", p)
	}
}

func TestAPlanIsTheSameForTheSameFacts(t *testing.T) {
	for _, kind := range []Kind{KindRestore, KindFailover, KindDrill} {
		i, f := intent(kind), goodFacts()
		f.Point.Settings.UserIdentities = map[string]string{"/a": "1", "/b": "2", "/c": "3"}
		f.Point.Settings.Protocols = map[string]string{"a": "1", "b": "2", "c": "3"}
		first := MakePlan(i, f, t0)
		for range 50 {
			if again := MakePlan(i, f, t0); !reflect.DeepEqual(first, again) {
				t.Fatalf("%+v\n%+v", first, again)
			}
		}
	}
}
