#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# moesweep fit, predict and compare on tables as people have them: the demonstration, right
# answers, clear verdicts on bad data, nothing written over.
. "$(dirname "$0")/lib.sh"
moesweep=$bin/moesweep
cd "$work" || exit 1
export ASAN_OPTIONS=detect_leaks=1 # no MPI here

# Runs of a known law: 5 budgets, 9 sizes; noise from the row's number. AWK-BLOCK changes or prints.
# N, D and L are set, i counts from 1.
runs() { # FILE [AWK-BLOCK]
    awk "BEGIN { print \"N,D,loss\"
        for (s = 0; s < 5; s++) for (k = -4; k <= 4; k++) { i++
            C = 6e18 * 3^s; N = 2e8 * sqrt(3)^s * 1.4^k; D = C / 6 / N
            L = (1.8172 + 482.01 / N^.3478 + 2085.43 / D^.3658) * (1 + .003 * sin(i * i))
            ${2:-} ; printf \"%.10g,%.10g,%s\n\", N, D, L } }" >"$1"
}

# ---- the demonstration: about a second (ten under sanitizers), a plot that is there and sound
mkdir demo && cd demo || exit 1
begin=$(date +%s%N)
expect 0 ../log "$moesweep" fit --demo
took=$((($(date +%s%N) - begin) / 1000000))
expect 0 ../log "$moesweep" fit --demo
cd ..
echo "fit --demo: $took ms"
check "--demo took $took ms" [ $took -lt $((3000 * ${MOESWEEP_TEST_SLOW:-1})) ]
says demo '^chinchilla: L = E'
says demo 'all 199 rows'
says demo '^  alpha +0\.[0-9]+ +0\.[0-9]+ to 0\.[0-9]+$'
if command -v gnuplot >/dev/null; then
    says demo '^plot: fit-demo-2.svg$'
    for svg in demo/fit-demo.svg demo/fit-demo-2.svg; do
        check "$svg is whole" [ "$(grep -o '<svg' $svg | wc -l)" = "$(grep -o '</svg>' $svg | wc -l)" ]
        check "$svg has three charts" [ "$(grep -c 'class="plot"' $svg)" = 3 ]
    done
fi
# Without gnuplot the tables still come.
mkdir empty
PATH=$work/empty "$moesweep" fit --demo >out 2>log
check "without gnuplot: exit code 0" [ $? -eq 0 ]
says "without gnuplot" 'no plot: gnuplot cannot be started'
check "without gnuplot: the table" grep -q '^  alpha' out
check "without gnuplot: no file" [ ! -e fit-demo.svg ]

# ---- the truth comes back, whatever the table's spelling
runs good.csv
expect 0 fit.json "$moesweep" fit good.csv --law chinchilla --json
for p in E:1.8172 A:482.01 B:2085.43 alpha:.3478 beta:.3658; do
    check "interval of ${p%:*}" within "${p#*:}" "$(number fit.json params "${p%:*}" lo)" \
        "$(number fit.json params "${p%:*}" hi)"
    check "${p%:*} is identified" [ "$(number fit.json params "${p%:*}" identified)" = true ]
done
for key in law n objective rmse_log r2 converged condition minima; do
    check "key $key" number fit.json $key >key
done
expect 0 again.json "$moesweep" fit good.csv --law chinchilla --json --threads 1
check "the same with one thread" cmp fit.json again.json
awk -F, 'NR > 1 { printf "{\"params\":%s,\"flops\":%.17g,\"final loss\":%s,\"ok\":%s}\n", $1, 6 * $1 * $2, $3,
    NR % 9 ? "true" : "false" }' good.csv >good.jsonl
expect 0 again.json "$moesweep" fit good.jsonl --law chinchilla --json \
    --map 'N=params,D=flops/(6*params),loss="final loss"'
check "alpha through a map" within "$(number again.json params alpha value)" \
    "$(number fit.json params alpha value | awk '{ print $1 - 1e-6 }')" \
    "$(number fit.json params alpha value | awk '{ print $1 + 1e-6 }')"
expect 0 log "$moesweep" fit good.jsonl --law chinchilla --where ok=true --bootstrap 0 \
    --map 'N=params,D=flops/(6*params),loss="final loss"'
says where '40 of 45 rows: 5 left out by --where'
expect 0 log "$moesweep" fit - --law chinchilla --bootstrap 0 <good.csv
says "standard input" 'all 45 rows'
expect 0 log "$moesweep" fit --list
check "all laws are listed" [ "$(grep -c '^[a-z]' log)" -ge 21 ]

