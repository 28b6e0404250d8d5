#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# recommend.sh VENV_FOLDER: the config.json files of moesweep recommend, built by transformers
# (recommend.py says what is compared).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$("$here/venv.sh" "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
HF_HUB_OFFLINE=1 "$python" "$here/recommend.py" --moesweep "$MOESWEEP_BIN/moesweep" \
    --source "$MOESWEEP_SOURCE" --work "$work"
