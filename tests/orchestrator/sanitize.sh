#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Scheduler, journal, protocol and supervision under what a build cannot have together
# with address and undefined-behaviour sanitizers. Open MPI itself is clean under neither, so only
# tests without it take part.
set -euo pipefail

usage() {
    cat <<'END'
usage: sanitize.sh tsan|valgrind|fuzz DIR

Builds in DIR what it needs, then
  tsan      runs the tests under gcc's thread sanitizer
  valgrind  runs the tests under valgrind's memcheck, leaks being errors
  fuzz      runs clang's libFuzzer on every parser, FUZZ_RUNS inputs each (1000000), beginning with
            the kept inputs; inputs that fail stay in DIR/failures
Exit codes: 0 all is well, 1 it is not, 2 bad usage, 77 skipped.
END
}

if (($# != 2)); then
    usage >&2
    exit 2
fi
kind=$1 dir=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=.ci/deps.sh
. "$root/.ci/deps.sh"
tests=(test_sched test_journal test_records test_trainer test_runtime test_simulate
    test_supervise)
parsers=(protocol job config law journal message)
export MOESWEEP_SOURCE=$root

need() { # PROGRAM
    deps_ensure "$1" || true
    if ! command -v "$1" >/dev/null; then
        echo "skipped: no $1 here"
        exit 77
    fi
}

# Sanitizers of kernels and tuned code are other builds' business: nothing native, no CUDA.
build() { # CMAKE-OPTION... -- TARGET...
    local options=()
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    if ! { cmake -S "$root" -B "$dir" -G Ninja -DMOESWEEP_CUDA=off -DMOESWEEP_NATIVE=OFF \
        -DMOESWEEP_BLAS=none "${options[@]}" && cmake --build "$dir" --target "$@"; } >"$dir.log" 2>&1; then
        tail -n 30 "$dir.log"
        exit 1
    fi
}

failed=0
run() { # NAME COMMAND...
    local name=$1 log=$dir/$1.log from=$SECONDS
    shift
    if "$@" >"$log" 2>&1; then
        echo "$name: good, $((SECONDS - from)) s"
    else
        echo "$name: exit code $?"
        tail -n 60 "$log"
        failed=1
    fi
}

fuzz() { # NAME
    local dict=json work=$dir/$1
    [[ $1 == config ]] && dict=config
    mkdir -p "$work" "$dir/failures"
    # libconfig loses strings of configurations that are wrong: leaks are left to the test.
    "$dir/bin/fuzz_$1" -runs="${FUZZ_RUNS:-1000000}" -max_len=700 -timeout=20 -rss_limit_mb=4096 \
        -detect_leaks=0 -print_final_stats=1 -artifact_prefix="$dir/failures/$1-" \
        -dict="$root/tests/orchestrator/fuzz/$dict.dict" \
        "$work" "$root/tests/orchestrator/fuzz/fuzz_$1"
}

case $kind in
tsan)
    need cc
    build -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_C_FLAGS_DEBUG=-O1 -g" \
        -DMOESWEEP_SANITIZE=thread -- "${tests[@]}"
    export TSAN_OPTIONS=halt_on_error=1 MOESWEEP_SLOW=2
    for test in "${tests[@]}"; do
        run "$test" "$dir/bin/$test"
    done
    ;;
valgrind)
    need valgrind
    build -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_C_FLAGS_DEBUG=-O1 -g" -- \
        "${tests[@]}"
    export MOESWEEP_SLOW=6
    for test in "${tests[@]}"; do
        run "$test" valgrind -q --error-exitcode=9 --leak-check=full --fair-sched=yes \
            --errors-for-leak-kinds=definite,possible "$dir/bin/$test"
    done
    ;;
fuzz)
    need clang
    build -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Release "-DCMAKE_C_FLAGS_RELEASE=-O1 -g" \
        -DMOESWEEP_SANITIZE=fuzzer-no-link,address,undefined -- "${parsers[@]/#/fuzz_}"
    export ASAN_OPTIONS=malloc_context_size=2:quarantine_size_mb=2
    for parser in "${parsers[@]}"; do
        run "$parser" fuzz "$parser"
        grep -aE 'cov: ' "$dir/$parser.log" | tail -n 1
    done
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
exit "$failed"