# ---- profiles: of a line in logarithms it is Student's interval, 2.364624 se at 9 - 2 rows
awk 'BEGIN { print "X,loss"; for (i = 1; i <= 9; i++) { X = 10^(i / 2); print X "," 3 * X^.5 * exp(.02 * sin(i * i)) } }' >line.csv
expect 0 p.json "$moesweep" fit line.csv --law power --objective log --bootstrap 0 --profile p --json
awk -F, 'NR > 1 { x[++n] = log($1); y[n] = log($2); sx += x[n]; sy += y[n] }
    END { for (i = 1; i <= n; i++) { xx += (x[i] - sx / n)^2; xy += (x[i] - sx / n) * y[i] }
        p = xy / xx; for (i = 1; i <= n; i++) left += (y[i] - sy / n - p * (x[i] - sx / n))^2
        half = 2.364624252 * sqrt(left / (n - 2) / xx)
        for (i = -1; i <= 1; i += 2) printf "%.12g %.12g\n", p + (i - 4e-6) * half, p + (i + 4e-6) * half }' line.csv >want
read -r lo_lo lo_hi hi_lo hi_hi < <(tr '\n' ' ' <want)
check "Student's interval, below" within "$(number p.json profile p lo)" "$lo_lo" "$lo_hi"
check "Student's interval, above" within "$(number p.json profile p hi)" "$hi_lo" "$hi_hi"
expect 0 log "$moesweep" fit good.csv --law chinchilla --profile exponents --plot profile.svg
says exponents '^  alpha +0\.[0-9]+ +0\.[0-9]+ to 0\.[0-9]+   profile 0\.[0-9]+ to 0\.[0-9]+$'
says exponents '^  beta .* profile '
check "no other has a profile" [ "$(grep -c profile' [0-9n]' log)" = 2 ]
if [ -e profile.svg ]; then
    check "five charts" [ "$(grep -c 'class="plot"' profile.svg)" = 5 ]
fi
refused "no such parameter" 'profile: expected E, A, B, alpha, beta of chinchilla, or exponents; found .alpha,gamma.' \
    "$moesweep" fit good.csv --law chinchilla --profile alpha,gamma
refused "an empty name" "expected .*found 'alpha,'" "$moesweep" fit good.csv --law chinchilla --profile alpha,
refused "a law without exponents" 'expected a, b, c of density, or exponents; found .exponents' \
    "$moesweep" fit good.csv --law density --profile exponents

# ---- law files
expect 0 log "$moesweep" fit good.csv --law chinchilla --save law.json
refused "a law file that exists" 'law.json: exists already' "$moesweep" fit good.csv --law chinchilla \
    --save law.json
expect 0 log "$moesweep" fit good.csv --law chinchilla --save law.json --force
expect 0 p.json "$moesweep" predict law.json --at N=1e9,D=2e10 --json
check "a value inside" within "$(awk 'BEGIN { print 1.8172 + 482.01 / 1e9^.3478 + 2085.43 / 2e10^.3658 }')" \
    "$(number p.json value lo)" "$(number p.json value hi)"
check "inside the data" [ "$(number p.json extrapolates)" = false ]
expect 0 p.json "$moesweep" predict law.json --compute 1e21 --json
N=$(awk 'BEGIN { a = .3478; b = .3658; print (a * 482.01 / (b * 2085.43))^(1 / (a + b)) * (1e21 / 6)^(b / (a + b)) }')
check "the optimum $N" within "$N" "$(number p.json optimum N lo)" "$(number p.json optimum N hi)"
check "C is beyond" [ "$(number p.json extrapolates)" = true ]
expect 0 log "$moesweep" predict law.json --compute 1e21
says "beyond the data" 'C = 1e\+21 is beyond the data by a factor of 2.06'
refused "half a point" 'expected N=..,D=.., found no D' "$moesweep" predict law.json --at N=1
refused "no law file" 'good.csv' "$moesweep" predict good.csv --at N=1,D=1
echo '{"v":1,"t":"fit","law":"chinchilla","terms":2,"params":{"E":1}}' >bad.json
refused "a broken law file" 'bad.json: E: expected an object' "$moesweep" predict bad.json --at N=1,D=1
printf '{"v":1,"t":"fit","law":"chinchilla","terms":99}' >bad.json
refused "a wrong law file" 'terms: expected an integer from 1 to 8' "$moesweep" predict bad.json --at N=1,D=1
expect 0 log "$moesweep" fit good.csv --law chinchilla --next N=7e9,D=1.4e11 --budget 1e21
says next 'all together: C = [0-9.e+]*, [0-9]+ % of the interval left'

