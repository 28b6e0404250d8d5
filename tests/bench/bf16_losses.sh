#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What bf16 costs in loss: sizes S, M and L (bench_step.c) trained on data/kjv.txt in f32 and in bf16
# from the same four seeds; a Markdown table on standard output, exit code 1 where a size's mean
# losses lie further apart than 0.3 %. One training at a time; those whose result lies in FOLDER
# already are not repeated, so a stopped run continues. About 40 minutes of one AVX-512 core with AMX.
#
#     bf16_losses.sh MOETRAIN FOLDER [SIZE..]
set -eu
if [ $# -lt 2 ]; then
    echo "usage: bf16_losses.sh MOETRAIN FOLDER [S|M|L ..]" >&2
    exit 2
fi
moetrain=$1 folder=$2
shift 2
[ $# -gt 0 ] || set -- S M L
here=$(cd "$(dirname "$0")" && pwd)
text=$(cd "$here/../../data" && pwd)/kjv.txt
seeds="1 2 3 4"
mkdir -p "$folder"

# train SIZE PRECISION SEED D LAYERS HEADS WIDTH EXPERTS K TOKENS LR
train() {
    name=$1-$2-$3
    if [ -f "$folder/$name.result" ]; then
        return
    fi
    cat >"$folder/$name.json" <<JOB
{"v": 1, "arch": {"L_d": 0, "L_m": $5, "d": $4, "d_qkv": $(($4 / $6)), "d_m": $7, "N_q": $6,
  "N_kv": $6, "S": 256, "N_e": $8, "K": $9, "n_shared": 0},
 "data": {"kind": "text", "paths": ["$text"]},
 "train": {"tokens": ${10}, "batch_tokens": 4096, "lr": ${11}, "precision": "$2", "seed": $3},
 "val": {"tokens": 131072}}
JOB
    "$moetrain" "$folder/$name.json" >"$folder/$name.out"
    grep '"hello"' "$folder/$name.out" | sed 's/.*"backend": *"\([^"]*\)".*/\1/' \
        >"$folder/$name.backend"
    grep '"result"' "$folder/$name.out" | grep '"status": *"ok"' >"$folder/$name.new"
    mv "$folder/$name.new" "$folder/$name.result"
}

train_size() {
    for seed in $seeds; do
        for precision in f32 bf16; do
            case $1 in
            S) train S $precision "$seed" 64 4 2 64 8 2 2000000 4e-3 ;;
            M) train M $precision "$seed" 128 6 4 128 16 2 1000000 3e-3 ;;
            L) train L $precision "$seed" 256 8 4 128 32 4 500000 1.5e-3 ;;
            *) echo "bf16_losses.sh: expected S, M or L, found $1" >&2 && exit 2 ;;
            esac
        done
    done
}

loss() {
    sed 's/.*"loss": *\([0-9.e+-]*\).*/\1/' "$folder/$1.result"
}

for size; do
    train_size "$size"
done
echo "bf16 on $(cat "$folder"/*-bf16-*.backend | sort -u | tr '\n' ' ')"
echo
echo "| size | tokens | f32, mean loss | bf16, mean loss | bf16 over f32 | each seed |"
echo "|---|---|---|---|---|---|"
for size; do
    tokens=$(sed 's/.*"tokens": *\([0-9]*\).*/\1/' "$folder/$size-f32-1.result")
    for seed in $seeds; do
        echo "$size $tokens $(loss "$size-f32-$seed") $(loss "$size-bf16-$seed")"
    done
done | awk '
    function flush_size() {
        d = 100 * (bf16 / f32 - 1)
        printf "| %s | %d | %.4f | %.4f | %+.3f %% |%s |\n", size, tokens, f32 / n, bf16 / n, d, each
        if (!(d <= 0.3 && d >= -0.3))
            far = 1
    }
    n > 0 && $1 != size { flush_size(); n = f32 = bf16 = 0; each = "" }
    {
        size = $1; tokens = $2; f32 += $3; bf16 += $4; n++
        each = each sprintf("%s %+.3f %%", n > 1 ? "," : "", 100 * ($4 / $3 - 1))
    }
    END { flush_size(); exit far }'
