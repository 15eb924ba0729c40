#!/usr/bin/env bash
# Deploys the package to one Function App (RG, NAME) or to all of a deployment (DEPLOYMENT, or APPS as azd hands them on), with the first of these tools
# that is there, or the one that TOOL names: az, func, azd. docs/deploy.md says why in this order.
set -euo pipefail
cd "$(dirname "$0")/.."
ZIP=${ZIP:-dist/apim-dr.zip}
die() {
  echo "make deploy: $*" >&2
  exit 1
}
[ -f "$ZIP" ] || die "$ZIP is not there; run make package, or name a package: make deploy ZIP=FILE"

if [ -z "${TOOL:-}" ]; then
  for tool in az func azd; do
    if command -v "$tool" >/dev/null; then TOOL=$tool && break; fi
  done
fi
[ -n "${TOOL:-}" ] || die 'none of az, func and azd is installed: https://aka.ms/azure-cli, https://aka.ms/functions-core-tools, https://aka.ms/azd'
command -v "$TOOL" >/dev/null || die "TOOL=$TOOL is not installed"

# Lines of: resource group, Function App.
targets() {
  if [ -n "${NAME:-}" ] && [ -n "${RG:-}" ]; then
    printf '%s\t%s\n' "$RG" "$NAME"
  elif [ -n "${APPS:-}" ]; then
    node -e 'for (const a of JSON.parse(process.argv[1])) console.log(a.resourceGroup + "\t" + a.name)' "$APPS"
  elif [ -n "${DEPLOYMENT:-}" ]; then
    command -v az >/dev/null || die 'DEPLOYMENT needs az, which reads the outputs of the deployment'
    az deployment sub show --name "$DEPLOYMENT" --query 'properties.outputs.apps.value[].[resourceGroup, name]' --output tsv
  else
    die 'which Function App? make deploy RG=GROUP NAME=NAME, or make deploy DEPLOYMENT=NAME for all of an infrastructure deployment'
  fi
}

list=$(targets)
[ -n "$list" ] || die "the deployment ${DEPLOYMENT:-} has no Function Apps among its outputs (apps)"
# azd takes no name: it deploys to the one app of its environment.
[ "$TOOL" != azd ] || [ "$(wc -l <<<"$list")" = 1 ] || die 'azd deploys one app, and there is more than one; TOOL=az or TOOL=func'
while IFS=$'\t' read -r group app; do
  echo "make deploy: $ZIP to $app in $group, with $TOOL"
  case $TOOL in
  az) az functionapp deployment source config-zip --resource-group "$group" --name "$app" --src "$ZIP" </dev/null ;;
  func | azd)
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    go run ./internal/build/stagezip -unpack "$ZIP" "$folder"
    if [ "$TOOL" = func ]; then
      (cd "$folder" && func azure functionapp publish "$app" --custom </dev/null)
    else
      rm -rf dist/package && cp -r "$folder" dist/package # where azure.yaml looks
      azd deploy app --no-prompt </dev/null
    fi
    rm -rf "$folder"
    ;;
  *) die "TOOL=$TOOL; accepted: az, func, azd" ;;
  esac
done <<<"$list"
