#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# moesweep doctor: the machine, ranks, folders that will not do, and trainers: ours, one in Python that
# keeps to the protocol (and goes through a sweep), and the same one broken in each way.
#
#     test_doctor.sh [full]
. "$(dirname "$0")/lib.sh"
full=${1:-}
doctor=("$bin/moesweep" doctor)
says() { # WHAT PATTERN
    check "$1" grep -qE "$2" "$work/log"
}

expect 0 "$work/log" "${doctor[@]}" --out "$work/new"
says "a folder that is yet to be made" "folder +$work: "
says "mpirun" "mpirun +Open MPI"
expect 0 "$work/json" "${doctor[@]}" --json --out "$work"
check "JSON" grep -q '"ok": true' "$work/json"
expect 1 "$work/log" "${doctor[@]}" --out "$work/json"
says "a file is no folder" "bad +folder"
expect 1 "$work/log" "${doctor[@]}" --mpirun "$work/none"
says "no mpirun" "bad +mpirun"
expect 2 "$work/log" "${doctor[@]}" --no-such-option

expect 0 "$work/log" "${launch[@]}" -np 3 "${doctor[@]}" --out "$work"
says "three ranks" "ranks +3, on 1 machine"
says "all see the folder" "3 of 3 ranks see"
check "nothing is left in the folder" [ -z "$(find "$work" -name '.moesweep*')" ]
expect 1 "$work/log" "${launch[@]}" -np 2 "${doctor[@]}" --out "$work/not-there"
says "a folder that ranks do not see" "bad +folder of ranks +0 of 2"
expect 2 "$work/log" env PMIX_RANK=0 SLURM_NTASKS=4 "${doctor[@]}"
says "a world of one under several tasks" "world of one rank although the Slurm step has 4 tasks"

mkdir "$work/gpu"
printf '#!/bin/sh\necho "GPU 0: Some GPU (UUID: GPU-11)"\necho "GPU 1: Some GPU (UUID: GPU-22)"\n' >"$work/gpu/nvidia-smi"
chmod +x "$work/gpu/nvidia-smi"
expect 1 "$work/log" env PATH="$work/gpu:$PATH" CUDA_VISIBLE_DEVICES=1 "${launch[@]}" -np 3 "${doctor[@]}"
says "two workers with the same GPU" "ranks 1 and 2 share GPU-22"
expect 0 "$work/log" env PATH="$work/gpu:$PATH" "${launch[@]}" -np 3 "${doctor[@]}"
says "all GPUs of the node for each" "3 of 3 ranks see GPUs"

expect 0 "$work/log" "${doctor[@]}" --trainer "moetrain {job}"
says "moetrain: stop" "ok +stop"
command -v python3 >/dev/null || {
    echo "no python3: the trainer in Python is left out"
    finish
}
# A trainer whose standard input is not /dev/null although ours is closed would not start.
input='[ "$(readlink /proc/self/fd/0)" = /dev/null ] || exit 2;'
expect 0 "$work/log" "${doctor[@]}" --trainer "sh -c '$input exec python3 \"\$@\"' - $(dirname "$(realpath "$0")")/reference_trainer.py {job}" <&-
says "standard input: short job" "ok +short job"
reference="python3 $(dirname "$(realpath "$0")")/reference_trainer.py {job}"
expect 0 "$work/log" "${doctor[@]}" --trainer "$reference"
for part in "short job" progress repetition stop resume "wrong job"; do
    says "reference: $part" "ok +$part"
done
for how in chatter silent zero code ${full:+deaf}; do
    expect 1 "$work/log" "${doctor[@]}" --trainer "$reference --broken $how"
    says "$how: bad" "^  bad"
done
for how in ${full:+forgetful random}; do
    expect 0 "$work/log" "${doctor[@]}" --trainer "$reference --broken $how"
    says "$how: warned of" "^  warn"
done

fake_config "$work/sweep.cfg" "$reference" 1
sed -i 's/^scales = .*/scales = [1e9, 3e9];/; s/at = 1e10; exponent = 0.4/at = 1e9; exponent = 0.1/' "$work/sweep.cfg"
expect 0 "$work/log" "$bin/moesweep" launch "$work/sweep.cfg" -n 3 --out "$work/sweep"
check "a sweep with the trainer in Python: each job once" each_once "$work/sweep"
finish
