#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The small variants of the papers' sweeps run to a law and a report; each answers its question.
. "$(dirname "$0")/lib.sh"

for name in expert-attention five-factor fairness; do
    out=$work/$name
    expect 0 "$work/log" "${launch[@]}" -np $((cores + 1)) "$bin/moesweep" run \
        "$src/configs/$name-small.cfg" --out "$out"
    check "$name: each job once" each_once "$out"
    check "$name: at least 50 results" [ "$(count result "$out")" -ge 50 ]
    check "$name: no job failed" grep -q '"failed": 0' "$out/law.json"
    check "$name: report" grep -q '<svg' "$out/report.html"
done
check "expert-attention: a fit along r" grep -q '"axis": "r"' "$work/expert-attention/law.json"
check "five-factor: fits along G and s" grep -q '"axis": "G"' "$work/five-factor/law.json"
check "five-factor: fits along s" grep -q '"axis": "s"' "$work/five-factor/law.json"
check "fairness: spread before and after" grep -q '"before": {' "$work/fairness/law.json"
finish
