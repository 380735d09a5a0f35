#!/usr/bin/env bash
# Measures a start with a ledger of a million entries: `benches/start.sh [POSGATE [ENTRIES]]`, by default with the release build.
# The time is from the program's start to the line `serving`, once with a replay of the whole ledger and once with its snapshot;
# each figure is the median of five.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
posgate=${1:-$target/release/posgate}
entries=${2:-1000000}
cargo build --release --quiet --bin posgate --example ledger

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
"$target/release/examples/ledger" "$site/ledger" "$entries"
printf "config server 'main'\n\tlist listen '127.0.0.1:0'\n\toption cards 'cards.csv'\n\toption ledger_dir 'ledger'\n" >"$site/posgate"
cp "$site/posgate" "$site/posgate.short"
# A new segment begins at once, and with it a snapshot is written.
printf "\toption segment_bytes '1024'\n" >>"$site/posgate.short"
{
    echo card,balance
    seq -f '%.0f,100.00' 7700000000 7700009999
} >"$site/cards.csv"
du -sh "$site/ledger" | sed "s/\t.*/ of ledger, $entries entries/"

# start CONFIG: starts the server, sets ms, and stops the server.
start() {
    local before=$EPOCHREALTIME line
    coproc server { RUST_LOG=info exec "$posgate" serve --config "$1" 2>&1; }
    # shellcheck disable=SC2154 # coproc sets it
    local pid=$server_PID
    while IFS= read -r line <&"${server[0]}"; do
        case $line in
            serving*) break ;;
            *ERROR* | *error*) echo "$line" >&2 ;;
        esac
    done
    ms=$(((${EPOCHREALTIME/./} - ${before/./}) / 1000))
    kill -TERM "$pid"
    wait "$pid"
}

# Measures five starts; runs a given step before each of them.
measure() {
    local name=$1 times=()
    shift
    for _ in 1 2 3 4 5; do
        "$@"
        start "$site/posgate"
        times+=("$ms")
    done
    printf '%-16s %s ms (%s)\n' "$name" "$(printf '%s\n' "${times[@]}" | sort -n | sed -n 3p)" "${times[*]}"
}
measure "whole replay" rm -f "$site/ledger/snapshot.tsv"
start "$site/posgate.short"
measure "from a snapshot" test -e "$site/ledger/snapshot.tsv"
