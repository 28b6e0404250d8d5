#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The script that `moesweep submit` writes, unmodified, in a real Slurm on this machine: submitted, run,
# completed on two nodes; what submit refuses.
. "$(dirname "$0")/../integration/lib.sh"
. "$(dirname "$0")/cluster.sh"
slurm_install
trap 'slurm_down; for p in $(survivors); do kill -9 "$p"; done; rm -rf "$work"' EXIT
check "Slurm starts" slurm_up 2 4
cd "$work" || exit 1

fake_trainer trainer.sh
fake_config "$work/sweep.cfg" "/bin/sh $work/trainer.sh {job}"
expect 0 "$work/log" "$bin/moesweep" submit sweep.cfg --nodes 2 --workers 2 --time 10 --out "$work/o'u t" --yes
job=$(grep -xE '[0-9]+' "$work/log")
check "submit: tells the job's number" [ -n "$job" ]
for _ in $(seq 300); do
    state=$(job_field "$job" JobState)
    [[ $state == PENDING || $state == RUNNING || $state == COMPLETING || -z $state ]] || break
    sleep 0.2
done
check "the job completes, found $state" [ "$state" = COMPLETED ]
[ "$state" = COMPLETED ] || cat "$work/fake-$job.log" "$slurm/slurmctld.log" >&2
check "each job once" each_once "$work/o'u t"
check "four workers" grep -q '"t":"session","n":1,"workers":4' "$work/o'u t/journal"
for rank in 1 2 3 4; do
    check "rank $rank worked" grep -q "\"worker\":$rank," "$work/o'u t/journal"
done
check "the time limit is known" grep -qE 'drains after (4[0-9][0-9]|5[0-9][0-9]) s' "$work/fake-$job.log"

# Tasks that do not find each other are told so, once; doctor sees an allocation.
expect 2 "$work/log" srun --mpi=none -n 3 "$bin/moesweep" run sweep.cfg --out alone
check "plain srun: the explanation, once" [ "$(grep -c "world of one rank although the Slurm step has 3" "$work/log")" = 1 ]
expect 0 "$work/log" srun --mpi=pmix -N 2 -n 3 "$bin/moesweep" doctor --out "$work"
check "doctor: ranks of srun" grep -q "ranks  *3, on 1 machine" "$work/log"
check "doctor: time left" grep -qE "time left +no limit" "$work/log"
slurm_down
killed=1 # daemons leave their folders
finish
