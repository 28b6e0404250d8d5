#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs that take two workers of one machine: what their trainer gets, and what happens when one of the
# two is lost.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1

# shellcheck disable=SC2016
fake_trainer fake.sh '
echo "$2 $(sed -n "s/.*\"width\": \([0-9]*\).*/\1/p" "$1")" >>'"$work"'/widths
sed -n "s/^Cpus_allowed_list:[[:space:]]*//p" /proc/$$/status >>'"$work"'/cpus
[ "$2" = 2 ] && while [ -e '"$work"'/slow ]; do sleep 0.05; done'
fake_config fake.cfg "/bin/sh $work/fake.sh {job} {width}"
run() { # OUT [OPTION...]
    local out=$1
    shift
    "${launch[@]}" --enable-recovery -np 3 "$bin/moesweep" run fake.cfg --out "$out" "$@"
}
expect 0 log run narrow
check "without width jobs do not name one" [ "$(sort -u widths)" = "1 " ]
check "nor do records" [ "$(grep -c '"width"' narrow/journal)" = "$(grep -c '"phase":"width"' narrow/journal)" ]

echo "width = { breaks = [2e10]; values = [1, 2]; };" >>fake.cfg
rm -f widths cpus
expect 0 log run wide
check "each job once" each_once wide
check "both widths" [ "$(sort -u widths | paste -sd,)" = "1 ,2 2" ]
((cores == 2)) && check "one processor or both" [ "$(sort -u cpus | paste -sd' ')" = "0 0-1 1" ]
check "jobs of width 1 are what they were" \
    [ "$(losses wide | join - <(losses narrow) | wc -l)" -ge 6 ]
expect 2 log "$bin/moesweep" plan fake.cfg --workers 1
says "too few workers" "--workers: .*C = 3e\+10 take 2"

sed '/"data"/,$s/"threads": 1/"threads": 1, "width": 2/' narrow/jobs/"$(losses narrow | head -n 1 | cut -f1)".json >two.json
refused "moetrain" "width: expected 1, found 2: moetrain uses one GPU" "$bin/moetrain" two.json

# The worker that lends its slot is killed: no retry is used up, and where nobody is left to take its
# place the sweep stops and says so.
killed=1
touch slow
rm -f widths
run lost --silence 1.5 >log 2>&1 &
pid=$!
check "lost: under way" soon grep -qs '^2' widths
for p in $(tree $pid); do
    { tr '\0' '\n' <"/proc/$p/environ"; } 2>/dev/null | grep -qx OMPI_COMM_WORLD_RANK=2 &&
        [ "$(cat "/proc/$p/comm")" = moesweep ] && kill -9 "$p"
done
wait $pid
check "lost: stopped" grep -q '"state": "stopped"' lost/status.json
says "lost" "rank 2 .*no sign of life"
says "lost" "job [0-9a-f]+ needs 2 workers of one machine.*: no machine here has that"
rm slow
expect 0 log run lost
check "lost: each job once" each_once lost
check "lost: nothing has failed" [ "$(count failure lost)" = 0 ]
check "lost: one was tried again" grep -q '"attempt":2' lost/journal
check "lost: law" cmp wide/law.json lost/law.json
finish
