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

# ---- status: from the directory, from the journal alone, in place on a terminal
expect 0 status.json "$bin/moesweep" status sweep --json
for key in v sweep state 'done' known expected decisions sessions elapsed_s eta_s eta_lo_s eta_hi_s jobs phases \
    adopted laws workers throughput causes latest live; do
    check "status --json: $key" grep -q "^  \"$key\":" status.json
done
check "status: state" [ "$(number status.json state)" = 'done' ]
check "status: jobs" [ "$(number status.json jobs 'done')" = "$(count result sweep)" ]
mkdir alone
cp sweep/journal alone
expect 0 log "$bin/moesweep" status alone
says "status of a journal alone" "^fake: done"
says "status of a journal alone" "$(count result sweep) of $(count result sweep) jobs"
refused "status of nothing" 'found no journal' "$bin/moesweep" status tmp
expect 0 log env TERM=xterm script -qec "stty cols 80 rows 24; '$bin/moesweep' status sweep --watch" /dev/null
says "status --watch on a terminal: one look at what has ended" 'fake: done'

# While it runs: read again and again, never refused, to the end.
fake_trainer slow.sh 'sleep 0.1'
fake_config live.cfg "/bin/sh $work/slow.sh {job}" 2
"${launch[@]}" -np 3 "$bin/moesweep" run live.cfg --out live >run.log 2>&1 &
pid=$!
check "a sweep is under way" soon more_than 0 job live
expect 0 log "$bin/moesweep" status live --watch
says "status --watch: to the end" "^fake: done"
check "status --watch: plain lines" [ "$(grep -c $'\e' log)" = 0 ]
wait $pid
check "the sweep that was watched" [ $? -eq 0 ]

# ---- two sweeps
fake_config one.cfg "/bin/sh $work/fake.sh {job}" 1
expect 0 log "${launch[@]}" -np 3 "$bin/moesweep" run one.cfg --out one
expect 0 log "$bin/moesweep" report --compare sweep one --out two.html
says "compare: what differs" 'phases\[0\].seeds +2 \| 1'
says "compare: the same runs" '^[0-9]+ runs are the same in both: [0-9]+ have the same loss to the last bit'
check "compare: a page" grep -q '</html>' two.html
expect 0 two.json "$bin/moesweep" report --compare sweep one --json
check "compare: seeds of the smaller are the larger's" [ "$(number two.json runs same)" = "$(number two.json runs equal)" ]
refused "compare: over a page" 'exists already' "$bin/moesweep" report --compare sweep one --out two.html
refused "compare: one" 'expected two directories' "$bin/moesweep" report --compare sweep
refused "compare: two without it" 'expected two directories' "$bin/moesweep" report sweep one

# ---- replay
expect 0 log "$bin/moesweep" replay sweep --speed 0
says "replay" "$(count result sweep) of $(count result sweep) jobs"
check "replay: elsewhere than on a terminal once, at the end" [ "$(grep -c '^fake:' log)" = 1 ]
expect 0 log env TERM=xterm script -qec "stty cols 80 rows 24; '$bin/moesweep' replay live --speed 1" /dev/null
check "replay: frames" [ "$(grep -c 'fake:' log)" -gt 2 ]
says "replay: drawn in place" $'\e\\[[0-9]+A\r\e\\[J'
check "replay: no line is wider than the terminal" \
    [ -z "$(tr -d '\r' <log | sed $'s/\e\\[[0-9]*[AJ]//g' | grep -E '^.{80}')" ]
expect 0 replay.json "$bin/moesweep" replay sweep --speed 0 --json
check "replay --json: the end" [ "$(number replay.json jobs 'done')" = "$(count result sweep)" ]
refused "replay: speed" 'expected seconds a second' "$bin/moesweep" replay sweep --speed fast
finish
