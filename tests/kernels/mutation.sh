#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Proves that the gradient test can fail: each line below breaks one backward kernel in a copy; the
# test, linked with that copy before the library, must then exit with 1.
#   mutation.sh SOURCE_DIR WORK_DIR COMPILER LIBRARIES.. [-- FLAGS..]
set -u
source=$1 work=$2 cc=$3
shift 3
libraries=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    libraries="$libraries $1"
    shift
done
[ $# -gt 0 ] && shift
rm -rf "$work" && mkdir -p "$work" || exit 1
flags="-std=c17 -O1 -D_GNU_SOURCE -DMOESWEEP_F64 -I$source $*"

$cc $flags -c "$source/tests/kernels/test_gradients.c" -o "$work/test.o" || exit 1
$cc $flags "$work/test.o" $libraries -lm -o "$work/plain" && "$work/plain" >/dev/null || {
    echo "the unmutated test fails" >&2
    exit 1
}

survivors=0 mutants=0
# mutate FILE 'SED EXPRESSION'
mutate() {
    mutants=$((mutants + 1))
    sed "$2" "$source/kernels/$1.c" >"$work/$1.c"
    if cmp -s "$source/kernels/$1.c" "$work/$1.c"; then
        echo "$1: '$2' changes nothing: adapt this script to the source" >&2
        survivors=$((survivors + 1))
        return
    fi
    $cc $flags "$work/$1.c" "$work/test.o" $libraries -lm -o "$work/mutant" || exit 1
    "$work/mutant" >/dev/null 2>&1
    status=$?
    if [ "$status" -ne 1 ]; then
        echo "$1: '$2' survives (exit $status)" >&2
        survivors=$((survivors + 1))
    fi
}

mutate linear 's/flags & LINEAR_ADD_DX/false/'
mutate linear 's/O, I, T, dy/O, I, T - 1, dy/'
mutate embed 's/dw + token\[t\] \* C, dy + t/dw + token[0] * C, dy + t/'
mutate rmsnorm 's/rt \* rt \* rt \* v_sum/rt * rt * v_sum/'
mutate rmsnorm 's/- xc \* k/+ xc * k/'
mutate rope 's/ld, -1)/ld, 1)/'
mutate attention 's/(v_load(dp + at) - d) \* scale/v_load(dp + at) * scale/'
mutate attention 's/v_exp(v_load(st + at) - l)/v_exp(v_load(st + at))/'
mutate swiglu 's/silu \* (1 - sigmoid)/silu * (1 + sigmoid)/'
mutate swiglu 's/ds\[t\] = v_sum(sum)/ds[t] = st * v_sum(sum)/'
mutate ffn 's/i > first, dw_gu/false, dw_gu/'
mutate ffn 's/add || i > first, dw_d/i > first, dw_d/'
mutate ffn 's/first == end \&\& !add/first == end/'
mutate ffn 's/dispatch_scatter(y, buffer, n.token + i/dispatch_scatter(y, buffer, n.token/'
mutate dispatch 's/by_token\[i\] = by_slot\[slot\[i\]\]/by_token[i] = by_slot[i]/'
mutate router 's/picked += dw\[k\] \* w\[k\]/picked -= dw[k] * w[k]/'
mutate router 's/q \* (1 - q) \/ total\[t\]/q \/ total[t]/'
mutate unembed 's/z\[target\] -= scale/z[target] -= 0/'
mutate unembed 's/r > 0, dw/false, dw/'
mutate unembed 's/add || r > 0/r > 0/'
mutate unembed 's/(add ? \*loss : 0)/0/'

rm -rf "$work"
echo "$mutants mutants, $survivors survive"
[ "$survivors" -eq 0 ]
