#!/usr/bin/env bash
# Makes posgate's files for an OpenWrt feed: `deploy/openwrt/feed.sh [DIRECTORY]`, by default dist/feed. Writes
# posgate-VERSION.tar.xz, the committed source, and net/posgate with Makefile, test.sh and files. The Makefile has the archive's
# checksum.
set -euo pipefail
output=$(realpath -m "${1:-$(dirname "$0")/../../dist/feed}")
cd "$(dirname "$0")/../.."
export LC_ALL=C
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
[ -z "$(git status --porcelain)" ] || echo "feed.sh: git status shows changes: the archive is without them" >&2

mkdir -p "$output/net/posgate"
archive=$output/posgate-$version.tar.xz
git archive --format=tar --prefix="posgate-$version/" HEAD | xz -T1 >"$archive"
hash=$(sha256sum <"$archive" | cut -d' ' -f1)
sed "s/^PKG_HASH:=.*/PKG_HASH:=$hash/" deploy/openwrt/Makefile >"$output/net/posgate/Makefile"
cp deploy/openwrt/test.sh "$output/net/posgate/"
rm -rf "$output/net/posgate/files"
cp -R deploy/openwrt/files "$output/net/posgate/"

grep -n '\.example' "$output/net/posgate/Makefile" >&2 &&
    echo "feed.sh: no place for releases and no address is chosen yet: write them there before you offer it to a feed" >&2
echo "$archive $hash"
echo "$output/net/posgate"
