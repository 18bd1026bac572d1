#!/usr/bin/env bash
# check.sh BIN: hold the web app's types against the API's own page, and its code against its types.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN="$1"
source webapp/node.sh
if ! have_node; then
    echo "Skipped: the web app's types (no Node, or not its packages)"
    exit "${TEST_REQUIRE_PEERS:-0}"
fi
fresh="$(mktemp --directory)"
trap 'rm -rf "$fresh"' EXIT
webapp/types.sh "$BIN" "$fresh"
for made in schema.d.ts settings.ts; do
    if ! diff -u "webapp/src/api/$made" "$fresh/$made"; then
        echo "webapp/src/api/$made is not what the API says of itself; make types, and look at what changed"
        exit 1
    fi
done
(cd webapp && npm run --silent check)
