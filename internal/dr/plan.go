package dr

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Plan is what a restore, failover or drill will do and what was found out beforehand. MakePlan makes it from values alone: what a dry run shows is
// what the real run does.
type Plan struct {
	Kind   Kind     `json:"kind"`
	Source Instance `json:"source"`
	Target Instance `json:"target"` // what is overwritten
	// Point is the recovery point; nil: there is none.
	Point *RecoveryPoint `json:"recoveryPoint,omitempty"`
	// DataAge is how old the data of the recovery point were when the plan was made.
	DataAge Duration  `json:"dataAge,omitempty"`
	Steps   []string  `json:"steps"`
	Checks  []Finding `json:"checks"`
	// NotCovered lists what the restore leaves to be done by hand on the target.
	NotCovered []string `json:"notCovered,omitempty"`
	// NextSteps is what a person has to do when it has succeeded.
	NextSteps []string  `json:"nextSteps,omitempty"`
	MadeAt    time.Time `json:"madeAt"`
	// TargetActive: what is overwritten serves production, and whoever approves the plan knows it.
	TargetActive bool `json:"targetActive,omitempty"`
	// Final tells whether a last backup of Source is tried, or why not.
	Final FinalPlan `json:"finalBackup,omitzero"`
}

// FinalPlan is what a plan says of the last backup of the source.
type FinalPlan struct {
	Use bool   `json:"use"`
	Why string `json:"why,omitempty"` // not
}

// Grade is what a check came to.
type Grade string

// The grades. Unknown never blocks: what cannot be looked at in the middle of an outage must not stop the recovery from it.
const (
	Pass   Grade = "pass"
	Fail   Grade = "fail"
	Warn   Grade = "warn"
	Unseen Grade = "unknown"
)

// Finding is what one check found.
type Finding struct {
	Name       string `json:"name"`
	Result     Grade  `json:"result"`
	Detail     string `json:"detail,omitempty"`
	Overridden bool   `json:"overridden,omitempty"` // it fails, and the caller has said that it may
}

// String is the finding in one line.
func (c Finding) String() string { return c.Name + ": " + c.Detail }

// Failing lists the checks that stand in the way.
func (p Plan) Failing() []Finding {
	return slices.DeleteFunc(slices.Clone(p.Checks), func(c Finding) bool { return c.Result != Fail || c.Overridden })
}

// Sees tells whether the instance that is overwritten was seen: what could not be looked at stops nothing, but another one is better.
func (p Plan) Sees() bool {
	return slices.ContainsFunc(p.Checks, func(c Finding) bool { return c.Name == "target" && c.Result == Pass })
}

// Refusal is the reason why the plan cannot be carried out, with all findings; nil: it can. Code is the first failing check's.
func (p Plan) Refusal() *Error {
	failing := p.Failing()
	if len(failing) == 0 {
		return nil
	}
	lines := make([]string, len(failing))
	for i, c := range failing {
		lines[i] = c.Detail
	}
	code := checkCodes[failing[0].Name]
	return Failure(code, strings.Join(lines, "\n"))
}

// Unlike is the reason why a plan made again is not what was approved, though its checks pass: the instance has become the active one of a pair
// meanwhile. nil: it is like it, or nobody has approved one.
func (p Plan) Unlike(approved *Plan) *Error {
	if approved == nil {
		return nil
	}
	if p.TargetActive && !approved.TargetActive {
		return Failure(checkCodes["active"], fmt.Sprintf("%s has become the active instance: it serves production", p.Target.Name))
	}
	return nil
}

// brief is the plan without what is long and stands in the recovery point's own record.
func (p Plan) brief() *Plan {
	if p.Point != nil {
		point := p.Point.withoutSettings()
		p.Point = &point
	}
	return &p
}

// Facts is what was found out for a plan. An Answer without a verdict was not asked for.
type Facts struct {
	APIVersion string
	Target     Answer // of reading the instance that is overwritten
	Source     Answer // of reading the one whose data they are
	Deleted    Known  // Target is not there, but was soft-deleted and can be brought back
	Group      Answer // Service.Region is that of Target's resource group
	Workspaces int    // of Target; -1: not known
	Point      *RecoveryPoint
	Container  Known
	Blob       BlobView
	BlobError  string // why Blob could not be looked at
	Access     Access
	Pairs      []Pair   // those that Source or Target is one of
	Unread     []string // names of pairs around Source and Target that could not be read
	Holder     string   // operation that has Target's lock; "": none that is known
	Self       string   // the operation that the plan is made for again; "": it is made for the first time
}

// Known is an answer to a yes or no question.
type Known string

// The answers.
const (
	Yes      Known = "yes"
	Not      Known = "no"
	NotKnown Known = "unknown" // could not be found out; so is ""
)

// Access is how API Management reaches the storage of a recovery point.
type Access struct {
	Mode     string // systemAssigned, userAssigned, storageKey; "": the account is not one of the fleet's
	ClientID string // userAssigned
	Missing  string // storageKey: the environment variable that should hold the key and does not
}

