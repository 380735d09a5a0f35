#!/usr/bin/env bash
# Runs each binary of deploy/build.sh in an emulator of its CPU (qemu-user), and prints the matrix (target × check):
# `deploy/emulate.sh [--smoke] [ARCH…]`. posgate-sim runs the devices, on this machine. Builds or installs missing programs; a
# check that cannot run is a failure. With --smoke there are only two checks, package and smoke.
#
#   package  the binary, unpacked from its package, answers --version with the version of Cargo.toml; the package, made
#            twice, is the same byte for byte
#   day      posgate-sim's canteen day ends well
#   reload   after SIGHUP a new card can pay
#   stop     SIGTERM ends with exit code 0 and a clean ledger
#   kill     kill -9 twice during a running crowd: every approved sale is in the ledger, once; another day ends well
#   ledger   a day of fixed frames under a fixed clock, half of it on that CPU and half on this machine, and the other way
#            round, gives the same ledger byte for byte, snapshot and replies too (big endian only: mips)
#   units    the library's unit tests (big endian only: mips)
#   smoke    the server starts, a sale is approved, SIGTERM ends the server with exit code 0 and a clean ledger
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
# shellcheck source=deploy/lib.sh
. deploy/lib.sh
help_or_go "$@"

checks=(package day reload stop kill ledger units)
if [ "${1:-}" = --smoke ]; then
    checks=(package smoke)
    shift
