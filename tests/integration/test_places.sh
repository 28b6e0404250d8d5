#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What a trainer gets of a machine: processors and GPUs that no other one has, where there are enough.
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2016
fake_trainer fake.sh '
sed -n "s/^Cpus_allowed_list:[[:space:]]*//p" /proc/$$/status >>'"$work"'/cpus
echo "$CUDA_VISIBLE_DEVICES" >>'"$work"'/gpus'
fake_config "$work/fake.cfg" "/bin/sh $work/fake.sh {job}"
mkdir "$work/gpu"
printf '#!/bin/sh\necho "GPU 0: Some GPU (UUID: GPU-11)"\necho "GPU 1: Some GPU (UUID: GPU-22)"\n' >"$work/gpu/nvidia-smi"
chmod +x "$work/gpu/nvidia-smi"
cd "$work" || exit 1
run() { # WORKERS OUT [VARIABLES]
    local workers=$1 out=$2
    shift 2
    rm -f cpus gpus
    expect 0 log env "$@" "${launch[@]}" -np $((workers + 1)) "$bin/moesweep" run fake.cfg --out "$out"
    sort -u cpus >cpus.all
    sort -u gpus >gpus.all
}
ours=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)

run 2 two PATH="$work/gpu:$PATH" CUDA_VISIBLE_DEVICES=0,1
if ((cores == 2)); then
    check "each of two workers has a processor of its own" [ "$(wc -l <cpus.all)" = 2 ]
    check "one processor each" [ "$(grep -c '[-,]' cpus.all)" = 0 ]
fi
check "each has a GPU of its own" [ "$(paste -sd' ' gpus.all)" = "GPU-11 GPU-22" ]
check "nothing to say" [ "$(grep -c 'not bound' log)" = 0 ]

run $((cores + 1)) many PATH="$work/gpu:$PATH" CUDA_VISIBLE_DEVICES=1
check "more workers than processors: as we are" [ "$(cat cpus.all)" = "$ours" ]
check "and one GPU for all" [ "$(cat gpus.all)" = 1 ]
says "more workers than processors" "not bound .*: $((cores + 1)) workers want $((cores + 1)) of its $cores processors"
check "said once" [ "$(grep -c 'not bound' log)" = 1 ]

echo "pin = false;" >>fake.cfg
run 2 free
check "pin = false" [ "$(cat cpus.all)" = "$ours" ]
# Time: a trainer that cannot go on where it was stopped starts nothing that would not end in time, and
# the sweep stops as soon as nothing else is left to start. (One scale: all runs take as long.)
fake_trainer slow.sh "sleep 2"
fake_config slow.cfg "/bin/sh $work/slow.sh {job}" 8
sed -i 's/^scales = .*/scales = [2e10];/' slow.cfg
echo "checkpoints = false;" >>slow.cfg
expect 3 log "${launch[@]}" -np 3 "$bin/moesweep" run slow.cfg --out late --time-limit 8
says "late" "stopped \(no run that is left would end within the time limit\) with [1-9]"
check "late: nothing was cut off" [ "$(count start late)" = "$(count result late)" ]

# Memory of the machine: one training at a time where two would not fit together, and a clear word
# where not even one does.
real_config real.cfg 1
expect 0 log env SLURM_MEM_PER_NODE=16 "${launch[@]}" -np 3 "$bin/moesweep" run real.cfg --out tight
check "each job once" each_once tight
sed -n 's/.*"t":"result".*"t0":\([0-9.]*\).*"t1":\([0-9.]*\).*/\1 \2/p' tight/journal | sort -n >spans
check "there are times" [ "$(wc -l <spans)" -gt 20 ]
check "never two at a time" awk 'NR > 1 && $1 < end - 0.01 { bad = 1 } { end = $2 } END { exit bad }' spans
expect 3 log env SLURM_MEM_PER_NODE=5 "${launch[@]}" -np 3 "$bin/moesweep" run real.cfg --out none
says "nothing fits" "job [0-9a-f]+ needs 0.0[0-9]+ GB of memory: no machine here has that; the others are trained"
says "nothing fits" "stopped \(job [0-9a-f]+ needs .*with 0 of"
expect 0 log "${launch[@]}" -np 3 "$bin/moesweep" run real.cfg --out none
finish
