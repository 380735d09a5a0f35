# shellcheck shell=bash disable=SC2034
# Functions of this directory's scripts; they source this file from the top of the tree, with `set -euo pipefail`.

# The directory of all files that can be made again.
work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/cross

fail() {
    echo "${0##*/}: $1" >&2
    exit 1
}

# install PACKAGE…: installs Debian's packages, as root or by sudo.
install() {
    command -v apt-get >/dev/null || fail "needs $*: install what your system calls them"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
    if [ -z "${package_lists_are_new:-}" ]; then
        "${as_root[@]}" apt-get update -q
        package_lists_are_new=1
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# need COMMAND PACKAGE: installs Debian's package if the command is missing.
need() { command -v "$1" >/dev/null || install "$2"; }

# rows: deploy/targets without comments, one target per line.
rows() { grep -Ev '^[[:space:]]*(#|$)' deploy/targets; }

# column TARGET NUMBER: that column of a target's row.
column() { rows | awk -v target="$1" -v number="$2" '$1 == target { print $number }'; }

# choose ARCH…: sets the array targets. ARCH is a Rust target, its first word, or an OpenWrt architecture; each target is listed
# once; default: all. An unknown name ends the script before it makes anything.
choose() {
    local arch names
    names=$(
        [ $# -gt 0 ] || rows | awk '{ print $1 }'
        for arch in "$@"; do
            rows | awk -v arch="$arch" '
                $1 == arch || index($1, arch "-") == 1 { print $1; found = 1; exit }
                { count = split($2, names, ","); for (i = 1; i <= count; i++) if (names[i] == arch) { print $1; found = 1; exit } }
                END { exit !found }' ||
                fail "$arch is neither a Rust target nor an OpenWrt architecture of deploy/targets"
        done
    ) || exit 64
    mapfile -t targets < <(awk '!seen[$0]++' <<<"$names")
}

# help_or_go ARGUMENT…: prints the script's first comment, and exits, if the first argument asks for help.
help_or_go() {
    case ${1:-} in
    -h | --help)
        sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
        exit
        ;;
    esac
}

# Of the tested versions, 0.15.2 has an unmodified musl; 0.17.1 replaces its allocator.
zig_version=0.15.2

# use_zig: sets POSGATE_ZIG, the command that runs zig, from a virtual environment of Python's.
use_zig() {
    mkdir -p "$work"
    if [ -z "${POSGATE_ZIG:-}" ]; then
        POSGATE_ZIG="$work/zig/bin/python -m ziglang"
        if [ "$($POSGATE_ZIG version 2>/dev/null)" != "$zig_version" ]; then
            python3 -c 'import venv, ensurepip' 2>/dev/null || install python3 python3-venv
            rm -rf "$work/zig"
            python3 -m venv "$work/zig"
            "$work/zig/bin/pip" install -q --disable-pip-version-check "ziglang==$zig_version"
        fi
    fi
    export POSGATE_ZIG ZIG_GLOBAL_CACHE_DIR=$work/zig-cache ZIG_LOCAL_CACHE_DIR=$work/zig-cache
}

# use_tool CRATE VERSION COMMAND: installs that program from Cargo's registry into the work directory; prints its path.
use_tool() {
    local kept=$work/tools/$1-$2
    if [ ! -x "$kept/bin/$3" ]; then
        # With this machine's own Rust, and without any flags; unoptimized, because it runs only a few times.
        env -u RUSTC -u RUSTFLAGS CARGO_TARGET_DIR="$work/tools/build" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
            cargo install --quiet --locked --root "$kept" --version "$2" "$1" >&2 || return 1
    fi
    echo "$kept/bin/$3"
}

# use_cyclonedx: sets cyclonedx, the path of cargo-cyclonedx, which writes a binary's SBOM.
use_cyclonedx() { cyclonedx=$(use_tool cargo-cyclonedx 0.5.9 cargo-cyclonedx); }

# has_source RUSTC…: whether that compiler has the source of its standard library.
has_source() { [ -e "$("$@" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/Cargo.lock" ]; }

# use_rust: sets the array cargo, the command of a cargo whose compiler has the source of its standard library. In this order:
#   1. the Rust in use, with its rust-src component    (rustup component add rust-src)
#   2. rustup's nightly with rust-src                  (rustup component add rust-src --toolchain nightly)
#   3. Debian's packages rustc-web, cargo-web and rust-web-src, installed if apt-get is available.
use_rust() {
    local rust
    if has_source rustc; then
        rust=(rustc) cargo=(cargo)
    elif command -v rustup >/dev/null && has_source rustc +nightly; then
        rust=(rustc +nightly) cargo=(cargo +nightly)
    else
        if ! has_source /usr/bin/rustc; then install rustc-web cargo-web rust-web-src; fi
        has_source /usr/bin/rustc ||
            fail "no source of Rust's standard library: rustup component add rust-src --toolchain nightly"
        # A rustup in PATH must not replace the compiler to which this source belongs.
        rust=(/usr/bin/rustc) cargo=(/usr/bin/cargo)
        export RUSTC=/usr/bin/rustc
    fi
    sysroot=$("${rust[@]}" --print sysroot)
    "${rust[@]}" --version
    # -Zbuild-std is unstable: this variable lets a stable compiler use it.
    export RUSTC_BOOTSTRAP=1 CARGO_TERM_COLOR=never
    # A developer's own flags must not reach routers.
    unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET
    # Without relocation-model=static the result is a static-pie, which crashes on MIPS at the first thread-local with a
    # destructor; without link-self-contained=no rustc looks for crt1.o, which zig has.
    static_flags="-C relocation-model=static -C target-feature=+crt-static -C link-self-contained=no"
}

# link_for TARGET…: lets cargo link these targets with deploy/zig-cc, each through its own script, because one cargo builds all of
# them.
link_for() {
    local target name
    mkdir -p "$work/link"
    for target in "$@"; do
        cat >"$work/link/$target" <<END
#!/bin/sh
export POSGATE_ZIG_TRIPLE='$(column "$target" 3)' POSGATE_ZIG_MCPU='$(column "$target" 4)'
exec '$PWD/deploy/zig-cc' "\$@"
END
        chmod +x "$work/link/$target"
        name=${target^^}
        export "CARGO_TARGET_${name//-/_}_LINKER=$work/link/$target"
    done
}

# emulator TARGET: sets the array emulator, the command before a binary of that target; empty if this machine can run the binary.
emulator() {
    local program
    program=$(column "$1" 5)
    emulator=()
    if [ "$program" = - ]; then
        [ "$(uname -m)" = "${1%%-*}" ] || fail "$1 needs a machine of its kind"
        return
    fi
    need "$program" qemu-user-static
    emulator=("$program" -cpu "$(column "$1" 6)")
}

# use_sim: sets sim, the virtual devices, built for this machine; POSGATE_SIM names an existing build.
use_sim() {
    if [ -z "${POSGATE_SIM:-}" ]; then
        cargo build --quiet --release --bin posgate-sim
        POSGATE_SIM=${CARGO_TARGET_DIR:-target}/release/posgate-sim
    fi
    sim=$(realpath "$POSGATE_SIM")
}

# until_true SECONDS COMMAND…: tries the command ten times per second; fails when the time is over.
until_true() {
    local tries=$(($1 * 10))
    shift
    while ! "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}
