#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What reads a sweep's directory: export, status, replay, report --compare.
. "$(dirname "$0")/lib.sh"

fake_trainer fake.sh
fake_config "$work/fake.cfg" "/bin/sh $work/fake.sh {job}" 2
cd "$work" || exit 1
expect 0 log "${launch[@]}" -np 3 "$bin/moesweep" run fake.cfg --out sweep

# ---- export: JSON Lines say what the CSV says
expect 0 log "$bin/moesweep" export sweep --csv runs.csv --jsonl runs.jsonl
check "export: a line a run" [ "$(wc -l <runs.jsonl)" = "$(count result sweep)" ]
check "export: and a head for the CSV" [ "$(wc -l <runs.csv)" = $(($(count result sweep) + 1)) ]
check "export: columns are keys" cmp <(head -n 1 runs.csv | tr , '\n') \
    <(head -n 1 runs.jsonl | grep -o '"[A-Za-z0-9_]*":' | tr -d '":')
check "export: losses" cmp <(losses sweep | cut -f2) \
    <(sed 's/.*"job":"\([^"]*\)".*"loss":\([^,]*\),.*/\1\t\2/' runs.jsonl | sort | cut -f2)
refused "export: JSON Lines over a file" 'exists already' "$bin/moesweep" export sweep --jsonl runs.jsonl
refused "export: nothing" 'expected --csv' "$bin/moesweep" export sweep
expect 0 log "$bin/moesweep" fit runs.jsonl --law power --map 'loss=loss,X=M' --bootstrap 0
finish
