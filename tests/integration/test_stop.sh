#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Signals and the time limit drain to a state that the same command resumes: exit code 3, a stop record,
# checkpoints, nobody left; and the end is that of an undisturbed run.
. "$(dirname "$0")/lib.sh"

real_config "$work/sweep.cfg" 20
# Long trainings, so that a stop hits them in the middle, and no checkpoint but those that a stop asks for.
sed -i 's/^scales = .*, /scales = [/; s/^checkpoint_every_s.*/checkpoint_every_s = 600;/' "$work/sweep.cfg"
sed -i 's/^      seeds = 2; },$/      seeds = 2; } );/; s/points = 4/points = 3/; /name = "density"/,$d' "$work/sweep.cfg" # one phase
start() { # OUT [OPTION...]
    local out=$1
    shift
    exec "${launch[@]}" -np 3 "$bin/moesweep" run "$work/sweep.cfg" --out "$out" "$@"
}
# OUT: two trainers run, and have for a fifth of a second of processor time; false if the sweep ends first
under_way() {
    local file n
    while kill -0 "$pid" 2>/dev/null; do
        n=0
        for file in $(grep -l "$1/[j]obs/" /proc/[0-9]*/cmdline 2>/dev/null); do # [j]: not this grep
            awk '{ t = $14 + $15 } END { exit !(t >= 20) }' "${file%cmdline}stat" 2>/dev/null && n=$((n + 1))
        done
        ((n < 2)) || return 0
        sleep 0.02
    done
    return 1
}

start "$work/whole" >"$work/log" 2>&1 &
wait $!
check "undisturbed" [ $? -eq 0 ]

out=$work/stopped
stops=0
for how in mpirun-USR1 limit manager-TERM manager-INT worker-TERM; do
    options=()
    [ $how = limit ] && options=(--time-limit 0.7)
    start "$out" "${options[@]}" >"$work/log" 2>&1 &
    pid=$!
    if [ $how != limit ] && ! under_way "$out"; then
        echo "$how: done too soon" >&2
        wait $pid
        continue
    fi
    # The ranks in order: children of mpirun that run moesweep.
    mapfile -t ranks < <(for p in $(tree $pid); do
        [ "$(cat "/proc/$p/comm" 2>/dev/null)" = moesweep ] && echo "$p"
    done | sort -n)
    case $how in
    mpirun-USR1) kill -USR1 $pid ;;
    manager-TERM) kill -TERM "${ranks[0]}" ;;
    manager-INT) kill -INT "${ranks[0]}" ;;
    worker-TERM) kill -TERM "${ranks[1]}" ;;
    esac
    wait $pid
    code=$?
    stops=$((stops + 1))
    check "$how: exit code 3, not $code" [ $code -eq 3 ]
    [ $code -eq 3 ] || cat "$work/log" >&2
    check "$how: says how to go on" grep -q "the same command resumes" "$work/log"
    check "$how: stop record last" grep -q '"t":"stop"' <(tail -n 1 "$out/journal")
    check "$how: status" grep -q '"state": "stopped"' "$out/status.json"
    check "$how: nobody left" no_survivors
    check "$how: no retry consumed" [ "$(count failure "$out")" = 0 ]
    [ $how = mpirun-USR1 ] && check "$how: a checkpoint" [ -n "$(find "$out/jobs" -name checkpoint)" ]
done
check "most stops hit a sweep under way" [ $stops -ge 3 ]
start "$out" >"$work/log" 2>&1 &
wait $!
check "resumed to the end" [ $? -eq 0 ]
check "each job once" each_once "$out"
check "the same law" cmp "$work/whole/law.json" "$out/law.json"
check "the same losses" [ "$(losses "$out")" = "$(losses "$work/whole")" ]
check "finished checkpoints are gone" [ -z "$(find "$out/jobs" -name checkpoint)" ]

# mpirun's own answer to TERM is to end its ranks: whatever the exit code, the same command resumes.
killed=1
for signal in TERM INT; do
    out=$work/$signal
    start "$out" >"$work/log" 2>&1 &
    pid=$!
    check "$signal: under way" under_way "$out"
    kill -$signal $pid
    wait $pid
    check "$signal: mpirun reports it" [ $? -ne 0 ]
    check "$signal: nobody left" no_survivors
    start "$out" >"$work/log" 2>&1 &
    wait $!
    check "$signal: resumed" [ $? -eq 0 ]
    check "$signal: the same law" cmp "$work/whole/law.json" "$out/law.json"
done

# mpirun alone is killed: the ranks notice and end.
out=$work/orphans
start "$out" >"$work/log" 2>&1 &
pid=$!
check "orphans: under way" under_way "$out"
kill -9 $pid
wait $pid 2>/dev/null
check "orphans: nobody left" no_survivors
finish
