#!/usr/bin/env bash
# Measures instructions per sale in user space with callgrind: the same figures whatever else the machine runs.
#
#   benches/instructions.sh                  prints figures
#   benches/instructions.sh FILE             prints figures, and writes callgrind's profile of the first part to FILE
#
# 1. One terminal's sales through all of the server except its sockets: a turn with a 103 (001, entry, sync, 008), and a turn with
#    its 109.
# 2. The release binary with sockets, timers and files, under the load of `benches/loopback`: one terminal, then 64. Two runs of
#    different length are measured; the difference in instructions is divided by the difference in sales, so the start does not
#    count.
# Needs valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath "${CARGO_TARGET_DIR:-target}")
profile=${1:-/dev/null}

cargo build --release --quiet --example instructions --bin posgate
out=$(valgrind --tool=callgrind --toggle-collect='*serve_sales*' --callgrind-out-file="$profile" \
    "$target/release/examples/instructions" 2>&1)
sales=$(sed -n 's/^sales //p' <<<"$out")
total=$(sed -n 's/.*Collected : //p' <<<"$out")
printf 'server and ledger, one frame a turn: %d instructions a sale\n' "$((total / sales))"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/posgate" <<END
#!/bin/sh
case \$1 in
serve) exec valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file='$scratch/log' '$target/release/posgate' "\$@" ;;
*) exec '$target/release/posgate' "\$@" ;;
esac
END
chmod +x "$scratch/posgate"

# run TERMINALS SECONDS: sets instructions and sales.
run() {
    local out
    out=$(cargo bench --quiet --bench loopback -- --posgate "$scratch/posgate" --terminals "$1" --seconds "$2" --rounds 1 --cards 100)
    sales=$(sed -n "s/^posgate's ledger is clean: \([0-9]*\) sales.*/\1/p" <<<"$out")
    instructions=$(sed -n 's/.*Collected : //p' "$scratch/log")
}
for terminals in 1 64; do
    run "$terminals" 1
    short_sales=$sales short_instructions=$instructions
    run "$terminals" 5
    printf 'release binary, %s terminals: %d instructions a sale\n' "$terminals" \
        "$(((instructions - short_instructions) / (sales - short_sales)))"
done
