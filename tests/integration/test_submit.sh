#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# moesweep submit without a Slurm: what the script says, what is refused, that nothing of the user's is
# run by a shell, nothing overwritten, nothing submitted unasked. (tests/slurm has a real one.)
. "$(dirname "$0")/lib.sh"
fake_trainer trainer.sh
odd="$work/it's \$(touch hacked) \"x\""
mkdir "$odd" "$work/bin"
fake_config "$odd/sweep.cfg" "/bin/sh $work/trainer.sh {job}"
cp "$odd/sweep.cfg" "$work"
cat >"$work/bin/sbatch" <<'END'
#!/bin/sh
printf '%s\n' "$@" >>"$SBATCH_SAID"
echo "1234;test"
END
chmod +x "$work/bin/sbatch"
export PATH="$work/bin:$PATH" SBATCH_SAID=$work/said
submit=("$bin/moesweep" submit sweep.cfg)
refused() { # PATTERN OPTION...
    local pattern=$1
    shift
    expect 2 "$work/log" "${submit[@]}" --dry-run "$@"
    check "refused: $pattern" grep -qe "$pattern" "$work/log"
}

cd "$odd" || exit 1
"${submit[@]}" --nodes 2 --workers 3 --time 1-0:30 --account a_1 --partition 'p,q' --sbatch=--qos=high \
    --sbatch=--exclusive --dry-run >"$work/script"
check "dry run: exit code" [ $? -eq 0 ]
check "dry run: writes nothing" [ "$(ls)" = sweep.cfg ]
check "dry run: parses" bash -n "$work/script"
for line in --nodes=2 --ntasks-per-node=3 --cpus-per-task=1 --time=1-0:30 --account=a_1 --partition=p,q --qos=high \
    --exclusive --requeue --open-mode=append --signal=B:USR1@120 --job-name=fake; do
    check "dry run: $line" grep -qxe "#SBATCH $line" "$work/script"
done
check "dry run: 6 workers and a manager" grep -qe " -n 7 " "$work/script"
check "dry run: no placeholder is left" [ -z "$(grep -E '@[A-Z]+@|^#@' "$work/script")" ]
"${submit[@]}" --gpus 4 --dry-run >"$work/script"
check "GPUs: a worker each" grep -qx "#SBATCH --gpus-per-node=4" "$work/script"

refused "expected --workers W or --gpus G"
refused "one worker a GPU" --gpus 4 --workers 8
refused "leave it no time" --workers 1 --time 3
refused "expected MINUTES" --workers 1 --time soon
refused "expected letters" --workers 1 --account 'a b'
refused "expected letters" --workers 1 --partition $'p\n#SBATCH --uid=0'
refused "expected letters" --workers 1 --sbatch='--comment="x"'
refused "expected --NAME" --workers 1 --sbatch=script.sh
refused "no control characters" --workers 1 --out $'a\nb'
refused "expected @OPTIONS@ in it" --workers 1 --template "$src/README.md"
expect 2 "$work/log" "$bin/moesweep" submit no-such.cfg --workers 1 --dry-run
sed -i 's/^scales.*/scales = "x";/' "$work/sweep.cfg"
expect 2 "$work/log" "$bin/moesweep" submit "$work/sweep.cfg" --workers 1 --dry-run
check "a wrong configuration is refused before it waits in a queue" grep -q "sweep.cfg:[0-9]*: scales" "$work/log"

expect 0 "$work/log" "${submit[@]}" --workers 2 </dev/null
check "not asked: not submitted" [ ! -e "$work/said" ]
check "not asked: written, and says how to submit" grep -q "wrote sweep.sbatch; not submitted" "$work/log"
expect 0 "$work/log" "${submit[@]}" --workers 2 --yes
check "--yes: the same script again is no overwriting" grep -qx 1234 "$work/log"
check "--yes: sbatch got its absolute path" grep -qxF "$odd/sweep.sbatch" "$work/said"
expect 2 "$work/log" "${submit[@]}" --workers 3 --yes
check "another script is not written over" grep -q "sweep.sbatch: exists already" "$work/log"
check "and not submitted" [ "$(grep -c sweep.sbatch "$work/said")" = 1 ]
expect 0 "$work/log" "${submit[@]}" --workers 3 --force </dev/null
check "--force does" grep -q -- " -n 4 " sweep.sbatch

# The script, unmodified, runs the sweep from anywhere; names are names.
cd / || exit 1
expect 0 "$work/log" bash "$odd/sweep.sbatch"
check "script: each job once" each_once "$odd/sweep"
check "nothing was run by a shell" [ -z "$(find "$work" -name 'hacked*')" ]
finish
