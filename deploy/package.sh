#!/usr/bin/env bash
# OpenWrt packages of the binaries in dist/: `deploy/package.sh [ARCH…]`, the same names as of deploy/build.sh, and for each target
# a package per OpenWrt architecture of deploy/targets; none given: all. Prints what stands in dist/ then, with sizes and checksums.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=deploy/lib.sh
. deploy/lib.sh
help_or_go "$@"
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1700000000)}
export VERSION SOURCE_DATE_EPOCH
# shellcheck source=deploy/openwrt/package.conf
. deploy/openwrt/package.conf

choose "$@"
for target in "${targets[@]}"; do
    binary=dist/posgate-$target
    [ -f "$binary" ] || fail "$binary is missing: deploy/build.sh ${target%%-*} makes it"
    for architecture in $(column "$target" 2 | tr ',' ' '); do
        sh deploy/openwrt/mkipk.sh "$binary" "$architecture" "dist/${NAME}_$VERSION-r${RELEASE}_$architecture.ipk"
        sh deploy/openwrt/mkapk.sh "$binary" "$architecture" "dist/$NAME-$VERSION-r${RELEASE}_$architecture.apk" 2>>dist/.skipped
    done
done
# The same reason for each: once is enough.
[ ! -s dist/.skipped ] || sed -n 's/^skipped [^:]*:/no .apk packages:/p' dist/.skipped | head -n 1 >&2
rm -f dist/.skipped

cd dist
for file in posgate*; do
    case "$file" in *.sha256) continue ;; esac
    printf '%9d  %s  %s\n' "$(wc -c <"$file")" "$(sha256sum <"$file" | cut -c1-64)" "$file"
done
sha256sum posgate* >SHA256SUMS
