#!/usr/bin/env bash
# Measures posgate's use of a machine: `deploy/footprint.sh [BINARY]`, by default dist/posgate-x86_64-unknown-linux-musl. Serves
# 10,000 cards, and 50,000; posgate-sim's crowd sends a million frames (FRAMES in the environment: another number). Prints
# resident memory, threads, descriptors, and wake-ups when idle. Exits with 0 if memory and descriptors do not grow with the
# frames, there is one thread, and the idle server does not wake. For a MIPS router's memory: deploy/boot.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
# shellcheck source=deploy/lib.sh
. deploy/lib.sh
help_or_go "$@"

binary=${1:-dist/posgate-x86_64-unknown-linux-musl}
frames=${FRAMES:-1000000}
rate=20000
[ -x "$binary" ] || deploy/build.sh x86_64
use_sim

scratch=$(mktemp -d)
server=
clean_up() {
    if [ -n "$server" ]; then kill -9 "$server" 2>/dev/null || true; fi
    rm -rf "$scratch"
}
trap clean_up EXIT

# start CARDS: serves this many cards; sets server and address.
start() {
    rm -rf "$scratch/site"
    mkdir "$scratch/site"
    printf "config server 'main'\n\toption cards 'cards.csv'\n\toption ledger_dir 'ledger'\n\toption rate_source '0'\n\toption log 'warn'\n" \
        >"$scratch/site/posgate"
    awk -v cards="$1" 'BEGIN {
        print "card,account,name,balance,uses,groups"
        for (i = 0; i < cards; i++) printf "70%08d,S%05d,学生%d,9000000.00,1000000,student\n", i, i, i % 1000 }' >"$scratch/site/cards.csv"
    RUST_LOG=info "$binary" serve --config "$scratch/site/posgate" --listen 127.0.0.1:0 >"$scratch/log" 2>&1 &
    server=$!
    until_true 60 grep -q '^serving' "$scratch/log" || fail "it does not serve $1 cards"
    address=$(sed -n 's/^listening address=//p' "$scratch/log" | head -n 1)
}

stop() {
    kill -TERM "$server"
    wait "$server" || fail "it ended with $?"
    server=
}

field() { sed -n "s/^$1:[[:space:]]*\([0-9]*\).*/\1/p" "/proc/$server/status"; }
descriptors() { find "/proc/$server/fd" -mindepth 1 | wc -l; }
show() {
    printf '%-28s resident %6s KB (%s anonymous, %s of the file)  descriptors %s  threads %s\n' "$1" "$(field VmRSS)" \
        "$(field RssAnon)" "$(field RssFile)" "$(descriptors)" "$(field Threads)"
}

for cards in 1000 50000 10000; do
    start "$cards"
    show "$cards cards, just started"
    if [ "$cards" != 10000 ]; then stop; fi
done
[ "$(field Threads)" -eq 1 ] || fail "more than one thread"

# Memory that grows with the number of known devices has grown after the first part.
cards=$(seq -f '--card 70%08g' 0 199 | tr '\n' ' ')
crowd() {
    # Exit code 1 means that a reply came too late, as on a busy machine: that is not a concern here.
    local status=0
    # shellcheck disable=SC2086 # the cards are words
    timeout 600 "$sim" --server "$address" --confirm never --resend-max 1 crowd --terminals 1000 --rate "$rate" --seconds "$1" $cards \
        >"$scratch/crowd" || status=$?
    [ "$status" -le 1 ] || fail "posgate-sim ended with $status"
    tail -n 1 "$scratch/crowd"
    asked=$((asked + $(sed -n 's/^asked \([0-9]*\) .*/\1/p' "$scratch/crowd")))
}
asked=0
until [ "$asked" -ge 50000 ]; do crowd 2; done
show "after a first part"
before=$(field VmRSS) before_descriptors=$(descriptors)
until [ "$asked" -ge "$frames" ]; do crowd 10; done
show "after $asked frames"
grown=$(($(field VmRSS) - before))
[ "$(descriptors)" -eq "$before_descriptors" ] || fail "descriptors went from $before_descriptors to $(descriptors)"
# The first measurement was 28 KB, from tables of fixed size that keep filling.
[ "$grown" -le 256 ] || fail "memory grew by $grown KB"

sleep 20
before=$(field voluntary_ctxt_switches)
sleep 10
wakes=$(($(field voluntary_ctxt_switches) - before))
echo "idle: $wakes wake-ups in 10 s"
[ "$wakes" -eq 0 ] || fail "it wakes up when idle"
stop
