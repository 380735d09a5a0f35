#!/usr/bin/env bash
# Commit before answer, as system calls (design.md, section 1): only strace can test this.
#
#   tests/strace.sh [path of posgate]        default: target/debug/posgate
#
# Starts the server under strace on a free port of the loopback, and shows:
#   1. one sale leads to recvmmsg, 001, write of the entry, fdatasync, 008: in this order, on every turn of the loop;
#   2. 200 waiting frames lead to far fewer syncs than sales, and to one write and one sync per turn;
#   3. replies that rest on no entry are sent without a sync: an enquiry without a write too, a refusal after its entry is
#      written;
#   4. an entry on which no result rests is synced 5 s after it was written, even if no frame arrives;
#   5. when all work is done, ten seconds pass without any system call.
# Exits with 0 if all of these hold. Needs bash (for /dev/udp) and strace.
set -euo pipefail

posgate=${1:-target/debug/posgate}
dir=$(mktemp -d)
server=
trap 'kill -KILL $server 2>/dev/null || true; rm -rf "$dir"' EXIT

fail() {
    echo "strace.sh: $1" >&2
    echo "--- trace" >&2
    tail -n 60 "$dir/trace" >&2
    exit 1
}

# Waits until a file has a line with these words.
wait_for() {
    for _ in $(seq 400); do
        grep -q -- "$2" "$1" 2>/dev/null && return 0
        sleep 0.05
    done
    fail "'$2' never came in $1"
}

cat >"$dir/posgate" <<END
config server 'main'
	list listen '127.0.0.1:0'
	option cards 'cards.csv'
	option ledger_dir 'ledger'
	option status 'status.json'
	option rate_source '0'
	option resend_max '0'
	option log 'error'
END
printf 'card,balance\n8888888801,1000.00\n' >"$dir/cards.csv"

# RUST_LOG: the port is logged at info, and no other line disturbs the trace.
RUST_LOG='posgate=info' strace -f -y -ttt -s 300 -e signal=none -o "$dir/trace" \
    "$posgate" serve --config "$dir/posgate" >"$dir/out" 2>"$dir/err" &
tracer=$!
wait_for "$dir/out" 'serving site='
port=$(sed -n 's/^listening address=.*:\([0-9]*\)$/\1/p' "$dir/out")
server=$(pgrep -P "$tracer" || true)
[ -n "$server" ] || fail "no child of strace"

exec 3<>"/dev/udp/127.0.0.1/$port"
time='2024-02-29 12:00:00'
frame() { printf '%s' "$1" >&3; }

# --- 1. one sale, and 3. one enquiry, one refusal
frame "102,00001,127.0.0.1,127.0.0.1,00002,8888888801,1000000002"
wait_for "$dir/trace" '"009,00002,'
frame "103,00002,127.0.0.1,127.0.0.1,00002,8888888801,0.01,$time,1000000002"
wait_for "$dir/trace" '"008,00002,8888888801,0.01'
frame "103,00003,127.0.0.1,127.0.0.1,00002,8888888802,0.01,$time,1000000002"
wait_for "$dir/trace" '"006,00002,8888888802'

# --- 4. keys pressed, and silence
frame "106,00004,127.0.0.1,127.0.0.1,00002,123,1000000002"
wait_for "$dir/trace" 'write(.*keys'
sed '1,/write(.*keys/d' "$dir/trace" >"$dir/after"
until grep -q 'sync(' "$dir/after"; do
    [ "$((waited = ${waited:-0} + 1))" -lt 400 ] || fail "the keys were never synced"
    sleep 0.05
    sed '1,/write(.*keys/d' "$dir/trace" >"$dir/after"
done
late=$(awk '/write\(.*keys/ { from = $2 } from && /sync\(/ { print int(($2 - from) * 1000); exit }' "$dir/trace")
if [ "$late" -lt 4900 ] || [ "$late" -gt 6000 ]; then fail "keys were synced after $late ms"; fi

# --- 2. a burst: the server is stopped until all 200 have arrived
kill -STOP "$server"
for seq in $(seq 5 204); do
    frame "103,$(printf %05d "$seq"),127.0.0.1,127.0.0.1,00002,8888888801,0.02,$time,1000000002"
