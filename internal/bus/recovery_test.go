package bus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
)

const (
	arm    = "https://management.azure.com/operationresults/1"
	backup = "20261123-backup-0123456789abcdef0123-s0-a1"
)

func instance(name, region string) dr.Instance {
	return dr.Instance{Name: name, Region: region, ResourceID: "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/" + name +
		"/providers/Microsoft.ApiManagement/service/" + name}
}

func seen(sku, region string, s dr.Settings) dr.Answer {
	return dr.Answer{Verdict: dr.OK, Service: dr.ServiceView{ETag: "AAAA1", State: "Succeeded", SKU: sku, Capacity: 2, Region: region, Settings: &s}}
}

var (
	eu, us   = instance("contoso-eu", "westeurope"), instance("contoso-us", "eastus")
	settings = dr.Settings{
		GatewayURL: "https://contoso-eu.azure-api.net", SystemIdentity: true, Network: "None",
		HostNames: []dr.HostName{{Type: "Proxy", Name: "api.contoso.com", Custom: true, Certificate: "KeyVault"}},
	}
	usView = seen("Premium", "East US", dr.Settings{
		GatewayURL: "https://contoso-us.azure-api.net", Regional: []string{"https://contoso-us-eastus-01.regional.azure-api.net"}, SystemIdentity: true, Network: "None",
	})
	hangs = dr.Answer{Verdict: dr.Later, Reason: "context deadline exceeded"}
	well  = dr.Answer{Verdict: dr.OK, Service: usView.Service, Gateways: []dr.Gateway{
		{URL: "https://contoso-us-eastus-01.regional.azure-api.net", Status: 200}, {URL: "https://contoso-us.azure-api.net", Status: 200},
	}}
	refused = &dr.Error{Source: "arm", Code: "RestoreFailed", Message: "Cannot restore: current SKU is 'Developer', backup SKU is 'Premium'", Status: 400}
)

// recovers is an operation as the engine makes it, with the plan that its caller was shown. change says what is special about it.
func recovers(kind dr.Kind, change func(*dr.Intent, *dr.Facts, *dr.Operation)) dr.Operation {
	called := night.Add(72*time.Minute + 40*time.Second)
	point := dr.RecoveryPoint{
		V: dr.Version, ID: backup, State: dr.Good, Service: eu.Name, ResourceID: eu.ResourceID, Operation: backup[:len(backup)-6], CreatedAt: night.Add(4 * time.Second),
		EndedAt: night.Add(41 * time.Minute), ExpiresAt: night.Add(dr.BackupLife), Storage: dr.Storage{Account: "contosodrus", Container: "apim-backups", Region: "eastus"},
		Bytes: 48_318_382, SKU: "Premium", Capacity: 2, Region: "West Europe", Settings: &settings,
	}
	i := dr.Intent{Kind: kind, Source: eu, Target: us, Point: dr.Latest, MaxWait: dr.Duration(10 * time.Minute)}
	f := dr.Facts{
		APIVersion: "2024-05-01", Target: usView, Source: seen("Premium", "West Europe", settings), Group: dr.Answer{Verdict: dr.OK, Service: dr.ServiceView{Region: "eastus"}},
		Point: &point, Container: dr.Yes, Blob: dr.BlobView{Exists: true, Bytes: point.Bytes}, Access: dr.Access{Mode: "systemAssigned"},
		Pairs: []dr.Pair{dr.NewPair(eu.Name, us.Name)},
	}
	op := dr.Operation{
		V: dr.Version, Rev: 1, ID: dr.NewID(kind, called, "test"), Kind: kind, Plan: "nightly", Trigger: dr.TriggerHTTP, RequestedBy: "http", Traceparent: traceparent,
		CreatedAt: called, NotAfter: called.Add(30 * time.Minute), Phase: dr.Queued,
	}
	op.Legs = []dr.Leg{{Verb: dr.VerbRestore, Within: dr.Duration(12 * time.Hour)}}
	change(&i, &f, &op)
	op.Service, op.Recovery = i.Target.Name, &dr.Recovery{Intent: i}
	for n := range op.Legs {
		op.Legs[n].Service, op.Legs[n].ResourceID = i.Target.Name, i.Target.ResourceID
	}
	plan := dr.MakePlan(i, f, called.Add(10*time.Second))
	op = dr.Planned(op, plan)
	if why := plan.Refusal(); why != nil {
		op = dr.Refuse(op, why, called.Add(10*time.Second))
	}
	return op
}

