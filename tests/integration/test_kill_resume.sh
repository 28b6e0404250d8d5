#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 of the whole mpirun tree at random moments, the same command again: every job exactly once in the
# results, losses and law.json as if nothing had happened.
#
#     test_kill_resume.sh [KILLS [COMPUTE [SEED]]]     default 5, 20 (1e9 FLOPs), a seed that is printed
. "$(dirname "$0")/lib.sh"
kills=${1:-5} compute=${2:-20} seed=${3:-$RANDOM}
RANDOM=$seed killed=1
echo "seed $seed"

real_config "$work/sweep.cfg" "$compute"
sweep() { # OUT
    exec "${launch[@]}" -np 3 "$bin/moesweep" run "$work/sweep.cfg" --out "$1"
}

from=${EPOCHREALTIME/[.,]/}
expect 0 "$work/log" "${launch[@]}" -np 3 "$bin/moesweep" run \
    "$work/sweep.cfg" --out "$work/undisturbed"
took_ms=$(((${EPOCHREALTIME/[.,]/} - from) / 1000))
echo "undisturbed: $(count result "$work/undisturbed") jobs in $took_ms ms"
check "about 40 jobs" [ "$(count result "$work/undisturbed")" -ge 36 ]
losses "$work/undisturbed" >"$work/losses"

verify() { # OUT
    check "$1: each job once" each_once "$1"
    losses "$1" >"$work/losses.now"
    check "$1: losses" cmp "$work/losses" "$work/losses.now"
    check "$1: law.json" cmp "$work/undisturbed/law.json" "$1/law.json"
}

round=1 done_kills=0 interrupted=0
while ((done_kills < kills)); do
    out=$work/killed-$round
    sweep "$out" >"$work/log" 2>&1 &
    pid=$!
    # Anywhere between start-up and about a quarter of the sweep later, to the millisecond; every other
    # time counted from the next result on, so that some kills hit a journal that grows.
    ms=$((RANDOM % (took_ms / 4 + 300)))
    if ((done_kills % 2 == 0)); then
        ms=$((ms / 2)) had=$(count result "$out")
        while kill -0 $pid 2>/dev/null && [ "$(count result "$out")" -le "$had" ]; do
            sleep 0.05
        done
    fi
    sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
    if kill -0 $pid 2>/dev/null; then
        [ "$(count result "$out")" -gt 0 ] && interrupted=$((interrupted + 1))
        kill_tree $pid
        done_kills=$((done_kills + 1))
        check "kill $done_kills leaves no process" no_survivors
    else # it was done before: the next kills hit a fresh one
        wait $pid
        check "run ends well" [ $? -eq 0 ]
        verify "$out"
        round=$((round + 1))
    fi
done
expect 0 "$work/log" "${launch[@]}" -np 3 "$bin/moesweep" run "$work/sweep.cfg" --out "$work/killed-$round"
verify "$work/killed-$round"
echo "$done_kills kills over $round sweeps, $interrupted of them with results in the journal; sessions of the last: $(
    count session "$work/killed-$round"), attempts: $(count start "$work/killed-$round")"
check "kills hit sweeps under way" [ "$interrupted" -gt 0 ]
finish
