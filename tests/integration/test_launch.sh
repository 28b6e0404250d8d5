#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# moesweep launch: exit codes of the contract, a dead manager, a dead worker, a stop in order and an
# immediate restart; nothing stays in the temporary folders although ranks were killed.
#
#     test_launch.sh [quick]
. "$(dirname "$0")/lib.sh"
signals="ALL TERM INT USR1 HUP" # ALL: SIGTERM to every process, as batch systems send it
[ "${1:-}" = quick ] && signals="ALL TERM"

fake_trainer trainer.sh
fake_config "$work/sweep.cfg" "/bin/sh $work/trainer.sh {job}"
command=("$bin/moesweep" launch "$work/sweep.cfg" -n 3)
launch() { # OUT [OPTION...]
    local out=$1
    shift
    exec "${command[@]}" --out "$out" "$@"
}
# WHAT OUT [OPTION...]: launched, and under way: one more result is there, and no other comes before go_on
under_way() {
    local what=$1 out=$2 had
    shift 2
    had=$(count result "$out")
    hold 1
    launch "$out" "$@" >"$work/log" 2>&1 &
    pid=$!
    check "$what: under way" soon more_than "$had" result "$out"
}
rank() { # NUMBER: its process
    local p
    for p in $(tree "$pid"); do
        { tr '\0' '\n' <"/proc/$p/environ"; } 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$1" &&
            [ "$(cat "/proc/$p/comm" 2>/dev/null)" = moesweep ] && echo "$p"
    done
}
# its own name is the folder's
(cd "$work" && exec "$bin/moesweep" launch sweep.cfg -n 2) >"$work/log" 2>&1
check "done: exit code" [ $? -eq 0 ]
check "done: the folder is named after the configuration" [ -s "$work/sweep/law.json" ]
check "done: each job once" each_once "$work/sweep"
check "done: says what happens when a rank dies" grep -q "when a rank dies" "$work/log"
crowd=$((cores + 2))
expect 0 "$work/log" "$bin/moesweep" launch "$work/sweep.cfg" -n $crowd --out "$work/sweep"
check "more workers than processors are warned of" grep -q "$((crowd - 1)) workers .* on $cores proc" "$work/log"

fake_trainer trainer.sh "$held"
under_way manager "$work/manager"
kill -9 "$(rank 0)"
go_on
wait $pid
check "manager: done in spite of its death" [ $? -eq 0 ]
check "manager: its death is told" grep -q "the manager died" "$work/log"
check "manager: two sessions" [ "$(count session "$work/manager")" = 2 ]
check "manager: each job once" each_once "$work/manager"
check "manager: law" cmp "$work/sweep/law.json" "$work/manager/law.json"

if [ "${1:-}" != quick ]; then
    under_way worker "$work/worker" --silence 1.5
    kill -9 "$(rank 2)"
    go_on
    wait $pid
    check "worker: done in spite of its death" [ $? -eq 0 ]
    check "worker: one session" [ "$(count session "$work/worker")" = 1 ]
    check "worker: law" cmp "$work/sweep/law.json" "$work/worker/law.json"
fi

# Every signal stops in order; the same command at once is never refused because rank 0 still ends.
for signal in $signals; do
    under_way $signal "$work/stop"
    if [ $signal = ALL ]; then
        # shellcheck disable=SC2046
        kill -TERM $(tree $pid) 2>/dev/null
    else
        kill -$signal $pid
    fi
    wait $pid
    code=$?
    go_on
    check "$signal: exit code 3, not $code" [ $code -eq 3 ]
    check "$signal: says how to go on" grep -q "the same command goes on" "$work/log"
    check "$signal: stop record" grep -q '"t":"stop"' <(tail -n 1 "$work/stop/journal")
done
launch "$work/stop" >"$work/log" 2>&1 &
wait $!
check "stop: resumed to the end" [ $? -eq 0 ]
check "stop: no retry consumed" [ "$(count failure "$work/stop")" = 0 ]
check "stop: law" cmp "$work/sweep/law.json" "$work/stop/law.json"

if [ "${1:-}" != quick ]; then
    # mpirun itself is killed: ranks notice, and it is started again.
    under_way mpirun "$work/mpirun"
    kill -9 "$(pgrep -P $pid)"
    go_on
    wait $pid
    check "mpirun: done in spite of its death" [ $? -eq 0 ]
    check "mpirun: each job once" each_once "$work/mpirun"
fi

if [ "${1:-}" != quick ]; then
    # A training is longer than the manager may be silent (30 times --silence): it gives signs of life.
    fake_trainer trainer.sh '[ -e "$0.slow" ] && rm "$0.slow" && sleep 50'
    touch "$work/trainer.sh.slow"
    expect 0 "$work/log" "$bin/moesweep" launch "$work/sweep.cfg" -n 2 --out "$work/long" --silence 1.5
    check "long: one session" [ "$(count session "$work/long")" = 1 ]
    check "long: the worker stayed" [ "$(count failure "$work/long")" = 0 ]
    check "long: and was never missed" [ "$(grep -c "no sign of life" "$work/log")" = 0 ]
fi

# Failures, each with one line of advice.
expect 2 "$work/log" "${command[@]}" --out "$work" # holds other files
check "input: says where to look" grep -q "moesweep plan" "$work/log"
expect 2 "$work/log" "$bin/moesweep" launch "$work/sweep.cfg" -n 1
expect 2 "$work/log" "$bin/moesweep" launch "$work/no-such.cfg" -n 2
expect 1 "$work/log" "${command[@]}" --out "$work/new" --mpirun "$work/no-mpirun"
check "no mpirun: says what to do" grep -q "install Open MPI" "$work/log"
expect 1 "$work/log" "${command[@]}" --out "$work/new" --mpirun "mpirun --no-such-flag"
check "no rank: says what to do" grep -q "moesweep doctor" "$work/log"
cat >"$work/dying" <<'END'
#!/bin/sh
[ "$1" = --version ] && exec mpirun --version
while [ "$1" != --tell ]; do shift; done
echo "manager 99999999" >>"$2" # no process has that number
exit 0
END
chmod +x "$work/dying"
expect 1 "$work/log" "${command[@]}" --out "$work/new" --mpirun "$work/dying" --restarts 1
check "dying: started once more" [ "$(grep -c "again in" "$work/log")" = 1 ]
check "dying: gives up with advice" grep -q "died 2 times without a new result" "$work/log"
finish
