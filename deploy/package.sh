#!/usr/bin/env bash
# Makes OpenWrt packages of the binaries in dist/: `deploy/package.sh [--key FILE] [ARCH…]`, with the names of deploy/build.sh;
# default: all. Makes a package per OpenWrt architecture of each target in deploy/targets, and prints the files in dist/ with
# sizes and checksums. With --key the .apk packages are signed; docs/router.md explains how to make a key. (A single .ipk has no
# signature.)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=deploy/lib.sh
. deploy/lib.sh
help_or_go "$@"
key=
if [ "${1:-}" = --key ]; then
    if [ $# -lt 2 ]; then
        echo "package.sh: --key needs a file: the private key that signs .apk packages" >&2
        exit 64
    fi
    case $2 in /*) key=$2 ;; *) key=$OLDPWD/$2 ;; esac
    shift 2
fi
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1700000000)}
export VERSION SOURCE_DATE_EPOCH
# shellcheck source=deploy/openwrt/package.conf
. deploy/openwrt/package.conf

choose "$@"
apk=
# `apk --help` exits with 1 in every version; the version number shows whether it can make packages.
if apk --version 2>/dev/null | grep -q '^apk-tools 3'; then
    apk=yes
elif [ -n "$key" ]; then
    # A user who asked for signed packages must not get unsigned ones.
    fail "--key signs .apk packages, and there is no apk of apk-tools 3 in PATH"
else
    echo "package.sh: no .apk packages: they need apk of apk-tools 3 in PATH (Alpine 3.23, or OpenWrt's staging_dir/host/bin)" >&2
fi
[ -z "$key" ] || grep -qs 'PRIVATE KEY' "$key" ||
    fail "$key is no private key in PEM form: docs/router.md says how to make one"
export POSGATE_KEY=$key
for target in "${targets[@]}"; do
    binary=dist/posgate-$target
    [ -f "$binary" ] || fail "$binary is missing: deploy/build.sh ${target%%-*} makes it"
    for architecture in $(column "$target" 2 | tr ',' ' '); do
        sh deploy/openwrt/mkipk.sh "$binary" "$architecture" "dist/${NAME}_$VERSION-r${RELEASE}_$architecture.ipk"
        [ -z "$apk" ] ||
            sh deploy/openwrt/mkapk.sh "$binary" "$architecture" "dist/$NAME-$VERSION-r${RELEASE}_$architecture.apk"
    done
done

cd dist
for file in posgate*; do
    case "$file" in *.sha256) continue ;; esac
    printf '%9d  %s  %s\n' "$(wc -c <"$file")" "$(sha256sum <"$file" | cut -c1-64)" "$file"
done
sha256sum posgate* >SHA256SUMS
