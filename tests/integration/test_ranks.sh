#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# 2, 3 and 5 ranks: the same jobs, the same losses bit for bit, the same law.json; and every worker gets
# its share.
. "$(dirname "$0")/lib.sh"

fake_trainer fake.sh
fake_config "$work/fake.cfg" "/bin/sh $work/fake.sh {job}" 4
real_config "$work/real.cfg" 4

for what in fake real; do
    for ranks in 2 3 5; do
        out=$work/$what-$ranks
        expect 0 "$work/log" "${launch[@]}" -np $ranks "$bin/moesweep" run "$work/$what.cfg" --out "$out"
        check "$what, $ranks ranks: each job once" each_once "$out"
        check "$what: more than 20 jobs" [ "$(count job "$out")" -gt 20 ]
        losses "$out" >"$out/losses"
        check "$what, $ranks ranks: losses" cmp "$work/$what-2/losses" "$out/losses"
        check "$what, $ranks ranks: law.json" cmp "$work/$what-2/law.json" "$out/law.json"
        for rank in $(seq $((ranks - 1))); do
            check "$what, rank $rank of $ranks worked" grep -q "\"worker\":$rank," "$out/journal"
        done
        # Results are final and complete: the same command finds nothing to do and changes nothing.
        before=$(cksum <"$out/journal")
        expect 0 "$work/log" "${launch[@]}" -np $ranks "$bin/moesweep" run "$work/$what.cfg" --out "$out"
        check "$what, $ranks ranks: nothing left to do" [ "$before" = "$(cksum <"$out/journal")" ]
    done
done
finish
