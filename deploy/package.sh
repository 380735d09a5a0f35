#!/bin/sh
# package.sh [RUST_TARGET…]: OpenWrt packages of the binaries in dist/, for each architecture that deploy/targets names; of
# all targets, if none is named. Prints what stands in dist/ then, with sizes and checksums.
set -eu
cd "$(dirname "$0")/.."
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1700000000)}
export VERSION SOURCE_DATE_EPOCH
# shellcheck source=deploy/openwrt/package.conf
. deploy/openwrt/package.conf

wanted() {
    [ -n "$targets" ] || return 0
    case " $targets " in *" $1 "*) ;; *) return 1 ;; esac
}

targets=$*
made=0
rows=$(grep -v -e '^#' -e '^[[:space:]]*$' deploy/targets)
while read -r rust architectures _rest; do
    wanted "$rust" || continue
    binary=dist/posgate-$rust
    if [ ! -f "$binary" ]; then
        echo "package.sh: $binary is missing: deploy/build.sh makes it" >&2
        exit 1
    fi
    for architecture in $(echo "$architectures" | tr ',' ' '); do
        sh deploy/openwrt/mkipk.sh "$binary" "$architecture" "dist/${NAME}_$VERSION-r${RELEASE}_$architecture.ipk"
        sh deploy/openwrt/mkapk.sh "$binary" "$architecture" "dist/$NAME-$VERSION-r${RELEASE}_$architecture.apk" 2>>dist/.skipped
        made=$((made + 1))
    done
done <<END
$rows
END
if [ "$made" -eq 0 ]; then
    echo "package.sh: no such target: $targets; deploy/targets names them" >&2
    exit 64
fi
# The same reason for each: once is enough.
[ ! -s dist/.skipped ] || sed -n 's/^skipped [^:]*:/no .apk packages:/p' dist/.skipped | head -n 1 >&2
rm -f dist/.skipped

cd dist
for file in posgate*; do
    case "$file" in *.sha256) continue ;; esac
    printf '%9d  %s  %s\n' "$(wc -c <"$file")" "$(sha256sum <"$file" | cut -c1-64)" "$file"
done
sha256sum posgate* >SHA256SUMS
