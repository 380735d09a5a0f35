#!/usr/bin/env bash
# Builds posgate for routers: `deploy/build.sh [ARCH…]`, each ARCH a Rust target, its first word (mipsel, mips, armv7,
# arm, aarch64, x86_64) or an OpenWrt architecture of deploy/targets; none given: all. Needs neither Docker nor a cross
# compiler: zig from PyPI links, and Rust's standard library is built from source, optimized for size. The binaries are
# dist/posgate-<rust target>; each passes deploy/elf.sh and the size gate below. May be run again at any time: caches
# are in target/cross.
#
# The source of the standard library comes from, in this order:
#   1. the rust-src component of the Rust in use        (rustup component add rust-src)
#   2. the rust-src component of rustup's nightly       (rustup component add rust-src --toolchain nightly)
#   3. Debian's packages rustc-web, cargo-web and rust-web-src, which are installed when there is apt-get.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never LC_ALL=C

# Of the versions tried, 0.15.2 brings musl as it is; 0.17.1 has an allocator of its own in its place.
zig_version=0.15.2

# Bytes that a router's flash may be asked for: the binary, and what is left of it in a compressed file system.
stripped_max=$((512 * 1024))
gzipped_max=$((260 * 1024))

work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/cross
mkdir -p "$work" dist

fail() {
    echo "build: $1" >&2
    exit 1
}

# install PACKAGE…: Debian's packages, as root or by sudo.
install() {
    command -v apt-get >/dev/null || fail "needs $*: install what your system calls them"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# rows: the table without comments, one target a line.
rows() { grep -Ev '^[[:space:]]*(#|$)' deploy/targets; }

# chosen ARCH: the Rust target it means.
chosen() {
    rows | awk -v arch="$1" '
        $1 == arch || index($1, arch "-") == 1 { print $1; exit }
        { count = split($2, names, ","); for (i = 1; i <= count; i++) if (names[i] == arch) { print $1; exit } }'
}

targets=()
for arch in "$@"; do
    case $arch in
    -h | --help)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
        exit
        ;;
    esac
    target=$(chosen "$arch")
    [ -n "$target" ] || fail "$arch is neither a Rust target nor an OpenWrt architecture of deploy/targets"
    targets+=("$target")
done
if [ ${#targets[@]} -eq 0 ]; then mapfile -t targets < <(rows | awk '{ print $1 }'); fi

# --- zig -----------------------------------------------------------------------------------------------------------
command -v readelf >/dev/null || install binutils
if [ -n "${POSGATE_ZIG:-}" ]; then
    echo "zig: $POSGATE_ZIG"
elif [ "$("$work/zig/bin/python" -m ziglang version 2>/dev/null)" = "$zig_version" ]; then
    POSGATE_ZIG="$work/zig/bin/python -m ziglang"
else
    python3 -c 'import venv, ensurepip' 2>/dev/null || install python3 python3-venv
    rm -rf "$work/zig"
    python3 -m venv "$work/zig"
    "$work/zig/bin/pip" install -q --disable-pip-version-check "ziglang==$zig_version"
    POSGATE_ZIG="$work/zig/bin/python -m ziglang"
fi
export POSGATE_ZIG POSGATE_ZIG_UNWINDER=$PWD/deploy/no-unwind.c
export ZIG_GLOBAL_CACHE_DIR=$work/zig-cache ZIG_LOCAL_CACHE_DIR=$work/zig-cache

# --- Rust with the source of its standard library ---------------------------------------------------------------------
# has_source RUSTC…: whether that compiler finds the source of its own standard library.
has_source() { [ -e "$("$@" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/Cargo.lock" ]; }

if has_source rustc; then
    rust=(rustc) cargo=(cargo)
elif command -v rustup >/dev/null && has_source rustc +nightly; then
    rust=(rustc +nightly) cargo=(cargo +nightly)
else
    if ! has_source /usr/bin/rustc; then install rustc-web cargo-web rust-web-src; fi
    has_source /usr/bin/rustc || fail "no source of Rust's standard library: rustup component add rust-src --toolchain nightly"
    # A rustup in PATH must not stand in for the compiler whose source this is.
    rust=(/usr/bin/rustc) cargo=(/usr/bin/cargo)
    export RUSTC=/usr/bin/rustc
fi
sysroot=$("${rust[@]}" --print sysroot)
"${rust[@]}" --version

# The same commit gives the same bytes, wherever it is built: a date from the commit, no paths of this machine.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s); fi
export SOURCE_DATE_EPOCH
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src

# -Zbuild-std is not stable: RUSTC_BOOTSTRAP lets a stable compiler do it.
export RUSTC_BOOTSTRAP=1
# Without relocation-model=static a static-pie comes out, which crashes on MIPS at the first thread-local with a destructor;
# without link-self-contained=no rustc looks for crt1.o, which zig has.
export RUSTFLAGS="-C relocation-model=static -C target-feature=+crt-static -C link-self-contained=no -C force-unwind-tables=no \
--remap-path-prefix=$PWD=. --remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rust --remap-path-prefix=$registry=/crates"
# Flags of a developer's own must not reach routers.
unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET

for target in "${targets[@]}"; do
    read -r _ _ POSGATE_ZIG_TRIPLE POSGATE_ZIG_MCPU _ < <(rows | awk -v target="$target" '$1 == target')
    export POSGATE_ZIG_TRIPLE POSGATE_ZIG_MCPU
    name=${target^^}
    export "CARGO_TARGET_${name//-/_}_LINKER=$PWD/deploy/zig-cc"
    echo "--- $target"
    "${cargo[@]}" build --quiet --locked --profile router --target "$target" --bin posgate \
        --target-dir "$work/build" -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size
    cp "$work/build/$target/router/posgate" "dist/.posgate-$target"
    mv "dist/.posgate-$target" "dist/posgate-$target"
done

# --- gates -----------------------------------------------------------------------------------------------------------
wrong=
printf '\n%-46s %9s %9s  %s\n' binary stripped gzipped elf
for target in "${targets[@]}"; do
    binary=dist/posgate-$target
    wanted=$(rows | awk -v target="$target" '$1 == target { print $7 }')
    elf=$(sh deploy/elf.sh "$binary" "$wanted") || wrong=elf
    stripped=$(stat -c %s "$binary")
    gzipped=$(gzip -9nc "$binary" | wc -c)
    printf '%-46s %9s %9s  %s\n' "$binary" "$stripped" "$gzipped" "$elf"
    if [ "$stripped" -gt "$stripped_max" ] || [ "$gzipped" -gt "$gzipped_max" ]; then
        echo "build: $binary is larger than $stripped_max bytes, or $gzipped_max compressed" >&2
        wrong=size
    fi
done
sha256sum "${targets[@]/#/dist/posgate-}"
[ -z "$wrong" ] || fail "a gate did not pass"
