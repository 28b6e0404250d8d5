#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The demo's own results, from a run of it: counts, optima against the pilot's, utilisation, recommendation.
. "$(dirname "$0")/lib.sh"

expect 0 "$work/log" "${launch[@]}" -np $((cores + 1)) "$bin/moesweep" run "$src/configs/demo.cfg" \
    --out "$work/demo"
for file in journal config.resolved.cfg law.json architecture.json report.html status.json; do
    check "$file is there" [ -s "$work/demo/$file" ]
done
check "the demo's results" "$bin/check_demo" "$work/demo"
finish
