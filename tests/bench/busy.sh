#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What share of the time do workers train in a long sweep? configs/laptop.cfg, 470 runs or more in phases
# that wait for each other, with a trainer that sleeps (tests/integration/planted_trainer.c), so that
# it says what the orchestrator loses, not what the processors do.
set -euo pipefail

usage() {
    cat <<'END2'
usage: tests/bench/busy.sh BIN [WORKERS [SECONDS]]

BIN has moesweep and planted_trainer. The sweep is made to last about SECONDS (default 3600) with WORKERS
(default 2) workers. Prints the share of the time from the first start to the last end that workers
had a training, from the journal's own times, and where the rest went.
END2
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac
if (($# < 1 || $# > 3)); then
    usage >&2
    exit 2
fi
bin=$(realpath "$1") workers=${2:-2} seconds=${3:-3600}
source=$(realpath "$(dirname "$0")/../..")
work=$(mktemp -d /tmp/moesweep-busy-XXXXXX)
trap 'rm -rf "$work"' EXIT
# 1.4e14 FLOPs in all.
rate=$(awk -v w="$workers" -v s="$seconds" 'BEGIN { print w * s / 1.4e4 }')
sed -e "s#\.\./data#$source/data#" \
    -e "s#^data = #trainer = \"$bin/planted_trainer {job} $source/tests/data/truth_demo.json $rate\";\n&#" \
    "$source/configs/laptop.cfg" >"$work/sweep.cfg"
"$bin/moesweep" launch "$work/sweep.cfg" -n $((workers + 1)) --out "$work/out"
"$bin/moesweep" journal dump "$work/out" |
    sed -n '/"t":"result"/s/.*"worker":\([0-9]*\),"t0":\([0-9.]*\),"t1":\([0-9.]*\).*/\1 \2 \3/p' |
    sort -k1,1n -k2,2n |
    awk -v w="$workers" '
        $1 == last && $2 > end { gaps += $2 - end }
        { last = $1; end = $3; busy += $3 - $2; first = first && first < $2 ? first : $2 }
        $3 > stop { stop = $3 }
        { final[$1] = $3; runs++ }
        END {
            for (k in final) tail += stop - final[k]
            all = w * (stop - first)
            printf "%d runs on %d workers in %.0f s: trained %.2f %% of the time, waited %.2f %%, had nothing left at the end %.2f %%\n",
                runs, w, stop - first, 100 * busy / all, 100 * gaps / all, 100 * tail / all
        }'
