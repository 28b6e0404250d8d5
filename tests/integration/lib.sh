# SPDX-License-Identifier: GPL-3.0-or-later
# For the integration tests: a working folder of their own that takes everything MPI leaves behind,
# checks that go on after a failure, and a clean-up that looks for survivors. Sourced by bash.
set -u
bin=${MOESWEEP_BIN:?the folder of moesweep and moetrain} src=${MOESWEEP_SOURCE:?the repository}
# In memory where there is room: a sweep syncs its journal hundreds of times, which on a disk is most of the time
# of these tests. (The fault campaign and throughput.sh sync on the disk.)
place=/tmp
[ -w /dev/shm ] && [ "$(df -Pk /dev/shm | awk 'NR == 2 { print $4 }')" -gt 1000000 ] && place=/dev/shm
work=$(mktemp -d $place/moesweep-test-XXXXXX) || exit 1
mkdir "$work/tmp"
export TMPDIR=$work/tmp OMP_NUM_THREADS=1
# Killed ranks leave session folders and shared memory behind: here.
export OMPI_MCA_orte_tmpdir_base=$work/tmp OMPI_MCA_btl_vader_backing_directory=$work/tmp
export OMPI_MCA_shmem_mmap_backing_file_base_dir=$work/tmp
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export ASAN_OPTIONS=detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}
cores=$(env -u OMP_NUM_THREADS nproc) # nproc heeds OMP_NUM_THREADS
launch=(mpirun --oversubscribe --bind-to none)
killed=0 # a test that kills ranks says so: what they leave in $work/tmp is then not held against us

checks=0 failures=0
# WHAT COMMAND...: fails the test, with WHAT, if the command does
check() {
    local what=$1
    shift
    checks=$((checks + 1))
    if ! "$@"; then
        failures=$((failures + 1))
        echo "failed: $what" >&2
    fi
}

# CODE OUTPUT-FILE COMMAND...: checks the exit code; output shown if it is another
expect() {
    local code=$1 log=$2 got=0
    shift 2
    "$@" >"$log" 2>&1 || got=$?
    checks=$((checks + 1))
    if ((got != code)); then
        failures=$((failures + 1))
        echo "failed: exit code $got, expected $code: $*" >&2
        sed 's/^/    /' "$log" >&2
    fi
}

# ---- what programs print (into the file log)

number() { # FILE KEY...: a value of a JSON document as moesweep indents it
    local file=$1
    shift
    awk -v want="$*" '{ line = $0; match(line, /^ */); depth = RLENGTH / 2; sub(/^ */, "", line)
        if (match(line, /^"[^"]*": /)) {
            name[depth] = substr(line, 2, RLENGTH - 4); line = substr(line, RLENGTH + 1)
            index_of[depth + 1] = 0
        } else if (line == "{") name[depth] = index_of[depth]++
        path = name[1]; for (i = 2; i <= depth; i++) path = path " " name[i]
        if (path == want) { gsub(/^"|"?,?$/, "", line); print line; found = 1; exit } }
        END { exit !found }' "$file"
}
within() { # VALUE LO HI
    awk -v v="$1" -v lo="$2" -v hi="$3" 'BEGIN { exit !(v != "" && v >= lo && v <= hi) }'
}
says() { # WHAT PATTERN
    check "$1: says '$2'" grep -qE -e "$2" log
}
refused() { # WHAT PATTERN COMMAND...: one line, nothing on stdout
    local what=$1 pattern=$2
    shift 2
    "$@" >out 2>log
    check "$what: exit code 2" [ $? -eq 2 ]
    check "$what: one line" [ "$(wc -l <log)" = 1 ]
    check "$what: nothing on stdout" [ ! -s out ]
    says "$what" "$pattern"
}

