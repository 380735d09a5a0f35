#!/bin/sh
# mkipk.sh BINARY ARCHITECTURE OUTPUT.ipk: makes a package for opkg (OpenWrt 24.10 and older), with only tar and gzip. The same
# binary, version and SOURCE_DATE_EPOCH give the same bytes.
set -eu
here=$(dirname "$0")
# shellcheck source=package.conf
. "$here/package.conf"
binary=$1
architecture=$2
output=$3
: "${VERSION:?}" "${SOURCE_DATE_EPOCH:?}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
mkdir "$work/data" "$work/control"
sh "$here/stage.sh" "$binary" "$work/data"

# pack DIRECTORY OUTPUT [MEMBER…]: makes an archive, sorted, owned by root, without the current time.
pack() {
    directory=$1
    packed=$2
    shift 2
    LC_ALL=C tar --format=gnu --sort=name --numeric-owner --owner=0 --group=0 --mtime="@$SOURCE_DATE_EPOCH" \
        -C "$directory" -cf - "${@:-.}" | gzip -9n >"$packed"
}

installed=$(cd "$work/data" && find . -type f -exec cat {} + | wc -c | tr -d ' ')
cat >"$work/control/control" <<END
Package: $NAME
Version: $VERSION-r$RELEASE
Section: $SECTION
Priority: optional
Architecture: $architecture
Installed-Size: $installed
License: $LICENSE
Maintainer: $MAINTAINER
URL: $URL
Require-User: $USER_ID
SourceDateEpoch: $SOURCE_DATE_EPOCH
Description: $TITLE
END
script() {
    cat >"$work/control/$1" <<END
#!/bin/sh
[ "\${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s "\${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "\${IPKG_INSTROOT}/lib/functions.sh"
$2
END
    chmod 0755 "$work/control/$1"
}
# shellcheck disable=SC2016 # they are for the package's shell
script postinst 'default_postinst "$0" "$@"'
script prerm "$FAREWELL
default_prerm \"\$0\" \"\$@\""
pack "$work/data" "$work/data.tar.gz"
pack "$work/control" "$work/control.tar.gz"
echo 2.0 >"$work/debian-binary"
pack "$work" "$work/package" ./debian-binary ./data.tar.gz ./control.tar.gz
mkdir -p "$(dirname "$output")"
cp "$work/package" "$output"
