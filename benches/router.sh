#!/usr/bin/env bash
# Measures MIPS instructions per sale in user space: a router's processor executes these, and the count is the same on every
# machine.
#
#   benches/router.sh [BINARY…]       prints figures of deploy/build.sh's binaries; default: dist/posgate-mipsel-unknown-linux-musl
#   benches/router.sh --max N         also fails if the first binary needs more than N
#
# The whole binary runs in qemu-user with a plugin that counts (benches/qemu-count.c). One terminal pays, waits for 001 and 008,
# and confirms with 109. Two runs of different length are measured; the difference in instructions is divided by the difference in
# sales, so the start does not count. Needs qemu-user (Debian's qemu-user-static takes no plugins) and a C compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
# shellcheck source=deploy/lib.sh
. deploy/lib.sh
help_or_go "$@"

max=
if [ "${1:-}" = --max ]; then
    max=$2
    shift 2
fi
[ $# -gt 0 ] || set -- dist/posgate-mipsel-unknown-linux-musl
need cc gcc
need qemu-mipsel qemu-user

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Builds the plugin with the first interface version that the emulator accepts.
plugin() {
    local version
    for version in 1 2 3 4 5 6; do
        cc -O2 -Wall -Wextra -shared -fPIC "-DPOSGATE_PLUGIN_API=$version" -o "$scratch/count.so" benches/qemu-count.c
        if qemu-mipsel -cpu 24Kc -plugin "$scratch/count.so,out=$scratch/count" "$1" --version >/dev/null 2>&1; then return; fi
    done
    fail "this qemu-mipsel does not load the plugin: qemu-mipsel -plugin $scratch/count.so $1 --version"
}

# run BINARY SALES: sets instructions, counted from the start to the clean end.
run() {
    python3 benches/terminal.py "$2" "$scratch/site" qemu-mipsel -cpu 24Kc -plugin "$scratch/count.so,out=$scratch/count" "$1"
    instructions=$(<"$scratch/count")
}

first=
for binary in "$@"; do
    [ -e "$binary" ] || fail "no $binary: deploy/build.sh mipsel makes it"
    plugin "$binary"
    run "$binary" 200
    short=$instructions
    run "$binary" 1200
    sale=$(((instructions - short) / 1000))
    printf '%s: %d instructions a sale, %d bytes\n' "$binary" "$sale" "$(stat -c %s "$binary")"
    first=${first:-$sale}
done
if [ -n "$max" ] && [ "$first" -gt "$max" ]; then fail "$first instructions a sale: the most that is meant is $max"; fi
