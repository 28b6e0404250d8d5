#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Predicted and measured largest resident size of moetrain over its options, as the Markdown table of
# docs/memory.md; fails when any prediction is off by more than 10 %. Two steps a job.
#
#     memory_table.sh MOETRAIN KJV.TXT [--quick]
#
# --quick: the rows marked "quick" alone, a few seconds.
set -euo pipefail
moetrain=$(realpath "$1") kjv=$(realpath "$2") quick=${3:-}
work=$(mktemp -d /tmp/moetrain-memory-XXXXXX)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
failed=0 rows=0

# A few documents; the whole text thrice; and its bytes taken for 16-bit tokens, in two files as each
# is a document.
head -c 60000 "$kjv" >"$work/tiny.txt"
for i in 1 2 3 4 5 6; do ln -s "$kjv" "$work/kjv$i.txt"; done
head -c 2000000 "$kjv" >"$work/a.bin"
tail -c 2000000 "$kjv" >"$work/b.bin"

# MARK NAME [KEY=VALUE...]: one row. Keys are the variables below.
row() {
    local mark=$1 name=$2 L_d=1 L_m=2 d=32 d_d=96 d_qkv=16 d_m=32 N_q=2 N_kv=1 S=64 N_e=8 K=2 \
        shared=1 V=0 batch=1024 threads=1 optimizer='"adamw"' router='"softmax"' tied=false \
        qk_norm=false precision='"f32"' kind='"text"' paths="\"$work/tiny.txt\"" checkpoint='{}' init='{}' ramp=0 \
        micro=0
    [[ $quick && $mark != quick ]] && return
    shift 2
    local "$@"
    cat >"$work/job.json" <<JOB
{"v": 1, "arch": {"L_d": $L_d, "L_m": $L_m, "d": $d, "d_qkv": $d_qkv, "d_d": $d_d, "d_m": $d_m,
 "N_q": $N_q, "N_kv": $N_kv, "S": $S, "N_e": $N_e, "K": $K, "n_shared": $shared, "V": $V},
 "data": {"kind": $kind, "paths": [$paths], "held": 0.3},
 "train": {"tokens": $((2 * batch)), "batch_tokens": $batch, "lr": 0.001, "optimizer": $optimizer,
 "precision": $precision, "batch_ramp": $ramp, "micro_tokens": $micro}, "model": {"router": $router, "tied": $tied, "qk_norm": $qk_norm},
 "val": {"tokens": $S}, "threads": $threads, "checkpoint": $checkpoint, "init": $init}
JOB
    "$moetrain" "$work/job.json" >"$work/out" 2>"$work/err" || {
        echo "memory_table: $name: $(cat "$work/err")" >&2
        exit 1
    }
    local predicted measured params
    params=$(sed -n 's/.*"params":\([0-9]*\).*/\1/p' "$work/out")
    predicted=$(sed -n 's/.*"memory_bytes":\([0-9]*\).*/\1/p' "$work/out")
    measured=$(sed -n 's/.*"peak_bytes":\([0-9]*\).*/\1/p' "$work/out")
    rows=$((rows + 1))
    awk -v n="$name" -v k="$params" -v p="$predicted" -v m="$measured" 'BEGIN {
        printf "| %s | %d | %.1f | %.1f | %.3f |\n", n, k, p / 1e6, m / 1e6, p / m
        exit !(p / m >= 0.9 && p / m <= 1.1) }' || {
        echo "memory_table: $name: predicted $predicted bytes, measured $measured" >&2
        failed=$((failed + 1))
    }
}

echo "| job | parameters | predicted MB | measured MB | ratio |"
echo "|---|---|---|---|---|"
row quick "smallest: d 8, one layer, 64 tokens a step" d=8 d_d=24 d_m=8 N_e=2 L_d=0 L_m=1 batch=64
row quick "small: d 32, 3 layers, 8 experts" batch=1024
row full "64 tokens a step" batch=64
row full "8192 tokens a step" batch=8192
row full "32768 tokens a step" batch=32768
row full "a batch that grows" batch=8192 ramp=0.5
row quick "8192 tokens a step, 1024 at a time" batch=8192 micro=1024
row full "the same, 3 threads" batch=8192 micro=1024 threads=3
row quick "S 1024" S=1024 batch=4096
row full "S 4096, one sequence" S=4096 batch=4096
row full "dense" L_d=3 L_m=0
row full "no shared expert, top 1" shared=0 K=1
row full "128 experts, top 8" N_e=128 K=8
row full "multi-head attention, 8 heads" N_q=8 N_kv=8
row full "sigmoid router, tied" router='"sigmoid_bias"' tied=true
row full "norms of queries and keys" qk_norm=true batch=4096
row quick "Muon" optimizer='"muon"' d=128 d_d=384 d_m=128
row full "Muon, 2 threads" optimizer='"muon"' d=128 d_d=384 d_m=128 threads=2
row quick "2 threads" d=128 d_d=384 d_m=128 threads=2
row full "3 threads, 16 sequences" d=128 d_d=384 d_m=128 threads=3
row full "8 threads" d=128 d_d=384 d_m=128 threads=8 batch=8192
row full "64 threads, 16 sequences" d=128 d_d=384 d_m=128 threads=64
row full "bf16" precision='"bf16"' batch=4096
row full "bf16, 4 threads" precision='"bf16"' batch=4096 threads=4 d=256 d_d=768
row full "32 layers" L_m=31
row full "256 layers" L_m=255 batch=64
row full "d 256, 32 experts, 4 layers" d=256 d_d=768 d_m=128 N_e=32 L_m=3 N_q=8 d_qkv=32
row full "d 512, 32 experts, 4 layers" d=512 d_d=1536 d_m=256 N_e=32 L_m=3 N_q=8 d_qkv=64
row full "the same, 2 threads" d=512 d_d=1536 d_m=256 N_e=32 L_m=3 N_q=8 d_qkv=64 threads=2
row full "the same, Muon, 2 threads" d=512 d_d=1536 d_m=256 N_e=32 L_m=3 N_q=8 d_qkv=64 threads=2 \
    optimizer='"muon"'
row full "products that go to the BLAS: d 1024, dense" d=1024 d_d=2048 L_d=2 L_m=0 batch=2048
row quick "text of 4 MB" paths="\"$kjv\""
row full "text of 25 MB" \
    paths="$(printf '"%s",' "$work"/kjv[1-5].txt)\"$work/kjv6.txt\""
row full "16-bit tokens, 4 MB, all read for V" kind='"nanogpt"' \
    paths="\"$work/a.bin\", \"$work/b.bin\""
row full "the same, V 50257 given" kind='"nanogpt"' paths="\"$work/a.bin\", \"$work/b.bin\"" V=50257
row full "the same, tied, 2 threads" kind='"nanogpt"' paths="\"$work/a.bin\", \"$work/b.bin\"" \
    V=50257 tied=true threads=2
row full "a checkpoint kept" d=256 d_d=768 d_m=128 N_q=8 d_qkv=32 \
    checkpoint="{\"dir\": \"$work/kept\", \"keep\": true}"
row full "a start from it" d=256 d_d=768 d_m=128 N_q=8 d_qkv=32 \
    init="{\"from\": \"$work/kept/checkpoint\"}"
((rows >= 6 && failed == 0)) # a table without rows proves nothing