// MakePlan decides, from what was asked for and what was found out, what is to be done and what stands in its way.
func MakePlan(i Intent, f Facts, now time.Time) Plan {
	p := Plan{Kind: i.Kind, Source: i.Source, Target: i.Target, Point: f.Point, MadeAt: now}
	if f.Point != nil {
		p.DataAge = Duration(max(now.Sub(f.Point.CreatedAt), 0).Round(time.Second))
	}
	for _, check := range checks {
		c := check.look(i, f, now)
		if c.Result == "" {
			continue // does not concern this plan
		}
		c.Name = check.name
		c.Overridden = c.Result == Fail && slices.Contains(i.Overrides, c.Name)
		p.Checks = append(p.Checks, c)
	}
	p.Steps = steps(i, f)
	p.Final.Use, p.Final.Why = i.final(f)
	p.TargetActive = slices.ContainsFunc(f.Pairs, func(pair Pair) bool { return f.serves(i, pair) })
	from, to := f.settingsOfSource(i), f.Target.Service.Settings
	if f.Target.Verdict == OK && f.Point != nil {
		p.NotCovered = NotCovered(from, to)
	}
	if i.Kind == KindFailover {
		p.NextSteps = nextSteps(i, f, from, to)
	}
	return *p.brief()
}

// settingsOfSource are those that the recovery point kept of the source; where it has none, or is another instance's, the source's present ones.
func (f Facts) settingsOfSource(i Intent) *Settings {
	if f.ofSource(i) && f.Point.Settings != nil {
		return f.Point.Settings
	}
	return f.Source.Service.Settings
}

// ofSource tells whether the recovery point was taken of the source, which may as well have been restored to another instance's.
func (f Facts) ofSource(i Intent) bool { return f.Point != nil && i.Source.Is(f.Point.Service) }

func steps(i Intent, f Facts) []string {
	var list []string
	point := "a recovery point"
	if f.Point != nil {
		point = fmt.Sprintf("recovery point %s of %s", f.Point.ID, f.Point.CreatedAt.UTC().Format(time.RFC3339))
	}
	wait := time.Duration(i.MaxWait)
	if i.Kind == KindFailover {
		list = append(list, fmt.Sprintf("stop warm syncs of the pair %s", PairName(i.Source.Name, i.Target.Name)))
	}
	if use, _ := i.final(f); use {
		list = append(list, fmt.Sprintf("back %s up once more, for at most %s", i.Source.Name, wait))
		if i.Final == FinalAuto {
			point = "that backup or, if it does not succeed, " + point
		} else {
			point = "that backup"
		}
	}
	if i.Safety {
		list = append(list, fmt.Sprintf("back %s up, for at most %s, so that this can be undone", i.Target.Name, wait))
	}
	list = append(list, fmt.Sprintf("restore %s into %s, which is overwritten", point, i.Target.Name),
		fmt.Sprintf("wait until %s is Succeeded, and ask its gateways", i.Target.Name))
	if i.Kind == KindFailover {
		list = append(list, fmt.Sprintf("record %s as the active instance", i.Target.Name))
	}
	return list
}

// of tells whether a pair is that of source and target.
func (i Intent) of(p Pair) bool { return p.Name == PairName(i.Source.Name, i.Target.Name) }

// final tells whether a last backup of the source is tried, or why not.
func (i Intent) final(f Facts) (use bool, why string) {
	switch {
	case i.Final != FinalAuto && i.Final != FinalRequire:
		return false, ""
	case f.Source.Verdict != OK:
		return i.Final == FinalRequire, fmt.Sprintf("%s does not answer (%s)", i.Source.Name, f.Source.Why())
	}
	return true, ""
}

// nextSteps tells which name has to point where.
func nextSteps(i Intent, f Facts, from, to *Settings) []string {
	gateway := "the gateway of " + i.Target.Name
	if to != nil && to.GatewayURL != "" {
		gateway = strings.TrimPrefix(strings.TrimPrefix(to.GatewayURL, "https://"), "http://")
	}
	var list []string
	for _, h := range from.custom() {
		text := fmt.Sprintf("point the DNS name %s (%s) at %s", h.Name, h.Type, gateway)
		if !slices.ContainsFunc(to.custom(), func(o HostName) bool { return strings.EqualFold(o.Name, h.Name) }) {
			text = fmt.Sprintf("add the hostname %s with its certificate to %s, then %s", h.Name, i.Target.Name, text)
		}
		list = append(list, text)
	}
	back := slices.ContainsFunc(f.Pairs, func(p Pair) bool { return i.of(p) && i.Target.Is(p.Home) })
	if len(list) == 0 && back {
		for _, h := range to.custom() { // clients knew the target by it before
			list = append(list, fmt.Sprintf("point the DNS name %s (%s) at %s again", h.Name, h.Type, gateway))
		}
	}
	if len(list) == 0 {
		list = append(list, fmt.Sprintf("send clients, or the traffic manager before them, to %s instead of %s: no custom hostname of %[2]s is known", gateway, i.Source.Name))
	}
	list = append(list, fmt.Sprintf("check the backends, Key Vault references and certificates that %s uses: a restore does not bring its identity or network", i.Target.Name))
	if back {
		return append(list, fmt.Sprintf("%s is the standby again: keep changes out of it; a warm one follows from the next good backup of %s on", i.Source.Name, i.Target.Name))
	}
	return append(list, fmt.Sprintf("keep changes out of %s: it is no longer the active instance", i.Source.Name),
		fmt.Sprintf("when %s is well again, fail back: POST /api/failovers {\"primary\":%q,\"target\":%q,\"confirm\":%[3]q,\"finalBackup\":\"require\"}", i.Source.Name, i.Target.Name, i.Source.Name))
}
