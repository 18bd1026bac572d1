#!/usr/bin/env bash
# packages.sh BIN: install the packages that build and test the web app. Where its build just failed
# they are not asked for a second time: `make web` tries again.
set -uo pipefail
cd "$(dirname "$0")/.."
BIN="$1"
source webapp/node.sh
[[ ! -e sfm/web/no-build.txt ]] && have_node
