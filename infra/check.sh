#!/usr/bin/env bash
# Formats, compiles and lints a copy of the template with $BICEP, and compares it with what was committed: the files themselves, main.json, and what the
# parameter files make of it (snapshots). UPDATE=1 takes over what differs.
set -euo pipefail
BICEP=${BICEP:-bicep}
case $BICEP in
/*) ;;
*/*) if [ -f "$PWD/$BICEP" ]; then BICEP=$PWD/$BICEP; fi ;; # it is called from other folders
esac
cd "$(dirname "$0")"
if ! command -v "$BICEP" >/dev/null; then
  echo "make lint-infra: NOT CHECKED, no command '$BICEP': install Bicep (https://aka.ms/bicep-install), or name it: make lint-infra BICEP=/path/to/bicep" >&2
  [ "${BICEP_REQUIRED:-}" != 1 ]
  exit
fi
here=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r . "$copy"
cd "$copy"
bad=0
complain() {
  echo "make lint-infra: $*" >&2
  bad=1
}

"$BICEP" format --pattern '**/*.bicep'
"$BICEP" format --pattern '**/*.bicepparam'
linted=0
"$BICEP" lint --pattern '**/*.bicep' >lint 2>&1 || linted=$?
if grep -E ' : (Warning|Error) ' lint | sort -u; then
  complain 'a warning counts as an error'
elif [ $linted != 0 ]; then
  complain "$BICEP lint ended with $linted: $(cat lint)"
fi
[ $bad = 0 ] || exit 1

where='--subscription-id 00000000-0000-0000-0000-000000000001 --tenant-id 00000000-0000-0000-0000-000000000009 --location northeurope'
"$BICEP" build main.bicep
sorted='const fs = require("fs"), f = process.argv[1], by = v => v && typeof v === "object" && !Array.isArray(v) ? Object.fromEntries(Object.keys(v).sort().map(k => [k, v[k]])) : v
fs.writeFileSync(f, JSON.stringify(JSON.parse(fs.readFileSync(f)), (_, v) => by(v), 1) + "\n")'
for file in main testdata/everything; do
  "$BICEP" snapshot "$file.bicepparam" --mode overwrite $where
  node -e "$sorted" "$file.snapshot.json" # the order of outputs differs from run to run
done
made='main.json main.snapshot.json testdata/everything.snapshot.json'
version() { grep -m1 -o '"version": "[0-9.]*"' "$1"; }
if [ "${UPDATE:-}" != 1 ] && [ "$(version main.json)" != "$(version "$here/main.json")" ]; then
  echo "make lint-infra: NOT COMPARED with main.json and the snapshots, which another version of Bicep has made: $(version "$here/main.json")" >&2
  made=
fi
for file in $(find . -name '*.bicep' -o -name '*.bicepparam') $made; do
  if cmp -s "$file" "$here/$file"; then
    continue
  elif [ "${UPDATE:-}" = 1 ]; then
    cp "$file" "$here/$file"
  else
    { diff -u "$here/$file" "$file" || true; } | grep -v templateHash | cut -c1-200 | head -20
    complain "infra/$file is not formatted, or not what the template makes: make lint-infra UPDATE=1"
  fi
done

while read -r file reason; do
  if "$BICEP" snapshot "testdata/$file.bicepparam" --mode overwrite $where >said 2>&1; then
    complain "infra/testdata/$file.bicepparam is not refused"
  elif ! grep -qF "$reason" said; then
    complain "infra/testdata/$file.bicepparam is refused, but not with '$reason': $(cat said)"
  fi
done <<'REFUSED'
alarm-in-the-stamp monitoringRegion is the region of a stamp
topic-without-group changeSources: a subscription needs resourceGroup
topic-without-region changeSources: an instance needs region
topic-without-stamp changeSources: no stamp has the name we
entra-without-application auth: entra needs entraClientId
REFUSED

[ $bad = 0 ] && echo 'make lint-infra: the template compiles without a warning; main.json and the snapshots are what it makes'
exit $bad
