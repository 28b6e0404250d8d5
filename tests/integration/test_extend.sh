#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A sweep extended ends in the law of the larger one from scratch, and trains nothing twice; results of
# another sweep, or of another build, are taken over only when asked for, and marked.
#
#     test_extend.sh [full]     full: with real trainings, too
. "$(dirname "$0")/lib.sh"
killed=1
moesweep=$bin/moesweep
run() { # CONFIG OUT [OPTION..]
    local config=$1 out=$2
    shift 2
    "${launch[@]}" -np 3 "$moesweep" run "$work/$config" --out "$work/$out" "$@"
}
refused_run() { # WHAT PATTERN CONFIG OUT [OPTION..]: refused, in one line; OUT is as it was
    local what=$1 pattern=$2 before after
    shift 2
    before=$(cat "$work/$2"/{journal,*.cfg,*.json} 2>/dev/null | cksum)
    expect 2 log run "$@"
    after=$(cat "$work/$2"/{journal,*.cfg,*.json} 2>/dev/null | cksum)
    says "$what" "$pattern"
    check "$what: one message" [ "$(grep -c '^moesweep: ' log)" = 1 ]
    check "$what: nothing changed" [ "$before" = "$after" ]
}
each_result_once() { # OUT
    [ -z "$(losses "$work/$1" | cut -f1 | uniq -d)" ]
}
cd "$work" || exit 1

# ---- extended
cp /bin/sh shell
fake_trainer fake.sh
fake_config small.cfg "$work/shell $work/fake.sh {job}" 1
sed 's/^scales = .*/scales = [1e10, 3e10, 9e10];/; s/seeds = 1/seeds = 2/; s/points = 3/points = 5/' \
    small.cfg >large.cfg
sed 's/lr = 0.005/lr = 0.004/' large.cfg >other.cfg
expect 0 log run small.cfg small
expect 0 log run large.cfg fresh
cp -r small extended
had=$(count result small)
refused_run "without --extend" "belongs to another sweep.*--extend" large.cfg extended
refused_run "another learning rate" "cannot extend.*train.lr: was 0.005, is 0.004" other.cfg extended --extend
refused_run "nothing there" "found no journal" large.cfg nowhere --extend
check "nothing there: nothing made" [ ! -e nowhere ]

"$moesweep" plan large.cfg --extend extended --json >out
known=$(number out total known)
check "plan: some are done, some are not" within "$known" 1 "$had"
check "plan: what is left" within "$(number out total runs_now)" 1 "$(count result fresh)"
expect 0 log run large.cfg extended --extend
says "extended" "extended \(configuration 2\): [1-9][0-9]* results are used again"
check "law.json as from scratch" cmp extended/law.json fresh/law.json
check "architecture.json as from scratch" cmp extended/architecture.json fresh/architecture.json
"$moesweep" plan large.cfg --extend fresh >out
check "plan: nothing left is 0, not nan" [ "$(grep -c nan out)" = 0 ]
check "each result once" each_result_once extended
check "trained once" [ "$(count result extended)" = "$(count start extended)" ]
check "less is trained than from scratch" \
    [ $(($(count result extended) - had)) -lt "$(count result fresh)" ]
check "the old configuration stays" cmp extended/config.resolved.1.cfg small/config.resolved.cfg
check "the new one" cmp extended/config.resolved.cfg fresh/config.resolved.cfg
before=$(cksum <extended/journal)
rm extended/config.resolved.cfg # as a kill between journal and configuration would leave it
expect 0 log run large.cfg extended --extend
check "the same command again: nothing to do" [ "$before" = "$(cksum <extended/journal)" ]
check "its configuration is back" cmp extended/config.resolved.cfg fresh/config.resolved.cfg
expect 0 log "$moesweep" report extended
check "report: the same law" cmp extended/law.json fresh/law.json
expect 0 log "$moesweep" export extended --csv -
expect 0 log2 "$moesweep" export fresh --csv -
check "export: the same jobs and losses" cmp <(cut -d, -f1,30,31 log | sort) <(cut -d, -f1,30,31 log2 | sort)
expect 0 log "$moesweep" status extended
expect 0 log run small.cfg extended --extend # and back: nothing is lost
check "back again" cmp extended/law.json small/law.json
check "back again: nothing trained" [ "$(count result extended)" = "$(count start extended)" ]

# Killed as a whole while it is extended, then the same command.
fake_trainer fake.sh "$held"
hold 4
cp -r small cut
mv cut/config.resolved.cfg cut/config.resolved.1.cfg # killed between configuration and journal
("${launch[@]}" -np 3 "$moesweep" run large.cfg --out cut --extend >log 2>&1) &
pid=$!
check "under way" soon more_than $((had + 3)) result cut
kill_tree $pid
check "killed under way" [ "$(count result cut)" -lt "$(count result extended)" ]
go_on
expect 0 log run large.cfg cut --extend
check "killed: law.json as from scratch" cmp cut/law.json fresh/law.json
check "killed: each result once" each_result_once cut
fake_trainer fake.sh

# ---- imported
expect 0 log run large.cfg imported --import small
says "import" "imported $had results"
check "imported: the same fits" cmp <(grep -v '"config"' imported/law.json | sed -n '/"range"/,/"notes"/p') \
    <(grep -v '"config"' fresh/law.json | sed -n '/"range"/,/"notes"/p')
check "imported: counted" within "$(number imported/law.json origins 0 runs)" 1 "$had"
check "imported: in the report" grep -q "imported from fake" imported/report.html
check "imported: what is left is trained" \
    [ $(($(count start imported) + $(number imported/law.json origins 0 runs))) = "$(count start fresh)" ]
expect 0 log "$moesweep" status imported
says "imported: status" "results imported from fake"
expect 0 log "$moesweep" export imported --csv -
check "imported: export" [ "$(grep -c ',fake [0-9a-f]\{16\},,$' log)" = "$(number imported/law.json origins 0 runs)" ]

# ---- another build
echo >>shell # runs as before, but is not the same build
refused_run "another build" "another trainer.*--allow-mixed" large.cfg small --extend
refused_run "another build's results" "of another trainer.*--allow-mixed" large.cfg elsewhere --import small
cp -r small mixed
expect 0 log run large.cfg mixed --extend --allow-mixed
check "mixed: the new results are marked" \
    [ "$(grep '"t":"result"' mixed/journal | grep -c '"build":"shell ')" = $(($(count result mixed) - had)) ]
check "mixed: counted" within "$(number mixed/law.json origins 0 runs)" 1 $(($(count result mixed) - had))
check "mixed: said" grep -q "not comparable bit for bit" mixed/law.json
check "mixed: in the report" grep -q "not comparable bit for bit" mixed/report.html

# ---- real trainings
[ "${1:-}" = full ] || finish
real_config small-real.cfg 2
sed -i 's/seeds = 2/seeds = 1/' small-real.cfg
real_config large-real.cfg 2
sed -i 's/^scales = .*/scales = [10e8, 2e9, 3e9];/' large-real.cfg
expect 0 log run small-real.cfg real
expect 0 log run large-real.cfg real --extend
expect 0 log run large-real.cfg real-fresh
check "real: law.json as from scratch" cmp real/law.json real-fresh/law.json
check "real: each result once" each_result_once real
echo "real trainings: $(count result real-fresh) from scratch, $(count result real) in two steps"
finish
