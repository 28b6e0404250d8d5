#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Trainers that misbehave: retried, given up; the reason is kept; the rest goes on. (Everything else that
# goes wrong: tests/faults/campaign.c.)
. "$(dirname "$0")/lib.sh"

# One configuration, so that law.json can be compared; the trainer behind it changes.
fake_config "$work/sweep.cfg" "/bin/sh $work/trainer.sh {job}"
run() { # NAME [OPTION...]
    local name=$1
    shift
    "${launch[@]}" -np 3 "$bin/moesweep" run "$work/sweep.cfg" --out "$work/$name" "$@"
}
fake_trainer trainer.sh
expect 0 "$work/log" run good

# Every third job crashes at its first attempt, in turn by signal, exit code and broken protocol.
fake_trainer trainer.sh '
if [ $attempt = 1 ]; then case $((0x$(echo $id | cut -c1-4) % 6)) in
0) echo "device lost" >&2; kill -SEGV $$;;
1) echo "cannot allocate" >&2; exit 7;;
2) echo "Loading checkpoint shards";;
esac; fi'
expect 0 "$work/log" run flaky
check "flaky: each job once" each_once "$work/flaky"
check "flaky: some crashed" [ "$(count failure "$work/flaky")" -gt 0 ]
check "flaky: losses as if nothing had happened" [ "$(losses "$work/flaky")" = "$(losses "$work/good")" ]
check "flaky: law" cmp "$work/good/law.json" "$work/flaky/law.json"
check "flaky: causes are kept" grep -qE 'SIGSEGV|exit code 7|Loading checkpoint' "$work/flaky/journal"
check "flaky: and told" grep -qE 'attempt 1, rank [12] .*will be tried again' "$work/log"

# One structure always crashes: given up after its retries, the sweep goes on without it.
one=$(losses "$work/good" | head -n 1 | cut -f1)
fake_trainer trainer.sh "[ \$id = $one ] && { echo \"bad luck\" >&2; exit 9; }"
expect 0 "$work/log" run doomed
check "doomed: each job once" each_once "$work/doomed"
check "doomed: tried three times" [ "$(grep -c "\"t\":\"start\",\"id\":\"$one\"" "$work/doomed/journal")" = 3 ]
check "doomed: its result says why" \
    grep -q "\"t\":\"result\",\"id\":\"$one\",\"status\":\"failed\".*exit code 9.*bad luck" "$work/doomed/journal"
check "doomed: last lines kept" grep -q "bad luck" "$work/doomed/jobs/$one.stderr.txt"

# Nothing works: stopped early with the reason, and resumable once repaired.
fake_trainer trainer.sh 'echo "no such GPU" >&2; exit 1'
expect 1 "$work/log" run broken
check "broken: says why" grep -q "none has worked; the last: .*no such GPU" "$work/log"
fake_trainer trainer.sh
expect 0 "$work/log" run broken

finish
