#!/usr/bin/env bash
# Instructions a sale in user space, by callgrind: the same whatever else the machine does.
#
#   benches/instructions.sh                  figures
#   benches/instructions.sh FILE             figures, and callgrind's profile of the first part in FILE
#
# 1. One terminal's sales through all of the server but its sockets: a turn with a 103 (001, entry, sync, 008), a turn with its 109.
# 2. The real program with its sockets and signals, asked by the crowd of `benches/loopback`: one terminal, then 64.
# Needs valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
profile=${1:-/dev/null}

cargo build --release --quiet --example instructions
out=$(valgrind --tool=callgrind --toggle-collect='*serve_sales*' --callgrind-out-file="$profile" \
    "$target/release/examples/instructions" 2>&1)
sales=$(sed -n 's/^sales //p' <<<"$out")
total=$(sed -n 's/.*Collected : //p' <<<"$out")
printf 'server and ledger, one frame a turn: %d instructions a sale\n' "$((total / sales))"
