#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What cmake --install lays down works from there: programs, configurations, corpus, licences.
. "$(dirname "$0")/lib.sh"
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$MOESWEEP_BUILD" --prefix "$prefix" >"$prefix/log" 2>&1 || {
    cat "$prefix/log"
    fail "cmake --install"
    finish
}
share=$prefix/share/moesweep
for file in bin/moesweep bin/moetrain share/moesweep/configs/demo.cfg \
    share/moesweep/data/kjv.txt share/moesweep/data/gemstones_cool_end.jsonl share/doc/moesweep/README.md \
    share/doc/moesweep/LICENSES/Apache-2.0.txt \
    share/doc/moesweep/LICENSES/GPL-3.0-or-later.txt share/doc/moesweep/LICENSES/MIT.txt; do
    [[ -s $prefix/$file ]] || fail "not installed: $file"
done
"$prefix/bin/moesweep" --version >/dev/null || fail "the installed moesweep does not run"
"$prefix/bin/moetrain" --version >/dev/null || fail "the installed moetrain does not run"
# Planning reads the configuration, finds the corpus beside it and trains nothing.
(cd / && "$prefix/bin/moesweep" plan "$share/configs/demo.cfg" >/dev/null) ||
    fail "the installed demo.cfg cannot be planned"
# The demonstration of fit finds its data beside the installed program.
(cd "$prefix" && bin/moesweep fit --demo --bootstrap 0) >"$prefix/log" 2>&1 ||
    fail "the installed fit --demo"
grep -qF "$share/data/gemstones_cool_end.jsonl: all 199 rows" "$prefix/log" ||
    fail "the installed fit --demo reads another file"
finish
