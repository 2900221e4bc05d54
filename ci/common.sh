# Shared by the scripts of this folder; sourced from the workspace root.

# binary PROFILE: where that build of dbmsim lies.
binary() {
    printf '%s/%s/dbmsim' "${CARGO_TARGET_DIR:-target}" "$1"
}

# need FILE: stops when a build is missing.
need() {
    if [ ! -x "$1" ]; then
        printf '%s: no such program; build it first\n' "$1" >&2
        exit 1
    fi
}
