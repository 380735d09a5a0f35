#!/usr/bin/env bash
# Runs a canteen's day with the real binaries, as in docs/getting-started.md, on a copy of the example:
#   1. the server on port 39192 with `posgate-sim day`: exit 0, SIGTERM, a clean ledger;
#   2. kill -9 at several moments of a day, and another day on the same ledger: exit 0, a clean ledger, and no frame charged
#      twice;
#   3. kill -9 and a new start, repeatedly, during one day: nothing lost, a clean ledger;
#   4. `posgate-sim month`: a month with both purses and `posgate ctl`, and its close balances to the fen.
# Exits with 0 if all of these hold. Needs python3.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
server=
day=
clean_up() {
    local status=$?
    for process in $server $day; do kill -9 "$process" 2>/dev/null || true; done
    if [ "$status" -ne 0 ]; then
        for file in "$scratch"/*.log; do
            echo "--- ${file##*/}"
            tail -n 40 "$file"
        done
    fi
    rm -rf "$scratch"
}
trap clean_up EXIT

fail() {
    echo "FAILED: $*"
    exit 1
}

# until_true SECONDS COMMAND…: tries the command ten times per second; fails when the time is over.
until_true() {
    local tries=$(($1 * 10))
    shift
    while ! "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

lines_at_least() { [ "$(grep -c "$2" "$1")" -ge "$3" ]; }

# start CANTEEN [ARGUMENT…]: runs the manual's command on a copy of the example; sets $server and $address.
start() {
    local canteen=$1
    shift
    : >"$canteen.server.log"
    cargo run --quiet --release -- serve --config "$canteen/posgate" "$@" >"$canteen.server.log" 2>&1 &
    server=$!
    until_true 60 grep -q '^listening' "$canteen.server.log" || fail "the server does not listen"
    address=127.0.0.1:$(sed -n 's/^listening address=.*:\([0-9]*\)$/\1/p' "$canteen.server.log" | head -n 1)
}

stop() {
    kill -TERM "$server"
    wait "$server" || fail "the server ended with $? after SIGTERM"
    server=
}

verify() {
    cargo run --quiet --release -- ledger verify --config "$1/posgate" || fail "the ledger is not clean: $?"
    # A frame is charged once. Device, frame number, card and device time identify a frame; the record identifies a stored sale.
    python3 - "$1"/data/ledger/ledger-*.tsv <<'PYTHON' || fail "a sale was charged twice"
import sys
seen, doubled, sales = {}, 0, 0
for name in sys.argv[1:]:
    for line in open(name, encoding="utf-8"):
        if line.startswith("#"):
            continue
        seq, _, _, kind, machine, serial, frame, card, _, amount, _, uses, _, _, _, time, slot, *_ = line.split("\t")
        if kind not in ("charge", "meal", "scan", "offline"):
            continue
        sales += 1
        key = (machine, serial, card, amount, uses, time, slot if kind == "offline" else frame)
        if key in seen:
            doubled += 1
            print("entries", seen[key], "and", seq, "are one sale:", *key)
        seen[key] = seq
print(sales, "sales, none twice" if not doubled else "sales, %d twice" % doubled)
sys.exit(doubled > 0)
PYTHON
}

canteen() {
    cp -r deploy/example "$scratch/$1"
    # The committed table: users who follow the README edit the example's own table.
    cp tests/support/example-cards.csv "$scratch/$1/cards.csv"
    rm -rf "$scratch/$1/data"
}

play() { timeout 180 cargo run --quiet --release --bin posgate-sim -- --server "$address" day; }

echo "=== a day"
canteen day
start "$scratch/day"
[ "$address" = 127.0.0.1:39192 ] || fail "the example listens on $address"
play >"$scratch/day.log" || fail "the day ended with $?"
tail -n 1 "$scratch/day.log"
stop
verify "$scratch/day"

# The moments of the kills: the number of approvals that the terminals have received.
for moment in 1 12 32; do
    echo "=== a day, killed after $moment approvals; another day"
    canteen "killed-$moment"
    start "$scratch/killed-$moment" --listen 127.0.0.1:0
    cargo run --quiet --release --bin posgate-sim -- --server "$address" day >"$scratch/killed-$moment.log" 2>&1 &
    day=$!
    until_true 60 lines_at_least "$scratch/killed-$moment.log" ': approved' "$moment" || fail "no $moment approvals"
    kill -9 "$server"
    { wait "$server"; } 2>/dev/null || true
    kill -9 "$day" 2>/dev/null || true
    { wait "$day"; } 2>/dev/null || true
    start "$scratch/killed-$moment" --listen 127.0.0.1:0
    play >"$scratch/second-$moment.log" || fail "the second day ended with $?"
    tail -n 1 "$scratch/second-$moment.log"
    stop
    verify "$scratch/killed-$moment"
done
echo "=== a day whose server is killed every second"
canteen restarted
start "$scratch/restarted" --listen 127.0.0.1:0
port=${address##*:}
play >"$scratch/restarted.log" &
day=$!
for _ in 1 2 3 4 5 6; do
    sleep 1
    kill -9 "$server"
    { wait "$server"; } 2>/dev/null || true
    start "$scratch/restarted" --listen "127.0.0.1:$port"
done
# A terminal that got a 001 from the killed server got no result from it: only that promise may be broken.
wait "$day" || true
day=
tail -n 1 "$scratch/restarted.log"
grep -q 'collected 5 .* lost 0 ' "$scratch/restarted.log" || fail "the day did not end, or something was lost"
if grep BROKEN "$scratch/restarted.log" | grep -v 'but no result$'; then fail "a promise was broken"; fi
stop
verify "$scratch/restarted"
echo "=== a month, and its close"
cargo build --quiet --release --bins
# The same one in every run; the variable selects another.
seed=${POSGATE_MONTH_SEED:-20261130}
timeout 300 cargo run --quiet --release --bin posgate-sim -- --seed "$seed" month --month 2026-11 --days 30 --dir "$scratch/month" \
    >"$scratch/month.log" || fail "the month ended with $?"
sed -n '/the close of/,$p' "$scratch/month.log"
cargo run --quiet --release -- ledger verify --config "$scratch/month/posgate" || fail "the month's ledger is not clean: $?"
echo "=== every day ended well"
