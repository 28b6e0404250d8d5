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

# The same journal looked at: counted, printed as it was written, a damaged record named.
journal=("$bin/moesweep" journal)
expect 0 "$work/log" "${journal[@]}" check "$work/whole"
check "check: counts" grep -q ": $(wc -l <"$work/whole/journal") records: $(count result "$work/whole") results" "$work/log"
expect 0 "$work/dump" "${journal[@]}" dump "$work/whole"
check "dump: the records as they are" cmp "$work/dump" <(cut -c 10- "$work/whole/journal")
truncate -s $((size - 1)) "$work/whole/journal"
expect 0 "$work/log" "${journal[@]}" check "$work/whole"
check "check: the last one is cut short" grep -q "cut short" "$work/log"
printf X | dd of="$work/whole/journal" bs=1 seek=$((at + 20)) conv=notrunc 2>/dev/null
before=$(cksum <"$work/whole/journal")
line=$(head -c $((at + 1)) "$work/whole/journal" | wc -l)
expect 2 "$work/log" "${journal[@]}" check "$work/whole"
check "check: names the damaged record" grep -q "line $((line + 1)), byte $at: .*corrupt" "$work/log"
check "check: changes nothing" [ "$before" = "$(cksum <"$work/whole/journal")" ]
expect 2 "$work/log" "${journal[@]}" dump "$work/whole"
check "dump: what is before it" [ "$(grep -c '^{' "$work/log")" = "$line" ]

# Made whole again: a decision that is lost costs nothing, a result its training and what followed from it.
cp "$work/whole/law.json" "$work/law.json"
expect 2 "$work/log" run "$work/whole"
check "run: says what helps" grep -q "journal repair" "$work/log"
expect 0 "$work/log" "${journal[@]}" repair --dry-run "$work/whole"
check "repair: what is dropped" grep -q "line $((line + 1)), byte $at, .*damaged" "$work/log"
check "repair --dry-run: changes nothing" [ "$before" = "$(cksum <"$work/whole/journal")" ]
expect 0 "$work/log" "${journal[@]}" repair "$work/whole"
check "repair: no training is lost" [ "$(count result "$work/whole")" = "$(wc -l <"$work/losses")" ]
check "repair: the damaged one is kept" [ "$before" = "$(cksum <"$work/whole/journal.damaged-1")" ]
expect 0 "$work/log" "${journal[@]}" check "$work/whole"
id=$(sed -n 's/.*"t":"result","id":"\([0-9a-f]*\)".*/\1/p' "$work/whole/journal" | head -n 1)
sed -i "0,/\"t\":\"result\"/s/\"status\":\"ok\"/\"status\":\"OK\"/" "$work/whole/journal"
expect 0 "$work/log" "${journal[@]}" repair "$work/whole"
check "repair: says what is trained again" grep -q "^trained again: $id" "$work/log"
expect 0 "$work/log" run "$work/whole"
check "repaired: each job once" each_once "$work/whole"
losses "$work/whole" >"$work/losses.now"
check "repaired: losses" cmp "$work/losses" "$work/losses.now"
check "repaired: law.json" cmp "$work/law.json" "$work/whole/law.json"
finish
