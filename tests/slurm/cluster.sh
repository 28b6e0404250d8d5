# SPDX-License-Identifier: GPL-3.0-or-later
# A real Slurm on this machine for the tests: controller, munge and a slurmd for each of several nodes,
# everything in $work/slurm (key, sockets, state, logs) and on ports of its own. Sourced after
# integration/lib.sh; needs root, for slurmd starts processes of users.
#   slurm_install         packages, if they are missing; exit code 77 where they cannot be installed
#   slurm_up NODES CPUS   starts it; slurm_down ends it and all jobs (also at exit)
#   job_state JOB         PENDING, RUNNING, .. ; "" once forgotten
#   job_field JOB NAME    of scontrol show job
# Facts behind the lines: nodes on one host need their own spool and temporary folders; MPI must not use
# shared memory between them, for they have one name.
slurm=$work/slurm
slurm_nodes=()

slurm_skip() {
    echo "skipped: $*"
    trap - EXIT
    rm -rf "$work"
    exit 77
}

slurm_install() {
    # shellcheck source=../../.ci/deps.sh
    . "$src/.ci/deps.sh"
    ((EUID == 0)) || slurm_skip "a Slurm of one's own needs root"
    deps_ensure slurm >"$work/install" 2>&1 || true
    deps_have slurm || slurm_skip "Slurm is not here and cannot be installed: $(tail -n 1 "$work/install")"
}

# N ports in a row that nobody listens on
free_ports() {
    local first port used
    used=$(awk 'NR > 1 { split($2, a, ":"); print strtonum("0x" a[2]) }' /proc/net/tcp /proc/net/tcp6 2>/dev/null ||
        awk 'NR > 1 { split($2, a, ":"); print a[2] }' /proc/net/tcp)
    for _ in $(seq 100); do
        first=$((20000 + RANDOM % 10000))
        for port in $(seq $first $((first + $1))); do
            grep -qx -e "$port" -e "$(printf %04X "$port")" <<<"$used" && continue 2
        done
        echo "$first"
        return
    done
    return 1
}

slurm_config() { # NODES CPUS FIRST-PORT
    cat >"$slurm/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$3
AuthType=auth/munge
AuthInfo=socket=$slurm/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool/%n
TmpFS=$slurm/tmp/%n
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmdPidFile=$slurm/slurmd-%n.pid
SlurmctldLogFile=$slurm/slurmctld.log
SlurmdLogFile=$slurm/slurmd-%n.log
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc=$slurm/completed
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=30
SlurmdTimeout=20
InactiveLimit=0
SchedulerType=sched/builtin
NodeName=n[1-$1] NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=[$(($3 + 1))-$(($3 + $1))] CPUs=$2 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}

slurm_up() { # NODES CPUS
    local i port
    port=$(free_ports $(($1 + 1))) || return 1
    mkdir -p "$slurm"/{state,spool,tmp}
    chmod 755 "$work" "$slurm"
    head -c 1024 /dev/urandom >"$slurm/munge.key"
    chmod 400 "$slurm/munge.key"
    munged --force --key-file="$slurm/munge.key" --socket="$slurm/munge.socket" \
        --pid-file="$slurm/munged.pid" --log-file="$slurm/munged.log" --seed-file="$slurm/munge.seed" || return 1
    slurm_config "$1" "$2" "$port"
    export SLURM_CONF=$slurm/slurm.conf
    export OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
    slurmctld || return 1
    for i in $(seq "$1"); do
        mkdir -p "$slurm/spool/n$i" "$slurm/tmp/n$i"
        slurmd -N "n$i" || return 1
        slurm_nodes+=("n$i")
    done
    for _ in $(seq 100); do
        [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = "$1" ] && return 0
        sleep 0.1
    done
    sinfo >&2
    tail -n 5 "$slurm"/*.log >&2
    return 1
}

slurm_down() {
    local pid_file pid pids=()
    [ -e "$slurm/munged.pid" ] || return 0
    scancel --user="$(id -un)" 2>/dev/null
    for _ in $(seq 100); do
        [ -z "$(squeue -h 2>/dev/null)" ] && break
        sleep 0.1
    done
    for pid_file in "$slurm"/slurmd-*.pid "$slurm/slurmctld.pid" "$slurm/munged.pid"; do
        pid=$(cat "$pid_file" 2>/dev/null) && kill "$pid" 2>/dev/null && pids+=("$pid")
    done
    rm -f "$slurm/munged.pid" # it is down
    for pid in "${pids[@]}"; do # the controller saves its state; a zombie counts as gone
        for _ in $(seq 100); do
            grep -qE '^State:[[:space:]]+[^ZX]' "/proc/$pid/status" 2>/dev/null || break
            sleep 0.1
        done
    done
}

job_state() {
    squeue -h -j "$1" -o %T 2>/dev/null
}

job_field() {
    scontrol show job "$1" 2>/dev/null | tr ' ' '\n' | sed -n "s/^$2=//p" | head -n 1
}
