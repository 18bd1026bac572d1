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
        (cd "$here" && npm ci --no-progress --loglevel=error) || return 1
        touch "$held"
    fi
}
