#!/usr/bin/env bash
# Builds posgate for routers: `deploy/build.sh [ARCH…]`. Each ARCH is a Rust target, its first word (mipsel, mips, armv7, arm,
# aarch64, x86_64) or an OpenWrt architecture of deploy/targets; default: all. Needs neither Docker nor a cross compiler: zig from
# PyPI links, and Rust's standard library is built from source, optimized for size; deploy/lib.sh names the source. The binaries
# are dist/posgate-<rust target>; each passes deploy/elf.sh and the size gate below. The script may be repeated at any time: its
# caches are in target/cross.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
# shellcheck source=deploy/lib.sh
. deploy/lib.sh
help_or_go "$@"

# Limits of a binary's size in bytes: stripped, and compressed as in a router's flash (gzip gives a quarter more than the xz of
# OpenWrt's squashfs). A gate against unintended growth: raise it only on purpose.
stripped_max=$((1900 * 1024))
gzipped_max=$((920 * 1024))

choose "$@"
need readelf binutils
use_zig
use_rust

# The same commit gives the same bytes on every machine: the date is the commit's, and no path of this machine is embedded.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s); fi
# The program embeds only the day, so another commit of the same day does not cause a full build.
export SOURCE_DATE_EPOCH=$((SOURCE_DATE_EPOCH / 86400 * 86400))
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
# A panic prints its message and place, and aborts: there is no unwinding.
export POSGATE_ZIG_UNWINDER=$PWD/deploy/stand-ins.c
# Two defaults of the code generator cost 6 % on MIPS: it moves constants out of loops and then spills them, and it does not merge
# the similar ends of large functions.
export RUSTFLAGS="$static_flags -C force-unwind-tables=no -C llvm-args=-disable-machine-licm -C llvm-args=-tail-merge-threshold=1000 \
--remap-path-prefix=$PWD=. --remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rust --remap-path-prefix=$registry=/crates \
--remap-path-prefix=$work/trimmed=/crates"

# encoding_rs and crc32fast without their large tables.
"${cargo[@]}" metadata --format-version 1 --locked | python3 deploy/trim-crates.py "$work/trimmed"

# One cargo builds all targets: linking a target keeps one core busy for a minute, and the others build other targets.
echo "--- ${targets[*]}"
link_for "${targets[@]}"
"${cargo[@]}" build --quiet --locked --config "paths=[\"$work/trimmed/encoding_rs\", \"$work/trimmed/crc32fast\"]" \
    --profile router --no-default-features "${targets[@]/#/--target=}" --bin posgate --target-dir "$work/build" \
    -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size
mkdir -p dist
for target in "${targets[@]}"; do
    cp "$work/build/$target/router/posgate" "dist/.posgate-$target"
    python3 deploy/trim.py "dist/.posgate-$target"
    mv "dist/.posgate-$target" "dist/posgate-$target"
done

# --- gates -----------------------------------------------------------------------------------------------------------
wrong=
printf '\n%-46s %9s %9s  %s\n' binary stripped gzipped elf
for target in "${targets[@]}"; do
    binary=dist/posgate-$target
    elf=$(sh deploy/elf.sh "$binary" "$(column "$target" 7)") || wrong=elf
    stripped=$(stat -c %s "$binary")
    gzipped=$(gzip -9nc "$binary" | wc -c)
    printf '%-46s %9s %9s  %s\n' "$binary" "$stripped" "$gzipped" "$elf"
    if [ "$stripped" -gt "$stripped_max" ] || [ "$gzipped" -gt "$gzipped_max" ]; then
        echo "build.sh: $binary is larger than $stripped_max bytes, or $gzipped_max compressed" >&2
        wrong=size
    fi
done
sha256sum "${targets[@]/#/dist/posgate-}"
[ -z "$wrong" ] || fail "a gate did not pass"
