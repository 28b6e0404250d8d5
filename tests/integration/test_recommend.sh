#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# moesweep recommend from a fitted law, as people call it: a table, JSON, config.json and Megatron-LM
# arguments that agree; nothing written over; one line for what is wrong. (tests/orchestrator has the
# numbers, and sweeps.)
. "$(dirname "$0")/lib.sh"
moesweep=$bin/moesweep
cd "$work" || exit 1
export ASAN_OPTIONS=detect_leaks=1 # no MPI here

# Runs of the joint law of arXiv 2502.05172: 5 budgets, 3 sizes, 4 numbers of experts.
awk 'BEGIN { print "N_a,D,E,loss"
    for (s = 0; s < 5; s++) for (k = -1; k <= 1; k++) for (e = 8; e <= 64; e *= 2) { i++
        C = 1e18 * 3^s; N = 3e-2 * sqrt(C) * 1.8^k; D = C / 6 / N
        h = log(1 / (1 / (e - 1 + 1 / (1 / 2.07 - 1 / 290.45)) + 1 / 290.45))
        L = 35.91 * exp(-.2285 * h) * N^(-.1889 + .0098 * h) + 1.3637
        L += 35.98 * exp(.5529 * h) * D^(-.1775 - .0259 * h)
        printf "%.10g,%.10g,%d,%.10g\n", N, D, e, L * (1 + .002 * sin(i * i)) } }' >runs.csv
expect 0 log "$moesweep" fit runs.csv --law jointmoe --bootstrap 40 --save law.json
"$moesweep" fit runs.csv --law jointmoe --bootstrap 0 --json >report.json

says() { # FILE WHAT PATTERN
    check "$2: says '$3'" grep -qE -e "$3" "$1"
}
refused() { # WHAT PATTERN ARGUMENTS...: exit code 2, one line, nothing on stdout
    local what=$1 pattern=$2
    shift 2
    "$moesweep" recommend "$@" >out 2>log
    check "$what: exit code 2" [ $? -eq 2 ]
    check "$what: one line" [ "$(wc -l <log)" = 1 ]
    check "$what: nothing on stdout" [ ! -s out ]
    says log "$what" "$pattern"
}
dim() { # NAME: from the table
    sed -n "s/^  structure:.* $1=\([0-9]*\)\( .*\)*$/\1/p" table
}
value() { # KEY: of config.json
    sed -n "s/^ *\"$1\": \([^,]*\),*$/\1/p" config.json
}
argument() { # NAME: of Megatron-LM
    sed -n "s/^--$1 //p" megatron
}
same() { # WHAT A B
    check "$1: $2 and $3" [ "$2" = "$3" ]
}

asked=(--compute 1e20 --set "V=32000,S=4096" --gpu --experts pow2 --gpus 64 --memory 1e9)
expect 0 table "$moesweep" recommend law.json "${asked[@]}" --hf config.json --megatron megatron
says table table '^Recommended architecture for C = 1e\+20 FLOPs, by the law jointmoe'
says table table '^  predicted loss [0-9.]+ nats per token, 95 % [0-9.]+ to [0-9.]+$'
says table table '^  --memory 1e\+09$'
says table table '^ +\+[0-9.]+ % \(95 % .*\): .* instead of '
says table table '^  E +[0-9]+ +[0-9.]+ +\(*[0-9.]+ to [0-9.]+\)* +\+[0-9.]+ %$'
says table table 'note: Not determined by the law, by default'
same class "$(value model_type)" '"qwen2_moe"'
same d "$(value hidden_size)" "$(dim d)"
same experts "$(value num_experts)" "$(dim N_e)"
same layers "$(value num_hidden_layers)" "$(($(dim L_d) + $(dim L_m)))"
same d "$(argument hidden-size)" "$(dim d)"
same experts "$(argument num-experts)" "$(dim N_e)"
same layers "$(argument moe-layer-freq)" "[0]*$(dim L_d)+[1]*$(dim L_m)"
same shared "$(argument moe-shared-expert-intermediate-size)" "$(($(dim n_shared) * $(dim d_m)))"
check "widths for tensor cores" [ $(($(dim d) % 128 + $(dim d_m) % 128 + $(dim d_d) % 128)) = 0 ]
check "a power of two" [ $(($(dim N_e) & ($(dim N_e) - 1))) = 0 ]

# The same from --json's report of a fit, which has no resamples; and as JSON, twice the same bytes.
expect 0 plain "$moesweep" recommend report.json --compute 1e20
says plain report 'no resamples: no intervals'
"$moesweep" recommend law.json "${asked[@]}" --json >one.json
"$moesweep" recommend law.json "${asked[@]}" --json >two.json
check "the same bytes" cmp -s one.json two.json
says one.json json '"constraints": \['
"$moesweep" recommend law.json "${asked[@]}" --megatron - >stdout
check "arguments alone on stdout" cmp -s stdout megatron

# ---- refusals
cp config.json before.json
refused "config.json is there" 'exists already' law.json "${asked[@]}" --hf config.json
check "it is untouched" cmp -s config.json before.json
expect 0 log "$moesweep" recommend law.json "${asked[@]}" --hf config.json --force
refused "no vocabulary" '--set V=' law.json --compute 1e20 --hf new.json
refused "no such class" 'no class of transformers' law.json "${asked[@]}" --model qk_norm=true \
    --hf new.json
refused "no such arguments" 'norm_topk=true' law.json "${asked[@]}" \
    --model router=sigmoid_bias,norm_topk=false --megatron new.txt
refused "two on stdout" 'expected a file' law.json "${asked[@]}" --json --megatron -
refused "no budget" '--compute' law.json
refused "too little memory" '--memory 1000' law.json --compute 1e20 --memory 1e3
refused "not a law" 'expected' runs.csv --compute 1e20
refused "no file" 'No such file' nothing.json --compute 1e20
check "nothing was written" [ ! -e new.json ] && check "nothing was written" [ ! -e new.txt ]
finish