# Processes of this test that still live (a zombie only waits for its reaper), not counting this shell.
survivors() {
    local dir pid state
    for dir in $(grep -lF "$work/" /proc/[0-9]*/cmdline 2>/dev/null); do
        dir=${dir%/cmdline}
        pid=${dir#/proc/}
        [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] || continue
        state=$(sed 's/.*) //' "$dir/stat" 2>/dev/null | cut -c1)
        [[ $state != Z && -n $state ]] && echo "$pid"
    done
}

no_survivors() {
    local i
    for i in $(seq 200); do
        [ -z "$(survivors)" ] && return 0
        sleep 0.05
    done
    for i in $(survivors); do
        echo "still there: $i $(tr '\0' ' ' <"/proc/$i/cmdline")" >&2
    done
    return 1
}

# COMMAND...: waits until it succeeds; false after a minute, for a machine may be slow
soon() {
    local until=$((SECONDS + 60))
    until "$@"; do
        ((SECONDS < until)) || return 1
        sleep 0.02
    done
}

# PID: it and all that it started
tree() {
    cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^\([0-9]*\) (.*) [A-Z] \([0-9]*\) .*/\1 \2/' |
        awk -v root="$1" '{ children[$2] = children[$2] " " $1 }
            END { todo = root
                  while (split(todo, now)) {
                      todo = ""
                      for (i in now) { print now[i]; todo = todo children[now[i]] }
                  } }'
}

# PID: kill -9 of the launcher and everything below
kill_tree() {
    # shellcheck disable=SC2046
    kill -9 $(tree "$1") 2>/dev/null
    wait "$1" 2>/dev/null
}

# DIR: id, a tab, loss of every result, sorted
losses() {
    sed -n 's/.*"t":"result","id":"\([0-9a-f]*\)".*"loss":\([^,]*\),.*/\1\t\2/p' "$1/journal" | sort
}

count() { # TYPE DIR: records of that type; 0 if there is no journal yet
    local n
    n=$(grep -c "\"t\":\"$1\"" "$2/journal" 2>/dev/null)
    echo "${n:-0}"
}
more_than() { # N TYPE DIR
    [ "$(count "$2" "$3")" -gt "$1" ]
}

# DIR: every journalled job has exactly one result
each_once() {
    local jobs results
    jobs=$(sed -n 's/.*"t":"job","id":"\([0-9a-f]*\)".*/\1/p' "$1/journal" | sort)
    results=$(losses "$1" | cut -f1)
    [ -n "$jobs" ] && [ "$jobs" = "$results" ]
}

finish() {
    local pid
    check "no process is left over" no_survivors
    for pid in $(survivors); do
        kill -9 "$pid"
    done
    ((killed)) || check "no sessions, segments or other files are left over" \
        [ -z "$(find "$work/tmp" -type f -print -quit)" ]
    echo "$checks checks, $failures failures"
    ((failures == 0 && checks > 0))
    exit
}
trap 'exit 130' INT TERM
trap 'for p in $(survivors); do kill -9 "$p"; done; umount "$work"/{ro,tiny} 2>/dev/null; rm -rf "$work"' EXIT # also when a script breaks off

# A trainer that needs no time: its loss is a function of the job, smooth in M so that fits have
# something to find. NAME [SHELL-LINES that run before the result; $id and $attempt are set]
fake_trainer() {
    cat >"$work/$1" <<END
id=\$(basename "\$1" .json)
attempt=\$(cat "\$1.attempts" 2>/dev/null || echo 0)
attempt=\$((attempt + 1))
echo \$attempt >"\$1.attempts"
echo '{"t":"hello","v":1,"backend":"fake"}'
${2:-}
echo '{"t":"progress","step":1,"loss":2.5}'
d=\$(sed -n 's/.*"d": \([0-9]*\).*/\1/p' "\$1" | head -n 1)
echo '{"t":"result","status":"ok","loss":2.'\$((400 + (d - 20) * (d - 20)))\$((0x\$(echo \$id | cut -c1-2)))'}'
END
}

# Lines for it: while there is the folder hold, each trainer first takes a permit out of it, so that a sweep is
# under way for as long as a test wants.
held="while [ -d '$work/hold' ]; do
    for permit in '$work'/hold/*; do rmdir \"\$permit\" 2>/dev/null && break 2; done
    sleep 0.05
done"
hold() { # N: trainings that may end
    local i
    mkdir "$work/hold.new" # renamed when it is whole
    for i in $(seq "$1"); do
        mkdir "$work/hold.new/$i"
    done
    mv "$work/hold.new" "$work/hold"
}
go_on() {
    rm -r "$work/hold"
}

# FILE TRAINER [SEEDS]: a small sweep of two phases for a fake trainer; no corpus
fake_config() {
    cat >"$1" <<END
name = "fake";
question = "Does the orchestrator do what it should?";
data = { kind = "external"; paths = ["nowhere"]; tokens = 1000000000L; };
scales = [1e10, 3e10];
arch = { S = 64; K = 2; n_shared = 1; N_q = 2; N_kv = 1; L_d = 1; L_m = 1; V = 64; };
free = { d_qkv = [2, 96, 2]; N_e = [3, 96, 1]; d_m = [1, 256, 1]; d = [6, 96, 2]; };
tolerance = { M = 0.05; x = 0.1; y = 0.1; };
start = { M = { value = 6e4; at = 1e10; exponent = 0.4; }; x = 6.8; y = 2.5; };
train = { batch_tokens = 256; lr = 0.005; };
bootstrap = 20;
retries = 2;
trainer = "$2";
phases = (
    { name = "allocation";
      axes = ( { var = "M"; around = "adopted"; factor = 1.3; points = 3; } );
      fits = ( { axis = "M"; form = "logquad"; } );
      seeds = ${3:-2}; },
    { name = "width"; after = ["allocation"];
      axes = ( { var = "d"; fractions = [0.0, 0.5, 1.0]; } );
      fits = ( { axis = "d"; form = "logquad"; } ); } );
END
}

# FILE COMPUTE: a sweep of about 40 real trainings in three phases; COMPUTE is the larger scale's, in 1e9
# FLOPs (20: about 20 s with two workers on two cores)
real_config() {
    local compute=$(($2 / ${MOESWEEP_TEST_SLOW:-1}))
    cat >"$1" <<END
name = "small";
question = "Does it come through?";
data = { paths = ["$src/data/kjv.txt"]; held = 0.05; };
scales = [$((compute * 5))e8, ${compute}e9];
arch = { S = 64; K = 2; n_shared = 1; N_q = 2; N_kv = 1; L_d = 1; L_m = 1; };
free = { d_qkv = [2, 96, 2]; N_e = [3, 96, 1]; d_m = [1, 256, 1]; d = [6, 96, 2]; };
tolerance = { M = 0.05; x = 0.1; y = 0.1; };
start = { M = { value = 4e4; at = 1e10; exponent = 0.1; }; x = 6.8; y = 2.5; };
train = { batch_tokens = 256; lr = { value = 0.0055; at = 1e11; exponent = -0.25; }; };
model = { rope_base = 100.0; };
val = { tokens = 8192; };
bootstrap = 50;
checkpoint_every_s = 0.2;
phases = (
    { name = "allocation";
      axes = ( { var = "M"; around = "adopted"; factor = 1.4; points = 4; } );
      fits = ( { axis = "M"; form = "logquad"; } );
      seeds = 2; },
    { name = "density"; after = ["allocation"];
      axes = ( { var = "x"; values = [6.4, 6.8, 9.0]; } );
      fits = ( { axis = "x"; form = "density"; } );
      seeds = 2; },
    { name = "width"; after = ["density"];
      axes = ( { var = "d"; fractions = [0.0, 0.3, 0.6, 1.0]; } );
      fits = ( { axis = "d"; form = "logquad"; } );
      seeds = 2; } );
END
}
