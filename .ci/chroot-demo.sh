#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# ./demo on a machine with nothing installed: a bare Debian 12 in a temporary folder, a clean clone
# in it, and a look at what the demo left. Runs in its own mount and process namespace, so mounts
# and stray processes end with it.
set -euo pipefail

usage() {
    cat <<'END'
usage: .ci/chroot-demo.sh [--keep-results DIR]

Needs root, and debootstrap (installed through apt-get if missing). Debian's mirror is the one that
this machine's apt uses. The demo has 480 seconds, installation and build included.

  --keep-results DIR   copies the sweep's folder to DIR, which must not exist
END
}

limit=480
keep=""
inner=0
while (($#)); do
    case $1 in
    --help | -h)
        usage
        exit 0
        ;;
    --keep-results)
        [[ ${2:-} ]] || {
            usage >&2
            exit 2
        }
        keep=$(realpath -m -- "$2")
        shift
        ;;
    --inside) # how the script calls itself in the new namespaces
        inner=1
        tmp=$2
        shift
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=.ci/deps.sh
. "$root/.ci/deps.sh"

if ((!inner)); then
    if [[ $keep && -e $keep ]]; then
        echo "chroot-demo.sh: $keep exists" >&2
        exit 2
    fi
    if ((EUID != 0)); then
        echo "chroot-demo.sh: needs root for debootstrap and chroot" >&2
        exit 1
    fi
    deps_ensure debootstrap
    tmp=$(mktemp -d)
    namespace=""
    cleanup() {
        if [[ $namespace ]] && kill -KILL "$namespace" 2>/dev/null; then
            wait "$namespace" || true
        fi
        rm -rf --one-file-system "$tmp"
    }
    trap cleanup EXIT
    again=("${BASH_SOURCE[0]}" --inside "$tmp")
    if [[ $keep ]]; then
        again+=(--keep-results "$keep")
    fi
    unshare --mount --pid --fork --kill-child -- "${again[@]}" &
    namespace=$!
    status=0
    wait "$namespace" || status=$?
    exit "$status"
fi

fail() {
    echo "chroot-demo.sh: $1" >&2
    exit 1
}

# The machine's own sources for bookworm.
debian=$tmp/debian
sources=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' | awk '$1 == "Debian" && $2 ~ /^bookworm/ { print "deb", $3, $4, $5 }' |
    sort -u)
mirror=$(awk '$3 == "bookworm" { print $2; exit }' <<<"$sources")
[[ $mirror ]] || fail "apt of this machine knows no source of Debian bookworm (apt-get update first)"
proxy=""
eval "$(apt-config shell proxy Acquire::http::Proxy)"
if [[ $proxy ]]; then
    export http_proxy=$proxy
fi

stage "debootstrap"
debootstrap --variant=minbase bookworm "$debian" "$mirror" >"$tmp/debootstrap.log" 2>&1 || {
    tail -n 20 "$tmp/debootstrap.log" >&2
    fail "debootstrap failed"
}
echo "$sources" >"$debian/etc/apt/sources.list"
{ apt-config dump | grep -E '^Acquire::(http|https|Check)' || true; } \
    >"$debian/etc/apt/apt.conf.d/00machine"
cp -L /etc/resolv.conf /etc/hosts "$debian/etc/"

stage "a clean clone"
git clone -q --no-hardlinks "$root" "$debian/root/moesweep"
mount -t proc proc "$debian/proc"
mount --rbind /dev "$debian/dev"
if chroot "$debian" sh -c 'command -v cc || command -v cmake || command -v mpirun'; then
    fail "the bare Debian is not bare"
fi

stage "demo"
status=0
timeout --kill-after=30 "$limit" chroot "$debian" env -i HOME=/root TERM=dumb \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /root/moesweep/demo </dev/null || status=$?
((status == 0)) || fail "demo exited with $status (124: not done within $limit s)"

stage "what it left"
results=$debian/root/moesweep/demo-out
for file in journal law.json architecture.json report.html; do
    [[ -s $results/$file ]] || fail "no $file"
done
if [[ $keep ]]; then
    cp -r "$results" "$keep"
fi
trained=$(grep -c '"t": *"result".*"status": *"ok"' "$results/journal" || true)
((trained >= 50)) || fail "$trained trainings, expected 50 or more"
chroot "$debian" /root/moesweep/build/bin/moesweep export /root/moesweep/demo-out \
    --csv /tmp/results.csv
scales=$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "C") column = i }
    NR > 1 { print $column }' "$debian/tmp/results.csv" | sort -u | wc -l)
((scales >= 3)) || fail "$scales scales, expected 3 or more"
stage_print
echo "bare Debian: $trained trainings over $scales scales, all files there"
