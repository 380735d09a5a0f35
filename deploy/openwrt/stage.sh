#!/bin/sh
# stage.sh BINARY ROOT: copies into ROOT the files that the package installs on a router. mkipk.sh and mkapk.sh use it, so both
# packages are the same; the feed's Makefile installs the same list.
set -eu
binary=$1
root=$2
files=$(dirname "$0")/files

put() { install -D -m "$1" "$2" "$root/$3"; }

put 0755 "$binary" usr/bin/posgate
put 0755 "$files/posgate.init" etc/init.d/posgate
put 0755 "$files/posgate.hotplug-ntp" etc/hotplug.d/ntp/90-posgate
put 0755 "$files/posgate.defaults" etc/uci-defaults/90-posgate
put 0644 "$files/posgate.sysctl" etc/sysctl.d/30-posgate.conf
put 0644 "$files/posgate.keep" lib/upgrade/keep.d/posgate
put 0644 "$files/posgate.upgrade" lib/upgrade/posgate.sh
# The initial files of a first installation; posgate.defaults copies them.
put 0644 "$files/posgate.config" usr/share/posgate/posgate.config
put 0644 "$files/cards.csv" usr/share/posgate/cards.csv
# The directory holds PINs.
install -d -m 0750 "$root/etc/posgate"