// said is an answer to the action that the machine asks for, some time after the one before.
type said struct {
	after time.Duration
	to    dr.Do
	dr.Answer
}

// walk runs an operation through the machine; the last of a script may be a knock that ends it.
func walk(t *testing.T, op dr.Operation, script ...said) dr.Operation {
	t.Helper()
	timing, now, do := dr.DefaultTiming(), op.CreatedAt, dr.Action{Do: dr.Sleep}
	for _, s := range script {
		now = now.Add(s.after)
		if do.Do == dr.Sleep || do.Do == dr.Yield {
			op, do = dr.Step(timing, op, dr.Input{Nonce: "nonce"}, now)
		}
		if do.Do != s.to {
			t.Fatalf("%s: asked for %q in %s, not %q", op.Kind, do.Do, op.Phase, s.to)
		}
		op, do = dr.Step(timing, op, dr.Input{To: s.to, Answer: s.Answer, Nonce: "nonce"}, now)
	}
	return op
}

var (
	locks    = said{time.Second, dr.Lock, dr.Answer{Verdict: dr.OK}}
	ready    = said{time.Second, dr.Prepare, usView}
	accepts  = said{time.Second, dr.Start, dr.Answer{Verdict: dr.Still, Location: arm, Retry: time.Minute}}
	working  = said{time.Minute, dr.Check, dr.Answer{Verdict: dr.Still, Location: arm, Retry: time.Minute}}
	finished = said{time.Minute, dr.Check, dr.Answer{Verdict: dr.OK}}
	failed   = said{time.Minute, dr.Check, dr.Answer{Verdict: dr.No, Error: refused}}
	verified = said{time.Second, dr.Verify, well}
	begun    = []said{locks, ready, accepts}
)

func after(begun []said, more ...said) []said { return append(begun[:len(begun):len(begun)], more...) }

