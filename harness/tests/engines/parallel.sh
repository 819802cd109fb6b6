#!/usr/bin/env bash
# GNU parallel carries out a job file of `autolr plan --emit parallel`, and is killed twice in the middle.
# Usage: parallel.sh AUTOLR [FOLDER]. Exit code 3: parallel is not there.
set -euo pipefail
autolr=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
. "$here/common.sh"

command -v parallel >/dev/null || {
    echo "GNU parallel is missing: apt-get install parallel" >&2
    exit 3
}
dir=${2:-$(mktemp -d)}
[ -n "${2:-}" ] || trap 'rm -rf "$dir"' EXIT
cd "$dir"
write_spec spec.toml
"$autolr" sweep spec.toml "${variation[@]}" --out undisturbed >/dev/null
"$autolr" plan spec.toml "${variation[@]}" --runs tasks/runs --emit parallel --out jobs.txt >/dev/null
[ "$(wc -l < jobs.txt)" = "$runs" ] || fail "not a line a run"

start() {
    # A group of its own, so that a machine that fails can be played: everything in it dies at once.
    setsid parallel --will-cite --jobs 2 --arg-file jobs.txt >>parallel.log 2>&1 &
    pid=$!
}

start
until_true at_least computed tasks 20
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
say "parallel killed after $(computed tasks) epochs; its two trainings are left alone, and go on"

# At once: the new one meets trainings of the old one, and waits for them.
before=$(computed tasks)
start
until_true at_least computed tasks $((before + epochs * 5 / 3))
kill -KILL -- "-$pid"
wait "$pid" 2>/dev/null || true
say "parallel and its trainings killed after $(computed tasks) epochs, $(finished tasks) runs finished"
[ "$(finished tasks)" -lt "$runs" ] || fail "too late: nothing was left to do"

start
wait "$pid" || fail "parallel: exit code $?: $(tail -3 parallel.log)"
check tasks undisturbed

# Once more: nothing is computed.
before=$(computed tasks)
start
wait "$pid" || fail "parallel: exit code $?"
[ "$(computed tasks)" = "$before" ] || fail "finished runs were computed again"
say "parallel: passed"
