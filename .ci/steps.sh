# shellcheck shell=sh disable=SC2034,SC2154 # me and explained belong to .ci/setup.sh
# The steps of ./test. Each runs a command, keeps its output, and adds its tests to the sum. Sourced after .ci/setup.sh.
#
#   steps_begin FOLDER             sets the folder of the logs
#   step NAME FORMAT COMMAND...    runs a command and counts its tests; succeeds if none failed. .ci/count.awk lists the
#                                  formats
#   skip NAME REASON               counts a step that cannot run here
#   limited COMMAND...             runs a command for 40 minutes at most
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

# A command that ends with status 75 cannot run here; its last line says why.
step() {
    name=$1 format=$2
    shift 2
    log=$logs/$(echo "$name" | tr ' /' '--').log
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
