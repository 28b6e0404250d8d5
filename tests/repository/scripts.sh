#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Shell scripts parse, and shellcheck has no complaint where it is installed.
. "$(dirname "$0")/lib.sh"
cd "$MOESWEEP_SOURCE" || exit 1
mapfile -t scripts < <({
    ls demo check .ci/run
    find .ci data slurm tests docs -name '*.sh' -not -path '*/build*'
} | sort)
for script in "${scripts[@]}"; do
    bash -n "$script" || fail "$script does not parse"
done
if command -v shellcheck >/dev/null; then
    # 1091, 1090: sourced files are found at run time; 2154, 2034: variables that they set or use.
    shellcheck -s bash -S warning -e 1090,1091,2034,2154 "${scripts[@]}" || fail "shellcheck complains"
fi
finish
