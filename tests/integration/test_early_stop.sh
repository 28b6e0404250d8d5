#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Hopeless runs end early: a sweep that was killed between two of them comes to the same jobs and the same
# law; commands count them apart; a directory without is extended by them without a training.
. "$(dirname "$0")/lib.sh"
killed=1
moesweep=$bin/moesweep
cd "$work" || exit 1
run() { # CONFIG OUT [OPTION..]
    local config=$1 out=$2
    shift 2
    "${launch[@]}" -np 3 "$moesweep" run "$config" --out "$out" "$@"
}
pruned() { # DIR: results of that status
    local n
    n=$(grep -cE '"t":"(result|import)".*"status":"pruned"' "$1/journal" 2>/dev/null)
    echo "${n:-0}"
}

real_config one.cfg 1
sed 's/^scales = .*/scales = [1e9];/; s/values = \[6.4, 6.8, 9.0\]/values = [6.4, 6.8, 7.4, 9.0]/' one.cfg >whole.cfg
sed 's/after = .*/& early_stop = { at = [0.5, 0.75]; margin = 0.03; };/' whole.cfg >sweep.cfg
"$moesweep" plan sweep.cfg >log
says plan "hopeless runs end early, after 50 % of their steps or later"

expect 0 log run sweep.cfg undisturbed
says "the end" "done: [0-9]+ jobs, 0 failed, [1-9][0-9]* stopped early"
some=$(pruned undisturbed)
check "some runs were stopped" [ "$some" -gt 0 ]
check "law.json counts them" [ "$(number undisturbed/law.json runs pruned)" = "$some" ]
check "and no failure" [ "$(number undisturbed/law.json runs failed)" = 0 ]

# Killed as soon as one was stopped.
run sweep.cfg again >log 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && [ "$(pruned again)" -lt 1 ]; do
    sleep 0.02
done
kill_tree $pid
check "killed with runs stopped" [ "$(pruned again)" -ge 1 ]
check "killed before the end" [ ! -e again/law.json ]
expect 0 log run sweep.cfg again
check "law.json as undisturbed" cmp undisturbed/law.json again/law.json
losses undisturbed >losses
losses again >losses.again
check "losses as undisturbed" cmp losses losses.again
check "each job once" each_once again

"$moesweep" status again >log
says status "$some stopped early"
"$moesweep" status again --json >out
check "status: stopped runs" [ "$(number out jobs pruned)" = "$some" ]
check "status: failed runs" [ "$(number out jobs failed)" = 0 ]
check "status: what stopped phases found, which needs the learning curves" grep -q '"name": "d"' out
id=$(sed -n 's/.*"t":"result","id":"\([0-9a-f]*\)","status":"pruned".*/\1/p' again/journal | head -n 1)
"$moesweep" why again "$id" >log
says why "result: pruned training loss .* above "
says why "stopped if its training loss is above .* at step "
says why "compared on the way with [0-9a-f]{12}"
"$moesweep" report again >/dev/null
check "report" grep -q 'stopped early' again/report.html
"$moesweep" export again --csv - >out
check "export" [ "$(grep -c ,pruned, out)" = "$some" ]

# Nothing is trained that another sweep has stopped.
expect 0 log run sweep.cfg imported --import undisturbed
check "imported: nothing is trained" [ "$(count start imported)" = 0 ]
check "imported: stopped runs" [ "$(pruned imported)" = "$some" ]

# What the whole runs say is enough to know which would have been stopped.
expect 0 log run whole.cfg extended
trained=$(count start extended)
expect 0 log run sweep.cfg extended --extend
check "extended: law.json as from scratch" cmp undisturbed/law.json extended/law.json
check "extended: next to nothing is trained" [ "$(($(count start extended) - trained))" -lt "$((trained / 2))" ]
"$moesweep" status extended --json >out
check "extended: status: nothing is left" [ "$(number out jobs queued)" = 0 ]
check "extended: status: stopped runs" [ "$(number out jobs pruned)" = "$some" ]
expect 0 log run whole.cfg whole
expect 0 log run sweep.cfg known --import whole
"$moesweep" status known --json >out
check "whole runs imported: status: nothing is left" [ "$(number out jobs queued)" = 0 ]
check "whole runs imported: status: stopped runs" [ "$(number out jobs pruned)" = "$some" ]

# Siblings train the same work, with and without stops; side by side with others it counts once.
sed 's/    { name = "width"/    { name = "plain"; after = ["allocation"]; seeds = 2; \
      axes = ( { var = "x"; values = [6.4, 6.8, 7.4, 9.0]; } ); fits = ( { axis = "x"; form = "density"; } ); },\
&/; s/margin = 0.03/margin = 0.5/' sweep.cfg >siblings.cfg
expect 0 log run siblings.cfg siblings
"$moesweep" report --compare siblings whole --json >out
check "compared: two seeds of each" [ "$(grep -cE '"n_a": 2' out)" -gt 0 ]
check "compared: no training twice" [ "$(grep -cE '"n_a": ([3-9]|[0-9]{2})' out)" = 0 ]
finish
