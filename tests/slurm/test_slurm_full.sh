#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What happens to a Slurm job of moesweep: the time limit (drained, queued again, resumed, completed), a
# limit at which nothing gets on, scancel, and the death of a node; with scripts as submit writes them.
. "$(dirname "$0")/../integration/lib.sh"
. "$(dirname "$0")/cluster.sh"
slurm_install
trap 'slurm_down; for p in $(survivors); do kill -9 "$p"; done; rm -rf "$work"' EXIT
check "Slurm starts" slurm_up 3 4
cd "$work" || exit 1

# SECONDS: how long each training takes
slow_trainer() {
    fake_trainer trainer.sh "trap 'trap : TERM; kill \$!; echo {\\\"t\\\":\\\"result\\\",\\\"status\\\":\\\"stopped\\\"}; exit 3' TERM
sleep $1 & wait \$! || sleep 20" # several may get SIGTERM, some twice
}
submit() { # OUT OPTION...: prints the job's number
    local out=$1
    shift
    "$bin/moesweep" submit sweep.cfg --out "$out" --script "$out.sbatch" --yes "$@" 2>>"$work/submit.log"
}
# JOB STATE..: waits until it is in one of them and stays there (on its way back into the queue a job
# passes through others); in the queue it need not wait for the usual two minutes
wait_for() {
    local job=$1 state was="" now
    shift
    for _ in $(seq 1500); do
        now=$(job_field "$job" JobState)
        [[ $now == "$was" ]] || echo "  job $job: $now"
        state=$was
        was=$now
        if [[ $now == PENDING ]]; then
            sleep 5 # the end of its last run is still on its way to the controller
            scontrol update JobId="$job" StartTime=now 2>/dev/null
        fi
        sleep 0.2
        if [[ " $* " == *" $now "* && $now == "$state" ]]; then
            sleep 3
            [[ $(job_field "$job" JobState) == "$now" ]] && return 0
        fi
    done
    echo "job $job is $now, expected $*" >&2
    return 1
}
results() { # OUT N
    for _ in $(seq 600); do
        [ "$(count result "$1")" -ge "$2" ] && return 0
        sleep 0.1
    done
    return 1
}

# OUT: nobody works on it any more
results_end() {
    for _ in $(seq 400); do
        grep -qzxF -e "$work/$1" /proc/[0-9]*/cmdline 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

fake_trainer trainer.sh
fake_config "$work/sweep.cfg" "/bin/sh $work/trainer.sh {job}" 4
expect 0 "$work/log" "$bin/moesweep" launch sweep.cfg -n 3 --out good

echo "== time limit"
slow_trainer 4
job=$(submit limit --workers 2 --time 1 --margin 25)
check "limit: the job is there" [ -n "$job" ]
check "limit: completes in the end" wait_for "$job" COMPLETED FAILED CANCELLED TIMEOUT
log=fake-$job.log
check "limit: completed" [ "$(job_field "$job" JobState)" = COMPLETED ]
check "limit: started again" [ "$(job_field "$job" Restarts)" -ge 1 ]
check "limit: says so" grep -q "job $job is queued again" "$log"
check "limit: as many sessions" [ "$(count session limit)" = $(($(job_field "$job" Restarts) + 1)) ]
check "limit: each job once" each_once limit
check "limit: no retry consumed" [ "$(count failure limit)" = 0 ]
check "limit: law" cmp good/law.json limit/law.json
echo "restarts: $(job_field "$job" Restarts)"

echo "== no progress"
slow_trainer 1000
job=$(submit stuck --workers 2 --time 1 --margin 25)
check "stuck: ends" wait_for "$job" COMPLETED FAILED CANCELLED TIMEOUT
check "stuck: failed" [ "$(job_field "$job" JobState)" = FAILED ]
check "stuck: not started again" [ "$(job_field "$job" Restarts)" = 0 ]
check "stuck: says why" grep -q "not queued again" "fake-$job.log"

echo "== scancel"
slow_trainer 2
job=$(submit cancel --workers 2 --time 10)
check "cancel: under way" results cancel 2
scancel "$job"
check "cancel: ends" wait_for "$job" CANCELLED COMPLETED FAILED
check "cancel: everything of it" results_end cancel
check "cancel: cancelled" [ "$(job_field "$job" JobState)" = CANCELLED ]
check "cancel: a stop record" grep -q '"t":"stop"' <(tail -n 1 cancel/journal)
check "cancel: no retry consumed" [ "$(count failure cancel)" = 0 ]
fake_trainer trainer.sh
expect 0 "$work/log" "$bin/moesweep" launch sweep.cfg -n 3 --out cancel
check "cancel: law" cmp good/law.json cancel/law.json

echo "== node death"
slow_trainer 2
job=$(submit dead --nodes 2 --workers 1 --time 10)
check "dead: under way" results dead 2
last=$(scontrol show hostnames "$(job_field "$job" NodeList)" | tail -n 1)
# Its daemon, and everything that its daemon started, at once.
victims=$(tree "$(cat "$slurm/slurmd-$last.pid")")
steps=$(pgrep -f "slurmstepd: \[$job\.[0-9]" | while read -r p; do tree "$p"; done)
# shellcheck disable=SC2086
kill -9 $victims $steps 2>/dev/null
check "dead: completes in the end" wait_for "$job" COMPLETED FAILED CANCELLED TIMEOUT
check "dead: completed" [ "$(job_field "$job" JobState)" = COMPLETED ]
check "dead: each job once" each_once dead
check "dead: law" cmp good/law.json dead/law.json

echo "== srun with PMIx"
fake_trainer trainer.sh
expect 0 "$work/log" srun --mpi=pmix -N 2 -n 4 "$bin/moesweep" run sweep.cfg --out pmix
check "pmix: law" cmp good/law.json pmix/law.json
slow_trainer 2
srun --mpi=pmix -N 2 -n 3 "$bin/moesweep" run sweep.cfg --out pmix-stop >"$work/log" 2>&1 &
pid=$!
check "pmix stop: under way" results pmix-stop 2
scancel --signal=USR1 "$(squeue -h -o %i | tail -n 1)"
wait $pid
check "pmix stop: exit code 3" [ $? -eq 3 ]
check "pmix stop: a stop record" grep -q '"t":"stop"' <(tail -n 1 pmix-stop/journal)
slurm_down
killed=1 # daemons leave their folders
finish
