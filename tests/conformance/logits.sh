#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# logits.sh VENV_FOLDER [--freeze]: trains small models over the options, exports each, compares its
# logits with those of transformers' stock classes, and takes it back (logits.py says what is compared).
# --freeze writes tests/data/conformance instead, for tests/worker/test_frozen_logits.c.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$("$here/venv.sh" "$1")
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
HF_HUB_OFFLINE=1 "$python" "$here/logits.py" --moetrain "$MOESWEEP_BIN/moetrain" \
    --logits "$MOESWEEP_BIN/logits" --source "$MOESWEEP_SOURCE" --work "$work" "$@"