done
kill -CONT "$server"
wait_for "$dir/trace" '"001,00204"'
for _ in $(seq 400); do
    [ "$(grep -o '"008,00002,8888888801,0.02' "$dir/trace" | wc -l)" -ge 200 ] && break
    sleep 0.05
done

# --- 5. silence
calls=-1 seen=$(wc -l <"$dir/trace")
until [ "$seen" -eq "$calls" ]; do
    [ "$((rests = ${rests:-0} + 1))" -le 6 ] || fail "it never rests for ten seconds"
    calls=$seen
    sleep 10
    seen=$(wc -l <"$dir/trace")
done

kill -TERM "$server"
wait "$tracer" || fail "the server did not leave with 0"
server=

# Prints each call as one word, in the kernel's order. A turn begins with an epoll_wait.
awk '
    /epoll_p?wait\(/              { print "wait"; next }
    /recvmmsg\(.*msg_iov/         { while (match($0, /"10[0-9],[0-9]+/)) { print "in " substr($0, RSTART + 1, RLENGTH - 1); $0 = substr($0, RSTART + RLENGTH) } next }
    /send(m)?msg\(.*"001,/        { while (match($0, /"001,[0-9]+/)) { print "out " substr($0, RSTART + 1, RLENGTH - 1); $0 = substr($0, RSTART + RLENGTH) } next }
    /send(m)?msg\(.*"00[689],/    { while (match($0, /"00[689],/)) { print "out " substr($0, RSTART + 1, 3); $0 = substr($0, RSTART + RLENGTH) } next }
    /write(64)?\(.*ledger-.*tsv>/ { print "write" (/charge/ ? " charge" : /decline/ ? " decline" : ""); next }
    /sync\(.*ledger-.*tsv>/       { print "sync"; next }
' "$dir/trace" >"$dir/calls"

# The calls from the first frame on.
sed -n '/^in 102/,$p' "$dir/calls" >"$dir/served"
turn_of() { awk -v words="$1" '/^wait/ { turn = ""; next } { turn = turn $0 "; "; if (index($0, words)) { found = 1 } } found && /^out 00[689]/ { print turn; exit }' "$dir/served"; }

[ "$(turn_of 'in 102,00001')" = 'in 102,00001; out 001,00001; out 009; ' ] ||
    fail "an enquiry: $(turn_of 'in 102,00001')"
[ "$(turn_of 'in 103,00002')" = 'in 103,00002; out 001,00002; write charge; sync; out 008; ' ] ||
    fail "a sale: $(turn_of 'in 103,00002')"
[ "$(turn_of 'in 103,00003')" = 'in 103,00003; out 001,00003; write decline; out 006; ' ] ||
    fail "a refusal: $(turn_of 'in 103,00003')"

# On every turn: no 008 before a sync that follows the write, no write between them, at most one write and one sync.
awk '
    function wrong(what) { print "line " NR " of the calls: " what; bad = 1; exit 1 }
    /^wait/     { writes = syncs = dirty = 0; next }
    /^in/       { if (writes) wrong("a frame is taken after the turn was written"); next }
    /^out 001/  { if (writes) wrong("a 001 waits for the write"); next }
    /^write/    { if (++writes > 1) wrong("a second write in one turn"); dirty = 1; next }
    /^sync/     { if (++syncs > 1) wrong("a second sync in one turn"); dirty = 0; next }
    /^out 008/  { if (dirty || !syncs) wrong("a result before its sync"); next }
' "$dir/served" || fail "the order is wrong"

sales=$(grep -c '^out 008' "$dir/served")
syncs=$(grep -c '^sync' "$dir/served")
[ "$sales" -eq 201 ] || fail "$sales of 201 sales were answered"
[ "$syncs" -le 20 ] || fail "$syncs syncs for $sales sales"
echo "strace.sh: $sales sales, $(grep -c '^write' "$dir/served") writes, $syncs syncs; keys synced after $late ms; ten idle seconds without a call; a sale: $(turn_of 'in 103,00002')"
