#!/usr/bin/env bash
# build.sh BIN: build the web app into sfm/web. When it cannot be built, the reason is left there,
# where the relay finds it.
set -uo pipefail
cd "$(dirname "$0")/.."
BIN="$1"
source webapp/node.sh

say_why_not() {
    mkdir -p sfm/web
    echo "$1" | tee sfm/web/no-build.txt >&2
    exit 1
}

have_node || say_why_not "Node 20.19, 22.12 or newer, or its packages, could not be had when it was to be built."
echo "Building the web app"
(cd webapp && npm run --silent build -- --logLevel warn) || say_why_not "Its build failed; make web says how."
rm -f sfm/web/no-build.txt
