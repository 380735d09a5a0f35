#!/bin/sh

# The packages feed runs this where the package was installed: NAME VERSION.
case "${PKG_NAME:-$1}" in
posgate)
	posgate --version | grep -F "${PKG_VERSION:-$2}" || exit 1
	# The configuration that it brings is read, and it is switched off: 1.
	posgate check --enabled --config /usr/share/posgate/posgate.config
	[ $? -eq 1 ] || exit 1
	;;
*)
	echo "Untested package: ${PKG_NAME:-$1}" >&2
	exit 1
	;;
esac
