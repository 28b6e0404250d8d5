#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every source is as clang-format leaves it. Versions format differently: 14 decides.
. "$(dirname "$0")/lib.sh"
cd "$MOESWEEP_SOURCE" || exit 1
tool=$(command -v clang-format-14 || command -v clang-format) ||
    skip "no clang-format (Debian 12: apt-get install clang-format)"
[[ $("$tool" --version) == *"version 14."* ]] || skip "$tool is not version 14"
find core kernels worker fit orchestrator tests \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' \) -print0 |
    xargs -0 "$tool" --dry-run -Werror || fail "run $tool -i on the files named above"
finish
