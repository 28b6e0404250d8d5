#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# moesweep analyze and curve: the right analyses for each law, planted optima inside their
# intervals, clear verdicts, sound pictures.
. "$(dirname "$0")/lib.sh"
moesweep=$bin/moesweep
cd "$work" || exit 1
export ASAN_OPTIONS=detect_leaks=1 # no MPI here

# Runs of the five-factor law, G* = 6.78 and s* = .315 at every scale; noise from the row's number.
awk 'BEGIN { print "N,D,N_a,G,s,loss"; split(".04 .1 .25", share, " "); split("1 2 4 8 12 20", g, " ")
    split("0 .1 .2 .3 .4 .5", t, " "); a = .2383
    for (i = 0; i < 216; i++) {
        N = 1e9 * 4^(i % 4); D = 2e10 * 4^(int(i / 4) % 3); k = int(i / 12) % 3; j = int(i / 36)
        N_a = N * share[k + 1]; G = g[j + 1]; s = t[(j + 2 * k + i % 4 + int(i / 4) % 3) % 6 + 1]
        L = (.1577 * G + 7.2446 / G + 5.1395 * s * s - 3.2363 * s) * (N^-a + .0013 * N_a^-a + .045 * N_a / N) \
            + 38.051 * N^-a + 27129.05 * D^-.4694 + 31.096 * N_a^-a + 1.8182
        printf "%.10g,%.10g,%.10g,%g,%g,%.9g\n", N, D, N_a, G, s, L * (1 + .0005 * sin(i * i)) } }' >five.csv
five=("$moesweep" analyze five.csv --law fivefactor --objective log --bootstrap 60 --at "N=3e10,D=1e11,N_a=3e9,G=6,s=.3")
expect 0 a.json "${five[@]}" --json --plot five.svg
for v in 2:N_a:12.02e9 3:G:6.778 4:s:.3148; do # as the law has them, docs/laws.md
    IFS=: read -r at var truth <<<"$v"
    check "$var is there" [ "$(number a.json optima "$at" var)" = "$var" ]
    check "$var* in its interval" within "$truth" "$(number a.json optima "$at" optimum lo)" \
        "$(number a.json optima "$at" optimum hi)"
    check "$var* in its range" within "$truth" "$(number a.json optima "$at" within_lo value)" \
        "$(number a.json optima "$at" within_hi value)"
done
check "more tokens are always better" [ "$(number a.json optima 1 optimum value)" = null ]
check "the claim is true" [ "$(number a.json claim rejected)" = false ]
check "no claim beyond the data" [ "$(number a.json optima 3 beyond)" = 1.0 ]
if command -v gnuplot >/dev/null; then
    check "a chart for each factor" [ "$(grep -c 'class="plot"' five.svg)" = 5 ]
    refused "a plot that exists" 'five.svg: exists already' "${five[@]}" --plot five.svg
fi
expect 0 log "${five[@]}"
says "the claim" 'not rejected at 5 %'
expect 0 log "${five[@]}" --compute 1e30
says "a budget beyond the data" 'C = 1e\+30 \*$'

# A law file has no runs; what needs them says so.
expect 0 log "$moesweep" fit five.csv --law fivefactor --objective log --bootstrap 0 --save five.json
expect 0 log "$moesweep" analyze five.json
says "without runs" 'depend on scale needs the runs'
says "without resamples" 'no intervals'
refused "a map with a law file" 'belong to a table' "$moesweep" analyze five.json --map N=n
refused "a point of other variables" 'expected N=..,D=..,N_a=..,G=..,s=..' "$moesweep" analyze five.json --at E=8
refused "a wrong budget" "found '1e20,x'" "$moesweep" analyze five.json --compute 1e20,x
refused "no such law" 'expected' "$moesweep" analyze five.csv --law five

# Routed models: Clark's own runs.
expect 0 a.json "$moesweep" analyze "$src/tests/data/clark2022_sbase.csv" --law routed --json --bootstrap 60 \
    --map 'N=dense_parameter_count,E=num_experts,loss=loss_validation' --where k=1 --where flop_increase=1 \
    --where routing_frequency=.5 --where seed=42
check "routing stops paying near 1e12" within 1e12 "$(number a.json dense 0 pays_to lo)" \
    "$(number a.json dense 0 pays_to hi)"
check "which is beyond the data" within "$(number a.json dense 0 pays_to beyond)" 10 1e9

# ---- learning curves
curve=("$moesweep" curve "$src/tests/data/curves.csv")
expect 0 c.json "${curve[@]}" --json
for key in rmse_log half_width covered rmse_log_largest covered_largest; do
    check "key $key" number c.json methods 1 $key >key
done
check "half of a curve is worth 1.5 %" within "$(number c.json methods 1 rmse_log)" .003 .015
check "intervals hold" within "$(number c.json methods 1 covered)" .84 1
# Five runs stopped half-way: their ends are in the intervals of what the others do.
awk -F, -v OFS=, 'NR > 1 && $1 <= 5 { if ($6 > $5 / 2) next; $8 = "" } { print }' \
    "$src/tests/data/curves.csv" >open.csv
expect 0 o.json "$moesweep" curve open.csv --json
check "five runs are open" [ "$(number o.json not_ended)" = 5 ]
held=0
for i in 0 1 2 3 4; do
    end=$(awk -F, -v run="$(number o.json open $i run)" '$1 == run { print $8; exit }' "$src/tests/data/curves.csv")
    within "$end" "$(number o.json open $i calibrated lo)" "$(number o.json open $i calibrated hi)" && held=$((held + 1))
done
check "$held of five ends are in their intervals" [ $held -ge 4 ]
# Against a law of the final losses.
awk -F, 'NR == 1 { print "N,D,loss" } NR > 1 && $1 != run { run = $1; print $3 "," $5 "," $8 }' \
    "$src/tests/data/curves.csv" >final.csv
expect 0 log "$moesweep" fit final.csv --law chinchilla --bootstrap 60 --save law.json
expect 0 log "${curve[@]}" --law law.json --map N=N_a --run 7 --plot curve.svg
says "a run" '^  7, from 50 % of its tokens \(it ended at 1\.'
says "the law" 'the final loss itself +[+-]0\.'
command -v gnuplot >/dev/null && check "three charts" [ "$(grep -c 'class="plot"' curve.svg)" = 3 ]
expect 0 log "${curve[@]}" --law law.json # N here are all parameters
says "a law of other columns" 'fitted to other columns'
refused "a table without a law" 'or --law NAME for a table' "$moesweep" analyze final.csv
head -n 200 "$src/tests/data/curves.csv" >few.csv
expect 0 log "$moesweep" curve few.csv
says "few runs" 'with fewer than 9 nothing says'
refused "a run that is not there" 'no run 99 among 38' "${curve[@]}" --run 99
refused "a missing column" 'expected a column run' "$moesweep" curve final.csv
finish
