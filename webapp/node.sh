# Sourced with BIN set: `have_node` puts a Node that can build the app on PATH, and its packages in
# place. The machine's own where it is new enough (Vite's floor), else that of PyPI in BIN.

node_will_do() {
    command -v npm >/dev/null && node -e '
        const [major, minor] = process.versions.node.split(".").map(Number);
        process.exit(major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1);
    ' 2>/dev/null
}

have_node() {
    local here
    here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
    BIN="$(cd "$BIN" && pwd)"
    if ! node_will_do; then
        PATH="$BIN:$PATH"
        if ! node_will_do; then
            echo "No Node 20.19, 22.12 or newer on this machine; installing it into $BIN/.."
            "$BIN/python" -m pip --quiet --disable-pip-version-check install \
                --constraint "$here/../constraints.txt" --requirement "$here/../requirements-web.txt" || return 1
            hash -r
            node_will_do || return 1
        fi
    fi
    local held="$here/node_modules/.package-lock.json"
    if [[ ! -e "$held" || "$here/package-lock.json" -nt "$held" ]]; then
        echo "Installing what builds the web app"
        # A registry that cannot be reached is given up after seconds, not after a minute and a half.
        (cd "$here" && npm ci --no-progress --loglevel=error --prefer-offline \
            --fetch-retries=1 --fetch-retry-mintimeout=500 --fetch-retry-maxtimeout=1000 --fetch-timeout=30000) || return 1
        touch "$held"
    fi
}
