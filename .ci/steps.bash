# shellcheck shell=bash
# Functions of .ci/run and .ci/router; both source this file from the top of the tree, with `set -euo pipefail`.
#
# Invariants: each step runs under `timeout` with its own budget, and none runs longer than the rest of the whole budget; the last
# line names a step that failed or took too long; however the run ends, a table of the steps' times comes before that line.

# Seconds within which the whole run ends.
whole_s=${CI_WHOLE_S:-4500}
step_rows=()
step_failed=
step_running=

# step NAME SECONDS COMMAND…: runs a command, or a function of the script, for at most this many seconds.
step() {
    local name=$1 budget=$2 began=$SECONDS status=0 outcome=ok function
    shift 2
    local allowed=$((whole_s - SECONDS))
    if [ "$allowed" -lt 1 ]; then
        step_failed="$name: not begun, for the whole took longer than $whole_s s"
        exit 1
    fi
    if [ "$allowed" -gt "$budget" ]; then allowed=$budget; fi
    printf '\n=== %s (at %s s; at most %s s)\n' "$name" "$began" "$allowed"
    # `timeout` starts a program, so it starts a bash with the exported functions.
    while read -r function; do export -f "${function?}"; done < <(compgen -A function)
    # In the background, so that a signal to this script ends the step.
    timeout --kill-after=30 "$allowed" bash -euo pipefail -c '"$@"' "$name" "$@" &
    step_running=$!
    wait "$step_running" || status=$?
    step_running=
    case $status in
    0) ;;
    124 | 137)
        outcome="TOO LONG"
        step_failed="$name: took longer than $allowed s"
        if [ "$allowed" -lt "$budget" ]; then step_failed="$step_failed, all that was left of $whole_s s"; fi
        ;;
    *)
        outcome=FAILED
        step_failed="$name: failed with $status"
        ;;
    esac
    step_rows+=("$(printf '%8d %8d  %-9s %s' $((SECONDS - began)) "$budget" "$outcome" "$name")")
    if [ -n "$step_failed" ]; then exit 1; fi
}

# Runs at the end of the script, however it ends.
steps_end() {
    local status=$?
    if [ -n "$step_running" ]; then
        # `timeout` sends the signal on to every process of the step.
        kill "$step_running" 2>/dev/null || true
        wait "$step_running" 2>/dev/null || true
    fi
    printf '\n%8s %8s\n' seconds budget
    if [ ${#step_rows[@]} -gt 0 ]; then printf '%s\n' "${step_rows[@]}"; fi
    printf '%8d %8d  of the whole\n' "$SECONDS" "$whole_s"
    if [ "$status" -eq 0 ]; then
        printf '\n=== all passed\n'
    else
        printf '\n=== FAILED: %s\n' "${step_failed:-stopped with $status}"
    fi
}
trap steps_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
