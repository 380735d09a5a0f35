#!/bin/sh
# mkapk.sh BINARY ARCHITECTURE OUTPUT.apk: makes a package for apk (OpenWrt 25.12 and later). Needs apk-tools 3. The private key
# that POSGATE_KEY names signs the package; an unsigned one installs with `apk add --allow-untrusted`.
set -eu
here=$(dirname "$0")
# shellcheck source=package.conf
. "$here/package.conf"
binary=$1
architecture=$2
output=$3
: "${VERSION:?}" "${SOURCE_DATE_EPOCH:?}"

# `apk --help` exits with 1 in every version; the version number shows whether it can make packages.
if ! apk --version 2>/dev/null | grep -q '^apk-tools 3'; then
    echo "mkapk.sh: $(basename "$output") needs apk of apk-tools 3 in PATH" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
root=$work/root
mkdir "$root"
sh "$here/stage.sh" "$binary" "$root"

# The fields of opkg's control archive: apk has no place for them, and default_postinst reads them here.
info=$root/lib/apk/packages
mkdir -p "$info"
printf '%s\n' "$USER_ID" >"$info/$NAME.rusers"
(cd "$root" && find . -type f -o -type l) | sed 's/^\.//' | LC_ALL=C sort >"$work/list"
cp "$work/list" "$info/$NAME.list"

script() {
    cat >"$work/$1" <<END
#!/bin/sh
[ "\${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s "\${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "\${IPKG_INSTROOT}/lib/functions.sh"
export root="\${IPKG_INSTROOT}"
export pkgname="$NAME"
$2
END
}
script post-install 'add_group_and_user
default_postinst'
script post-upgrade 'export PKG_UPGRADE=1
add_group_and_user
default_postinst'
script pre-deinstall "$FAREWELL
default_prerm"

find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$(dirname "$output")"
# The files belong to root, whichever user makes the package.
as_root=
[ "$(id -u)" -eq 0 ] || as_root=fakeroot
$as_root apk mkpkg \
    --info "name:$NAME" --info "version:$VERSION-r$RELEASE" --info "arch:$architecture" \
    --info "description:$TITLE" --info "license:$LICENSE" --info "maintainer:$MAINTAINER" --info "origin:$NAME" --info "url:$URL" \
    --script "post-install:$work/post-install" --script "post-upgrade:$work/post-upgrade" \
    --script "pre-deinstall:$work/pre-deinstall" \
    ${POSGATE_KEY:+--sign-key "$POSGATE_KEY"} \
    --files "$root" --output "$output"
