#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What the two programs are joined with: licences and start-up depend on it.
. "$(dirname "$0")/lib.sh"

# PROGRAM LIBRARY-PATTERN WHY
without() {
    local found
    found=$(ldd "$MOESWEEP_BIN/$1" | grep -E "$2")
    [[ -z $found ]] || fail "$1 links $found: $3"
}
for program in moetrain moesweep; do
    ldd "$MOESWEEP_BIN/$program" >/dev/null || fail "ldd cannot read $program"
done
without moetrain 'libgsl' "moetrain is Apache-2.0 and may be joined with CUDA, GSL is GPL"
without moetrain 'libmpi|libconfig' "the trainer knows no MPI and no sweeps"
without moesweep 'libcu(da|dart|blas|blasLt)|libnccl' "moesweep is GPL-3.0-or-later"
without moesweep 'libdnnl|libopenblas' "only the trainer computes"
[[ $(ldd "$MOESWEEP_BIN/moesweep") == *libgsl* ]] || fail "moesweep without GSL fits nothing"
finish