# ---- comparison
expect 0 c.json "$moesweep" compare good.csv --laws kaplan,chinchilla,powersum --map X1=N,X2=D --json
check "the right form wins" grep -qE 'chinchilla|powersum' <(number c.json laws 0 law)
check "kaplan is last" [ "$(number c.json laws 2 law)" = kaplan ]
check "scales are held out" within "$(number c.json laws 0 held_out scales rmse_log)" .001 .006
expect 0 log "$moesweep" compare good.csv --laws kaplan,chinchilla --holdout 'N>1e9' --isoflop 1e24
says compare 'rows: held out rows with N>1e9'
says compare '^chinchilla predicts the rows held out best: wrong by 0'
says isoflop 'Parabolas are biased'
refused "a filter of nothing" 'expected rows to fit' "$moesweep" compare good.csv --laws kaplan --holdout 'N<0'

# ---- bad data: refused, or fitted with what cannot be identified named
fit() {
    "$moesweep" fit "$1" --law chinchilla "${@:2}"
}
runs nan.csv 'if (i == 3) L = "nan"; if (i == 7) L = ""'
expect 0 log fit nan.csv
says NaN '43 of 45 rows: 1 skipped, as loss is not finite \(first: line 4\); 1 skipped, as loss is missing'
runs allnan.csv 'L = "nan"'
refused "all NaN" 'expected rows to fit, found 0 of 45 rows: 45 skipped' fit allnan.csv
runs zero.csv 'if (i == 5) L = 0'
refused zeros 'zero.csv: line 6: loss: expected a positive number, found 0' fit zero.csv
runs dup.csv 'if (i < 4) { printf "%.10g,%.10g,%s\n", N, D, L }'
expect 0 log fit dup.csv
says duplicates '3 rows repeat another exactly \(first: lines 2 and 3\)'
runs two.csv 'if (s > 1) continue'
expect 0 log fit two.csv
says "two scales" 'two scales of compute'
runs oneN.csv 'N = 1e8; L = L - 482.01 / (C / 6 / D)^.3478 + 482.01 / N^.3478'
expect 0 log fit oneN.csv
says "one N" '^not identified by these data: .*A, alpha'
expect 0 log fit oneN.csv --bootstrap 0 --profile alpha,beta
says "one N" '^  alpha .* profile no limit to no limit   not identified'
says "one N" '^  beta .* profile 0\.[0-9]+ to 0\.[0-9]+$'
expect 0 log fit oneN.csv
says "one N" 'N has one value \(1e\+08\)'
runs ratio.csv 'D = 20 * N; L = 1.8 + 482 / N^.3478 + 2085 / D^.3658'
expect 0 log fit ratio.csv
says "one N/D" 'N/D is the same in all rows'
says "one N/D" '^not identified by these data: A, B, alpha, beta'
refused "wrong column" "no column 'tokens'; it has N, D, loss" fit good.csv --map D=tokens
refused "no such column" "expected a column 'loss', or --map 'loss=..'; found the columns run, N, D" \
    fit <(echo run,N,D; echo 1,2,3)
refused "text for numbers" "line 2, column 'N' \(for N\): expected a number, found 'small'" \
    fit <(echo N,D,loss; echo small,2,3)
refused prose 'kjv.txt: line [0-9]+: expected' fit "$src/data/kjv.txt"
tr -d '\n,;\t\f' <"$src/data/kjv.txt" >long.txt
refused "a line of prose without an end" 'more than 1048576 bytes' fit long.txt
head -c 200000 /dev/urandom >noise.bin
refused "a binary file" 'noise.bin' fit noise.bin
refused "a folder" 'Is a directory' fit .
refused "nothing there" 'No such file' fit nowhere.csv
refused "an empty file" 'expected a table, found nothing' fit /dev/null
refused "too few rows" 'parameters' fit <(head -n 4 good.csv)
runs units.csv 'N /= 1e6; D /= 1e9; L = L * 20'
expect 0 log fit units.csv
says units 'tokens: at most'
says units 'loss: up to'
sed 's/loss/val_bpb/' good.csv >bits.csv
expect 0 log fit bits.csv --map loss=val_bpb
says bits "column 'val_bpb' looks like something else"
# Options.
refused "no law" 'expected --law NAME' "$moesweep" fit good.csv
refused "a wrong law" 'expected a law \(chinchilla, .*found .gauss' "$moesweep" fit good.csv --law gauss
refused "no data" 'expected DATA' "$moesweep" fit --law chinchilla
refused "too few resamples" 'expected 0 or 40 to' fit good.csv --bootstrap 10
refused "no scales" 'boot scales: expected runs at three' fit two.csv --boot scales
refused "a wrong map" 'at character 8: expected a number' fit good.csv --map 'D=6*(N+'
refused "an unknown name" 'expected N, D, loss or C, found .E' fit good.csv --map E=N
finish
