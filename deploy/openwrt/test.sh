#!/bin/sh

# The packages feed runs this script after it installed the package: NAME VERSION.
case "${PKG_NAME:-$1}" in
posgate)
	posgate --version | grep -F "${PKG_VERSION:-$2}" || exit 1
	# The package's configuration can be read, and is switched off: exit code 1.
	posgate check --enabled --config /usr/share/posgate/posgate.config
	[ $? -eq 1 ] || exit 1
	;;
*)
	echo "Untested package: ${PKG_NAME:-$1}" >&2
	exit 1
	;;
esac
