#!/usr/bin/env bash
# types.sh BIN FOLDER: write what the API says of itself into FOLDER: its types, and what its settings may be.
set -euo pipefail
out="$(realpath "$2")"
cd "$(dirname "$0")"
BIN="../$1"
[[ "$1" = /* ]] && BIN="$1"
source ./node.sh
have_node
page="$(mktemp --suffix .json)"
trap 'rm -f "$page"' EXIT
(cd .. && SFM_DATABASE_URL=none "$BIN/python" -c '
import orjson, sys
from sfm.api.app import build_app
sys.stdout.buffer.write(orjson.dumps(build_app().openapi()))
') >"$page"
npx --no-install openapi-typescript "$page" --output "$out/schema.d.ts" >/dev/null
node settings.mjs "$page" >"$out/settings.ts"
