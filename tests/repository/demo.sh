#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Where something is missing and cannot be installed, ./demo names it under its apt, dnf, Spack
# and module names and stops with exit code 1, having written nothing.
. "$(dirname "$0")/lib.sh"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# A machine with the bare minimum: no compiler, no MPI, no apt-get.
mkdir "$tmp/bin"
for tool in bash env dirname realpath nproc awk grep sed sort head tail mkdir cat; do
    ln -s "$(command -v "$tool")" "$tmp/bin/$tool"
done
# Some of these tools are links to elsewhere on Debian; only what is linked here is found.
PATH=$tmp/bin "$MOESWEEP_SOURCE/demo" --out "$tmp/out" >"$tmp/stdout" 2>"$tmp/stderr"
status=$?
((status == 1)) || fail "./demo exits with $status where everything is missing, not 1"
grep -q 'no apt-get' "$tmp/stderr" || fail "it does not say why nothing was installed"
for name in libopenmpi-dev openmpi-devel OpenMPI libconfig-dev libconfig-devel libgsl-dev \
    gsl-devel GSL libdnnl-dev onednn-devel oneDNN libjansson-dev jansson-devel libisal-dev \
    isa-l-devel ISA-L gnuplot-nox cmake gcc; do
    grep -qw -e "$name" "$tmp/stderr" || fail "it does not name $name"
done
[[ ! -e $tmp/out ]] || fail "it wrote results all the same"
((failures == 0)) || cat "$tmp/stdout" "$tmp/stderr"
finish
