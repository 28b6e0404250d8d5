#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every command explains itself, on stdout, with exit code 0; what does not exist is refused.
. "$(dirname "$0")/lib.sh"

explains() {
    local out status
    out=$("$@" 2>/dev/null </dev/null)
    status=$?
    ((status == 0)) || fail "$* exits with $status"
    [[ $(wc -w <<<"$out") -ge 5 ]] || fail "$* says nothing on stdout"
}
cd "$MOESWEEP_SOURCE" || exit 1
for program in "$MOESWEEP_BIN/moesweep" "$MOESWEEP_BIN/moetrain"; do
    explains "$program" --help
    version=$("$program" --version)
    [[ $version == *[0-9].[0-9]* ]] || fail "$program --version says '$version'"
done
for command in arch plan run launch submit doctor journal status replay report export recommend why fit predict compare; do
    explains "$MOESWEEP_BIN/moesweep" "$command" --help
    grep -qw "$command" <("$MOESWEEP_BIN/moesweep" --help) ||
        fail "moesweep --help does not name $command"
done
for command in export import; do
    explains "$MOESWEEP_BIN/moetrain" "$command" --help
done
for script in ./demo ./check data/make-kjv.sh data/make-corpus.sh .ci/chroot-demo.sh \
    tests/cuda/planted.sh; do
    explains "$script" --help
done

refuses() {
    local status
    "$@" >/dev/null 2>&1 </dev/null
    status=$?
    ((status == 2)) || fail "$* exits with $status, not 2"
}
refuses "$MOESWEEP_BIN/moesweep"
refuses "$MOESWEEP_BIN/moesweep" no-such-command
refuses "$MOESWEEP_BIN/moesweep" arch --no-such-option
for command in fit predict compare recommend simulate launch submit journal replay; do
    refuses "$MOESWEEP_BIN/moesweep" $command
    refuses "$MOESWEEP_BIN/moesweep" $command --no-such-option
done
refuses "$MOESWEEP_BIN/moetrain"
refuses "$MOESWEEP_BIN/moetrain" --no-such-option
refuses "$MOESWEEP_BIN/moetrain" export
refuses "$MOESWEEP_BIN/moetrain" import no-such-folder no-such-folder/to
refuses "$MOESWEEP_BIN/moesweep" doctor --no-such-option
refuses ./demo --no-such-option
refuses ./demo -n 0
refuses ./check --no-such-option
refuses data/make-corpus.sh --no-such-option
finish
