#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A dense model is trained; a sweep over experts starts every run from its checkpoint.
. "$(dirname "$0")/lib.sh"

cat >"$work/dense.json" <<END
{ "v": 1,
  "arch": { "L_d": 2, "L_m": 0, "d": 16, "d_qkv": 8, "d_d": 24, "d_m": 12, "N_q": 2, "N_kv": 1,
            "S": 32, "N_e": 4, "K": 1, "n_shared": 0 },
  "data": { "paths": ["$src/data/kjv.txt"] },
  "train": { "tokens": 64000, "batch_tokens": 256, "lr": 0.01 },
  "model": { "rope_base": 100 }, "val": { "tokens": 8192 },
  "checkpoint": { "dir": "$work/dense", "keep": true } }
END
cat >"$work/upcycle.cfg" <<END
name = "upcycle";
question = "How many experts does a dense model want to become?";
data = { paths = ["$src/data/kjv.txt"]; held = 0.05; };
scales = [1e8, 2e8];
arch = { S = 32; L_d = 0; L_m = 2; d = 16; d_qkv = 8; d_m = 12; N_q = 2; N_kv = 1; K = 2; n_shared = 0; N_e = 4; };
start = { M = 29184.0; };
train = { batch_tokens = 256; lr = 0.005; };
model = { rope_base = 100.0; };
init = { from = "dense/checkpoint"; noise = 0.05; };
val = { tokens = 8192; };
bootstrap = 20;
phases = ( { name = "experts"; axes = ( { var = "N_e"; values = [2, 4, 8]; } ); } );
END
run() { # OUT
    "${launch[@]}" -np 3 "$bin/moesweep" run "$work/upcycle.cfg" --out "$1"
}

expect 2 "$work/log" "$bin/moesweep" plan "$work/upcycle.cfg"
check "no checkpoint yet" grep -q 'upcycle.cfg:[0-9]*: init.from: expected a checkpoint, found ' "$work/log"
expect 0 "$work/log" "$bin/moetrain" "$work/dense.json"
expect 0 "$work/log" "$bin/moesweep" plan "$work/upcycle.cfg"
expect 0 "$work/log" run "$work/out"
check "every job once" each_once "$work/out"
check "six results" [ "$(count result "$work/out")" = 6 ]
check "all of them ok, each with the dense model's tokens" \
    [ "$(grep '"status":"ok"' "$work/out/journal" | grep -c '"init_tokens":64000')" = 6 ]
expect 0 "$work/table" "$bin/moesweep" export "$work/out" --csv -
column=$(head -n 1 "$work/table" | tr , '\n' | grep -nx D1 | cut -d: -f1)
check "D1 in the table" [ "$(tail -n +2 "$work/table" | cut -d, -f"${column:-1}" | sort -u)" = 64000 ]

# The same file elsewhere is the same sweep; another one is not.
mkdir "$work/moved" && cp "$work/dense/checkpoint" "$work/moved/other"
sed -i 's|from = "[^"]*"|from = "moved/other"|' "$work/upcycle.cfg"
expect 0 "$work/log" run "$work/out"
check "nothing trained again" [ "$(count start "$work/out")" = 6 ]
sed -i 's/"lr": 0.01/"lr": 0.02/; s|"dir": "[^"]*"|"dir": "'"$work"'/dense2"|' "$work/dense.json"
expect 0 "$work/log" "$bin/moetrain" "$work/dense.json"
cp "$work/dense2/checkpoint" "$work/moved/other"
expect 2 "$work/log" run "$work/out"
check "another checkpoint" grep -q 'belongs to another sweep.*init.from (content): was' "$work/log"
finish
