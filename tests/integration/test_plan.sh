#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What plan forecasts from a few seconds of short runs, against the sweep itself.
. "$(dirname "$0")/lib.sh"

cd "$work" || exit 1
real_config sweep.cfg 5
plan() {
    "$bin/moesweep" plan sweep.cfg --workers 2 "$@"
}
expect 0 guess.json plan --json --price 2
expect 0 log plan --price 2
says "plan: a forecast" '^  time .* \(.* to .*\)$'
says "plan: cost" '^  cost .* \(.* to .*\)$'
says "plan: disk and room" ' free in '
check "plan: by a guess" [ "$(number guess.json forecast from)" = guess ]
for key in runs worker_hours core_hours makespan_s memory_bytes disk_bytes cost; do
    check "plan: $key within its interval" awk -v v="$(number guess.json forecast $key value)" \
        -v lo="$(number guess.json forecast $key lo)" -v hi="$(number guess.json forecast $key hi)" \
        'BEGIN { exit !(v > 0 && lo <= v && v <= hi) }'
done

expect 0 log plan --calibrate=2
says "calibrated" "from runs of its trainer on this machine"

# Other programs that come or go between calibration and sweep are no fault of the forecast: then both
# are done again. One that is wrong is wrong every time.
for try in 1 2 3; do
    from=${EPOCHREALTIME/[.,]/}
    expect 0 plan.json plan --calibrate=4 --json
    took=$(((${EPOCHREALTIME/[.,]/} - from) / 1000))
    check "calibrated: in about the time it was given ($took ms)" within "$took" 500 8000
    check "calibrated: two or three structures" [ "$(grep -c '"at_a_time"' plan.json)" -ge 2 ]
    check "plan leaves nothing behind" [ -z "$(find . "$work/tmp" -name 'moesweep-calibrate-*' -print -quit)" ]
    rm -rf sweep
    expect 0 log "${launch[@]}" -np 3 "$bin/moesweep" run sweep.cfg --out sweep
    # Worker-hours: from the start of each trainer to its end.
    actual=$(sed -n '/"t":"result"/s/.*"t0":\([^,]*\),"t1":\([^,}]*\).*/\1 \2/p' sweep/journal |
        awk '{ s += $2 - $1 } END { printf "%.9f", s / 3600 }')
    lo=$(number plan.json forecast worker_hours lo) hi=$(number plan.json forecast worker_hours hi)
    echo "worker-hours: forecast $(number plan.json forecast worker_hours value) ($lo to $hi), took $actual"
    within "$actual" "$lo" "$hi" && break
done
check "the sweep took what was forecast, one of $try times" within "$actual" "$lo" "$hi"
check "runs" within "$(count result sweep)" $(($(number plan.json forecast runs lo | sed 's/\..*//') - 4)) \
    "$(number plan.json forecast runs hi)"
check "disk" within "$(du -sb sweep | cut -f1)" "$(number plan.json forecast disk_bytes lo)" \
    "$(number plan.json forecast disk_bytes hi)"

# A trainer that fails is told with its cause.
sed 's/^bootstrap/trainer = "false {job}"; bootstrap/' sweep.cfg >bad.cfg
refuse=0
"$bin/moesweep" plan bad.cfg --calibrate=1 >out 2>log || refuse=$?
check "calibrate: a bad trainer fails" [ $refuse -eq 1 ]
says "calibrate: a bad trainer" 'calibrate: failed: exit code 1'
finish