fi
choose "$@"
missing=()
for target in "${targets[@]}"; do [ -x "dist/posgate-$target" ] || missing+=("$target"); done
if [ ${#missing[@]} -gt 0 ]; then deploy/build.sh "${missing[@]}"; fi
# All packages get the same date, even if a commit is made meanwhile.
packed_at=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
pack() { SOURCE_DATE_EPOCH=$packed_at deploy/package.sh "$@" >/dev/null; }
pack "${targets[@]}"
use_sim
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)

scratch=$(mktemp -d)
server=
crowd=
stop_all() { for process in $server $crowd; do kill -9 "$process" 2>/dev/null || true; done; }
clean_up() {
    # Each target's subshell has this trap too, for its own processes.
    for process in $(jobs -p); do kill "$process" 2>/dev/null || true; done
    wait
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# --- the server in its emulator; `site` is its directory, `emulator` and `binary` are its command ----------------------------
# start ADDRESS: serves the site; sets server and address.
start() {
    : >"$site/log"
    "${emulator[@]}" "$binary" serve --config "$site/posgate" --listen "$1" >"$site/log" 2>&1 &
    server=$!
    until_true 30 grep -q '^serving' "$site/log" || return 1
    address=$(sed -n 's/^listening address=//p' "$site/log" | head -n 1)
}

# finish SIGNAL: ends the server; returns its exit code.
finish() {
    local status=0
    kill "-$1" "$server"
    { wait "$server"; } 2>/dev/null || status=$?
    server=
    return "$status"
}

run() { timeout 120 "${emulator[@]}" "$binary" "$@"; }

play() { timeout 120 "$sim" --server "$address" "$@"; }

# --- the checks ------------------------------------------------------------------------------------------------------
check_package() {
    local architecture root=$site/root
    architecture=$(column "$1" 2)
    mkdir "$root" || return 1
    tar -xzOf dist/posgate_"$version"-r*_"${architecture%%,*}".ipk ./data.tar.gz | tar -xz -C "$root" || return 1
    cmp "$root/usr/bin/posgate" "$binary" || return 1
    # A second package is the same byte for byte.
    cp dist/SHA256SUMS "$site/sums" && pack "$1" && cmp dist/SHA256SUMS "$site/sums" || return 1
    [ "$(timeout 120 "${emulator[@]}" "$root/usr/bin/posgate" --version)" = "posgate $version" ]
}

check_day() { start 127.0.0.1:0 && play day >"$site/day.log" && tail -n 1 "$site/day.log"; }

check_reload() {
    # The table's first columns: card, account, name, status, balance.
    sed -i '$a 8888888899,T099,新卡,正常,50.00,,,,,,,,,,,' "$site/cards.csv" &&
        kill -HUP "$server" &&
        until_true 20 grep -q '^reload cards=21' "$site/log" &&
        play pay --card 8888888899 --amount 1.00 | grep 'approved'
}

check_smoke() {
    start 127.0.0.1:0 || return 1
    play pay --card 8888888801 --amount 1.00 | grep approved || return 1
    check_stop
}

check_stop() { finish TERM && run ledger verify --config "$site/posgate"; }

check_kill() {
    local status=0
    start 127.0.0.1:0 || return 1
    # Terminals that keep trying while the server is down.
    "$sim" --server "$address" --trace crowd --terminals 20 --rate 40 --seconds 15 >"$site/crowd.log" &
    crowd=$!
    for approvals in 30 90; do
        until_true 60 approvals_at_least "$approvals" || return 1
        finish KILL || true
        start "$address" || return 1
    done
    # Sales that the killed server left unanswered are unknown or lost; no promise may be broken.
    wait "$crowd" || status=$?
    crowd=
    [ "$status" -le 1 ] && tail -n 1 "$site/crowd.log" | grep 'promises broken 0$' || return 1
    python3 deploy/approved.py "$site/crowd.log" -- "$site"/data/ledger/ledger-*.tsv || return 1
    play day >"$site/day.log" || return 1
    finish TERM || return 1
    run ledger verify --config "$site/posgate"
}
approvals_at_least() { [ "$(grep -c ' ← 008,' "$site/crowd.log")" -ge "$1" ]; }

# for_tests TARGET: prepares the build of the two checks below. Unit tests unwind.
for_tests() {
    use_zig
    use_rust
    link_for "$1"
    local name=${1^^}
    export "CARGO_TARGET_${name//-/_}_RUNNER=${emulator[*]}"
    export POSGATE_ZIG_UNWINDER=-lunwind RUSTFLAGS="$static_flags" SOURCE_DATE_EPOCH=1790000000
    # The emulator is slow: some optimization pays, and few random cases, whichever number .ci/run sets for this machine.
    export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_TEST_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
    export PROPTEST_CASES=16
    options=(--quiet --locked --target "$1" --target-dir "$work/tests" "-Zbuild-std=std,panic_unwind,test")
}

check_ledger() (
    cargo build --quiet --release --example fixed_day
    here=$(realpath "${CARGO_TARGET_DIR:-target}/release/examples/fixed_day")
    for_tests "$1"
    "${cargo[@]}" build "${options[@]}" --example fixed_day
    there=$work/tests/$1/debug/examples/fixed_day
    # The machine of the first half, and of the second.
    for halves in here,here there,there there,here here,there; do
        mkdir "$site/$halves"
        for half in 1 2; do
            player=${halves%,*}
            if [ "$half" = 2 ]; then player=${halves#*,}; fi
            case $player in
            here) "$here" "$site/$halves" "$half" >"$site/$halves/replies-$half" || exit 1 ;;
            there) timeout 600 "${emulator[@]}" "$there" "$site/$halves" "$half" >"$site/$halves/replies-$half" || exit 1 ;;
            esac
        done
        diff -r "$site/here,here" "$site/$halves" || exit 1
    done
    ls "$site/here,here"
    (cd "$site/here,here" && grep -vch '^#' ledger-*.tsv) | awk '{ all += $1 } END { print all " entries" }'
)

check_units() (
    for_tests "$1"
    # qemu 7.2 leaves some of netlink's attributes in this machine's byte order, and musl's getifaddrs never ends on them.
    timeout 2400 "${cargo[@]}" test "${options[@]}" --lib -- --skip host::udp::tests::the_loopback_is_among_the_addresses
)

# --- the matrix ------------------------------------------------------------------------------------------------------
# one CHECK TARGET: runs the check, and records its outcome.
one() {
    local outcome=ok since=$SECONDS output=$site/output-$1
    case $1,$2 in
    ledger,mips-* | units,mips-*) ;;
    ledger,* | units,*)
        echo - >"$scratch/$2-$1"
        return
        ;;
    esac
    # In a subshell that is not a condition, -e would end this script; in a condition -e is off, so every step says `|| return`.
    "check_$1" "$2" >"$output" 2>&1 || outcome=FAILED
    echo $outcome >"$scratch/$2-$1"
    echo "$2 $1: $outcome ($((SECONDS - since)) s) $(tail -n 1 "$output")"
    if [ $outcome = FAILED ]; then
        tail -n 40 "$output" "$site/log" >&2 || true
        stop_all
        server=
        crowd=
    fi
}

# of TARGET: sets the variables of its checks.
of() {
    emulator "$1"
    binary=$(realpath "dist/posgate-$1")
    site=$scratch/$1
}

for target in "${targets[@]}"; do
    of "$target"
    cp -r deploy/example "$site"
    cp tests/support/example-cards.csv "$site/cards.csv"
    rm -rf "$site/data"
    : >"$site/log"
    one package "$target"
done
# Servers and devices wait for each other most of the time: run three targets at once.
for target in "${targets[@]}"; do
    while [ "$(jobs -pr | wc -l)" -ge 3 ]; do wait -n || true; done
    (
        trap stop_all EXIT
        trap 'exit 1' TERM
        of "$target"
        for check in "${checks[@]:1}"; do one "$check" "$target"; done
    ) &
done
wait

wrong=
printf '\n%-32s' target
printf '%-9s' "${checks[@]}"
for target in "${targets[@]}"; do
    printf '\n%-32s' "$target"
    for check in "${checks[@]}"; do
        outcome=$(cat "$scratch/$target-$check" 2>/dev/null || echo missing)
        printf '%-9s' "$outcome"
        case $outcome in ok | -) ;; *) wrong="$wrong $target:$check" ;; esac
    done
done
printf '\n'
[ -z "$wrong" ] || fail "failed:$wrong"
