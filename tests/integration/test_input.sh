#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What a run refuses: exit code 2, one message, nothing written.
. "$(dirname "$0")/lib.sh"

fake_trainer fake.sh
fake_config "$work/fake.cfg" "/bin/sh $work/fake.sh {job}"
run() { # OUT [OPTION...]
    local out=$1
    shift
    "${launch[@]}" -np 3 "$bin/moesweep" run "$work/fake.cfg" --out "$out" "$@"
}

# WHAT PATTERN COMMAND...: refused, saying PATTERN in exactly one line of ours
refused() {
    local what=$1 pattern=$2
    shift 2
    expect 2 "$work/log" "$@"
    check "$what: the message" grep -qE "$pattern" "$work/log"
    check "$what: one message" [ "$(grep -c '^moesweep: ' "$work/log")" = 1 ]
}

fingerprint() { # DIR
    (cd "$1" && find . -type f -exec cksum {} + | sort -k 3)
}

# A world of one rank.
refused "singleton" "at least 2 MPI ranks" "$bin/moesweep" run "$work/fake.cfg" --out "$work/one"
refused "one rank" "at least 2 MPI ranks" "${launch[@]}" -np 1 "$bin/moesweep" run "$work/fake.cfg" \
    --out "$work/one"
refused "lonely srun tasks" "srun" env SLURM_PROCID=0 SLURM_NTASKS=4 "$bin/moesweep" run \
    "$work/fake.cfg" --out "$work/one"
check "nothing written" [ ! -e "$work/one" ]

# Only rank 0 reads the configuration, and only it speaks.
sed 's/^bootstrap/bootstrop/' "$work/fake.cfg" >"$work/bad.cfg"
refused "unknown key" "bad.cfg:[0-9]+: bootstrop" "${launch[@]}" -np 3 "$bin/moesweep" run "$work/bad.cfg" \
    --out "$work/bad"
refused "no configuration" "none.cfg" "${launch[@]}" -np 3 "$bin/moesweep" run "$work/none.cfg" \
    --out "$work/bad"
sed 's|^trainer = .*|trainer = "no-such-trainer {job}";|' "$work/fake.cfg" >"$work/bad.cfg"
refused "no trainer" "no-such-trainer" "${launch[@]}" -np 3 "$bin/moesweep" run "$work/bad.cfg" \
    --out "$work/bad"
check "nothing written" [ ! -e "$work/bad" ]

# Places that cannot be an output directory.
echo precious >"$work/file"
mkdir "$work/mine" && echo precious >"$work/mine/thesis.tex"
refused "a file" "expected a directory, found a file|Not a directory|File exists" run "$work/file"
refused "below a file" "Not a directory" run "$work/file/below"
refused "somebody's folder" "found files but no journal" run "$work/mine"
mkdir "$work/diary" && echo "dear diary" >"$work/diary/journal"
refused "somebody's journal" "expected a journal" run "$work/diary"
check "nothing overwritten" [ "$(cat "$work/file" "$work/mine/"* "$work/diary/journal")" = "precious
precious
dear diary" ]
check "nothing added" [ "$(ls "$work/mine")" = thesis.tex ]
mkdir "$work/ro"
if mount -t tmpfs -o ro none "$work/ro" 2>/dev/null; then
    refused "read-only mount" "Read-only file system" run "$work/ro/out"
    refused "read-only mount itself" "Read-only file system" run "$work/ro"
    umount "$work/ro"
elif [ "$(id -u)" != 0 ]; then
    chmod 555 "$work/ro"
    refused "read-only folder" "Permission denied" run "$work/ro/out"
else
    echo "no way to make a read-only folder here: that case is left out" >&2
fi

# Another sweep's output; another build's.
expect 0 "$work/log" run "$work/out"
before=$(fingerprint "$work/out")
sed -i 's/^scales = .*/scales = [1e10, 4e10];/' "$work/fake.cfg"
refused "another sweep" "belongs to another sweep.*scales" run "$work/out"
sed -i 's/^scales = .*/scales = [1e10, 3e10];/' "$work/fake.cfg"
check "unchanged" [ "$before" = "$(fingerprint "$work/out")" ]
cp /bin/sh "$work/shell"
sed -i "s|^trainer = .*|trainer = \"$work/shell $work/fake.sh {job}\";|" "$work/fake.cfg"
expect 0 "$work/log" run "$work/rebuilt"
echo >>"$work/shell" # runs as before, but is not the same build
refused "another build" "with another trainer.*--allow-mixed" run "$work/rebuilt"
expect 0 "$work/log" run "$work/rebuilt" --allow-mixed
sed -i "s|^trainer = .*|trainer = \"/bin/sh $work/fake.sh {job}\";|" "$work/fake.cfg"

# A flipped byte in the middle of the journal.
size=$(wc -c <"$work/out/journal")
for at in 10 $((size / 3)) $((size / 2)); do
    cp -r "$work/out" "$work/flipped"
    byte=$(od -An -tu1 -j $at -N 1 "$work/out/journal")
    # shellcheck disable=SC2059
    printf "\\x$(printf %02x $((byte ^ 1)))" |
        dd of="$work/flipped/journal" bs=1 seek=$at conv=notrunc status=none
    before=$(fingerprint "$work/flipped")
    refused "byte $at flipped" "journal: line [0-9]+, byte [0-9]+" run "$work/flipped"
    check "byte $at: nothing changed" [ "$before" = "$(fingerprint "$work/flipped")" ]
    rm -r "$work/flipped"
done

# A second run on the same directory while the first still writes.
fake_trainer slow.sh "$held"
fake_config "$work/slow.cfg" "/bin/sh $work/slow.sh {job}"
hold 0
"${launch[@]}" -np 3 "$bin/moesweep" run "$work/slow.cfg" --out "$work/busy" >"$work/first" 2>&1 &
first=$!
check "the first writes" soon more_than 1 start "$work/busy"
refused "second writer" "another moesweep .process [0-9]+. is writing" "${launch[@]}" -np 2 \
    "$bin/moesweep" run "$work/slow.cfg" --out "$work/busy"
go_on
wait $first
check "the first goes on" [ $? -eq 0 ]
check "and is complete" each_once "$work/busy"
finish
