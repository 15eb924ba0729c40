package cli

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"apim-dr/internal/dr"
)

// quote makes one word of a text, whatever is in it, for sh.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// body is the word for a request's body. The value of the variable is put in by the shell: a key is base64 and needs no escape in JSON.
func (r Request) body() string {
	word := quote(r.Body)
	if r.Variable != "" {
		word = strings.ReplaceAll(word, `"$`+r.Variable+`"`, `"'"$`+r.Variable+`"'"`)
	}
	return word
}

// comment writes text as comment lines, whatever is in it.
func comment(b *strings.Builder, text string) {
	for line := range strings.Lines(clean(text)) {
		fmt.Fprintf(b, "# %s\n", strings.TrimSpace(line))
	}
}

// printCommands prints the restore as shell lines. They need no plan to pass: what was found stands there as comments.
func (f *failover) printCommands(ctx context.Context, setup Setup) error {
	e := setup.Engine
	var notes strings.Builder
	if err := setup.Login(ctx); err != nil {
		comment(&notes, "not looked at: "+err.Error())
	}
	storages := e.Fleet.Backups(f.primary)
	for _, got := range read(ctx, e, storages, e.Fleet.Around(f.primary)...) {
		if got.err != nil {
			comment(&notes, fmt.Sprintf("%s/%s was not read, so that a newer recovery point may be there: %v", got.storage.Account, got.storage.Container, got.err))
		}
	}
	r := f.request()
	r.DryRun = true
	answer, err := e.Recover(ctx, r)
	if err != nil {
		return err
	}
	plan := answer.Plan
	leg := dr.Leg{Verb: dr.VerbRestore, Service: plan.Target.Name, ResourceID: plan.Target.ResourceID, Storage: storages[0]}
	point := f.point
	switch {
	case plan.Point != nil:
		leg.Storage, point = plan.Point.Storage, plan.Point.ID
	case !dr.ValidPointID(f.point):
		where := storages[0]
		return end(Refused, "%sNo recovery point of %s is known. Choose one and pass its id with --recovery-point:\n"+
			"az storage blob list --auth-mode login --account-name %s --container-name %s --query \"[?ends_with(name,'.apimdr.json')].name\" --output tsv",
			notes.String(), f.primary, where.Account, where.Container)
	}
	request, failure := setup.Request(leg, point)
	if failure != nil {
		return end(Usage, "%s", failure)
	}
	if plan.Point == nil {
		comment(&notes, "recovery point "+point+" was not seen: its id is taken as it was given")
	}
	return f.script(plan, request, notes.String())
}

func (f *failover) script(plan dr.Plan, r Request, notes string) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("#!/bin/sh")
	comment(&b, title(plan))
	b.WriteString(notes)
	for _, c := range plan.Checks {
		if c.Result != dr.Pass {
			comment(&b, fmt.Sprintf("%s %s: %s", grade(c), c.Name, c.Detail))
		}
	}
	line("set -eu")
	line("\n# 1. Your own login, in the cloud of %s (az cloud set).", host(r.URL))
	line("az account show --output none || az login")
	if r.Variable != "" {
		line(`: "${%s:?set it to the key of the storage account}"`, r.Variable)
	}
	line("\n# 2. This overwrites %s.", plan.Target.Name)
	line("az rest --method post --url %s --headers 'Content-Type=application/json' --body %s", quote(r.URL), r.body())
	line("\n# 3. ARM works for a quarter of an hour and longer. Its Location would tell how it ends, but az rest shows that only with --verbose, which shows the")
	line("# body as well, and the key in it. So the instance is watched; the activity log then says whether the restore succeeded.")
	id := quote(plan.Target.ResourceID)
	line("while sleep 60; do")
	line("  state=$(az apim show --ids %s --query provisioningState --output tsv)", id)
	line(`  echo "$state"`)
	line(`  case $state in Succeeded | Failed) break ;; esac`)
	line("done")
	line(`az monitor activity-log list --resource-id %s --offset 6h --query "[?contains(operationName.value, 'restore')].[eventTimestamp, status.value]" --output table`, id)
	line("\n# 4. Does the gateway answer? It should say 200.")
	line("gateway=$(az apim show --ids %s --query gatewayUrl --output tsv)", id)
	line(`curl --silent --show-error --max-time 10 --output /dev/null --write-out '%%{http_code}\n' "$gateway/status-0123456789abcdef"`)
	line("\n# 5. What is left to do:")
	for _, step := range plan.NextSteps {
		comment(&b, "- "+step)
	}
	comment(&b, fmt.Sprintf("- the roles are not recorded by these lines: before the stamp's timers run again, POST /api/services/%s/rearm {\"active\":%q,\"suspended\":true}", plan.Source.Name, plan.Target.Name))
	_, err := fmt.Fprint(f.Out, b.String())
	return err
}

func host(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	return u.Host
}
