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
    share/moesweep/data/kjv.txt share/doc/moesweep/README.md \
    share/doc/moesweep/LICENSES/Apache-2.0.txt \
    share/doc/moesweep/LICENSES/GPL-3.0-or-later.txt; do
    [[ -s $prefix/$file ]] || fail "not installed: $file"
done
"$prefix/bin/moesweep" --version >/dev/null || fail "the installed moesweep does not run"
"$prefix/bin/moetrain" --version >/dev/null || fail "the installed moetrain does not run"
# Planning reads the configuration, finds the corpus beside it and trains nothing.
(cd / && "$prefix/bin/moesweep" plan "$share/configs/demo.cfg" >/dev/null) ||
    fail "the installed demo.cfg cannot be planned"
finish
