#!/usr/bin/env bash
# build.sh BIN [unless-it-failed]: build the web app into sfm/web. When it cannot be built, the reason is
# left there, where the relay finds it; unless-it-failed does not try again then, until a source changes.
set -uo pipefail
cd "$(dirname "$0")/.."
BIN="$1"
source webapp/node.sh

REASON=sfm/web/no-build.txt
if [[ "${2:-}" = unless-it-failed && -e "$REASON" ]] &&
    [[ -z "$(find webapp -name node_modules -prune -o -type f -newer "$REASON" -print -quit)" ]]; then
    echo "The web app is not built: $(cat "$REASON") 'make web' tries again." >&2
    exit 1
fi

say_why_not() {
    mkdir -p sfm/web
    echo "$1" | tee "$REASON" >&2
    exit 1
}

have_node || say_why_not "Node 20.19, 22.12 or newer, or its packages, could not be had when it was to be built."
echo "Building the web app"
(cd webapp && npm run --silent build -- --logLevel warn) || say_why_not "Its build failed; make web says how."
rm -f "$REASON"
