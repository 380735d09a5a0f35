#!/usr/bin/env bash
# Builds posgate for routers: `deploy/build.sh [ARCH…]`, each ARCH a Rust target, its first word (mipsel, mips, armv7,
# arm, aarch64, x86_64) or an OpenWrt architecture of deploy/targets; none given: all. Needs neither Docker nor a cross
# compiler: zig from PyPI links, and Rust's standard library is built from source, optimized for size; deploy/lib.sh says where
# that comes from. The binaries are dist/posgate-<rust target>; each passes deploy/elf.sh and the size gate below.
# May be run again at any time: caches are in target/cross.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
# shellcheck source=deploy/lib.sh
. deploy/lib.sh
help_or_go "$@"

# Bytes that a router's flash may be asked for: the binary, and what is left of it in a compressed file system (gzip says a
# quarter more than the xz of OpenWrt's squashfs). A gate against growth that nobody meant: raise it knowingly.
stripped_max=$((1660 * 1024))
gzipped_max=$((870 * 1024))

choose "$@"
need readelf binutils
use_zig
use_rust

# The same commit gives the same bytes, wherever it is built: a date from the commit, no paths of this machine.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s); fi
# The program knows the day alone, and the next commit of that day is no reason to build all of it again.
export SOURCE_DATE_EPOCH=$((SOURCE_DATE_EPOCH / 86400 * 86400))
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
# A panic prints its message and place and aborts: nothing unwinds.
export POSGATE_ZIG_UNWINDER=$PWD/deploy/no-unwind.c
# Of the code generator's habits two cost 6 % on MIPS: it takes constants out of loops only to spill them, and it leaves the
# ends of large functions as they are, though many are alike.
export RUSTFLAGS="$static_flags -C force-unwind-tables=no -C llvm-args=-disable-machine-licm -C llvm-args=-tail-merge-threshold=1000 \
--remap-path-prefix=$PWD=. --remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rust --remap-path-prefix=$registry=/crates \
--remap-path-prefix=$work/gbk-only=/crates"

# Of encoding_rs only the tables of GBK and GB18030.
crate=$("${cargo[@]}" metadata --format-version 1 --locked |
    python3 -c 'import json, sys; print(*(it["manifest_path"] for it in json.load(sys.stdin)["packages"] if it["name"] == "encoding_rs"))')
python3 deploy/gbk-only.py "$crate" "$work/gbk-only/encoding_rs"

# One cargo for all: linking one target takes a core minutes, so the other cores take other targets.
echo "--- ${targets[*]}"
link_for "${targets[@]}"
"${cargo[@]}" build --quiet --locked --config "paths=[\"$work/gbk-only/encoding_rs\"]" --profile router --no-default-features "${targets[@]/#/--target=}" --bin posgate \
    --target-dir "$work/build" -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size
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
