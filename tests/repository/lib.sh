# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by the checks beside it.
# Under pipefail, "program | grep -q" fails whenever grep leaves first: read from <(program) instead.
set -uo pipefail
failures=0

fail() {
    printf 'FAIL %s\n' "$*"
    failures=$((failures + 1))
}

skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

finish() {
    if ((failures > 0)); then
        printf '%d failures\n' "$failures"
        exit 1
    fi
    exit 0
}
