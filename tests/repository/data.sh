#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The corpus that ships is the one that data/README.md describes and data/make-kjv.sh makes.
. "$(dirname "$0")/lib.sh"
cd "$MOESWEEP_SOURCE/data" || exit 1
sum=$(sha256sum kjv.txt | cut -d' ' -f1)
grep -q "sha256  $sum\$" README.md || fail "kjv.txt has sha256 $sum, README.md says another"
marks=$(LC_ALL=C tr -cd '\f' <kjv.txt | wc -c)
((marks == 1188)) || fail "$marks form feeds between 1189 chapters"
verses=$(wc -l <kjv.txt)
((verses == 31102)) || fail "$verses lines, expected a line for each of 31102 verses"
if LC_ALL=C grep -nP '[^\x0c\x20-\x7e]' kjv.txt; then
    fail "bytes that are not printable ASCII"
fi
if command -v bible >/dev/null; then
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    ./make-kjv.sh "$tmp/kjv.txt" || fail "make-kjv.sh stopped"
    cmp kjv.txt "$tmp/kjv.txt" || fail "make-kjv.sh makes another text"
fi
finish
