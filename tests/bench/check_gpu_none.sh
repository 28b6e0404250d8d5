#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Without a GPU ./check-gpu says so in one line, with exit code 2. (A driver that fails stands for none.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '#!/bin/sh\necho "NVIDIA-SMI has failed: no driver"\nexit 9\n' >"$work/nvidia-smi"
chmod +x "$work/nvidia-smi"
status=0
PATH=$work:$PATH "$(dirname "${BASH_SOURCE[0]}")/../../check-gpu" >"$work/out" 2>"$work/err" || status=$?
if ((status != 2)) || [[ -s $work/out ]] || (($(wc -l <"$work/err") != 1)); then
    echo "check-gpu: exit code $status" >&2
    cat "$work/out" "$work/err" >&2
    exit 1
fi
