#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Assembles kjv.txt from Debian's bible-kjv: verse labels dropped, one verse a line, one chapter a
# document, a form feed before every chapter but the first, no trailing blanks.
set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'END'
usage: data/make-kjv.sh [FILE]
Writes the King James text to FILE (default: kjv.txt beside this script). Needs the program bible
of Debian's package bible-kjv. Data of the same edition gives the same bytes (see README.md).
END
}

case ${1:-} in
--help | -h)
    usage
    exit 0
    ;;
-*)
    usage >&2
    exit 2
    ;;
esac
out=${1:-$(dirname "$0")/kjv.txt}
if ! command -v bible >/dev/null; then
    echo "make-kjv.sh: no program 'bible': apt-get install bible-kjv" >&2
    exit 1
fi
tmp=$(mktemp "$out.XXXXXX")
trap 'rm -f "$tmp"' EXIT

# A line is "Ge1:1 In the beginning ...": the chapter is all before the first colon.
bible -f 'genesis1:1-revelation22:21' </dev/null | awk '
    !/^[1-3]?[A-Z][A-Za-z]+[0-9]+:[0-9]+ [^ ]/ {
        printf "make-kjv.sh: verse %d: no label in front: %s\n", NR, $0 > "/dev/stderr"
        exit 1
    }
    {
        chapter = substr($1, 1, index($1, ":") - 1)
        mark = ""
        if (chapter != last && NR > 1)
            mark = "\f"
        if (chapter != last)
            chapters++
        last = chapter
        text = substr($0, length($1) + 2)
        sub(/ +$/, "", text)
        print mark text
    }
    END {
        if (chapters != 1189 || NR != 31102) {
            printf "make-kjv.sh: found %d chapters and %d verses, expected 1189 and 31102\n",
                chapters, NR > "/dev/stderr"
            exit 1
        }
    }' >"$tmp"
chmod 644 "$tmp"
mv "$tmp" "$out"
