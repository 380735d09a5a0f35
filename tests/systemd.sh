#!/usr/bin/env bash
# Tests the systemd kit (deploy/systemd) on a real system: `tests/systemd.sh DEPLOY BINARY SCRATCH`, as root in a separate mount
# and network namespace (`unshare --mount --net`); tests/systemd.rs starts it so. Copies or empty directories are mounted over
# /etc, /usr/local, /var/lib and /run; install.sh runs as for a user, and the server starts with the installed files and the
# unit's settings. Ends at the first false claim.
set -euo pipefail
deploy=$1 binary=$2 scratch=$3

# Files below a path must be copied before that path is mounted over.
cp -a /etc "$scratch/etc"
mkdir "$scratch/local" "$scratch/lib"
cp -R "$deploy" "$scratch/deploy"
cp "$binary" "$scratch/posgate"
chmod 0755 "$scratch"
mount --bind "$scratch/etc" /etc
mount --bind "$scratch/local" /usr/local
mount --bind "$scratch/lib" /var/lib
mount -t tmpfs tmpfs /run
ip link set lo up

claim() { echo "--- $1"; }
wrong() {
    echo "wrong: $1"
    cat "$scratch/log" 2>/dev/null || true
    exit 1
}
is() { [ "$2" = "$3" ] || wrong "$1 is $2, not $3"; }
mode() { stat -c '%a %U:%G' "$1"; }
until_true() {
    local tries=200
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || wrong "in 20 s it was never true: $*"
        sleep 0.1
    done
}
# The settings of the unit.
unit=/etc/systemd/system/posgate.service
said() { sed -n "s/^$1=//p" "$unit"; }

claim "install.sh leaves these files to these people"
"$scratch/deploy/systemd/install.sh" "$scratch/posgate"
is binary "$(mode /usr/local/bin/posgate)" "755 root:root"
is desk "$(mode /usr/local/bin/posgate-desk)" "755 root:root"
is unit "$(mode "$unit")" "644 root:root"
is directory "$(mode /etc/posgate)" "750 root:posgate"
is configuration "$(mode /etc/posgate/posgate)" "640 root:posgate"
is "card table" "$(mode /etc/posgate/cards.csv)" "640 root:posgate"
grep -q "option site '..*-[0-9a-f]\{6\}'" /etc/posgate/posgate || wrong "the site has no name of its own"

# Creates the directories as systemd does for the unit.
user=$(said User) group=$(said Group)
for kind in State Runtime; do
    case $kind in State) above=/var/lib ;; Runtime) above=/run ;; esac
    install -d -o "$user" -g "$group" -m "$(said ${kind}DirectoryMode)" "$above/$(said ${kind}Directory)"
done
# Runs in a subshell, which the command replaces.
as_posgate() {
    umask "$(said UMask)"
    exec setpriv --reuid="$user" --regid="$group" --init-groups --no-new-privs --bounding-set=-all "$@"
}

claim "the configuration serves as it was installed"
(as_posgate /usr/local/bin/posgate check --config /etc/posgate/posgate)
read -ra start <<<"$(said ExecStart)"
(as_posgate "${start[@]}") >"$scratch/log" 2>&1 &
server=$!
trap 'kill -9 $server 2>/dev/null || true' EXIT
until_true test -S /run/posgate/ctl.sock -a -s /run/posgate/status.json

claim "everybody may read the status; socket, cards and ledger are posgate's and its group's"
as_anybody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
is "runtime directory" "$(mode /run/posgate)" "755 posgate:posgate"
is status "$(mode /run/posgate/status.json)" "644 posgate:posgate"
is socket "$(mode /run/posgate/ctl.sock)" "660 posgate:posgate"
is state "$(mode /var/lib/posgate)" "750 posgate:posgate"
as_anybody grep -q '"site"' /run/posgate/status.json || wrong "anybody cannot read the status"
for secret in /etc/posgate/cards.csv /etc/posgate/posgate /var/lib/posgate/ledger/ledger.tsv; do
    [ -e "$secret" ] || wrong "no $secret"
    if as_anybody cat "$secret" 2>/dev/null; then wrong "anybody can read $secret"; fi
done
if as_anybody /usr/local/bin/posgate ctl --control /run/posgate/ctl.sock status >"$scratch/refused" 2>&1; then
    wrong "anybody can use the socket"
fi
grep -qi 'permission denied' "$scratch/refused" || wrong "$(cat "$scratch/refused")"

claim "a card that is added is served after a reload as the unit reloads"
# The table's first columns: card, account, name, status, balance.
echo '8888888801,T001,张三,,10.00,,,,,,,,,,' >>/etc/posgate/cards.csv
while read -ra reload; do (as_posgate "${reload[@]/\$MAINPID/$server}"); done < <(said ExecReload)
until_true grep -q '^reload cards=1 ' "$scratch/log"

claim "a desk's user, in posgate's group alone, uses posgate-desk by the configuration and by the socket"
desk() {
    SSH_ORIGINAL_COMMAND=$1 setpriv --reuid=4711 --regid=4711 --groups="$(getent group posgate | cut -d: -f3)" --no-new-privs \
        /usr/local/bin/posgate-desk "${@:2}"
}
desk 'topup 8888888801 50 first' --config /etc/posgate/posgate window-1 | tee "$scratch/said"
grep -q 'account T001 holds 60.00 yuan' "$scratch/said" || wrong "no top-up by the configuration"
desk 'topup 8888888801 50 first' --control /run/posgate/ctl.sock window-1 | tee "$scratch/said"
grep -q '60.00 yuan' "$scratch/said" || wrong "the same order by the socket is not the same"
desk 'card 8888888801' --control /run/posgate/ctl.sock window-1 | grep -q 'by=window-1' || wrong "the ledger does not name the desk"

claim "the other commands find the configuration in a login shell"
# shellcheck disable=SC1091 # what was installed
(. /etc/profile.d/posgate.sh && /usr/local/bin/posgate check --quick && /usr/local/bin/posgate ctl status >/dev/null)

claim "installed again under the running server, what people wrote stays, with its mode"
cp /etc/posgate/posgate "$scratch/posgate.before"
cp /etc/posgate/cards.csv "$scratch/cards.before"
chmod 0666 /etc/posgate/cards.csv
"$scratch/deploy/systemd/install.sh" "$scratch/posgate" >/dev/null
cmp /etc/posgate/posgate "$scratch/posgate.before"
cmp /etc/posgate/cards.csv "$scratch/cards.before"
is "card table" "$(mode /etc/posgate/cards.csv)" "640 root:posgate"

claim "it stops clean"
kill -TERM "$server"
status=0
wait "$server" || status=$?
is "exit code" "$status" 0
/usr/local/bin/posgate ledger verify /var/lib/posgate/ledger

claim "systemd finds nothing wrong with the unit"
if command -v systemd-analyze >/dev/null; then
    systemd-analyze verify "$unit" >"$scratch/verified" 2>&1 || wrong "$(cat "$scratch/verified")"
    [ ! -s "$scratch/verified" ] || wrong "$(cat "$scratch/verified")"
    systemd-analyze security --no-pager --offline=true --threshold=20 "$unit" | tail -n 1
else
    echo "NOT RUN: systemd-analyze"
fi
echo "all true"
