#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# venv.sh FOLDER [REQUIREMENTS]: a Python environment in FOLDER with what requirements.txt, or the file
# given, names, made through pip unless it is there; prints its python's path. Exit code 77, with the
# reason on standard error, where that cannot be had. Several may call it at once.
set -euo pipefail
folder=$1 wanted=${2:-$(dirname "${BASH_SOURCE[0]}")/requirements.txt}
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if ! cmp -s "$wanted" "$folder/installed"; then
    rm -rf "$folder/venv"
    if ! { python3 -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" install --quiet -r "$wanted"; } >"$folder/log" 2>&1; then
        echo "no Python environment: $(tail -n 1 "$folder/log")" >&2
        exit 77
    fi
    cp "$wanted" "$folder/installed"
fi
echo "$folder/venv/bin/python"
