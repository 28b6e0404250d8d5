#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Trainers and workers that misbehave: retried, given up, replaced; the reason is kept; the rest goes on.
. "$(dirname "$0")/lib.sh"
recovering=()

# One configuration, so that law.json can be compared; the trainer behind it changes.
fake_config "$work/sweep.cfg" "/bin/sh $work/trainer.sh {job}"
run() { # NAME [OPTION...]
    local name=$1
    shift
    "${launch[@]}" "${recovering[@]}" -np 3 "$bin/moesweep" run "$work/sweep.cfg" --out "$work/$name" "$@"
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
check "doomed: last lines kept" grep -q "bad luck" "$work/doomed/jobs/$one/stderr.txt"

# Nothing works: stopped early with the reason, and resumable once repaired.
fake_trainer trainer.sh 'echo "no such GPU" >&2; exit 1'
expect 1 "$work/log" run broken
check "broken: says why" grep -q "none has worked; the last: .*no such GPU" "$work/log"
fake_trainer trainer.sh
expect 0 "$work/log" run broken

# A worker is stopped for a while: its job goes to the other one, what it says later is dropped.
fake_trainer trainer.sh "sleep 0.4"
run slow --silence 1.5 >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 400); do
    [ "$(count start "$work/slow")" -ge 3 ] && break
    sleep 0.05
done
worker=$(grep -l "^moesweep" /proc/[0-9]*/comm 2>/dev/null | while read -r f; do
    p=${f#/proc/}
    p=${p%/comm}
    { tr '\0' '\n' <"/proc/$p/environ"; } 2>/dev/null | grep -qx OMPI_COMM_WORLD_RANK=2 &&
        { tr '\0' ' ' <"/proc/$p/cmdline"; } 2>/dev/null | grep -qF "$work/sweep.cfg" && echo "$p"
done)
check "slow: found rank 2" [ -n "$worker" ]
kill -STOP "$worker"
sleep 2.5
kill -CONT "$worker"
wait $pid
check "slow: done" [ $? -eq 0 ]
check "slow: the silence was noticed" grep -q "rank 2 .*no sign of life" "$work/log"
check "slow: and its end" grep -q "rank 2 .*is back" "$work/log"
check "slow: each job once" each_once "$work/slow"
check "slow: losses" [ "$(losses "$work/slow")" = "$(losses "$work/good")" ]
check "slow: law" cmp "$work/good/law.json" "$work/slow/law.json"

# A worker rank is killed: by default mpirun ends everything; with --enable-recovery the other one goes on.
killed=1
recovering=(--enable-recovery)
run dead --silence 1.5 >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 400); do
    [ "$(count start "$work/dead")" -ge 3 ] && break
    sleep 0.05
done
for p in $(tree $pid); do
    { tr '\0' '\n' <"/proc/$p/environ"; } 2>/dev/null | grep -qx OMPI_COMM_WORLD_RANK=2 &&
        [ "$(cat "/proc/$p/comm")" = moesweep ] && kill -9 "$p"
done
wait $pid # its exit code means nothing then (docs/clusters.md)
check "dead: the status says done" grep -q '"state": "done"' "$work/dead/status.json"
check "dead: each job once" each_once "$work/dead"
check "dead: law" cmp "$work/good/law.json" "$work/dead/law.json"

# The disk is full: exit code 1, a valid journal, resumed once there is room.
mkdir "$work/tiny"
if mount -t tmpfs -o size=200k none "$work/tiny" 2>/dev/null; then
    head -c 150000 /dev/zero >"$work/tiny/ballast"
    full() {
        "${launch[@]}" -np 3 "$bin/moesweep" run "$work/sweep.cfg" --out "$work/tiny/out"
    }
    fake_trainer trainer.sh
    expect 1 "$work/log" full
    check "full: says so" grep -q "No space left on device" "$work/log"
    check "full: warned at the start" grep -q "disk: .* MB are free in $work/tiny/out" "$work/log"
    rm "$work/tiny/ballast"
    mount -o remount,size=20m "$work/tiny"
    expect 0 "$work/log" full
    check "full: no warning where there is room" [ "$(grep -c "MB are free" "$work/log")" = 0 ]
    check "full: each job once" each_once "$work/tiny/out"
    check "full: law" cmp "$work/good/law.json" "$work/tiny/out/law.json"
    umount "$work/tiny"
else
    echo "cannot mount a small file system here: a full disk is left to test_journal" >&2
fi
finish
