#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Rules between the rooms that no compiler checks: which room may include what, and licences.
. "$(dirname "$0")/lib.sh"
cd "$MOESWEEP_SOURCE" || exit 1

# ROOM "ROOMS IT MAY INCLUDE"
may_include() {
    local room=$1 allowed=$2 bad
    bad=$(grep -rnE '^ *# *include "' --include='*.[ch]' --include='*.cu' --include='*.cuh' "$room" |
        grep -vE "include \"($allowed)/")
    [[ -z $bad ]] || fail "$room may include only ${allowed//|/, }, by path: $bad"
}
may_include core 'core'
may_include kernels 'core|kernels'
may_include worker 'core|kernels|worker'
may_include fit 'core|fit'
may_include orchestrator 'core|fit|orchestrator'

# HEADER-PATTERN WHERE: no file of the rooms elsewhere includes it
only_in() {
    local header=$1 where=$2 bad
    bad=$(grep -rnE "^ *# *include [<\"]$header" --include='*.[ch]' --include='*.cu' --include='*.cuh' \
        core kernels worker fit orchestrator | grep -vE "^$where")
    [[ -z $bad ]] || fail "<$header belongs only into $where: $bad"
}
only_in 'mpi\.h' 'orchestrator/link\.c:'
only_in 'libconfig\.h' 'orchestrator/config[a-z_]*\.c:'
readers=$(grep -lE '^ *# *include <libconfig' -r --include='*.[ch]' orchestrator | wc -l)
((readers <= 1)) || fail "libconfig.h is included by $readers files, not one"
only_in 'gsl/' 'fit/'
only_in '(dnnl|oneapi|cblas|openblas|mkl|cuda|cublas|nccl)' 'kernels/'

# A test that no CMakeLists.txt names would never run.
for file in tests/*/test_*.c tests/*/test_*.c[up]* tests/*/test_*.sh; do
    name=${file##*/test_} # some lists loop over names without the prefix
    name=${name%.*}
    grep -qwE "(test_)?$name" "${file%/*}/CMakeLists.txt" || fail "$file is in no CMakeLists.txt"
done

licence() {
    local licence=$1 file
    shift
    while read -r file; do
        grep -q "SPDX-License-Identifier: $licence\$" <(head -n 2 "$file") ||
            fail "$file does not open with SPDX-License-Identifier: $licence"
    done < <(find "$@" -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp')
}
licence Apache-2.0 core kernels worker tests/core tests/cuda tests/kernels tests/worker
licence GPL-3.0-or-later fit orchestrator tests/fit tests/orchestrator tests/integration tests/faults

unfinished=$(grep -rnE '\b(TODO|FIXME|XXX)\b' --include='*.[ch]' --include='*.cu' --include='*.cuh' --include='*.cfg' \
    core kernels worker fit orchestrator configs)
[[ -z $unfinished ]] || fail "unfinished: $unfinished"
finish
