#!/bin/sh
# Installs posgate as a service on a machine with systemd, as root: `deploy/systemd/install.sh [--root DIR] BINARY`. BINARY is a
# posgate for that machine (target/release/posgate, or one of a release's bin/). Installs
#
#   /usr/local/bin/posgate                  the program
#   /usr/local/bin/posgate-desk             the desk without a web page (docs/desk.md)
#   /etc/systemd/system/posgate.service     the unit
#   /etc/sysusers.d/posgate.conf            its user and group, created at once
#   /etc/profile.d/posgate.sh               sets the configuration's path for posgate's other commands
#   /etc/posgate/posgate                    the configuration, ready to serve
#   /etc/posgate/cards.csv                  the card table, with only its headings
#
# and starts nothing the first time. The last two files are yours: existing ones are kept. They hold PINs, so both are 0640 for
# posgate's group, in a directory 0750. A repeated run installs newer files, and restarts the service if it is running. --root DIR
# installs below DIR, for an image. When the unit starts, systemd creates the rest: /var/lib/posgate for the ledger (0750) and
# /run/posgate (0755), in which everybody may read status.json, and only posgate's group may use ctl.sock.
set -eu
umask 022
here=$(dirname "$0")

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

root=
case ${1:-} in
-h | --help)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit
    ;;
--root)
    root=${2:-}
    [ -d "$root" ] || fail "--root $root: no such directory"
    shift 2
    ;;
esac
binary=${1:-}
[ -n "$binary" ] || fail "which program? deploy/systemd/install.sh BINARY, such as target/release/posgate"
[ -f "$binary" ] || fail "$binary is not there: cargo build --release makes target/release/posgate"
[ "$(id -u)" -eq 0 ] || fail "needs root"
command -v systemd-sysusers >/dev/null || fail "needs systemd-sysusers, a part of systemd"
# An image may be for another architecture.
[ -n "$root" ] || "$binary" --version >/dev/null || fail "$binary does not run on this machine: is it for another architecture?"

# put MODE SOURCE PATH: replaces the file in one step, because the program may be running.
put() {
    install -D -m "$1" "$2" "$root$3.new"
    mv -f "$root$3.new" "$root$3"
}

put 0755 "$binary" /usr/local/bin/posgate
put 0755 "$here/../desk/posgate-desk" /usr/local/bin/posgate-desk
put 0644 "$here/posgate.service" /etc/systemd/system/posgate.service
put 0644 "$here/posgate.sysusers" /etc/sysusers.d/posgate.conf
put 0644 "$here/posgate.profile" /etc/profile.d/posgate.sh
systemd-sysusers ${root:+--root="$root"} posgate.conf
if [ -n "$root" ]; then
    # The image's group number, not this machine's.
    group=$(awk -F: '$1 == "posgate" { print $3 }' "$root/etc/group")
else
    group=$(getent group posgate | cut -d: -f3)
fi
[ -n "$group" ] || fail "systemd-sysusers made no group posgate"

mkdir -p "$root/etc/posgate"
if [ ! -e "$root/etc/posgate/posgate" ]; then
    put 0640 "$here/posgate.config" /etc/posgate/posgate
    # Every segment's header and every export carries the site's name permanently: two machines must not share it, so an image has
    # none.
    site=$(uname -n | cut -d. -f1 | tr -cd 'A-Za-z0-9-' | cut -c1-40)-$(od -An -N3 -tx1 /dev/urandom | tr -d ' ')
    [ -n "$root" ] || sed -i "s/^config server 'main'\$/&\n\toption site '$site'/" /etc/posgate/posgate
fi
[ -e "$root/etc/posgate/cards.csv" ] || put 0640 "$here/cards.csv" /etc/posgate/cards.csv
for file in posgate cards.csv; do
    chown "0:$group" "$root/etc/posgate/$file"
    chmod 0640 "$root/etc/posgate/$file"
done
chown "0:$group" "$root/etc/posgate"
chmod 0750 "$root/etc/posgate"

if [ -n "$root" ]; then
    echo "installed below $root; in the image: systemctl enable posgate, and an option site of each machine's own"
    exit
fi
# Without a running systemd (a container, an image that is being built) there is no manager to reload.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart posgate
fi
cat <<END
installed $(/usr/local/bin/posgate --version). Next:
  1. fill /etc/posgate/cards.csv (docs/card-table.md); look through /etc/posgate/posgate
  2. posgate check --config /etc/posgate/posgate
  3. systemctl enable --now posgate
  4. journalctl -fu posgate, and show a card to a terminal whose server is this machine, port 39192
END
