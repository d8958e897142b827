# shellcheck shell=sh disable=SC2034,SC2154 # me, explained and at_end belong to .ci/setup.sh
# The steps of ./test. Each runs a command, keeps its output, and adds its tests to the sum. Sourced after .ci/setup.sh.
#
#   steps_begin FOLDER             sets the folder of the logs
#   step NAME FORMAT COMMAND...    runs a command and counts its tests; succeeds if none failed. .ci/count.awk lists the
#                                  formats
#   skip NAME REASON               counts a step that cannot run here
#   limited COMMAND...             runs a command for 40 minutes at most
#   begin NAME COMMAND...          starts a command beside the next steps, with what they leave of the processors
#   begun NAME                     waits for that command, prints its output, and ends as it ended
#   steps_end                      prints the sum as the last line; succeeds if something passed and nothing failed

steps_begin() {
    logs=$1
    mkdir -p "$logs"
    started=$(date +%s)
    passed=0 failed=0 skipped=0 failures=
}

tell() { echo "test: $*"; }

skip() {
    tell "$1: skipped: $2"
    skipped=$((skipped + 1))
}

limited() { timeout -k 20 2400 "$@"; }

log_of() { echo "$logs/$(echo "$1" | tr ' /' '--')$2"; }

begin() {
    beside=$(log_of "$1" .beside)
    shift
    rm -f "$beside.status"
    # shellcheck disable=SC2016 # expanded by the inner shell
    chrt -i 0 timeout -k 20 3600 sh -c 'status=$1; shift; "$@"; echo $? > "$status"' sh "$beside.status" "$@" \
        > "$beside" 2>&1 < /dev/null &
    echo $! > "$beside.pid"
    at_end "kill $! 2> /dev/null"
}

begun() {
    beside=$(log_of "$1" .beside)
    tail --pid="$(cat "$beside.pid")" -f /dev/null
    cat "$beside"
    return "$(cat "$beside.status" 2> /dev/null || echo 124)"
}

# A command that ends with status 75 cannot run here; its last line says why.
step() {
    name=$1 format=$2
    shift 2
    log=$(log_of "$name" .log)
    begun=$(date +%s)
    tell "$name"
    rm -f "$log.status"
    {
        if "$@"; then echo 0 > "$log.status"; else echo $? > "$log.status"; fi
    } < /dev/null 2>&1 | tee "$log"
    status=$(cat "$log.status")
    if [ "$status" = 75 ]; then
        skip "$name" "$(tail -n 1 "$log")"
        return 75
    fi
    counts=$(awk -f .ci/count.awk -v format="$format" -v status="${status:-1}" "$log") || counts="0 1 0"
    # shellcheck disable=SC2086 # three numbers
    set -- $counts
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
    [ "$2" = 0 ] || failures="$failures, $name"
    tell "$name: $1 passed, $2 failed, $3 skipped ($(($(date +%s) - begun)) s)"
    [ "$2" = 0 ]
}

steps_end() {
    explained=yes
    [ -z "$failures" ] || tell "failed:${failures#,}; logs are in $logs"
    tell "took $(($(date +%s) - started)) s"
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