// everyEnding has an operation of every kind and outcome, and those whose events have more to tell.
func everyEnding(t *testing.T) map[string]dr.Operation {
	t.Helper()
	type (
		intent = *dr.Intent
		facts  = *dr.Facts
		record = *dr.Operation
	)
	plain := func(intent, facts, record) {}
	drill := func(i intent, f facts, op record) {
		i.Target, i.Auto, f.Source, f.Workspaces = instance("contoso-drill", ""), true, dr.Answer{}, -1
		op.Trigger, op.RequestedBy = dr.TriggerTimer, "drill schedule"
	}
	dark := said{30 * time.Minute, dr.Verify, hangs}
	idle := said{7 * time.Minute, dr.Look, dr.Answer{Verdict: dr.OK, Service: dr.ServiceView{ETag: "AAAA2", State: "Succeeded"}}}
	late := said{11 * time.Minute, dr.Lock, dr.Answer{Verdict: dr.Later, Reason: "operation 20261123-drill-0123456789abcdef0123 is at work on the service"}}

	safety := recovers(dr.KindRestore, func(i intent, f facts, op record) {
		i.Safety, op.Reason = true, "contoso-us as contoso-eu is"
		op.Legs = append([]dr.Leg{{Verb: dr.VerbBackup, Safety: true, Storage: dr.Storage{Account: "contosodrus", Container: "apim-backups", Region: "eastus"}, Within: i.MaxWait}}, op.Legs...)
	})
	internal := verified
	internal.Gateways = []dr.Gateway{{URL: "https://contoso-us.azure-api.net", Error: "no answer in time"}}
	safety = walk(t, safety, after(begun, finished, said{time.Second, dr.Verify, dr.Answer{Verdict: dr.OK, Blob: dr.BlobView{Exists: true, Bytes: 1 << 20, ETag: "0x8DD0A1B2C3D4E5F"}}},
		locks, ready, accepts, working, finished, internal)...)

	abandoned, refusal := dr.Abandon(walk(t, recovers(dr.KindFailover, plain), begun...), "http", "wrong region", night.Add(2*time.Hour))
	if refusal != nil {
		t.Fatal(refusal)
	}
	follows := recovers(dr.KindRestore, func(i intent, _ facts, op record) {
		i.Auto, op.Trigger, op.RequestedBy = true, dr.TriggerBackup, "warm standby of contoso-eu"
	})
	follows.Recovery.Plan, follows.Recovery.Bound = nil, nil // nobody asked, and its turn never came

	all := map[string]dr.Operation{
		"restore succeeded": safety,
		"restore failed": walk(t, recovers(dr.KindRestore, func(i intent, f facts, _ record) {
			i.Overrides, f.Target.Service.SKU = []string{"sku"}, "Developer"
		}), after(begun, failed)...),
		"restore rejected": walk(t, follows, said{time.Second, dr.Lock, dr.Answer{Verdict: dr.No, Error: dr.Failure("StandbySuspended", "the standby is suspended since a failover")}}),
		"restore unknown":  walk(t, recovers(dr.KindRestore, plain), locks, ready, said{time.Second, dr.Start, dr.Answer{Verdict: dr.Lost, Reason: "connection reset"}}, idle, idle),

		"failover succeeded": walk(t, recovers(dr.KindFailover, func(i intent, f facts, op record) {
			i.Final, f.Source, op.Reason, op.Ticket = dr.FinalAuto, hangs, "West Europe is gone", "INC-4711"
		}), after(begun, working, working, working, working, working, working, working, working, working, working, finished, verified)...),
		"failover that followed a restore": walk(t, recovers(dr.KindFailover, plain), said{time.Second, dr.Lock, dr.Answer{
			Verdict: dr.Still, Adopted: "20261123-restore-0123456789abcdef0123", Location: arm, Service: usView.Service}}, finished, verified),
		"failover failed": walk(t, recovers(dr.KindFailover, plain), after(begun, failed)...),
		"failover rejected": recovers(dr.KindFailover, func(_ intent, f facts, _ record) {
			f.Target = dr.Answer{Verdict: dr.No, Error: &dr.Error{Source: "arm", Code: "ResourceNotFound", Status: 404}}
		}),
		"failover without a point": recovers(dr.KindFailover, func(_ intent, f facts, _ record) { f.Point = nil }),
		"failover unknown":         abandoned,

		"drill succeeded": walk(t, recovers(dr.KindDrill, drill), after(begun, finished, verified)...),
		"drill failed":    walk(t, recovers(dr.KindDrill, drill), after(begun, failed)...),
		"drill rejected":  walk(t, recovers(dr.KindDrill, drill), late, late, said{11 * time.Minute, dr.Finish, dr.Answer{}}),
		"drill unknown":   walk(t, recovers(dr.KindDrill, drill), after(begun, finished, dark)...),
	}
	for outcome, op := range endings(t) {
		all[fmt.Sprintf("backup %s", outcome)] = op
	}
	final := endings(t)[dr.Succeeded]
	final.Trigger, final.RequestedBy = dr.TriggerFailover, "http"
	all["last backup before a failover"] = final
	for name, op := range all {
		kind, outcome, _ := strings.Cut(name, " ")
		if op.Phase != dr.Done || kind == string(op.Kind) && !strings.Contains(outcome, " ") && outcome != string(op.Outcome) {
			t.Fatalf("%s came out as %s %s %s %v", name, op.Kind, op.Phase, op.Outcome, op.Error)
		}
	}
	return all
}
