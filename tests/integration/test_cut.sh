#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A journal cut at any byte resumes, and ends with the same law. (Every single byte: test_journal; here the
# whole program at a dozen places, the awkward ones among them.)
. "$(dirname "$0")/lib.sh"

fake_trainer fake.sh
fake_config "$work/fake.cfg" "/bin/sh $work/fake.sh {job}" 1
run() { # OUT
    "${launch[@]}" -np 3 "$bin/moesweep" run "$work/fake.cfg" --out "$1"
}
expect 0 "$work/log" run "$work/whole"
losses "$work/whole" >"$work/losses"
size=$(wc -c <"$work/whole/journal")
first=$(head -n 1 "$work/whole/journal" | wc -c)
cuts="0 1 $((first - 1)) $first $((first + 1)) $((size - 1)) $size"
# Right before a decision, inside it, right after it; and evenly spread ones.
at=$(grep -b '"t":"decision"' "$work/whole/journal" | head -n 1 | cut -d: -f1)
end=$((at + $(grep '"t":"decision"' "$work/whole/journal" | head -n 1 | wc -c)))
cuts="$cuts $at $((at + 50)) $end"
for i in 1 2 3 4 5 6; do
    cuts="$cuts $((size * i / 7))"
done
for cut in $cuts; do
    cp -r "$work/whole" "$work/cut"
    truncate -s "$cut" "$work/cut/journal"
    expect 0 "$work/log" run "$work/cut"
    check "cut at $cut of $size: each job once" each_once "$work/cut"
    losses "$work/cut" >"$work/losses.now"
    check "cut at $cut: losses" cmp "$work/losses" "$work/losses.now"
    check "cut at $cut: law.json" cmp "$work/whole/law.json" "$work/cut/law.json"
    rm -r "$work/cut"
done
finish
