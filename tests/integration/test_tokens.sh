#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A sweep over files of tokens: plan, run, export; and the data are part of what a sweep is.
. "$(dirname "$0")/lib.sh"

# Latin-1 as UTF-16 is every byte as a uint16: nanoGPT's layout, with the form feed as end of text.
iconv -f LATIN1 -t UTF-16LE "$src/data/kjv.txt" >"$work/kjv.bin"
check "two bytes a token" [ "$(wc -c <"$work/kjv.bin")" -eq $((2 * $(wc -c <"$src/data/kjv.txt"))) ]
real_config "$work/text.cfg" ${MOESWEEP_TEST_SLOW:-1}
sed "s|^data = .*|data = { kind = \"nanogpt\"; paths = [\"kjv.bin\"]; eot = 12; held = 0.05; };|" \
    "$work/text.cfg" >"$work/tokens.cfg"

expect 0 "$work/log" "$bin/moesweep" plan "$work/tokens.cfg" --json
check "plan has epochs" grep -q '"epochs": 0\.' "$work/log"

expect 0 "$work/log" "${launch[@]}" -np 3 "$bin/moesweep" run "$work/tokens.cfg" --out "$work/out"
check "each job once" each_once "$work/out"
check "nothing failed" grep -q '"failed": 0' "$work/out/law.json"
results=$(count result "$work/out")
check "every result has epochs" \
    [ "$results" -gt 20 ] && [ "$(grep -c '"t":"result".*"epochs":0\.[0-9]' "$work/out/journal")" -eq "$results" ]
check "bytes of tokens are unknown" \
    [ "$(grep -c '"t":"result".*"loss_per_byte":null' "$work/out/journal")" -eq "$results" ]

# Export: epochs is D over the training tokens; V is the largest token + 1, z.
expect 0 "$work/log" "$bin/moesweep" export "$work/out" --csv "$work/out.csv"
check "export: epochs and V of every run" awk -F, '
    NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
    NR > 1 && $at["status"] == "ok" {
        n++
        tokens = $at["D"] / $at["epochs"] # about 95 % of 4.14 million
        if (!(tokens > 3.8e6 && tokens < 4.14e6) || $at["V"] != 123 || $at["loss_per_byte"] != "") bad++
    }
    END { exit !(n > 20 && !bad) }' "$work/out.csv"

# The same size and another content is another sweep.
printf 'x\0' | dd of="$work/kjv.bin" bs=2 seek=1000 conv=notrunc status=none
expect 2 "$work/log" "${launch[@]}" -np 2 "$bin/moesweep" run "$work/tokens.cfg" --out "$work/out"
check "changed data are refused" grep -q 'belongs to another sweep' "$work/log"
# A token beyond V is found before anything is trained.
sed 's|arch = {|arch = { V = 122;|' "$work/tokens.cfg" >"$work/small.cfg"
expect 2 "$work/log" "$bin/moesweep" plan "$work/small.cfg"
check "V too small" grep -q 'arch.V: expected more than 122, the largest token' "$work/log"
finish
