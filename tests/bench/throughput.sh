#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Jobs per second with 2, 8 and 32 workers on this machine (docs/clusters.md): MPI alone, link.c, the whole
# path with null jobs and the journal, posix_spawn alone, the whole path with processes (the sweep's folder in
# DIR, then in memory; the program linked as usual, then statically), HyperQueue and libEnsemble. Every row once a round, so that what else the machine does
# meets all; the best of the rounds
# is printed. DIR should be where a sweep would be: the journal is synced there.
#
#     throughput.sh BIN DIR [ROUNDS [SECONDS [WORKERS..]]]
#     throughput.sh --quick BIN DIR       one round; fails where link.c falls below a quarter of MPI alone,
#                                         or an idle rank takes more than 3 % of a processor
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
here=$(cd "$(dirname "$0")" && pwd)
quick=0
[ "${1:-}" = --quick ] && { quick=1; shift; }
bin=$(cd "$1" && pwd) || exit 2
dir=$2 rounds=${3:-3} seconds=${4:-0.6}
shift $(($# < 4 ? $# : 4))
workers=("$@")
((${#workers[@]})) || workers=(2 8 32)
((quick)) && rounds=2 seconds=0.3 workers=(2)
work=$(mktemp -d "$dir/throughput.XXXXXX") || exit 2
memory=
trap 'rm -rf "$work" ${memory:+"$memory"}' EXIT
launch=(mpirun --oversubscribe --bind-to none)

# 65,536 jobs, made before the clock starts; they need no time.
cat >"$work/null.cfg" <<END
name = "null";
question = "What does the orchestrator itself cost?";
data = { kind = "external"; paths = ["nowhere"]; tokens = 1000000000000L; };
scales = [1e12];
arch = { d = 32; d_qkv = 16; N_e = 8; S = 64; K = 2; n_shared = 1; N_q = 2; N_kv = 1; L_d = 1; L_m = 1; V = 64; };
free = { d_m = [16, 64, 1]; };
tolerance = { M = 0.05; };
start = { M = 1.6e5; };
train = { batch_tokens = 4096; lr = 0.005; };
trainer = "null_child {job}";
phases = ( { name = "grid"; seeds = 16;
    axes = ( { var = "lr"; around = 0.005; factor = 1.01; points = 64; },
             { var = "batch_tokens"; around = 16384; factor = 1.05; points = 64; } ); } );
END

((quick)) && sed -i 's/points = 64/points = 8/g' "$work/null.cfg"
# Processes are slower: 16,384 jobs, which are made sooner.
sed 's/points = 64/points = 32/g' "$work/null.cfg" >"$work/null_child.cfg"
sed 's/null_child/null_child_static/' "$work/null_child.cfg" >"$work/null_child_static.cfg"
# A disk's file system makes a new file slowly: a second time in memory.
if ! ((quick)) && [ -w /dev/shm ]; then memory=$(mktemp -d /dev/shm/throughput.XXXXXX) || exit 2; fi

of= # what the rows are called beside their name
bench() { # PROGRAM WORKERS ARGUMENTS: lines "workers<TAB>row<TAB>rate.."
    "${launch[@]}" -np $(($2 + 1)) "$bin/$1" "${@:3}" 2>>"$work/log" >"$work/told" || {
        echo "$1 with $2 workers failed:" >&2
        tail -n 3 "$work/log" >&2
        exit 1
    }
    sed "s/^[0-9]*\t[^\t]*/&$of/" "$work/told" >>"$work/rates"
}

processes() { # WORKERS PROGRAM
    local of=", $2"
    bench bench_spawn "$1" "$work/$2.cfg" "$work/$2$n" 1 "$seconds"
    [ -n "$memory" ] || return 0
    of="$of, tmpfs"
    bench bench_spawn "$1" "$work/$2.cfg" "$memory/$n" 1 "$seconds" 1
    rm -rf "${memory:?}/$n"
}

others() { # WORKERS: where pip brings them
    local system rate
    for system in hyperqueue libensemble; do
        [ -d "$work/venv" ] || continue
        rate=$(cd "$work" && TMPDIR=$work timeout 120 venv/bin/python "$here/null_jobs.py" $system "$1" 2000 "$bin/null_child" \
            2>/dev/null | tail -n 1)
        [ -n "$rate" ] && printf '%s\t%s\t%s\n' "$1" "$system" "$rate" >>"$work/rates"
    done
}

idle() { # percent of a processor that the busiest of 3 ranks takes while trainers sleep
    local pid
    sed "s/null_child {job}/sh -c 'exec sleep 30' {job}/; s/points = 64/points = 3/g" "$work/null.cfg" >"$work/idle.cfg"
    "${launch[@]}" -np 3 "$bin/moesweep" run "$work/idle.cfg" --out "$work/idle" >/dev/null 2>&1 &
    pid=$!
    until [ "$(grep -c '"t":"start"' "$work/idle/journal" 2>/dev/null)" = 2 ]; do
        kill -0 $pid 2>/dev/null || return 1
        sleep 0.2
    done
    sleep 1
    ticks() { for p in $(pgrep -P $pid); do cut -d' ' -f1,14,15 "/proc/$p/stat"; done; }
    ticks >"$work/before"
    sleep 5
    ticks >"$work/after"
    kill -USR1 $pid
    wait $pid
    join "$work/before" "$work/after" |
        awk -v hz="$(getconf CLK_TCK)" '{ p = 100 * ($4 + $5 - $2 - $3) / hz / 5; if (p > most) most = p }
            END { printf "%.1f\n", most }'
}

if ! ((quick)); then
    if ! { python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q hyperqueue libensemble; } >>"$work/log" 2>&1; then
        echo "HyperQueue and libEnsemble: skipped, pip gets nothing here" >&2
        rm -rf "$work/venv"
    fi
fi
n=0
for ((r = 0; r < rounds; r++)); do
    for w in "${workers[@]}"; do
        n=$((n + 1))
        bench bench_mpi "$w" "$seconds"
        # Spinning wins only where every rank has a processor.
        ((w < $(nproc))) && OMPI_MCA_mpi_yield_when_idle=0 bench bench_mpi "$w" "$seconds"
        bench bench_dispatch "$w" "$work/null.cfg" "$work/null$n" 1 "$seconds"
        ((quick)) || { processes "$w" null_child && processes "$w" null_child_static; }
        ((quick)) || ((r > 0)) || others "$w"
    done
done

busy=$(idle) || { echo "the idle sweep did not start" >&2; exit 1; }
awk -F'\t' -v columns="${workers[*]}" '
    { if (!($2 in seen)) { seen[$2] = 1; order[++n] = $2 } if ($3 > best[$2, $1]) best[$2, $1] = $3 }
    END { split(columns, w, " ")
          printf "| jobs a second, workers: |"; for (i = 1; i in w; i++) printf " %d |", w[i]
          printf "\n|---|"; for (i = 1; i in w; i++) printf "---|"; print ""
          for (k = 1; k <= n; k++) {
              printf "| %s |", order[k]
              for (i = 1; i in w; i++) printf " %d |", best[order[k], w[i]]
              print "" } }' "$work/rates"
echo "an idle rank: $busy % of a processor"
if ((quick)); then
    awk -F'\t' -v busy="$busy" '
        $2 ~ /^MPI alone, one/ && $3 > mpi { mpi = $3 }
        $2 ~ /^link.c, one/ && $3 > link { link = $3 }
        END { exit !(mpi > 0 && link >= mpi / 4 && busy <= 3) }' "$work/rates" || { echo "too slow"; exit 1; }
fi
exit 0
