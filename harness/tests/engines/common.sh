# What the tests of the engines share: a small sweep on the reference workload, and what has to be true of it at the end.
# Sourced by them, with $autolr set.

fail() { echo "FAILED: $*" >&2; exit 1; }
say() { echo "engines: $*" >&2; }

# Runs that take some ten seconds each, so that they can be caught in the middle, and so that the trainings of which Slurm's
# controller saved that they run still do when it is killed (it asks the node some minutes after its start, else).
write_spec() {
    cat > "$1" <<'SPEC'
[data]
set = "synthetic"
train_images = 8000
test_images = 500
augment = false

[network]
kind = "reference"
hidden = 16

[scheduler]
kind = "autolr"
lr = 0.02
factors = "factor_3"

[training]
epochs = 400
device = "cpu"
SPEC
}

variation=(--set scheduler.lr=0.02,0.05,0.1 --seeds 0..2)
runs=6
epochs=400

# Folders of the runs that have an end.
finished() { grep -l '"event":"run-finished"' "$1"/runs/*/events.jsonl 2>/dev/null | wc -l; }

# Epochs whose checkpoint was written, over all runs.
computed() { cat "$1"/runs/*/timings.jsonl 2>/dev/null | wc -l; }

# Waits, at most some minutes, until a command succeeds.
until_true() {
    local n
    for n in $(seq 3000); do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    fail "waited too long for: $*"
}

at_least() { [ "$($1 "$2")" -ge "$3" ]; }

# Every run finished once, no epoch twice, and every log that of a sweep that nothing disturbed.
check() {
    local dir=$1 undisturbed=$2 log run twice
    [ "$(ls -d "$dir"/runs/* | wc -l)" = "$runs" ] || fail "not $runs runs"
    for log in "$dir"/runs/*/events.jsonl; do
        run=$(basename "$(dirname "$log")")
        [ "$(grep -c '"event":"run-finished"' "$log")" = 1 ] || fail "$run did not finish once"
        twice=$(grep -o '"epoch":[0-9]*' "$dir/runs/$run/timings.jsonl" | sort | uniq -d)
        [ -z "$twice" ] || fail "$run computed epochs twice: $twice"
        cmp "$log" "$undisturbed/runs/$run/events.jsonl" || fail "$run: another log than undisturbed"
        [ ! -e "$dir/runs/$run/failed.json" ] || fail "$run has a failure"
    done
    say "$runs runs of $epochs epochs finished once each; $(computed "$dir") epochs timed, none twice; logs identical"
}
