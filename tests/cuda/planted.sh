#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Plants bugs into copies of kernels, one at a time, and demands that the tests notice each.
set -u

usage() {
    cat <<'END'
usage: planted.sh --build DIR [--slice N] [--only WORD] [--list]

Breaks kernels as planted.list says (beside this script), compiles the broken file and its test in
the flavours of the emulator that are named there until one run fails, and fails itself if none
does, or if a line of the list changes nothing any more. DIR is a build by Ninja; tests that are
not built yet are built. In the plain flavour a test runs in program order, in reverse and in random
orders.

  --slice N     N of them, spread over the list
  --only WORD   those whose line has WORD in its file, test or description
  --list        names them
  --help        this text
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build='' slice=0 only='' list=0
while (($#)); do
    case $1 in
    --build) build=$2 && shift ;;
    --slice) slice=$2 && shift ;;
    --only) only=$2 && shift ;;
    --list) list=1 ;;
    --help | -h) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done

# plant FLAVOURS FILE TEST WHAT SED-EXPRESSION; TEST: a cuda_emulated_test, or op_cases:GROUP
entries=()
plant() {
    if [[ "$2 $3 $4" == *"$only"* ]]; then
        entries+=("$1" "$2" "$3" "$4" "$5")
    fi
}
# shellcheck source=tests/cuda/planted.list
. "$here/planted.list"
total=$((${#entries[@]} / 5))
if ((list)); then
    for ((i = 0; i < total; i++)); do
        printf '%-28s %s\n' "${entries[@]:i*5+1:1}" "${entries[@]:i*5+3:1}"
    done
    exit 0
fi
if [[ ! -e $build/build.ninja ]]; then
    echo "planted.sh: '$build' is no build by Ninja" >&2
    exit 77
fi
build=$(cd "$build" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1

bounded() { # COMMAND..: its complaints are kept, and it is given time
    { timeout 300 "$@" 2>"$work/out" >"$work/printed" </dev/null; } 2>/dev/null
}

# Does the program, a build of TEST-FLAVOUR, pass? op_cases:GROUP are those of one group, whose
# numbers test_ops judges (in several schedules); the sanitizers judge by themselves.
passes() { # PROGRAM TEST-FLAVOUR GROUP
    local schedule schedules=(forward)
    if [[ $2 == op_cases_plain ]]; then
        mkdir -p "$work/bin"
        cp "$build/bin/op_cases_f32" "$build/bin/op_cases_f64" "$work/bin"
        cp "$1" "$work/bin/op_cases_plain"
        MOESWEEP_BIN=$work/bin bounded "$build/bin/test_ops" plain few 2 "$3"
    elif [[ $3 ]]; then
        bounded "$1" few f32 "$3" && bounded "$1" few bf16 "$3"
    else
        [[ $2 != *_plain ]] || schedules+=(reverse 1 2 3)
        for schedule in "${schedules[@]}"; do
            MOESWEEP_EMULATE_SCHEDULE=$schedule bounded "$1" || return 1
        done
    fi
}

# Once per test, flavour and file: builds it, and keeps how to compile the file and link the test.
prepare() { # TEST-FLAVOUR FILE GROUP
    local name=$1 file=$2 group=$3 commands=$work/$1.$3.${2//\//_} also=()
    [[ $name != op_cases_plain ]] || also=(op_cases_f32 op_cases_f64 test_ops)
    [[ ! -e $commands.link ]] || return 0
    ninja -C "$build" "$name" "${also[@]}" >"$work/out" 2>&1 || {
        tail -n 20 "$work/out" >&2
        return 1
    }
    passes "$build/bin/$name" "$name" "$group" || {
        tail -n 20 "$work/out" >&2
        echo "$name $group fails without a planted bug" >&2
        return 1
    }
    ninja -C "$build" -t commands "$name" >"$work/all"
    grep -F -- "-c $root/$file" "$work/all" |
        sed -E 's/ -M[DTF]( [^ ]*\.o(\.d)?)?//g; s/ -o [^ ]+ -c .*//' >"$commands.compile"
    tail -n 1 "$work/all" | sed -E 's/^: && //; s/ && :$//' >"$commands.link"
    [[ -s $commands.compile && -s $commands.link ]]
}

# 0: noticed, 1: not, 2: the attempt failed
attempt() { # TEST-FLAVOUR FILE GROUP
    local name=$1 commands=$work/$1.$3.${2//\//_} link
    prepare "$1" "$2" "$3" || return 2
    (cd "$build" && eval "$(<"$commands.compile") -w -o $work/mutant.o -c $work/mutant.cu") \
        >"$work/out" 2>&1 || {
        head -n 20 "$work/out" >&2
        return 2
    }
    link=$(<"$commands.link")
    link=${link/ -o bin\/$name/ -o $work/mutant $work/mutant.o}
    (cd "$build" && eval "$link") >"$work/out" 2>&1 || {
        tail -n 20 "$work/out" >&2
        return 2
    }
    ! passes "$work/mutant" "$name" "$3"
}

survivors=0 planted=0
for ((i = 0; i < total; i++)); do
    if ((slice && i * slice / total == (i + 1) * slice / total)); then
        continue
    fi
    read -ra flavours <<<"${entries[i * 5]}"
    file=${entries[i * 5 + 1]} test=${entries[i * 5 + 2]} what=${entries[i * 5 + 3]}
    group=''
    [[ $test != *:* ]] || group=${test#*:}
    planted=$((planted + 1))
    sed -E "${entries[i * 5 + 4]}" "$root/$file" >"$work/mutant.cu"
    if cmp -s "$root/$file" "$work/mutant.cu"; then
        echo "$file: $what: changes nothing: adapt planted.list"
        survivors=$((survivors + 1))
        continue
    fi
    noticed='' failed=0
    for flavour in "${flavours[@]}"; do
        attempt "${test%:*}_$flavour" "$file" "$group"
        case $? in
        0) noticed=$flavour && break ;;
        2) failed=1 && break ;;
        esac
    done
    if [[ $noticed ]]; then
        printf '%-6s %s: %s: %s\n' "$noticed" "$file" "$what" \
            "$(grep -a -m 1 -E 'cuda emulator|SUMMARY|runtime error|failed|rror' "$work/out" | cut -c 1-150)"
    else
        echo "$file: $what: $( ((failed)) && echo "could not be tried" || echo "goes unnoticed")"
        survivors=$((survivors + 1))
    fi
done
echo "$planted planted, $survivors not noticed"
((survivors == 0 && planted > 0))
