#!/usr/bin/env bash
# Makes a release's archive: `deploy/release.sh [--trial] [--key FILE] VERSION [ARCH…]`, with the ARCHs of deploy/build.sh;
# default: all. Writes dist/release/posgate-VERSION.tar.gz, and its checksum beside it. Content:
#
#   bin/         the binaries, one per target, each with its SBOM (CycloneDX, by cargo-cyclonedx and deploy/sbom.py)
#   openwrt/     the packages: .ipk, and .apk if deploy/package.sh can make them
#   docs/        the manual in English, docs/zh/ in Chinese; beside them the READMEs, the changes, the licences
#   deploy/      files that the manual uses: the systemd kit, the desk's script, the example
#   BUILD        the commit, its date, compiler and linker
#   SHA256SUMS   checksums of all these files
#
# VERSION must be Cargo.toml's, CHANGELOG.md must have a heading "## VERSION", and everything must be committed; --trial makes an
# archive for inspection without these conditions, and BUILD says so. The same commit gives the same archive, byte for byte, on
# every machine at any time. --key FILE signs the .apk packages, as deploy/package.sh does; each signature by an EC key differs.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
# shellcheck source=deploy/lib.sh
. deploy/lib.sh
help_or_go "$@"
# shellcheck source=deploy/openwrt/package.conf
. deploy/openwrt/package.conf

trial=
key=()
while :; do
    case ${1:-} in
    --trial) trial=yes ;;
    --key)
        [ $# -ge 2 ] || fail "--key needs a file: the private key that signs .apk packages"
        case $2 in /*) key=(--key "$2") ;; *) key=(--key "$OLDPWD/$2") ;; esac
        shift
        ;;
    *) break ;;
    esac
    shift
done
version=${1:-}
[ -n "$version" ] || fail "which version? deploy/release.sh VERSION"
shift
choose "$@"

# --- may this be released? -------------------------------------------------------------------------------------------
in_tree=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
[ "$version" = "$in_tree" ] || fail "Cargo.toml says version $in_tree: write $version there, or release $in_tree"
commit=$(git rev-parse -q --verify HEAD 2>/dev/null) || commit=none
if [ -z "$trial" ]; then
    [ "$commit" != none ] || fail "a release is made of a commit, and here is none (--trial does without)"
    [ -z "$(git status --porcelain)" ] || fail "a release is made of a commit, and git status shows changes (--trial does without)"
    grep -q "^## $version\($\| \)" CHANGELOG.md ||
        fail "CHANGELOG.md has no heading \"## $version\": write it above what this release changes (--trial does without)"
else
    commit="none: a trial of the tree as it stood"
fi
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s); fi
export SOURCE_DATE_EPOCH

# --- binaries and packages -------------------------------------------------------------------------------------------
use_cyclonedx
deploy/build.sh "${targets[@]}"
# Packages of an earlier version, or of an apk that is no longer installed, do not belong to this release.
rm -f dist/"${NAME}"[-_]*.ipk dist/"${NAME}"-*.apk
deploy/package.sh "${key[@]}" "${targets[@]}"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
release=$scratch/$NAME-$version
mkdir -p "$release/bin" "$release/openwrt" "$release/deploy"
cp -R docs README.md README.zh-CN.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE-APACHE LICENSE-MIT "$release"
cp -R deploy/systemd deploy/desk "$release/deploy"
# Without the ledger of a user who served the example here.
mkdir "$release/deploy/example"
cp deploy/example/{posgate,cards.csv} "$release/deploy/example"
for target in "${targets[@]}"; do cp "dist/$NAME-$target" "$release/bin"; done
find dist -maxdepth 1 \( -name "${NAME}_$version-r${RELEASE}_*.ipk" -o -name "$NAME-$version-r${RELEASE}_*.apk" \) \
    -exec cp {} "$release/openwrt" \;

# --- SBOM ------------------------------------------------------------------------------------------------------------
# cargo-cyclonedx writes its output beside Cargo.toml: run it in a copy.
mkdir "$scratch/crate"
cp -R Cargo.toml Cargo.lock build.rs src benches examples "$scratch/crate"
compiler=$(use_rust | tail -n 1)
for target in "${targets[@]}"; do
    crates=(--no-default-features --target "$target" --manifest-path "$scratch/crate/Cargo.toml")
    "$cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 --describe binaries "${crates[@]}"
    cargo tree --locked --edges normal,build --prefix none --format '{p}' "${crates[@]}" >"$scratch/tree"
    python3 deploy/sbom.py "$scratch/crate/posgate_bin.cdx.json" "$scratch/tree" "$release/bin/$NAME-$target" "$compiler" "$zig_version" \
        >"$release/bin/$NAME-$target.cdx.json"
done

# --- the archive -----------------------------------------------------------------------------------------------------
cat >"$release/BUILD" <<END
$NAME $version
commit  $commit
date    $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
rust    $compiler
zig     $zig_version
END
(cd "$release" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum >"$scratch/sums" && mv "$scratch/sums" SHA256SUMS)
archive=$NAME-$version
if [ $# -gt 0 ]; then archive=$archive-$(IFS=- && echo "$*"); fi
archive=$archive.tar.gz
mkdir -p dist/release
tar --format=gnu --sort=name --numeric-owner --owner=0 --group=0 --mtime="@$SOURCE_DATE_EPOCH" --mode=u+rw,go+rX,go-w \
    -C "$scratch" -cf - "$NAME-$version" | gzip -9n >"$scratch/archive"
mv "$scratch/archive" "dist/release/$archive"
(cd dist/release && sha256sum "$archive" | tee "$archive.sha256")
[ -n "$(find "$release/openwrt" -name '*.apk' -print -quit)" ] ||
    echo "release.sh: this archive has no .apk packages, which OpenWrt 25.12 and later want" >&2
