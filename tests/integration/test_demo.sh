#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The demo's own results, from a run of it: counts, optima against the pilot's, utilisation, recommendation,
# and the time that half a minute of short runs forecast.
. "$(dirname "$0")/lib.sh"

expect 0 "$work/plan" "$bin/moesweep" plan "$src/configs/demo.cfg" --workers "$cores" --calibrate --json
forecast() { # KEY PART
    number "$work/plan" forecast "$1" "$2"
}
from=${EPOCHREALTIME/[.,]/}
expect 0 "$work/log" "${launch[@]}" -np $((cores + 1)) "$bin/moesweep" run "$src/configs/demo.cfg" \
    --out "$work/demo"
took=$(((${EPOCHREALTIME/[.,]/} - from) / 1000000))
echo "forecast: $(forecast makespan_s value) s ($(forecast makespan_s lo) to $(forecast makespan_s hi)), took $took s"
check "the time that was forecast" within "$took" "$(forecast makespan_s lo)" "$(forecast makespan_s hi)"
for file in journal config.resolved.cfg law.json architecture.json report.html status.json; do
    check "$file is there" [ -s "$work/demo/$file" ]
done
check "the demo's results" "$bin/check_demo" "$work/demo"
finish
